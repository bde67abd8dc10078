package cloudhsmcli

import (
	"errors"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/peterh/liner"

	"keyward/internal/secret"
)

// lineEditor edits lines on the terminal of this process. Its history lives in memory and is never written down.
type lineEditor struct{ state *liner.State }

func newLineEditor() *lineEditor {
	state := liner.NewLiner()
	state.SetCtrlCAborts(true)
	state.SetTabCompletionStyle(liner.TabPrints)
	state.SetCompleter(complete)
	return &lineEditor{state}
}

// read gives one line; errPromptAborted after control-C, io.EOF after control-D.
func (e *lineEditor) read(prompt string) (string, error) {
	line, err := e.state.Prompt(prompt)
	if errors.Is(err, liner.ErrPromptAborted) {
		err = errPromptAborted
	}
	return line, err
}

// password reads a line without showing it. It goes through the editor, which may have read ahead.
func (e *lineEditor) password(prompt string) (secret.Bytes, error) {
	typed, err := e.state.PasswordPrompt(prompt)
	if errors.Is(err, liner.ErrPromptAborted) {
		err = textInterrupted
	}
	return secret.FromString(typed), err
}

// remember keeps a line for the up key, unless it could hold a password: in an option, be it mistyped, or alone, typed
// at the wrong prompt.
func (e *lineEditor) remember(line string, args []string) {
	if isCommand(args[0]) && !mayHoldPassword(args) {
		e.state.AppendHistory(line)
	}
}

func isCommand(word string) bool {
	return childOf(newParser(&shellGrammar{}, new(strings.Builder)).Model.Node, word) != nil
}

func mayHoldPassword(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return isOption(arg) && strings.Contains(strings.ToLower(arg), "pas")
	})
}

func (e *lineEditor) close() { _ = e.state.Close() }

// complete proposes whole lines: the commands and options that may follow, beginning like the last word.
func complete(line string) []string {
	begin := strings.LastIndexByte(line, ' ') + 1
	before, last := line[:begin], line[begin:]
	node := newParser(&shellGrammar{}, new(strings.Builder)).Model.Node
	for _, word := range strings.Fields(before) {
		if child := childOf(node, word); child != nil {
			node = child
		}
	}
	var lines []string
	for _, word := range followers(node) {
		if strings.HasPrefix(word, last) {
			lines = append(lines, before+word+" ")
		}
	}
	return lines
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

func followers(node *kong.Node) []string {
	var words []string
	for _, child := range node.Children {
		words = append(words, child.Name)
	}
	for _, flag := range node.Flags {
		words = append(words, "--"+flag.Name)
	}
	slices.Sort(words)
	return words
}
