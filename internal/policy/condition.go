package policy

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

func conditions(g grammar, v jsontext.Value) (all []Condition, err error) {
	blocks, err := object(v)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		keys, err := object(block.value)
		c, invalid := splitOperator(block.name)
		switch {
		case invalid != nil && !(g.loose && err == nil && len(keys) == 0):
			return nil, g.syntax(invalid)
		case err != nil:
			return nil, err
		}
		for _, key := range keys {
			c.Key = key.name
			if c.Values, err = values(key.value, scalar); err != nil {
				return nil, err
			}
			if vendor, name, _ := strings.Cut(c.Key, ":"); !g.loose && (vendor == "" || name == "") {
				return nil, errVendor
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// splitOperator takes "ForAllValues:StringEqualsIfExists" apart.
func splitOperator(name string) (c Condition, err *Malformed) {
	c.Operator = name
	if quantifier, rest, found := strings.Cut(name, ":"); found {
		c.Quantifier, c.Operator = Quantifier(quantifier), rest
		if c.Quantifier != ForAllValues && c.Quantifier != ForAnyValue {
			return c, malformed("Invalid Condition type : %s.", name)
		}
	}
	if rest, found := strings.CutSuffix(c.Operator, "IfExists"); found {
		c.Operator, c.IfExists = rest, true
	}
	if o, known := operators[c.Operator]; !known || c.IfExists && o.null {
		return c, malformed("Invalid Condition type : %s.", name)
	}
	return c, nil
}

// scalar reads a condition's value. Numbers and booleans may stand without quotes.
func scalar(v jsontext.Value) (string, error) {
	switch v.Kind() {
	case '"':
		return text(v)
	case '0', 't', 'f':
		return string(v), nil
	default:
		return "", errSyntax
	}
}

// permissive are the single-valued keys for which ForAllValues would match requests that lack them altogether.
var permissive = []struct{ prefix, what string }{
	{"kms:encryptioncontext:", "encryption context"},
	{"aws:requesttag/", "tag"},
}

// checkPermissive refuses what KMS refuses in key policies.
func (c *Condition) checkPermissive() error {
	if c.Quantifier != ForAllValues {
		return nil
	}
	for _, p := range permissive {
		if strings.HasPrefix(strings.ToLower(c.Key), p.prefix) {
			return malformed("OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key "+
				"matches requests without the specified %[1]s or with an unspecified %[1]s. To fix, remove ForAllValues.", p.what)
		}
	}
	return nil
}
