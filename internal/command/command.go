// Package command is keyward's command line: flags in, exit status out. Each command is one file; what it runs lives
// in the packages below.
//
// The rules of what is written where: results go to standard output, everything else to standard error. An error is
// one line with the prefix "keyward: ", lower case, without full stop; where a person can do something about it, a
// line "hint: " with the next command to type follows. Exit status: 0 success, 1 failure, 2 wrong usage.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// Env is what a command gets from the process that runs it.
type Env struct {
	Args           []string // without the program's name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// Process is the environment of this process.
func Process() Env {
	return Env{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
}

// commands is the command line's grammar.
type commands struct {
	Up          upCommand          `cmd:"" help:"Run everything on this machine: the API endpoint and HSMs as processes of their own."`
	Demo        demoCommand        `cmd:"" help:"Play the main job: use a custom key store, break it, see why, repair it."`
	Admin       adminCommand       `cmd:"" help:"Look after an installation: its audit trail."`
	Clock       clockCommand       `cmd:"" help:"Read or move the clock of a running \"up --dev\"."`
	CloudhsmCli cloudhsmCliCommand `cmd:"" name:"cloudhsm-cli" help:"The HSM operator's shell, compatible with AWS's cloudhsm-cli." passthrough:""`
	Load        loadCommand        `cmd:"" help:"Encrypt and decrypt under a key and tell how that goes, second by second."`
	Hsm         hsmCommand         `cmd:"" hidden:"" help:"Run one HSM; started by up."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// exitStatus ends a command whose output already says everything.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// hinted is an error with the next command to type.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// Run runs one command and returns the process's exit status.
func Run(ctx context.Context, env Env) (status int) {
	var grammar commands
	var stop exitStatus = -1
	parser, err := kong.New(&grammar,
		kong.Name("keyward"),
		kong.Description("A key management service that speaks AWS's protocols, with HSM-backed custom key stores."),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { stop = exitStatus(code); panic(stop) }), // --help ends inside the parser
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic(err) // the grammar above is wrong
	}
	defer func() {
		if r := recover(); r != nil {
			if code, ok := r.(exitStatus); ok {
				status = int(code)
				return
			}
			panic(r)
		}
	}()
	args := env.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(env.Stderr, "keyward: %v\nhint: keyward %s\n", err, usageHint(args))
		return 2
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return report(env, parsed.Run(env))
}

// usageHint is the help of the command that was meant.
func usageHint(args []string) string {
	if strings.HasPrefix(args[0], "-") {
		return "--help"
	}
	return args[0] + " --help"
}

// report writes err as the package comment says.
func report(env Env, err error) int {
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	_, _ = fmt.Fprintf(env.Stderr, "keyward: %v\n", err)
	var h hinted
	if errors.As(err, &h) {
		_, _ = fmt.Fprintf(env.Stderr, "hint: %s\n", h.hint)
	}
	return 1
}
