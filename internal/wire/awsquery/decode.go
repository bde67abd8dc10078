// Package awsquery is the codec of the AWS Query protocols on the server's side: STS and IAM style, and EC2 style. It
// fills plain Go structs from form parameters and writes plain Go structs as XML, so that a service is rows of
// functions on such structs.
//
// An input field is named by its tag `query:"Name"`, or by its Go name without one. A list of scalars reads Name.1,
// Name.2, …; IAM's and STS's unflattened spelling Name.member.1 is understood as well. A list of structures reads
// Name.1.Field, a structure Name.Field.
//
// An output field is named by its tag `xml:"name"`, or by its Go name. A list in EC2 style is written as
// <name><item>…</item></name>, in STS style as <name><member>…</member></name>. Nil pointers and nil lists are left
// out, empty lists are empty elements, times are ISO 8601 with milliseconds.
package awsquery

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"keyward/internal/fault"
)

// Limits of a request.
const (
	maxParameters = 2000
	maxNesting    = 8
	maxElements   = 1000
)

// parameters is a request's form as a tree: "Filter.1.Name" is the child Name of the child 1 of the child Filter.
type parameters struct {
	value    string
	set      bool
	children map[string]*parameters
}

// Decode fills in, a pointer to a struct, from the form. Unknown parameters are ignored, as EC2 and STS do. The error
// is a *fault.Error.
func Decode(form url.Values, in any) error {
	root, err := tree(form)
	if err != nil {
		return err
	}
	return root.fill(reflect.ValueOf(in).Elem(), "")
}

func tree(form url.Values) (*parameters, error) {
	if len(form) > maxParameters {
		return nil, fault.New("MalformedQueryString", "The query string has more than %d parameters.", maxParameters)
	}
	root := &parameters{}
	for name, values := range form {
		parts := strings.Split(name, ".")
		if len(values) > 1 || len(parts) > maxNesting {
			return nil, fault.New("MalformedQueryString", "The parameter %s is repeated or nested too deeply.", name)
		}
		root.descend(parts).value = values[0]
		root.descend(parts).set = true
	}
	return root, nil
}

func (p *parameters) descend(path []string) *parameters {
	for _, part := range path {
		if p.children == nil {
			p.children = map[string]*parameters{}
		}
		next := p.children[part]
		if next == nil {
			next = &parameters{}
			p.children[part] = next
		}
		p = next
	}
	return p
}

// fill sets v from p; path is p's name for messages.
func (p *parameters) fill(v reflect.Value, path string) error {
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return p.fill(v.Elem(), path)
	case v.Type() == timeType:
		return p.time(v, path)
	case v.Kind() == reflect.Struct:
		return p.structure(v, path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return p.blob(v, path)
	case v.Kind() == reflect.Slice:
		return p.list(v, path)
	default:
		return p.scalar(v, path)
	}
}

var timeType = reflect.TypeFor[time.Time]()

func (p *parameters) structure(v reflect.Value, path string) error {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, child := p.child(f)
		if child == nil {
			continue
		}
		if err := child.fill(v.Field(i), join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// child finds the parameter of a field. Names are case-sensitive; STS writes one with a small letter,
// PolicyArns.member.1.arn, which the SDK's type does not tell.
func (p *parameters) child(f reflect.StructField) (string, *parameters) {
	name := f.Tag.Get("query")
	if name == "" {
		name = f.Name
	}
	if child := p.children[name]; child != nil || name != "Arn" {
		return name, child
	}
	return "arn", p.children["arn"]
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// list reads elements 1, 2, … up to the first that is missing. A list sent as one empty parameter is empty.
func (p *parameters) list(v reflect.Value, path string) error {
	if m := p.children["member"]; m != nil {
		p, path = m, path+".member"
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	for i := 1; ; i++ {
		name := strconv.Itoa(i)
		child := p.children[name]
		if child == nil {
			return p.noGap(i, path)
		}
		if i > maxElements {
			return fault.New("InvalidParameterValue", "The parameter %s has more than %d elements.", path, maxElements)
		}
		element := reflect.New(v.Type().Elem()).Elem()
		if err := child.fill(element, join(path, name)); err != nil {
			return err
		}
		v.Set(reflect.Append(v, element))
	}
}

// noGap refuses elements behind the first missing one rather than dropping them.
func (p *parameters) noGap(missing int, path string) error {
	for name := range p.children {
		if n, err := strconv.Atoi(name); err != nil || n < 1 || n > missing {
			return fault.New("InvalidParameterValue", "The elements of the parameter %s must be numbered from 1 without gaps.", path)
		}
	}
	return nil
}

func (p *parameters) scalar(v reflect.Value, path string) error {
	if !p.set {
		return fault.New("InvalidParameterValue", "The parameter %s is not a structure.", path)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(p.value)
		return nil
	case reflect.Bool:
		return p.boolean(v, path)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(p.value, 10, v.Type().Bits())
		if err != nil {
			return p.invalid(path)
		}
		v.SetInt(n)
		return nil
	default:
		return fmt.Errorf("awsquery: no way to read a %s", v.Type())
	}
}

func (p *parameters) boolean(v reflect.Value, path string) error {
	switch strings.ToLower(p.value) {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	default:
		return p.invalid(path)
	}
	return nil
}

func (p *parameters) blob(v reflect.Value, path string) error {
	b, err := base64.StdEncoding.DecodeString(p.value)
	if err != nil {
		return p.invalid(path)
	}
	v.SetBytes(b)
	return nil
}

func (p *parameters) time(v reflect.Value, path string) error {
	t, err := time.Parse(time.RFC3339, p.value)
	if err != nil {
		return p.invalid(path)
	}
	v.Set(reflect.ValueOf(t.UTC()))
	return nil
}

func (p *parameters) invalid(path string) error {
	return fault.New("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", p.value, path)
}
