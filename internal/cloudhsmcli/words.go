package cloudhsmcli

import (
	"errors"
	"strings"
)

const passwordOption = "--password"

var (
	errOpenQuote = errors.New("a quotation mark is not closed")
	errOpenSlash = errors.New("nothing follows the backslash")
)

// split takes a line apart as a shell does: blanks separate words, single quotes keep everything, double quotes
// everything but backslashes before a backslash or a quote, a backslash elsewhere the next character.
func split(line string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		begun  bool // word holds a word, perhaps an empty one in quotes
		quote  rune // the open quotation mark, or 0
		escape bool
	)
	for _, r := range line {
		switch {
		case escape:
			if quote == '"' && r != '"' && r != '\\' {
				word.WriteByte('\\')
			}
			word.WriteRune(r)
			escape = false
		case r == '\\' && quote != '\'':
			escape, begun = true, true
		case r == quote && quote != 0:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ' || r == '\t' || r == '\r' || r == '\n':
			if begun {
				words, begun = append(words, word.String()), false
				word.Reset()
			}
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	switch {
	case quote != 0:
		return nil, errOpenQuote
	case escape:
		return nil, errOpenSlash
	case begun:
		words = append(words, word.String())
	}
	return words, nil
}

// listOptions take any number of words, up to the next option.
var listOptions = map[string]bool{"--filter": true, "--attributes": true}

// normalise brings two things into a form that the option parser understands: each word of a list becomes an option of
// its own, and a password is tied to its option, since it may begin with a hyphen.
func normalise(args []string) []string {
	var out []string
	list := ""
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, _, tied := strings.Cut(arg, "=")
		switch {
		case arg == passwordOption && i+1 < len(args):
			i++
			out = append(out, arg+"="+args[i])
			list = ""
		case listOptions[arg] && i+1 < len(args) && !isOption(args[i+1]):
			list = arg
		case isOption(arg):
			list = ""
			if tied && listOptions[name] {
				list = name
			}
			out = append(out, arg)
		case list != "":
			out = append(out, list+"="+arg)
		default:
			out = append(out, arg)
		}
	}
	return out
}

func isOption(word string) bool { return strings.HasPrefix(word, "-") }
