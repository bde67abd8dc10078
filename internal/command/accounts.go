package command

import (
	"context"
	"errors"
	"fmt"

	"keyward/internal/server"
)

// createAccount is `keyward admin create-account`.
type createAccount struct {
	Account string `help:"The account's number: 12 digits." required:"" placeholder:"NUMBER"`
	Name    string `help:"A name for people." placeholder:"NAME"`
	RootKey bool   `help:"Make an access key of the account's root user instead of its administrator."`
	Data    string `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
}

// Run prints the command that makes a shell call the new account. The access key stands in the file that it reads, and
// nowhere else.
func (c *createAccount) Run(ctx context.Context, env Env) error {
	path, err := server.CreateAccount(ctx, c.Data, c.Account, c.Name, c.RootKey)
	if err != nil {
		return notRunning(err, c.Data)
	}
	_, err = fmt.Fprintf(env.Stdout, ". %s\n", path)
	return err
}

// listAccounts is `keyward admin list-accounts`.
type listAccounts struct {
	Data string `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
}

// Run prints a line for each account.
func (c *listAccounts) Run(ctx context.Context, env Env) error {
	all, err := server.Accounts(ctx, c.Data)
	if err != nil {
		return notRunning(err, c.Data)
	}
	for _, a := range all {
		if _, err := fmt.Fprintf(env.Stdout, "%s  %s  %s\n", a.ID, a.Created.Format("2006-01-02"), a.Name); err != nil {
			return err
		}
	}
	return nil
}

// notRunning adds how to start an installation to the error of one that does not run.
func notRunning(err error, data string) error {
	if errors.Is(err, server.ErrNotRunning) {
		return hinted{err, "keyward up --data " + data}
	}
	return err
}
