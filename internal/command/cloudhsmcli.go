package command

import (
	"context"

	"keyward/internal/cloudhsmcli"
)

// cloudhsmCliCommand is `keyward cloudhsm-cli …`; the shell has a grammar of its own.
type cloudhsmCliCommand struct {
	Args []string `arg:"" optional:"" passthrough:""`
}

// Run hands everything behind the command's name to the shell.
func (c *cloudhsmCliCommand) Run(ctx context.Context, env Env) error {
	status := cloudhsmcli.Run(ctx, cloudhsmcli.Env{
		Args: c.Args, Stdin: env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr, Getenv: env.Getenv,
	})
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}
