package keywardtest

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Block is a fenced block of a documentation page.
type Block struct {
	Text  string
	Typed string // what is typed at its prompts, a line each
}

var (
	marker = regexp.MustCompile(`^<!-- test: ([a-z-]+) -->$`)
	typing = regexp.MustCompile(`^<!-- types: (.+) -->$`)
)

// Blocks returns the page's blocks in a language ("sh" for shell) that follow the marker `<!-- test: NAME -->`, up to the
// next marker.
func Blocks(t testing.TB, page, name, language string) (all []Block) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var current *Block
	typed, inside := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case current != nil && line == "```":
			all = append(all, *current)
			current, typed = nil, ""
		case current != nil:
			current.Text += line + "\n"
		case marker.MatchString(line):
			inside = marker.FindStringSubmatch(line)[1] == name
		case inside && typing.MatchString(line):
			typed = strings.ReplaceAll(typing.FindStringSubmatch(line)[1], " ", "\n") + "\n"
		case inside && line == "```"+language:
			current = &Block{Typed: typed}
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no %s blocks after the marker %q", page, language, name)
	}
	return all
}

// Script joins shell blocks into one session for Installation.Shell; each gets its typed lines as input. The line that
// sources DIR/env is about the reader's shell: the test's shell has that environment already.
func Script(all []Block) string {
	var b strings.Builder
	for n, one := range all {
		if one.Typed == "" {
			b.WriteString(one.Text + "\n")
			continue
		}
		// A here-document on a brace group keeps the block in the same shell.
		end := fmt.Sprint("TYPED", n)
		b.WriteString("{\n" + one.Text + "} <<'" + end + "'\n" + one.Typed + end + "\n")
	}
	return strings.ReplaceAll(b.String(), "source keyward-data/env\n", "")
}
