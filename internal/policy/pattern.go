package policy

import (
	"strings"
	"unicode/utf8"
)

// A pattern is text in which two bytes that no UTF-8 text contains stand for wildcards. So a literal asterisk, written
// ${*} or filled in for a policy variable, is never taken for one.
const (
	anyRun = "\xff" // any characters, also none; written *
	anyOne = "\xfe" // one character; written ?
)

var marks = strings.NewReplacer("*", anyRun, "?", anyOne)

// pattern marks the wildcards of a text that holds no variables.
func pattern(text string) string {
	p := marks.Replace(text)
	for strings.Contains(p, anyRun+anyRun) {
		p = strings.ReplaceAll(p, anyRun+anyRun, anyRun)
	}
	return p
}

// wild reports whether a pattern holds wildcards at all.
func wild(p string) bool { return strings.Contains(p, anyRun) || strings.Contains(p, anyOne) }

// matches reports whether the whole of s fits p. The parts between runs are looked for from left to right, each where
// it occurs first, which never needs a second try. Parts without anyOne take time linear in s.
func matches(p, s string) bool {
	part, rest, run := strings.Cut(p, anyRun)
	n := begins(s, part)
	if n < 0 {
		return false
	}
	if s = s[n:]; !run {
		return s == ""
	}
	for {
		if part, rest, run = strings.Cut(rest, anyRun); !run {
			return ends(s, part)
		}
		if n = find(s, part); n < 0 {
			return false
		}
		s = s[n:]
	}
}

// begins returns how many bytes of s part takes up at its beginning, or -1.
func begins(s, part string) int {
	n := 0
	for i := range len(part) {
		switch {
		case n == len(s):
			return -1
		case part[i] == anyOne[0]:
			_, size := utf8.DecodeRuneInString(s[n:])
			n += size
		case part[i] != s[n]:
			return -1
		default:
			n++
		}
	}
	return n
}

func ends(s, part string) bool {
	if !strings.Contains(part, anyOne) {
		return strings.HasSuffix(s, part)
	}
	n := len(s)
	for i := len(part) - 1; i >= 0; i-- {
		switch {
		case n == 0:
			return false
		case part[i] == anyOne[0]:
			_, size := utf8.DecodeLastRuneInString(s[:n])
			n -= size
		case part[i] != s[n-1]:
			return false
		default:
			n--
		}
	}
	return true
}

// find returns where the first occurrence of part in s ends, or -1.
func find(s, part string) int {
	if !strings.Contains(part, anyOne) {
		if i := strings.Index(s, part); i >= 0 {
			return i + len(part)
		}
		return -1
	}
	for at := 0; at < len(s); {
		if n := begins(s[at:], part); n >= 0 {
			return at + n
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return -1
}

// arnMatches compares the six parts of an ARN one by one, so that a wildcard stays within its part (IAM guide, "ARN
// condition operators"). A pattern of one wildcard alone fits every ARN.
func arnMatches(p, s string) bool {
	if p == anyRun {
		return strings.HasPrefix(s, "arn:") && strings.Count(s, ":") >= 5
	}
	for range 5 {
		part, restOfPattern, more := strings.Cut(p, ":")
		value, restOfValue, isARN := strings.Cut(s, ":")
		if !more || !isARN || !matches(part, value) {
			return false
		}
		p, s = restOfPattern, restOfValue
	}
	return matches(p, s)
}

// weight is what comparing with p costs for each byte of the text, at worst, beyond the length of p itself. The unit is a
// byte in which plain text is searched, half a nanosecond; looking for a part with anyOne takes slow of them for each
// byte of the part. Beginning and end are not searched for.
func weight(p string) (w int) {
	const slow = 8
	_, rest, run := strings.Cut(p, anyRun)
	for run {
		var part string
		if part, rest, run = strings.Cut(rest, anyRun); !run {
			break
		}
		if w = max(w, 1); strings.Contains(part, anyOne) {
			w = max(w, slow*len(part)) // the parts share the text
		}
	}
	return w
}

// action is a pattern of actions. Actions know no case.
type action struct {
	pattern string // in lower case
	// prefix and exact: how to compare without looking at the whole pattern, which nearly all actions allow.
	prefix string
	exact  bool
	only   bool // the pattern is prefix and one run
}

func newAction(text string) action {
	p := pattern(strings.ToLower(text))
	prefix, rest, _ := strings.Cut(p, anyRun)
	prefix, one, ones := strings.Cut(prefix, anyOne)
	return action{pattern: p, prefix: prefix, exact: !wild(p), only: !ones && one == "" && rest == "" && wild(p)}
}

// covers compares with the action of a request.
func (a *action) covers(e *evaluation) bool {
	name := e.Action
	switch {
	case a.exact:
		return len(name) == len(a.pattern) && hasPrefixFold(name, a.pattern)
	case !hasPrefixFold(name, a.prefix):
		return false
	default:
		return a.only || matches(a.pattern, e.lowerAction())
	}
}

// hasPrefixFold compares ASCII letters without regard to case; prefix is in lower case.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
