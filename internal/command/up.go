package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/term"

	"keyward/internal/server"
)

// upCommand is `keyward up`.
type upCommand struct {
	Data          string `help:"The installation's folder; made on the first start." default:"./keyward-data" placeholder:"DIR"`
	Listen        string `help:"The endpoint's address." default:"127.0.0.1:4766" placeholder:"ADDR"`
	Empty         bool   `help:"Start without the example cluster and key store."`
	Dev           bool   `help:"Allow rehearsal aids, such as moving the clock."`
	Region        string `help:"The Region of the default VPC and the example store." default:"us-east-1"`
	Account       string `help:"The account, 12 digits." default:"111122223333"`
	TLSCert       string `name:"tls-cert" help:"PEM certificate of the endpoint." placeholder:"FILE"`
	TLSKey        string `name:"tls-key" help:"PEM key of the endpoint." placeholder:"FILE"`
	TLSSelfSigned bool   `name:"tls-self-signed" help:"Make a certificate for the endpoint."`
	SealKey       string `help:"The file that unlocks the root key; keep it on another medium." placeholder:"FILE"`

	SealPassphraseFile string `help:"A file with a passphrase that unlocks the root key instead; KEYWARD_SEAL_PASSPHRASE may hold one too." placeholder:"FILE"`

	Quota map[string]int `help:"Adjust a resource quota, such as keys=100000; may be repeated." placeholder:"NAME=N"`

	RequestQuotas string             `help:"aws: bound how often accounts may call as AWS does." enum:"none,aws" default:"none"`
	RequestQuota  map[string]float64 `help:"Bound requests per second by AWS's name of a quota, such as 'DescribeKey=100'; may be repeated." placeholder:"NAME=N"`
	KeyStoreRate  int                `help:"Bound each key store's cryptographic operations per second, as AWS's quota of 1800 does." placeholder:"N"`

	SettleTime time.Duration `help:"How long multi-Region keys read Creating or Updating; on AWS seconds to minutes." default:"0s" placeholder:"DURATION"`

	Audit string `help:"durable: an answer leaves when its event is on the disk. relaxed: read-only calls do not wait." enum:"durable,relaxed" default:"durable"`
}

// garbage is how much may be allocated between two collections, in percent of what is in use: little is, beside what
// requests leave behind, so that Go's usual 100 collects ten times a second and more. GOGC in the environment wins.
const garbage = 200

// Run serves until the context ends.
func (c *upCommand) Run(ctx context.Context, env Env) error {
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	executable, err := hsmExecutable()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	log, progress := reporting(env.Stderr)
	err = server.Run(ctx, server.Config{
		Data: data, Listen: c.Listen, Empty: c.Empty, Dev: c.Dev, Region: c.Region, Account: c.Account,
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, TLSSelfSigned: c.TLSSelfSigned,
		SealKey:            c.SealKey,
		SealPassphraseFile: c.SealPassphraseFile,
		Quotas:             c.Quota,
		AWSRequestQuotas:   c.RequestQuotas == "aws",
		RequestQuotas:      c.RequestQuota,
		KeyStoreRate:       c.KeyStoreRate,
		SettleTime:         c.SettleTime,
		RelaxedAudit:       c.Audit == "relaxed",
		Executable:         executable,
		Log:                log,
		Progress:           progress,
	}, func(endpoint string) {
		_, _ = fmt.Fprintf(env.Stdout, "keyward is ready: %s (console: %s/console/)\n", endpoint, endpoint)
	})
	if errors.Is(err, server.ErrInUse) {
		return hinted{err, "stop the other one, or choose another folder with --data DIR"}
	}
	return err
}

// hsmExecutable is the command that runs one HSM: this program.
func hsmExecutable() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program to start HSMs with: %w", err)
	}
	return []string{self, "hsm"}, nil
}

// reporting makes the log, and says how progress is shown: one rewritten line on a terminal, a log line each
// elsewhere.
func reporting(stderr io.Writer) (*slog.Logger, func(string)) {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		quiet := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		return quiet, func(step string) {
			if step == "" {
				_, _ = fmt.Fprint(stderr, "\r\x1b[K")
				return
			}
			_, _ = fmt.Fprintf(stderr, "\r\x1b[K… %s", step)
		}
	}
	return log, func(step string) {
		if step != "" {
			log.Info("starting", "step", step)
		}
	}
}
