package cloudhsmcli

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"

	"keyward/internal/hsmproto"
)

// filter selects keys (cloudhsm-cli.md section 8). All terms must hold.
type filter struct {
	request hsmproto.FindKeysRequest
	none    bool // no key can match: terms contradict each other, or name an attribute that no AES key has
}

// foreignAttributes are those that only other kinds of keys have.
var foreignAttributes = map[string]bool{
	"curve": true, "ec-point": true, "modulus": true, "modulus-size-bits": true, "public-exponent": true,
}

func badFilter(term string) error { return failf("Invalid key filter: %s", term) }

func parseFilter(terms []string) (*filter, error) {
	f := &filter{}
	for _, term := range terms {
		name, value, ok := strings.Cut(term, "=")
		if !ok || !f.add(name, value) {
			return nil, badFilter(term)
		}
	}
	return f, nil
}

// add takes one term in and reports whether it makes sense.
func (f *filter) add(name, value string) bool {
	if name == "key-reference" {
		return narrow(f, &f.request.Reference, value, parseReference)
	}
	attribute, ok := strings.CutPrefix(name, "attr.")
	if !ok {
		return false
	}
	switch attribute {
	case "label":
		return narrow(f, &f.request.Label, value, parseText)
	case "id":
		return narrowBytes(f, &f.request.ID, value)
	case "check-value":
		return narrowBytes(f, &f.request.CheckValue, value)
	case "class":
		return narrow(f, &f.request.Class, value, parseText)
	case "key-type":
		return narrow(f, &f.request.Type, value, parseText)
	case "key-length-bytes":
		return narrow(f, &f.request.Length, value, parseLength)
	}
	if foreignAttributes[attribute] {
		f.none = true
		return true
	}
	return isBoolean(attribute) && f.addBoolean(attribute, value)
}

func (f *filter) addBoolean(name, value string) bool {
	on, ok := parseBoolean(value)
	if !ok {
		return false
	}
	if f.request.Attributes == nil {
		f.request.Attributes = make(map[string]bool)
	}
	before, given := f.request.Attributes[name]
	f.none = f.none || given && before != on
	f.request.Attributes[name] = on
	return true
}

// narrow sets a member of the request; a second, different value leaves nothing to match.
func narrow[T comparable](f *filter, member **T, value string, parse func(string) (T, bool)) bool {
	parsed, ok := parse(value)
	if !ok {
		return false
	}
	if *member != nil && **member != parsed {
		f.none = true
	}
	*member = &parsed
	return true
}

func narrowBytes(f *filter, member **[]byte, value string) bool {
	parsed, ok := parseHex(value)
	if !ok {
		return false
	}
	if *member != nil && !bytes.Equal(**member, parsed) {
		f.none = true
	}
	*member = &parsed
	return true
}

func parseText(value string) (string, bool) { return value, true }

func parseBoolean(value string) (on, ok bool) {
	return value == "true", value == "true" || value == "false"
}

// parseReference reads hexadecimal with the prefix 0x, or decimal.
func parseReference(value string) (uint64, bool) {
	base := 10
	if digits, ok := strings.CutPrefix(value, "0x"); ok {
		value, base = digits, 16
	}
	n, err := strconv.ParseUint(value, base, 64)
	return n, err == nil
}

func parseLength(value string) (int, bool) {
	n, err := strconv.ParseUint(value, 10, 31)
	return int(n), err == nil
}

// parseHex reads digits behind the prefix 0x, in either case. An odd number of them is padded on the left, as a
// published example of AWS has 17. The result is never nil: "0x" is the empty value, which keys without an id have.
func parseHex(value string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(value, "0x")
	if !ok {
		return nil, false
	}
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	parsed, err := hex.DecodeString(digits)
	return parsed, err == nil
}
