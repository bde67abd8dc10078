// Package validation holds the shapes of requests against AWS's service models: required members, lengths, ranges,
// patterns and enumerations. All violations of a request are reported together, in AWS's words. What depends on state
// or on several members at once, and bounds that differ from the model, are the services' to check.
//
// The rules are tables made from the CSV files in this folder; those of CloudHSM, IAM and STS were written
// by hand from their API references.
package validation

//go:generate go run ./gen

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"keyward/internal/fault"
)

// shape is what a service model says of one named shape. max 0 means that the model gives no bounds.
type shape struct {
	min, max int64
	pattern  string
	enum     []string
}

// member is one input member by its path: "Tags.N.member.TagKey" is a member of a list's structures, "Filters.key"
// the names of a map.
type member struct {
	path     string
	shape    string
	required bool
	hidden   bool // the value must not appear in a message
}

type table struct {
	shapes map[string]*shape
	inputs map[string][]member
}

// codes are the exceptions that refuse a request, by signing name.
var codes = map[string]string{
	"kms": "ValidationException", "cloudhsm": "CloudHsmInvalidRequestException", "iam": "ValidationError", "sts": "ValidationError",
}

// Validator checks the input of one operation. It may be used concurrently; the zero value accepts everything.
type Validator struct {
	root     node
	code     string
	discreet bool // messages never tell values
}

// For prepares the check of service's operation for inputs of the type of in, a pointer to a struct. A service without
// a table gets a Validator that accepts everything. It fails if the table knows the service but not the operation, or
// names a member that the type lacks: the table and the SDK have drifted apart.
func For(service, operation string, in any) (*Validator, error) {
	t, ok := services[service]
	if !ok {
		return &Validator{}, nil
	}
	if _, known := t.inputs[operation]; !known && reflect.TypeOf(in).Elem().NumField() > 1 {
		return nil, fmt.Errorf("validation: no table for %s %s", service, operation)
	}
	v := &Validator{code: codes[service], discreet: service == "iam"} // so IAM was recorded to answer
	for _, m := range t.inputs[operation] {
		if err := v.add(t, m, reflect.TypeOf(in).Elem()); err != nil {
			return nil, fmt.Errorf("validation: %s %s: %s: %w", service, operation, m.path, err)
		}
	}
	return v, nil
}

func (v *Validator) add(t table, m member, in reflect.Type) error {
	n, err := v.root.find(strings.Split(m.path, "."), in)
	if err != nil {
		return err
	}
	n.required, n.hidden = m.required, m.hidden || v.discreet
	s := t.shapes[m.shape]
	if s == nil {
		return nil
	}
	n.shape = s
	if s.pattern != "" {
		n.pattern, err = compile(s.pattern)
	}
	return err
}

// compile anchors a model's pattern at both ends and spells its \uXXXX as Go does.
func compile(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile(`\A(?:` + unicodeEscape.ReplaceAllString(pattern, `\x{$1}`) + `)\z`)
}

var unicodeEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// Loss is what decoding took from a member of the request: the SDK's types have no place for it.
type Loss int

// The losses.
const (
	Empty      Loss = iota + 1 // an empty string; enumerations cannot tell it from none
	NullWithin                 // a null in a list or map
)

// Validate returns nil, or a *fault.Error that lists every violation of in. The names in lost are those of messages:
// "keySpec"; nil means that nothing was lost.
func (v *Validator) Validate(in any, lost map[string]Loss) error {
	if len(v.root.children) == 0 {
		return nil
	}
	w := walk{lost: lost}
	for _, n := range v.root.children {
		n.member(&w, reflect.ValueOf(in).Elem())
	}
	if w.count == 0 {
		return nil
	}
	plural := "s"
	if w.count == 1 {
		plural = ""
	}
	return fault.New(v.code, "%d validation error%s detected: %s", w.count, plural, strings.Join(w.found, "; "))
}
