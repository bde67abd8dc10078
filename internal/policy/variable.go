package policy

import "strings"

// template is a text with policy variables, cut into pieces.
type template []piece

// piece is literal text or, where key is set, a variable.
type piece struct {
	text string // of a variable: its default
	key  string // in lower case
	// optional: text stands in for a key without a value.
	optional bool
}

// newTemplate looks for variables such as ${aws:username}, ${aws:PrincipalTag/team, 'none'} and ${*}. What does not
// have their form stays as it is. Wildcards outside of variables are marked if there can be any.
func newTemplate(text string, wildcards bool) template {
	var t template
	literal := func(s string) {
		if wildcards {
			s = pattern(s)
		}
		t = append(t, piece{text: s})
	}
	for {
		before, rest, found := strings.Cut(text, "${")
		inner, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			literal(text)
			return t
		}
		if p, ok := newPiece(inner); ok {
			literal(before)
			t = append(t, p)
		} else {
			literal(before + "${" + inner + "}")
		}
		text = after
	}
}

func newPiece(inner string) (p piece, ok bool) {
	if inner == "*" || inner == "?" || inner == "$" {
		return piece{text: inner}, true
	}
	key, text, optional := strings.Cut(inner, ",")
	if optional {
		text = strings.TrimSpace(text)
		if len(text) < 2 || text[0] != '\'' || text[len(text)-1] != '\'' {
			return p, false
		}
		text = text[1 : len(text)-1]
	}
	key = strings.ToLower(strings.TrimSpace(key))
	return piece{text: text, key: key, optional: optional}, strings.Contains(key, ":")
}

// constant returns the text of a template without variables.
func (t template) constant() (string, bool) {
	text := ""
	for _, p := range t {
		if p.key != "" {
			return "", false
		}
		text += p.text
	}
	return text, true
}

// fill puts values in. It fails if a variable has none and no default: nothing equals such a text (IAM guide, "Policy
// variables with no value").
func (t template) fill(e *evaluation, kind Kind) (string, bool) {
	var b strings.Builder
	for _, p := range t {
		s := p.text
		if p.key != "" {
			values, _ := e.lookup(kind, p.key)
			switch {
			case len(values) == 1 && !wild(values[0]):
				s = values[0]
			case !p.optional:
				return "", false
			}
		}
		if !e.affords(len(s)) {
			return "", false
		}
		b.WriteString(s)
	}
	return b.String(), true
}
