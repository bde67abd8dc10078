package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"keyward/internal/keywardtest"
)

// block is a fenced shell block of a page.
type block struct {
	script string
	typed  string // what is typed at its prompts, a line each
}

var (
	marker = regexp.MustCompile(`^<!-- test: ([a-z-]+) -->$`)
	typing = regexp.MustCompile(`^<!-- types: (.+) -->$`)
)

// blocks returns the ```sh blocks of the page that follow the marker named.
func blocks(t *testing.T, page, name string) (all []block) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var current *block
	typed, inside := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case current != nil && line == "```":
			all = append(all, *current)
			current, typed = nil, ""
		case current != nil:
			current.script += line + "\n"
		case marker.MatchString(line):
			inside = marker.FindStringSubmatch(line)[1] == name
		case inside && typing.MatchString(line):
			typed = strings.ReplaceAll(typing.FindStringSubmatch(line)[1], " ", "\n") + "\n"
		case inside && line == "```sh":
			current = &block{typed: typed}
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no shell blocks after the marker %q", page, name)
	}
	return all
}

// script joins blocks into one shell session; each gets its typed lines as input.
func script(all []block) string {
	var b strings.Builder
	for n, one := range all {
		if one.typed == "" {
			b.WriteString(one.script + "\n")
			continue
		}
		// A here-document on a brace group keeps the block in the same shell.
		b.WriteString("{\n" + one.script + "} <<'TYPED" + string(rune('A'+n)) + "'\n" + one.typed + "TYPED" + string(rune('A'+n)) + "\n")
	}
	return b.String()
}

// inShell drops the line that is about the reader's shell: the test's shell has that environment already.
func inShell(s string) string { return strings.ReplaceAll(s, "source keyward-data/env\n", "") }

// TestGettingStarted types docs/getting-started.md into a shell, as it stands.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	out := i.Shell(t.TempDir(), inShell(script(blocks(t, "../docs/getting-started.md", "getting-started"))), "")
	for _, want := range []string{"Cluster activation successful", `"username": "kmsuser"`, `"KeyState": "Enabled"`, "same\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the page's commands did not print %q:\n%s", want, out)
		}
	}
}

// TestTour types the README's tour, then the seed procedures of troubleshooting.md on the same installation.
func TestTour(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{})
	out := i.Shell(t.TempDir(), inShell(script(blocks(t, "../README.md", "tour"))), "")
	for _, want := range []string{`"Account": "111122223333"`, `"CustomKeyStoreName": "ExampleKeyStore"`, `"ConnectionState": "CONNECTED"`, "same\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the tour did not print %q:\n%s", want, out)
		}
	}
}
