package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"keyward/internal/server"
)

// adminCommand is `keyward admin …`.
type adminCommand struct {
	Trail         trailCommand    `cmd:"" help:"The audit trail's files."`
	HsmAudit      hsmAuditCommand `cmd:"" help:"Print an HSM's own log of management commands."`
	CreateAccount createAccount   `cmd:"" help:"Make another account in a running installation, with a user \"admin\"."`
	ListAccounts  listAccounts    `cmd:"" help:"List a running installation's accounts."`
	Explain       explainCommand  `cmd:"" help:"Say whether a principal may do something with a key, and by what."`
}

// trailCommand is `keyward admin trail …`.
type trailCommand struct {
	Verify  trailVerify  `cmd:"" help:"Check that no file and no event was removed, changed, reordered or added."`
	Deliver trailDeliver `cmd:"" help:"Make a running installation deliver its files now."`
	Keys    trailKeys    `cmd:"" help:"Print the public keys that digests are signed with."`
}

type trailVerify struct {
	Data string `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
	From string `help:"Verify digests that end at this time or later (2026-01-02T15:04:05Z)." placeholder:"TIME"`
	To   string `help:"Verify digests that begin at this time or earlier." placeholder:"TIME"`
	Keys string `help:"Public keys that were kept elsewhere, as \"admin trail keys\" printed them." placeholder:"FILE"`
}

type trailDeliver struct {
	Data string `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
}

type trailKeys struct {
	Data string `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
}

// Run prints every finding, a line each, and a summary. Findings make the exit status 1.
func (c *trailVerify) Run(ctx context.Context, env Env) error {
	from, err := parseInstant(c.From)
	if err != nil {
		return err
	}
	to, err := parseInstant(c.To)
	if err != nil {
		return err
	}
	report, err := server.VerifyTrail(ctx, server.TrailFiles{Data: c.Data, Keys: c.Keys, From: from, To: to})
	if errors.Is(err, os.ErrNotExist) {
		return hinted{err, "keyward admin trail verify --data DIR"}
	}
	if err != nil {
		return err
	}
	for _, f := range report.Findings {
		if _, err := fmt.Fprintf(env.Stdout, "%s: %s\n", filepath.Join(c.Data, "trail", f.Path), f.What); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(env.Stdout, "%d digests, %d log files (%d not in a digest yet), %d events: %s\n",
		report.Digests, report.Logs, report.Undigested, report.Records, verdict(len(report.Findings)))
	if err == nil && len(report.Findings) > 0 {
		return exitStatus(1)
	}
	return err
}

func verdict(findings int) string {
	switch findings {
	case 0:
		return "valid"
	case 1:
		return "1 finding"
	default:
		return fmt.Sprintf("%d findings", findings)
	}
}

// parseInstant reads an optional time.
func parseInstant(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is not a time such as 2026-01-02T15:04:05Z", s)
	}
	return t, nil
}

// Run delivers.
func (c *trailDeliver) Run(ctx context.Context, _ Env) error {
	err := server.DeliverTrail(ctx, c.Data)
	return notRunning(err, c.Data)
}

// Run prints the keys.
func (c *trailKeys) Run(ctx context.Context, env Env) error {
	text, err := server.TrailKeys(ctx, c.Data)
	if err == nil {
		_, err = fmt.Fprintf(env.Stdout, "%s\n", text)
	}
	return err
}
