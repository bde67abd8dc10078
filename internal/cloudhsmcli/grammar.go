package cloudhsmcli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// operation is a command that answers with a JSON document: data, or an error.
type operation interface {
	run(ctx context.Context, s *session) (data any, err error)
}

// loginNeeded marks operations that are refused without a login, before anything is asked or sent.
type loginNeeded interface{ needsLogin() }

// shellGlobals may stand before or behind a command, in both modes.
type shellGlobals struct {
	ClusterID string `name:"cluster-id" placeholder:"ID" help:"The cluster to work on; may be left out when only one is configured."`
	Help      bool   `name:"help" short:"h" help:"Show how the command is used."`
}

// globals are for the process.
type globals struct {
	shellGlobals
	Address                     []string `name:"address" short:"a" sep:"," placeholder:"IP" help:"Addresses of HSMs, separated by commas, instead of asking the control plane."`
	HsmCaCert                   string   `name:"hsm-ca-cert" placeholder:"FILE" help:"PEM file with the CA certificate that signed the cluster certificate."`
	DisableKeyAvailabilityCheck bool     `name:"disable-key-availability-check" help:"Allow keys that are on one HSM only."`
}

// commands exist in both modes.
type commands struct {
	Cluster clusterCommands `cmd:"" help:"Activate the cluster, describe its HSMs."`
	Login   loginCommand    `cmd:"" help:"Log in on every HSM of the cluster, in place of the user logged in so far."`
	Logout  logoutCommand   `cmd:"" help:"Log out of the cluster."`
	User    userCommands    `cmd:"" help:"Manage the cluster's users."`
	Key     keyCommands     `cmd:"" help:"Manage keys."`
	HelpFor helpCommand     `cmd:"" name:"help" help:"Show the commands, or how one is used."`
}

type clusterCommands struct {
	Activate activateCommand `cmd:"" help:"Set the password of the first admin, which activates the cluster."`
	HsmInfo  hsmInfoCommand  `cmd:"" name:"hsm-info" help:"Describe each HSM."`
}

type userCommands struct {
	List           userListCommand       `cmd:"" help:"List the users of the cluster."`
	Create         userCreateCommand     `cmd:"" help:"Create a user."`
	Delete         userDeleteCommand     `cmd:"" help:"Delete a user."`
	ChangePassword changePasswordCommand `cmd:"" name:"change-password" help:"Change a user's password, which also unlocks the user."`
}

type keyCommands struct {
	List              keyListCommand    `cmd:"" help:"List keys."`
	Delete            keyDeleteCommand  `cmd:"" help:"Delete one key."`
	GenerateSymmetric symmetricCommands `cmd:"" name:"generate-symmetric" help:"Generate a symmetric key."`
}

type symmetricCommands struct {
	Aes generateAesCommand `cmd:"" help:"Generate an AES key."`
}

// lineGrammar is that of `keyward cloudhsm-cli`.
type lineGrammar struct {
	globals
	commands
	Interactive interactiveCommand `cmd:"" help:"Open the shell."`
	Configure   configureCommand   `cmd:"" help:"Remember where a cluster is and which CA to trust."`
}

// shellGrammar is that of a line in the shell.
type shellGrammar struct {
	shellGlobals
	commands
	Quit quitCommand `cmd:"" help:"Log out and leave."`
}

type (
	interactiveCommand struct{}
	quitCommand        struct{}
	helpCommand        struct {
		Words []string `arg:"" optional:"" name:"command" help:"The command to explain."`
	}
)

// parsed is a command line understood.
type parsed struct {
	command any    // pointer into the grammar; nil: help was asked for
	help    string // how the command, or everything, is used
}

// usageError is a command line that was not understood.
type usageError struct {
	cause error
	usage string
}

func (e *usageError) Error() string { return e.cause.Error() }
func (e *usageError) Unwrap() error { return e.cause }

// newParser makes a parser that fills grammar. Its writer receives usage texts.
func newParser(grammar any, usage *strings.Builder) *kong.Kong {
	parser, err := kong.New(grammar,
		kong.Name("cloudhsm-cli"),
		kong.Description("Operate the HSMs of a CloudHSM cluster."),
		kong.NoDefaultHelp(),
		kong.Writers(usage, usage),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
	)
	if err != nil {
		panic(err) // the grammar above is wrong
	}
	return parser
}

// parse fills grammar from a command line.
func parse(grammar any, args []string) (parsed, error) {
	var usage strings.Builder
	parser := newParser(grammar, &usage)
	args = normalise(args)
	trace, err := kong.Trace(parser, args)
	if err != nil {
		return parsed{}, err
	}
	if err := trace.PrintUsage(false); err != nil {
		return parsed{}, err
	}
	if asksForHelp(trace) {
		return parsed{help: usage.String()}, nil
	}
	text := usage.String()
	kctx, err := parser.Parse(args)
	if err != nil {
		return parsed{}, &usageError{withoutSecrets(err, args), text}
	}
	selected := kctx.Selected()
	if selected == nil {
		return parsed{}, &usageError{errors.New("expected a command"), text}
	}
	return parsed{command: selected.Target.Addr().Interface(), help: text}, nil
}

func asksForHelp(trace *kong.Context) bool {
	for _, element := range trace.Path {
		if element.Flag != nil && element.Flag.Name == "help" {
			return true
		}
	}
	return false
}

// withoutSecrets is err unless its text repeats a password of the command line.
func withoutSecrets(err error, args []string) error {
	for _, arg := range args {
		value, ok := strings.CutPrefix(arg, passwordOption+"=")
		if ok && value != "" && strings.Contains(err.Error(), value) {
			return errors.New("the command line is not understood")
		}
	}
	return err
}

// help explains a command, or all of them.
func (s *session) help(grammar any, h *helpCommand) int {
	parsed, err := parse(grammar, append(h.Words, "--help"))
	if err != nil {
		return s.env.usage(err)
	}
	if parsed.help == "" {
		return s.env.usage(fmt.Errorf("there is no command %q", strings.Join(h.Words, " ")))
	}
	return s.env.print(parsed.help)
}
