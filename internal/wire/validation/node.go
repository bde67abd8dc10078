package validation

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// node is one place in an input: a member, an element of a list, or the names of a map.
type node struct {
	name     string // as it stands in messages
	index    int    // of the field in its struct
	required bool
	hidden   bool
	shape    *shape
	pattern  *regexp.Regexp
	children []*node // members, of a structure
	element  *node   // of a list
	key      *node   // of a map
}

// find descends along path through type t, making nodes where there are none yet.
func (n *node) find(path []string, t reflect.Type) (*node, error) {
	if len(path) == 0 {
		return n, nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Slice && len(path) >= 2 && path[0] == "N" && path[1] == "member":
		if n.element == nil {
			n.element = &node{name: "member"}
		}
		return n.element.find(path[2:], t.Elem())
	case t.Kind() == reflect.Map && path[0] == "key":
		if n.key == nil {
			n.key = &node{name: "key"}
		}
		return n.key.find(path[1:], t.Key())
	case t.Kind() == reflect.Struct:
		return n.field(path, t)
	}
	return nil, fmt.Errorf("%s has no %s", t, path[0])
}

func (n *node) field(path []string, t reflect.Type) (*node, error) {
	f, ok := t.FieldByName(path[0])
	if !ok || len(f.Index) != 1 {
		return nil, fmt.Errorf("%s has no %s", t, path[0])
	}
	name := lowerFirst(path[0])
	i := slices.IndexFunc(n.children, func(c *node) bool { return c.name == name })
	if i < 0 {
		i = len(n.children)
		n.children = append(n.children, &node{name: name, index: f.Index[0]})
	}
	return n.children[i].find(path[1:], f.Type)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// step is one part of a path in a message; position is counted from 1 and stands before the name, 0 means none.
type step struct {
	name     string
	position int
}

// maxWorded bounds a message: a request of many small members could otherwise be answered with one a hundred times its
// size.
const maxWorded = 100

// walk is where a validation stands and what it has found.
type walk struct {
	steps [6]step // deeper than any input of the models
	depth int
	lost  map[string]Loss
	count int
	found []string // the first maxWorded violations
}

func (w *walk) add(violation func() string) {
	w.count++
	if len(w.found) < maxWorded {
		w.found = append(w.found, violation())
	}
}

func (w *walk) path() string {
	var b strings.Builder
	for _, s := range w.steps[:w.depth] {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		if s.position > 0 {
			b.WriteString(strconv.Itoa(s.position) + ".")
		}
		b.WriteString(s.name)
	}
	return b.String()
}

// member checks the field of s that n stands for.
func (n *node) member(w *walk, s reflect.Value) {
	w.steps[w.depth] = step{name: n.name}
	w.depth++
	v := s.Field(n.index)
	if w.depth == 1 && w.lost != nil {
		n.restore(w, v)
	}
	n.check(w, v)
	w.depth--
}

// restore reports what the input no longer shows: v, a member of the request itself, looks absent or blank.
func (n *node) restore(w *walk, v reflect.Value) {
	switch lost := w.lost[n.name]; {
	case lost == Empty && v.Kind() == reflect.String && n.shape != nil && n.shape.enum != nil:
		w.violate(n, v, n.shape.enumRule())
	case lost == NullWithin && v.Kind() == reflect.Map:
		w.violate(n, v, "Map value must satisfy constraint: [Member must not be null]")
	case lost == NullWithin && n.listsScalars(v):
		w.violate(n, v, "Member must satisfy constraint: ["+strings.Join(append(n.element.shape.rules(), "Member must not be null"), ", ")+"]")
	}
}

// check holds v, which may be absent, against n's rules.
func (n *node) check(w *walk, v reflect.Value) {
	if absent(v) {
		if n.required {
			w.add(func() string {
				return "Value null at '" + w.path() + "' failed to satisfy constraint: Member must not be null"
			})
		}
		return
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if n.shape != nil {
		n.bounds(w, v)
	}
	n.descend(w, v)
}

// absent takes an empty enumeration value for none: the SDK's types cannot tell the two apart, but see restore.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0 && v.Type() != stringType
	default:
		return false
	}
}

var stringType = reflect.TypeFor[string]()

func (n *node) bounds(w *walk, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if n.shape.max > 0 {
			n.length(w, v, characters(s))
		}
		if n.pattern != nil && !n.pattern.MatchString(s) {
			w.violate(n, v, "Member must satisfy regular expression pattern: "+n.shape.pattern)
		}
		if n.shape.enum != nil && !slices.Contains(n.shape.enum, s) {
			w.violate(n, v, n.shape.enumRule())
		}
	case reflect.Slice, reflect.Map:
		if n.shape.max > 0 {
			n.length(w, v, int64(v.Len()))
		}
	case reflect.Int32, reflect.Int64:
		n.size(w, v, v.Int())
	}
}

func (s *shape) enumRule() string {
	return "Member must satisfy enum value set: [" + strings.Join(s.enum, ", ") + "]"
}

// rules are all that a string must satisfy.
func (s *shape) rules() (all []string) {
	if s.max > 0 {
		all = append(all, fmt.Sprintf("Member must have length less than or equal to %d", s.max),
			fmt.Sprintf("Member must have length greater than or equal to %d", s.min))
	}
	if s.pattern != "" {
		all = append(all, "Member must satisfy regular expression pattern: "+s.pattern)
	}
	if s.enum != nil {
		all = append(all, s.enumRule())
	}
	return all
}

func characters(s string) int64 { return int64(utf8.RuneCountInString(s)) }

func (n *node) length(w *walk, v reflect.Value, length int64) {
	if length > n.shape.max {
		w.violate(n, v, fmt.Sprintf("Member must have length less than or equal to %d", n.shape.max))
	}
	if length < n.shape.min {
		w.violate(n, v, fmt.Sprintf("Member must have length greater than or equal to %d", n.shape.min))
	}
}

func (n *node) size(w *walk, v reflect.Value, value int64) {
	if n.shape.max == 0 {
		return
	}
	if value > n.shape.max {
		w.violate(n, v, fmt.Sprintf("Member must have value less than or equal to %d", n.shape.max))
	}
	if value < n.shape.min {
		w.violate(n, v, fmt.Sprintf("Member must have value greater than or equal to %d", n.shape.min))
	}
}

func (n *node) descend(w *walk, v reflect.Value) {
	for _, c := range n.children {
		c.member(w, v)
	}
	if n.listsScalars(v) {
		n.scalars(w, v)
	} else if n.element != nil {
		for i := range v.Len() {
			w.steps[w.depth] = step{n.element.name, i + 1}
			w.depth++
			n.element.check(w, v.Index(i))
			w.depth--
		}
	}
	if n.key != nil {
		for _, k := range v.MapKeys() {
			w.steps[w.depth] = step{name: n.key.name}
			w.depth++
			n.key.check(w, k)
			w.depth--
		}
	}
}

// listsScalars reports whether v is a list of strings whose shape has rules.
func (n *node) listsScalars(v reflect.Value) bool {
	return n.element != nil && n.element.shape != nil && v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String
}

// scalars checks a list of strings. AWS reports it as a whole, with all rules of its members.
func (n *node) scalars(w *walk, v reflect.Value) {
	if w.depth == 1 && w.lost[n.name] == NullWithin {
		return // reported by restore
	}
	var probe walk
	for i := range v.Len() {
		if n.element.bounds(&probe, v.Index(i)); probe.count > 0 {
			w.violate(n, v, "Member must satisfy constraint: ["+strings.Join(n.element.shape.rules(), ", ")+"]")
			return
		}
	}
}

// violate words one violation.
func (w *walk) violate(n *node, v reflect.Value, rule string) {
	w.add(func() string {
		value := ""
		if !n.hidden && (n.element == nil || !n.element.hidden) {
			value = render(v)
		}
		return "Value " + value + "at '" + w.path() + "' failed to satisfy constraint: " + rule
	})
}

// render quotes scalars and lists of strings, and leaves other values out.
func render(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return "'" + v.String() + "' "
	case reflect.Int32, reflect.Int64:
		return "'" + strconv.FormatInt(v.Int(), 10) + "' "
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.String {
			return ""
		}
		items := make([]string, v.Len())
		for i := range items {
			items[i] = v.Index(i).String()
		}
		return "'[" + strings.Join(items, ", ") + "]' "
	default:
		return ""
	}
}
