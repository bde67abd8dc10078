package command

import (
	"context"
	"log/slog"

	"keyward/internal/hsmnode"
)

// hsmCommand is `keyward hsm`, which `up` starts once per HSM; who the HSM is comes over standard input.
type hsmCommand struct {
	Name string `arg:"" optional:"" help:"The HSM's id, for people who look at the process list."`
}

// Run serves one HSM until its standard input ends or the context does.
func (hsmCommand) Run(ctx context.Context, env Env) error {
	log := slog.New(slog.NewTextHandler(env.Stderr, nil))
	return hsmnode.Main(ctx, env.Stdin, env.Stdout, log)
}
