package command

import (
	"context"
	"fmt"
	"io"

	"keyward/internal/server"
)

// explainCommand is `keyward admin explain`.
type explainCommand struct {
	Principal         string   `help:"The ARN of a user, a role, a role's session or an account's root user." required:"" placeholder:"ARN"`
	Action            string   `help:"The action, such as kms:Encrypt." required:"" placeholder:"kms:ACTION"`
	Key               string   `help:"The key's id, ARN, alias or alias ARN; leave it out for actions on no key." placeholder:"KEY"`
	Context           []string `help:"A condition key of the call, such as aws:SourceIp=192.0.2.7; can be given several times." sep:"none" placeholder:"NAME=VALUE"`
	EncryptionContext []string `help:"A pair of the call's encryption context; can be given several times." sep:"none" placeholder:"NAME=VALUE"`
	Data              string   `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
}

// Run prints the decision, what decided and why. A refusal makes the exit status 1.
func (c *explainCommand) Run(ctx context.Context, env Env) error {
	answer, err := server.AskPermission(ctx, c.Data, server.Question{
		Principal: c.Principal, Action: c.Action, Key: c.Key, Context: c.Context, EncryptionContext: c.EncryptionContext,
	})
	if err != nil {
		return notRunning(err, c.Data)
	}
	if err := printAnswer(env.Stdout, answer); err != nil {
		return err
	}
	if !answer.Allowed {
		return exitStatus(1)
	}
	return nil
}

func printAnswer(w io.Writer, answer server.Answer) error {
	verdict := "denied"
	if answer.Allowed {
		verdict = "allowed"
	}
	for _, line := range []struct{ name, text string }{
		{"decision", verdict}, {"reason", answer.Reason}, {"by", answer.By}, {"through", answer.Through}, {"message", answer.Message},
	} {
		if line.text == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-10s%s\n", line.name+":", line.text); err != nil {
			return err
		}
	}
	return nil
}
