package wire

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"keyward/internal/wire/validation"
)

// lost finds in a body, which has been decoded before, what the SDK's input types cannot hold: empty strings, which
// their enumerations take for none, and nulls inside of lists and maps, which become empty strings. AWS refuses both,
// and an encryption context in which null and "" are the same would be a trap. Few requests have any.
func lost(body []byte) map[string]validation.Loss {
	if !bytes.Contains(body, []byte(`""`)) && !bytes.Contains(body, []byte("null")) {
		return nil
	}
	found := map[string]validation.Loss{}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return found
		}
		member := lowerFirst(name.String())
		value, err := d.ReadValue()
		switch {
		case err != nil:
			return found
		case string(value) == `""`:
			found[member] = validation.Empty
		case hasNull(value):
			found[member] = validation.NullWithin
		}
	}
	return found
}

// hasNull reports whether a list or an object has null as one of its own values.
func hasNull(v jsontext.Value) bool {
	kind := v.Kind()
	if kind != '[' && kind != '{' {
		return false
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() != ']' && d.PeekKind() != '}' {
		if kind == '{' {
			if err := d.SkipValue(); err != nil {
				return false
			}
		}
		if d.PeekKind() == 'n' {
			return true
		}
		if err := d.SkipValue(); err != nil {
			return false
		}
	}
	return false
}
