package command

import (
	"context"
	"io"

	"keyward/internal/server"
)

// hsmAuditCommand is `keyward admin hsm-audit`.
type hsmAuditCommand struct {
	HSM  string `name:"hsm" help:"The HSM's id." required:"" placeholder:"HSM-ID"`
	Data string `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
}

// Run prints the log's records, oldest first, with an empty line after each.
func (c *hsmAuditCommand) Run(ctx context.Context, env Env) error {
	err := server.HsmAudit(ctx, c.Data, c.HSM, func(record string) error {
		_, err := io.WriteString(env.Stdout, record+"\n")
		return err
	})
	return notRunning(err, c.Data)
}
