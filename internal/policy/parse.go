package policy

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Parse reads a resource policy, such as a key policy: every statement must say whom it is about. The error is a
// *Malformed. What only an installation can know, such as whether a principal exists, is not checked.
func Parse(document []byte) (*Document, error) { return grammars[Resource].parse(document) }

// ParseIdentity reads a policy that a principal is to have: an identity policy or a permissions boundary. Its statements are
// about whoever has it. The error is a *Malformed.
func ParseIdentity(document []byte) (*Document, error) {
	d, err := grammars[Identity].read(document)
	if err != nil {
		return nil, err
	}
	return d, d.checkPut()
}

// ParseManaged reads a managed policy: one of a principal in the language's newer version, which is missed before anything
// but syntax. The error is a *Malformed.
func ParseManaged(document []byte) (*Document, error) {
	d, err := grammars[Identity].read(document)
	if err != nil {
		return nil, err
	}
	if d.Version != Version2012 {
		return nil, malformed("Policy document must be version %s or greater.", Version2012)
	}
	return d, d.checkPut()
}

// ParseSession reads a policy that a session is to be made with. It is one of a principal in which no ARN may be
// incomplete (IAM guide, "IAM ARNs"). The error is a *Malformed.
func ParseSession(document []byte) (*Document, error) {
	d, err := grammars[Session].parse(document)
	if err != nil {
		return nil, err
	}
	for i := range d.Statements {
		for _, r := range d.Statements[i].Resources {
			if complete(r) != r {
				return nil, notARN(r)
			}
		}
	}
	return d, nil
}

// ParseTrust reads the trust policy of a role. The error is a *Malformed.
func ParseTrust(document []byte) (*Document, error) { return grammars[Trust].parse(document) }

func (g grammar) parse(document []byte) (*Document, error) {
	d, err := g.read(document)
	if err != nil {
		return nil, err
	}
	return d, g.whole(d)
}

// read looks at syntax, and at each statement by itself.
func (g grammar) read(document []byte) (*Document, error) {
	if len(document) > MaxSize {
		return nil, malformed("The policy must not exceed %d bytes.", MaxSize)
	}
	if len(bytes.TrimSpace(document)) == 0 || !jsontext.Value(document).IsValid() {
		return nil, g.syntax(errJSON)
	}
	members, err := object(document)
	if err != nil {
		return nil, err
	}
	d := &Document{}
	for _, m := range members {
		if err := d.set(g, m); err != nil {
			return nil, err
		}
	}
	if len(d.Statements) == 0 {
		return nil, g.syntax(malformed("The policy must contain at least one statement."))
	}
	return d, nil
}

func (d *Document) set(g grammar, m member) (err error) {
	switch m.name {
	case "Version":
		d.Version, err = text(m.value)
		if err == nil && d.Version != Version2008 && d.Version != Version2012 {
			return g.syntax(malformed("The policy version must be %s or %s.", Version2012, Version2008))
		}
		return err
	case "Id":
		d.ID, err = text(m.value)
		return err
	case "Statement":
		return d.statements(g, m.value)
	default:
		return g.syntax(unknown(m.name))
	}
}

func unknown(name string) *Malformed { return malformed("Unknown field %s", name) }

func (d *Document) statements(g grammar, v jsontext.Value) error {
	list := []jsontext.Value{v}
	if v.Kind() == '[' {
		var err error
		if list, err = array(v); err != nil {
			return err
		}
	}
	d.Statements = make([]Statement, len(list))
	for i, v := range list {
		if err := d.Statements[i].parse(g, v); err != nil {
			return err
		}
	}
	return nil
}

func (s *Statement) parse(g grammar, v jsontext.Value) error {
	members, err := object(v)
	if err != nil {
		return err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(members, func(m member) bool { return m.name == name })
	}
	for _, name := range []string{"Principal", "Action", "Resource"} {
		if has(name) && has("Not"+name) {
			return errSyntax
		}
	}
	for _, m := range members {
		if err := s.set(g, m); err != nil {
			return err
		}
	}
	if !has("Effect") {
		return g.syntax(malformed("Missing required field Effect"))
	}
	return g.statement(s, has)
}

func (s *Statement) set(g grammar, m member) (err error) {
	switch m.name {
	case "Sid":
		s.Sid, err = text(m.value)
	case "Effect":
		return s.effect(g, m.value)
	case "Principal", "NotPrincipal":
		s.NotPrincipal = m.name == "NotPrincipal"
		return s.Principals.parse(m.value)
	case "Action", "NotAction":
		s.NotAction = m.name == "NotAction"
		return s.actions(g, m.value)
	case "Resource", "NotResource":
		s.NotResource = m.name == "NotResource"
		s.Resources, err = texts(m.value)
	case "Condition":
		s.Conditions, err = conditions(g, m.value)
	default:
		return g.syntax(unknown(m.name))
	}
	return err
}

func (s *Statement) effect(g grammar, v jsontext.Value) error {
	effect, err := text(v)
	if err != nil {
		return err
	}
	s.Effect = Effect(effect)
	switch {
	case s.Effect == Allow || s.Effect == Deny:
		return nil
	case g.blunt && (strings.EqualFold(effect, string(Allow)) || strings.EqualFold(effect, string(Deny))):
		return nil // no error of syntax: checkEffects refuses it
	default:
		return g.syntax(malformed("Invalid effect: %s", effect))
	}
}

func (s *Statement) actions(g grammar, v jsontext.Value) (err error) {
	if s.Actions, err = texts(v); err != nil || g.late {
		return err
	}
	for _, a := range s.Actions {
		if err := checkAction(a, alphanumeric+"-", errVendor); err != nil {
			return err
		}
	}
	return nil
}

// member is one member of a JSON object.
type member struct {
	name  string
	value jsontext.Value
}

// object reads an object's members in their order. The decoder refuses duplicate names.
func object(v jsontext.Value) (members []member, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' {
		return nil, errSyntax
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, errJSON
		}
		m := member{name: name.String()}
		if m.value, err = d.ReadValue(); err != nil {
			return nil, errJSON
		}
		m.value = bytes.Clone(m.value) // the decoder reuses its buffer
		members = append(members, m)
	}
	return members, end(d)
}

func array(v jsontext.Value) (list []jsontext.Value, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '[' {
		return nil, errSyntax
	}
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		if err != nil {
			return nil, errJSON
		}
		list = append(list, bytes.Clone(v))
	}
	return list, end(d)
}

// end reads the closing token and makes sure that nothing follows.
func end(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return errJSON
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return errJSON
	}
	return nil
}

func text(v jsontext.Value) (string, error) {
	if v.Kind() != '"' {
		return "", errSyntax
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "", errJSON
	}
	return string(b), nil
}

// texts reads a string or a list of strings.
func texts(v jsontext.Value) ([]string, error) { return values(v, text) }

// values reads one scalar or a list of them; an empty list is not nil.
func values(v jsontext.Value, scalar func(jsontext.Value) (string, error)) ([]string, error) {
	list := []jsontext.Value{v}
	if v.Kind() == '[' {
		var err error
		if list, err = array(v); err != nil {
			return nil, err
		}
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		s, err := scalar(v)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
