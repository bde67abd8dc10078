package cloudhsmcli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"keyward/internal/secret"
)

// Prompts (cloudhsm-cli.md section 2).
const (
	promptPassword = "Enter password:"
	promptConfirm  = "Confirm password:"
)

// maxLine bounds a line of input, in bytes.
const maxLine = 64 << 10

var (
	errLineTooLong   = failure("The line is too long")
	errInputEnded    = failure("The input ended where a password was expected")
	errPromptAborted = errors.New("aborted")
)

// password is the given one or, without that, what is typed.
func (s *session) password(given *string) (secret.Bytes, error) {
	if given != nil {
		return secret.FromString(*given), nil
	}
	return s.ask(promptPassword)
}

// newPassword asks twice unless one is given.
func (s *session) newPassword(given *string) (secret.Bytes, error) {
	first, err := s.password(given)
	if err != nil || given != nil {
		return first, err
	}
	second, err := s.ask(promptConfirm)
	if err != nil {
		first.Wipe()
		return secret.Bytes{}, err
	}
	defer second.Wipe()
	if !first.Equal(second) {
		first.Wipe()
		return secret.Bytes{}, textMismatch
	}
	return first, nil
}

// ask reads a line without echo where a person types it.
func (s *session) ask(prompt string) (secret.Bytes, error) {
	switch {
	case s.line != nil:
		return s.line.password(prompt)
	case s.env.IsTerminal(s.env.Stdin):
		return s.askTerminal(prompt)
	}
	s.show(prompt + "\n")
	line, err := readLine(s.input)
	if err == io.EOF {
		return secret.Bytes{}, errInputEnded
	}
	return secret.FromString(line), err
}

func (s *session) askTerminal(prompt string) (secret.Bytes, error) {
	file, ok := s.env.Stdin.(*os.File)
	if !ok {
		return secret.Bytes{}, errors.New("cloudhsmcli: a terminal that is not a file")
	}
	restore, err := silence(int(file.Fd()))
	if err != nil {
		return secret.Bytes{}, err
	}
	defer restore()
	s.show(prompt)
	defer s.show("\n")
	typed, err := term.ReadPassword(int(file.Fd()))
	if err == io.EOF {
		err = errInputEnded
	}
	return secret.New(typed), err
}

// show writes a prompt where a person sees it and a script that reads standard output does not.
func (s *session) show(prompt string) {
	out := s.env.Stderr
	if s.env.IsTerminal(s.env.Stdout) {
		out = s.env.Stdout
	}
	_, _ = fmt.Fprint(out, prompt)
}

// readLine gives one line without its end; io.EOF when there is none. A line over maxLine is refused.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		return "", errLineTooLong
	case err == io.EOF && len(line) == 0:
		return "", io.EOF
	case err != nil && err != io.EOF:
		return "", fmt.Errorf("reading the input: %w", err)
	}
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return string(line), nil
}
