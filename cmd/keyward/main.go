// Command keyward is a key management service with custom key stores on HSMs of its own; see README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"keyward/internal/command"
)

func main() {
	// The first signal asks to finish what is in flight, a second one ends the process as signals do.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(command.Run(ctx, command.Process()))
}
