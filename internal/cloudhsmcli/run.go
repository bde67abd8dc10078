// Package cloudhsmcli is `keyward cloudhsm-cli`: the HSM operator's command line, compatible with AWS CloudHSM CLI
// (Client SDK 5) in commands, prompts, JSON and texts. It talks to the HSMs themselves, through hsmclient, and to the
// control plane only to learn their addresses.
//
// The grammar is one tree of kong structs (grammar.go), which serves single commands, the interactive shell, help and
// completion; what kong cannot parse, lists separated by spaces, is brought into its form first (words.go). A command
// returns what stands under "data", or an error whose text does (texts.go). Passwords are secret.Bytes from the moment
// they are read and appear in no text, history or file.
package cloudhsmcli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Exit statuses.
const (
	exitSuccess = 0
	exitFailure = 1 // error_code is 1
	exitUsage   = 2 // the command line could not be understood; nothing was printed on standard output
)

// Env is what the command line gets from the process that runs it.
type Env struct {
	Args           []string // behind "cloudhsm-cli"
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string // nil: os.Getenv
	// IsTerminal tells whether a stream is a terminal; nil asks the system about an *os.File.
	IsTerminal func(stream any) bool
	Now        func() time.Time // nil: time.Now
}

func (e *Env) complete() {
	if e.Getenv == nil {
		e.Getenv = os.Getenv
	}
	if e.IsTerminal == nil {
		e.IsTerminal = isTerminal
	}
	if e.Now == nil {
		e.Now = time.Now
	}
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Run carries out one command, or the interactive shell, and returns the exit status: 0 for error_code 0, 1 for
// error_code 1, 2 for wrong usage.
func Run(ctx context.Context, env Env) int {
	env.complete()
	var grammar lineGrammar
	args := env.Args
	if len(args) == 0 {
		args = []string{"help"}
	}
	parsed, err := parse(&grammar, args)
	if err != nil {
		return env.usage(err)
	}
	s := newSession(&env, grammar.globals)
	defer s.close(ctx)
	switch command := parsed.command.(type) {
	case nil:
		return env.print(parsed.help)
	case *interactiveCommand:
		return s.interact(ctx)
	case *helpCommand:
		return s.help(&lineGrammar{}, command)
	case operation:
		return s.single(ctx, command)
	default:
		panic(fmt.Sprintf("cloudhsmcli: the grammar has a command without meaning: %T", command))
	}
}

// single logs in with the credentials of the environment where the command needs it, and runs it.
func (s *session) single(ctx context.Context, o operation) int {
	if _, ok := o.(loginNeeded); ok {
		if err := s.loginFromEnvironment(ctx); err != nil {
			return s.env.answer(nil, err)
		}
	}
	return s.env.answer(s.perform(ctx, o))
}

// answer prints the outcome of one command and returns the exit status that belongs to it.
func (e *Env) answer(data any, err error) int {
	status, outcome := exitSuccess, outcome{Data: data}
	if err != nil {
		status = exitFailure
		outcome.ErrorCode, outcome.Data = exitFailure, text(err)
	}
	encoder := json.NewEncoder(e.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(outcome); err != nil {
		_, _ = fmt.Fprintln(e.Stderr, "cloudhsm-cli: printing the answer:", err)
		return exitFailure
	}
	return status
}

// outcome is the document that each command prints (cloudhsm-cli.md section 2).
type outcome struct {
	ErrorCode int `json:"error_code"`
	Data      any `json:"data"`
}

func (e *Env) print(text string) int {
	if _, err := io.WriteString(e.Stdout, text); err != nil {
		return exitFailure
	}
	return exitSuccess
}

// usage tells what was wrong with the command line and how it should look.
func (e *Env) usage(err error) int {
	_, _ = fmt.Fprintf(e.Stderr, "error: %v\n", err)
	var wrong *usageError
	if errors.As(err, &wrong) {
		_, _ = fmt.Fprintf(e.Stderr, "\n%s", wrong.usage)
	}
	return exitUsage
}

func newSession(env *Env, options globals) *session {
	return &session{env: env, options: options, input: bufio.NewReaderSize(env.Stdin, maxLine)}
}
