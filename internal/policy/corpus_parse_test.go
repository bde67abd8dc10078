package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The corpus is a folder of texts, described in testdata/corpus/README.md. This file reads them.

// corpus is all of it.
type corpus struct {
	principals map[string]*Principal
	policies   map[string]string
	cases      []corpusCase
	tables     []corpusTable
}

// block is one paragraph: a head of a word and its rest, and indented lines.
type block struct {
	where, word, rest string
	lines             []string
}

// corpusCase is a request with the decision that it must get.
type corpusCase struct {
	where, title string
	request      Request
	want         string // as describe writes it
	says         string // how the message ends
	on           string
}

// corpusTable is a condition with contexts in which it holds or does not.
type corpusTable struct {
	where, condition string
	as               string
	kind             Kind
	version          string
	rows             []corpusRow
}

type corpusRow struct {
	context fixedContext
	text    string
	holds   bool
}

// fixedContext is a Context of values that are known beforehand.
type fixedContext map[string][]string

func (f fixedContext) Lookup(key string) ([]string, bool) {
	values, present := f[key]
	return values, present
}

func readCorpus(t testing.TB) *corpus {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	c := &corpus{principals: map[string]*Principal{}, policies: map[string]string{}}
	var all []block
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, blocks(filepath.Base(file), string(text))...)
	}
	for _, define := range []bool{true, false} { // a case may stand before its policies
		for _, b := range all {
			if err := c.add(b, define); err != nil {
				t.Fatalf("%s: %v", b.where, err)
			}
		}
	}
	return c
}

func (c *corpus) add(b block, define bool) error {
	switch b.word {
	case "principal":
		return c.principal(b)
	case "policy":
		if define && c.policies[b.rest] != "" {
			return fmt.Errorf("there is a policy %q already", b.rest)
		}
		c.policies[b.rest] = strings.Join(b.lines, "\n")
		return nil
	case "case", "condition":
		if define {
			return nil
		}
		if b.word == "case" {
			return c.oneCase(b)
		}
		return c.table(b)
	default:
		return fmt.Errorf("unknown block %q", b.word)
	}
}

func blocks(file, text string) (all []block) {
	for i, line := range strings.Split(text, "\n") {
		switch body, indented := strings.CutPrefix(line, "\t"); {
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
		case indented && len(all) > 0:
			last := &all[len(all)-1]
			last.lines = append(last.lines, body)
		default:
			word, rest, _ := strings.Cut(line, " ")
			all = append(all, block{where: fmt.Sprintf("%s:%d", file, i+1), word: word, rest: rest})
		}
	}
	return all
}

func (c *corpus) principal(b block) error {
	p := &Principal{Context: map[string][]string{}}
	for _, line := range b.lines {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "type":
			p.Type = rest
		case "arn":
			p.ARN = rest
		case "id":
			p.PrincipalID = rest
		case "account":
			p.Account = rest
		case "role":
			p.RoleARN, p.RoleID, _ = strings.Cut(rest, " ")
		case "has":
			if err := addContext(p.Context, rest); err != nil {
				return err
			}
		default:
			return fmt.Errorf("a principal has no %q", word)
		}
	}
	c.principals[b.rest] = p
	return nil
}

// addContext reads "key = value | value", "key = none" for no values, and "key = empty" for one empty value.
func addContext(into map[string][]string, text string) error {
	key, list, found := strings.Cut(text, " = ")
	if !found {
		return fmt.Errorf("%q is not a key and its values", text)
	}
	values := strings.Split(list, " | ")
	switch list {
	case "none":
		values = []string{}
	case "empty":
		values = []string{""}
	}
	into[strings.ToLower(strings.TrimSpace(key))] = values
	return nil
}

// caseReader makes a case of its lines.
type caseReader struct {
	*corpus
	corpusCase
	principal Principal
	context   fixedContext
}

func (c *corpus) oneCase(b block) error {
	r := &caseReader{corpus: c, corpusCase: corpusCase{where: b.where, title: b.rest}, context: fixedContext{}}
	r.request = Request{Resource: corpusKey, Account: corpusAccount, Context: r.context}
	for _, line := range b.lines {
		word, rest, _ := strings.Cut(line, " ")
		read := r.requestLine
		switch word {
		case "allow", "deny":
			r.want = line
			continue
		case "key", "trust", "identity", "boundary", "session":
			read = r.policyLine
		}
		if err := read(word, rest); err != nil {
			return err
		}
	}
	r.request.Principal = &r.principal
	c.cases = append(c.cases, r.corpusCase)
	return nil
}

func (r *caseReader) requestLine(word, rest string) (err error) {
	switch word {
	case "as":
		who, ok := r.principals[rest]
		if !ok {
			return fmt.Errorf("no principal %q", rest)
		}
		r.principal = *who
	case "do":
		action, resource, named := strings.Cut(rest, " on ")
		if r.request.Action = action; named {
			r.request.Resource = resource
		}
	case "account":
		r.request.Account = rest
	case "across":
		r.request.AcrossAccounts = true
	case "grant":
		err = addGrant(&r.request, rest)
	case "encryption":
		r.request.EncryptionContext, err = pairs(rest)
	case "unconstrained":
		r.request.IgnoreConstraints = true
	case "with":
		err = addContext(r.context, rest)
	case "ciphertext":
		r.on = OnCiphertext
	case "says":
		r.says = rest
	default:
		return fmt.Errorf("a case has no %q", word)
	}
	return err
}

func (r *caseReader) policyLine(word, rest string) error {
	if word == "session" && r.principal.Session == nil {
		r.principal.Session = []*Policy{}
	}
	if rest == "none" {
		return nil
	}
	kind := Kind(strings.Replace(word, "key", "resource", 1))
	p, err := r.compile(kind, rest)
	switch kind {
	case Resource, Trust:
		r.request.ResourcePolicy = p
	case Identity:
		r.principal.Identity = append(r.principal.Identity, p)
	case Boundary:
		r.principal.Boundary = p
	case Session:
		r.principal.Session = append(r.principal.Session, p)
	}
	return err
}

// compile reads "name" or "name bound ARN=ID ARN=ID".
func (c *corpus) compile(kind Kind, text string) (*Policy, error) {
	name, binding, _ := strings.Cut(text, " bound ")
	document, ok := c.policies[name]
	if !ok {
		return nil, fmt.Errorf("no policy %q", name)
	}
	ids := map[string]string{}
	for _, pair := range strings.Fields(binding) {
		arn, id, _ := strings.Cut(pair, "=")
		ids[arn] = id
	}
	return Compile(kind, name, []byte(document), ids)
}

// addGrant reads "id grantee Operation,Operation equals name=value,name=value subset name=value".
func addGrant(r *Request, text string) (err error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return fmt.Errorf("%q is not a grant", text)
	}
	g := Grant{ID: words[0], Grantee: words[1], Operations: strings.Split(words[2], ",")}
	if g.Grantee == "nobody" {
		g.Grantee = ""
	}
	for i := 3; i+1 < len(words) && err == nil; i += 2 {
		switch words[i] {
		case "equals":
			g.EncryptionContextEquals, err = pairs(words[i+1])
		case "subset":
			g.EncryptionContextSubset, err = pairs(words[i+1])
		default:
			return fmt.Errorf("a grant has no %q", words[i])
		}
	}
	r.Grants = append(r.Grants, g)
	return err
}

func pairs(text string) (map[string]string, error) {
	all := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		name, value, found := strings.Cut(pair, "=")
		if !found && text != "-" {
			return nil, fmt.Errorf("%q is not a pair", pair)
		}
		if found {
			all[name] = value
		}
	}
	return all, nil
}

func (c *corpus) table(b block) error {
	t := corpusTable{where: b.where, condition: b.rest, as: "alice", kind: Resource, version: Version2012}
	for _, line := range b.lines {
		context, outcome, isRow := strings.Cut(line, " -> ")
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case isRow:
			r := corpusRow{context: fixedContext{}, text: line, holds: outcome == "holds"}
			if outcome != "holds" && outcome != "fails" {
				return fmt.Errorf("%q neither holds nor fails", line)
			}
			if context != "absent" {
				for _, part := range strings.Split(context, " ; ") {
					if err := addContext(r.context, part); err != nil {
						return err
					}
				}
			}
			t.rows = append(t.rows, r)
		case word == "as":
			t.as = rest
		case word == "in":
			t.kind = Kind(rest)
		case word == "version":
			t.version = rest
		default:
			return fmt.Errorf("a condition has no %q", line)
		}
	}
	c.tables = append(c.tables, t)
	return nil
}
