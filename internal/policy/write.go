package policy

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// JSON writes the document in its plain form: all lists as lists, every element in the order of the IAM grammar.
// Parse gives the same document back. It is for evaluation and comparison; what a client stored is kept as text.
func (d *Document) JSON() []byte {
	w := writer{}
	w.open()
	w.optional("Version", d.Version)
	w.optional("Id", d.ID)
	w.name("Statement")
	w.WriteByte('[')
	for i := range d.Statements {
		if i > 0 {
			w.WriteByte(',')
		}
		d.Statements[i].write(&w)
	}
	w.WriteByte(']')
	w.WriteByte('}')
	return w.Bytes()
}

func (s *Statement) write(w *writer) {
	w.open()
	w.optional("Sid", s.Sid)
	w.optional("Effect", string(s.Effect))
	if !s.Principals.Empty() {
		w.name(not(s.NotPrincipal, "Principal"))
		s.Principals.write(w)
	}
	w.list(not(s.NotAction, "Action"), s.Actions)
	w.list(not(s.NotResource, "Resource"), s.Resources)
	if len(s.Conditions) > 0 {
		w.name("Condition")
		writeConditions(w, s.Conditions)
	}
	w.WriteByte('}')
}

func not(negated bool, name string) string {
	if negated {
		return "Not" + name
	}
	return name
}

func (p *Principals) write(w *writer) {
	if p.Anyone {
		w.text("*")
		return
	}
	w.open()
	w.list("AWS", p.AWS)
	w.list("Service", p.Service)
	w.list("Federated", p.Federated)
	w.WriteByte('}')
}

// writeConditions relies on the conditions of one operator standing together, as Parse leaves them.
func writeConditions(w *writer, all []Condition) {
	w.open()
	last := ""
	for _, c := range all {
		if name := c.operatorName(); name != last {
			if last != "" {
				w.WriteByte('}')
			}
			w.name(name)
			w.open()
			last = name
		}
		w.list(c.Key, c.Values)
	}
	w.WriteString("}}")
}

func (c *Condition) operatorName() string {
	name := c.Operator
	if c.IfExists {
		name += "IfExists"
	}
	if c.Quantifier != Single {
		name = fmt.Sprintf("%s:%s", c.Quantifier, name)
	}
	return name
}

// writer builds an object; a member's name brings its comma with it.
type writer struct{ bytes.Buffer }

func (w *writer) open() { w.WriteByte('{') }

func (w *writer) text(s string) {
	// Texts that Parse made are valid UTF-8; others get replacement characters.
	b, _ := jsontext.AppendQuote(w.AvailableBuffer(), s)
	w.Write(b)
}

func (w *writer) name(s string) {
	if b := w.Bytes(); b[len(b)-1] != '{' {
		w.WriteByte(',')
	}
	w.text(s)
	w.WriteByte(':')
}

func (w *writer) optional(name, value string) {
	if value != "" {
		w.name(name)
		w.text(value)
	}
}

// list writes a list that is there, be it empty.
func (w *writer) list(name string, values []string) {
	if values == nil {
		return
	}
	w.name(name)
	w.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			w.WriteByte(',')
		}
		w.text(v)
	}
	w.WriteByte(']')
}
