package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

func (s *stage) say(format string, args ...any) {
	_, err := fmt.Fprintf(s.Out, format+"\n", args...)
	s.failed = errors.Join(s.failed, err)
}

func (s *stage) title(text string) { s.say("\n== %s\n", text) }

// show prints a command and its answer, indented as the AWS CLI does.
func (s *stage) show(command string, a answer) {
	s.say("$ %s", command)
	if len(bytes.TrimSpace(a)) <= len("{}") {
		return // the AWS CLI prints nothing for an empty answer
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, a, "", "    "); err != nil {
		s.failed = errors.Join(s.failed, err)
		return
	}
	s.say("%s", &indented)
}

// call does what command says and shows both the command and the answer, also where it is a refusal.
func (s *stage) call(ctx context.Context, command, target string, in members) (answer, error) {
	a, err := s.api.do(ctx, target, in)
	var r *refusal
	if errors.As(err, &r) {
		s.say("$ %s\n\n%v\n", command, r)
	}
	if err != nil {
		return nil, err
	}
	s.show(command, a)
	return a, nil
}

// line is one command in the operator's shell.
type line struct {
	text  string
	typed []string // what is typed, unseen, at its prompts
	fails bool     // the answer has error_code 1
}

func loginAdmin(s *stage) line {
	return line{text: "login --username admin --role admin", typed: []string{string(s.AdminPassword.Expose())}}
}

// shell types the lines into the operator's shell and shows each with its answer.
func (s *stage) shell(ctx context.Context, lines ...line) error {
	var input strings.Builder
	for _, l := range lines {
		input.WriteString(l.text + "\n")
		for _, t := range l.typed {
			input.WriteString(t + "\n")
		}
	}
	input.WriteString("quit\n")
	s.say("$ keyward cloudhsm-cli --cluster-id %s interactive", s.clusterID)
	out, ended := s.HSM(ctx, []string{"--cluster-id", s.clusterID, "interactive"}, input.String())
	answers := json.NewDecoder(bytes.NewReader(out))
	for _, l := range lines {
		s.say("aws-cloudhsm > %s", l.text)
		if err := s.showAnswer(answers, l.fails); err != nil {
			return fmt.Errorf("%s: %w", l.text, err)
		}
	}
	s.say("aws-cloudhsm > quit\n")
	if ended != nil {
		return fmt.Errorf("the operator's shell: %w", ended)
	}
	return nil
}

// showAnswer prints the next JSON document and checks how the command ended.
func (s *stage) showAnswer(answers *json.Decoder, fails bool) error {
	var text json.RawMessage
	if err := answers.Decode(&text); errors.Is(err, io.EOF) {
		return errors.New("the shell gave no answer")
	} else if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return err
	}
	s.say("%s", &indented)
	var outcome struct {
		ErrorCode int `json:"error_code"`
	}
	if err := json.Unmarshal(text, &outcome); err != nil {
		return err
	}
	if (outcome.ErrorCode != 0) != fails {
		return errors.New("the shell's answer is not what this scene is about")
	}
	return nil
}
