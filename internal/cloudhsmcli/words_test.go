package cloudhsmcli

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	tests := map[string][]string{
		``:                                 nil,
		`  `:                               nil,
		`user list`:                        {"user", "list"},
		"\tkey  list\r":                    {"key", "list"},
		`attr.id="0xab"`:                   {"attr.id=0xab"},
		`attr.label="two words"`:           {"attr.label=two words"},
		`a 'b  c' "" d`:                    {"a", "b  c", "", "d"},
		`'a\b' "a\b" "a\"b" a\ b a\\`:      {`a\b`, `a\b`, `a"b`, "a b", `a\`},
		`"it's" '"'`:                       {"it's", `"`},
		`--password=a'b'c`:                 {"--password=abc"},
		`label "schöne Schlüssel" 'и ещё'`: {"label", "schöne Schlüssel", "и ещё"},
	}
	for line, want := range tests {
		got, err := split(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("split(%q) = %q, %v; want %q", line, got, err, want)
		}
	}
	for line, want := range map[string]error{`a "b`: errOpenQuote, `'`: errOpenQuote, `a\`: errOpenSlash} {
		if _, err := split(line); err != want {
			t.Errorf("split(%q): %v, want %v", line, err, want)
		}
	}
}

// Any words come back from a line in which each is quoted.
func TestSplitUndoesQuoting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.String()).Draw(t, "words")
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		got, err := split(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(got, words) {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add(`key delete --filter attr.id="0xab" 'x' \`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err != nil {
			return
		}
		length := 0
		for _, word := range words {
			length += len(word)
		}
		if length > len(line)*3 { // a broken byte becomes U+FFFD, three bytes
			t.Errorf("%d bytes came out of %d", length, len(line))
		}
		normalise(words)
	})
}

func TestNormalise(t *testing.T) {
	tests := []struct{ in, want string }{
		{"key list", "key list"},
		{"key list --filter a=1 b=2 -v", "key list --filter=a=1 --filter=b=2 -v"},
		{"key list --filter=a=1 b=2", "key list --filter=a=1 --filter=b=2"},
		{"key list --filter a=1 --filter b=2 --verbose", "key list --filter=a=1 --filter=b=2 --verbose"},
		{"key list --filter", "key list --filter"},
		{"key list --filter --verbose", "key list --filter --verbose"},
		{"x --attributes id=0x1 encrypt=true --label l", "x --attributes=id=0x1 --attributes=encrypt=true --label l"},
		{"login --password -secret --role admin", "login --password=-secret --role admin"},
		{"login --password", "login --password"},
	}
	for _, test := range tests {
		got := strings.Join(normalise(strings.Fields(test.in)), " ")
		if got != test.want {
			t.Errorf("normalise(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}
