package policy

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// reference compares as IAM describes it, character by character, with a table of what fits up to where.
func reference(p, s string) bool {
	pattern, text := []rune(p), []rune(s)
	fits := make([][]bool, len(pattern)+1)
	for i := range fits {
		fits[i] = make([]bool, len(text)+1)
	}
	fits[0][0] = true
	for i, c := range pattern {
		for j := range len(text) + 1 {
			switch {
			case c == '*':
				fits[i+1][j] = fits[i][j] || j > 0 && fits[i+1][j-1]
			case j > 0 && (c == '?' || c == text[j-1]):
				fits[i+1][j] = fits[i][j-1]
			}
		}
	}
	return fits[len(pattern)][len(text)]
}

func FuzzMatches(f *testing.F) {
	for _, pair := range [][2]string{
		{"", ""}, {"*", ""}, {"?", ""}, {"a*b", "ab"}, {"a*b*c", "abbc"}, {"*aab", "aaaab"}, {"*a?b*", "aab"}, {"??", "é"}, {"*?", "é"},
		{"*??*", "€"}, {"é*", "éa"}, {"**", "x"}, {"*é?*a", "xéya"}, {"a?", "a\n"}, {"*b", "ba"}, {"a*b", "abc"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 200 || len(s) > 200 || !utf8.ValidString(p) || !utf8.ValidString(s) {
			t.Skip()
		}
		if got, want := matches(pattern(p), s), reference(p, s); got != want {
			t.Errorf("%q fits %q: %v, want %v", s, p, got, want)
		}
	})
}

// TestMatches draws from so few characters that patterns fit by chance.
func TestMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[abé*?]{0,8}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[abé]{0,8}`).Draw(t, "text")
		if got, want := matches(pattern(p), s), reference(p, s); got != want {
			t.Fatalf("%q fits %q: %v, want %v", s, p, got, want)
		}
	})
}

// TestActions: the quick ways to compare an action say what the whole pattern does.
func TestActions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`([kK][mM]s:)?[EeDd*?]{0,5}`).Draw(t, "pattern")
		name := rapid.StringMatching(`kms:[EeDd]{0,5}`).Draw(t, "action")
		e := newEvaluation(&Request{Action: name})
		a := newAction(p)
		if got, want := a.covers(&e), reference(strings.ToLower(p), strings.ToLower(name)); got != want {
			t.Fatalf("%q covers %q: %v, want %v", p, name, got, want)
		}
	})
}

func TestARNsPartByPart(t *testing.T) {
	for _, c := range []struct {
		pattern, arn string
		want         bool
	}{
		{"arn:aws:iam::1:user/*", "arn:aws:iam::1:user/a", true},
		{"arn:aws:iam::1:user/*", "arn:aws:iam::2:user/a", false},
		{"arn:*:iam:*:*:*", "arn:aws:iam::1:user/a:b", true},
		{"arn:*", "arn:aws:iam::1:user/a", false},
		{"arn:aws:*:1:user/a", "arn:aws:iam::1:user/a", false},
		{"*", "arn:aws:iam::1:user/a", true},
		{"*", "arn:aws:iam:1", false},
		{"*", "user", false},
		{"", "", false},
	} {
		if got := arnMatches(pattern(c.pattern), c.arn); got != c.want {
			t.Errorf("%s fits %s: %v", c.arn, c.pattern, got)
		}
	}
}
