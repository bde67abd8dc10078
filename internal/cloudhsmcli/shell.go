package cloudhsmcli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/peterh/liner"
	"golang.org/x/term"
)

const (
	prompt = "aws-cloudhsm > "
	// minWidth of a terminal, in columns, leaves room to edit behind the longest prompt (user, cluster id).
	minWidth = 72
)

// errTooLong: continued lines add up.
var errTooLong = errors.New("the command is too long")

// interact is the shell: a line, an answer, until `quit` or the end of input. It exits 0.
func (s *session) interact(ctx context.Context) int {
	if s.editable() {
		s.line = newLineEditor()
		defer s.line.close()
	}
	for ctx.Err() == nil {
		command, err := s.readCommand()
		switch {
		case errors.Is(err, io.EOF):
			return exitSuccess
		case errors.Is(err, errPromptAborted):
			continue
		case errors.Is(err, errTooLong):
			_ = s.env.usage(err)
			continue
		case err != nil: // there is nothing more to read, or it is not known where the next line begins
			_ = s.env.usage(err)
			return exitFailure
		}
		if quit := s.obey(ctx, command); quit {
			return exitSuccess
		}
	}
	return exitFailure
}

// editable reports whether lines can be edited: on this process's own terminal, which is all that liner knows, if it
// understands control sequences and has a width. Other terminals get plain lines.
func (s *session) editable() bool {
	if s.env.Stdin != os.Stdin || s.env.Stdout != os.Stdout || !s.env.IsTerminal(os.Stdin) || !s.env.IsTerminal(os.Stdout) {
		return false
	}
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	return err == nil && width >= minWidth && liner.TerminalSupported()
}

// readCommand joins lines that end in a backslash.
func (s *session) readCommand() (string, error) {
	var command strings.Builder
	for {
		line, err := s.readShellLine(command.Len() > 0)
		if err != nil {
			return "", err
		}
		if command.Len()+len(line) > maxLine {
			return "", errTooLong
		}
		continued, more := strings.CutSuffix(line, `\`)
		command.WriteString(continued)
		if !more {
			return command.String(), nil
		}
	}
}

func (s *session) readShellLine(continuing bool) (string, error) {
	shown := s.prompt()
	if continuing {
		shown = "> "
	}
	if s.line != nil {
		return s.line.read(shown)
	}
	s.show(shown)
	return readLine(s.input)
}

// prompt names user and cluster of the last command, where there are several clusters to tell apart.
func (s *session) prompt() string {
	if at := s.last; at != nil && at.user != nil && at.target.configured > 1 {
		return at.user.User + "@" + at.target.ClusterID + " > "
	}
	return prompt
}

// at is the session on the named cluster: a shell has one per cluster, each with a login of its own.
func (s *session) at(ctx context.Context, clusterID string) *session {
	if clusterID == "" || clusterID == s.options.ClusterID {
		return s
	}
	if s.target == nil {
		s.target, _ = s.resolve(ctx) // if that fails, a command without cluster id will say why
	}
	if s.target != nil && s.target.ClusterID == clusterID {
		return s
	}
	other := s.others[clusterID]
	if other == nil {
		other = &session{env: s.env, input: s.input, line: s.line}
		other.options.ClusterID = clusterID
		if s.others == nil {
			s.others = make(map[string]*session)
		}
		s.others[clusterID] = other
	}
	return other
}

// obey carries out one command and reports whether it was the last.
func (s *session) obey(ctx context.Context, line string) (quit bool) {
	args, err := split(line)
	if err != nil {
		_ = s.env.usage(err)
		return false
	}
	if len(args) == 0 {
		return false
	}
	if s.line != nil {
		s.line.remember(line, args)
	}
	var grammar shellGrammar
	parsed, err := parse(&grammar, args)
	if err != nil {
		_ = s.env.usage(err)
		return false
	}
	switch command := parsed.command.(type) {
	case nil:
		_ = s.env.print(parsed.help)
	case *quitCommand:
		return true
	case *helpCommand:
		_ = s.help(&shellGrammar{}, command)
	case operation:
		s.last = s.at(ctx, grammar.ClusterID)
		_ = s.env.answer(s.last.perform(ctx, command))
	}
	return false
}
