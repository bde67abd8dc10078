package policy

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

func conditions(v jsontext.Value) (all []Condition, err error) {
	blocks, err := object(v)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		c, err := splitOperator(block.name)
		if err != nil {
			return nil, err
		}
		keys, err := object(block.value)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			c.Key = key.name
			if c.Values, err = values(key.value, scalar); err != nil {
				return nil, err
			}
			if err := c.check(); err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// splitOperator takes "ForAllValues:StringEqualsIfExists" apart.
func splitOperator(name string) (c Condition, err error) {
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

func (c *Condition) check() error {
	if vendor, name, _ := strings.Cut(c.Key, ":"); vendor == "" || name == "" {
		return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
	}
	return nil
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
