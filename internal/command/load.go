package command

import (
	"context"
	"time"

	"keyward/internal/rehearsal"
)

// loadCommand is `keyward load`, a rehearsal aid.
type loadCommand struct {
	KeyID   string        `required:"" help:"The KMS key to use: an id, ARN or alias."`
	Clients int           `help:"Clients at a time." default:"8"`
	For     time.Duration `help:"How long." default:"60s"`
}

// Run encrypts and decrypts with the endpoint and credentials of the environment.
func (c *loadCommand) Run(ctx context.Context, env Env) error {
	return rehearsal.Load{KeyID: c.KeyID, Clients: c.Clients, For: c.For, Out: env.Stdout}.Run(ctx)
}
