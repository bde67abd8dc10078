package policy

import "strings"

// resourceAliases works in IAM policies only, and in none for a key of more aliases than maxAliases (KMS guide,
// "kms:ResourceAliases").
const (
	resourceAliases = "kms:resourcealiases"
	maxAliases      = 50
)

// hides reports whether policies of the kind cannot see a key.
func (k Kind) hides(key string) bool { return k.attached() && key == resourceAliases }

// test is a condition prepared for evaluation.
type test struct {
	operator
	kind       Kind
	key        string // in lower case
	quantifier Quantifier
	ifExists   bool
	operands   []operand
}

// operand is one of a condition's values.
type operand struct {
	fits      comparison // nil: nothing does
	weight    int        // of fits, for a byte of the request's value
	variables template   // to be filled in first; then fits is not set
}

func newTest(c *Condition, kind Kind, variables bool) test {
	t := test{operator: operators[c.Operator], kind: kind, key: strings.ToLower(c.Key), quantifier: c.Quantifier, ifExists: c.IfExists}
	for _, v := range c.Values {
		t.operands = append(t.operands, t.operand(v, variables))
	}
	return t
}

func (t *test) operand(text string, variables bool) operand {
	if !t.variables || !variables {
		if t.wildcards {
			text = pattern(text)
		}
		return operand{fits: t.compile(text), weight: weight(text)}
	}
	filled := newTemplate(text, t.wildcards)
	if constant, ok := filled.constant(); ok {
		return operand{fits: t.compile(constant), weight: weight(constant)}
	}
	return operand{variables: filled}
}

// holds reports whether the condition is met (IAM guide, "Condition operators" and "Multivalued context keys").
//
// A key of several values without a quantifier is left undefined by IAM; here an operator holds if it does for any of
// them, and a negated one if the plain one does not.
func (t *test) holds(e *evaluation, effect Effect) bool {
	values, present := e.lookup(t.kind, t.key)
	switch {
	case t.null:
		return t.fitsAny(e, truth(vacuous(values)))
	case t.key == resourceAliases && len(values) > maxAliases:
		return effect == Deny
	case t.quantifier == ForAllValues:
		return vacuous(values) || t.all(e, values)
	case t.quantifier == ForAnyValue:
		// Also with IfExists: each value is tested by itself, and where there is none, none holds.
		return !vacuous(values) && t.any(e, values)
	case !present:
		return t.ifExists || t.negated
	case t.negated:
		return t.all(e, values)
	default:
		return t.any(e, values)
	}
}

func (t *test) all(e *evaluation, values []string) bool {
	for _, v := range values {
		if t.fitsAny(e, v) == t.negated {
			return false
		}
	}
	return true
}

func (t *test) any(e *evaluation, values []string) bool {
	for _, v := range values {
		if t.fitsAny(e, v) != t.negated {
			return true
		}
	}
	return false
}

// fitsAny compares one value of the request with all of the policy.
func (t *test) fitsAny(e *evaluation, value string) bool {
	for i := range t.operands {
		o := &t.operands[i]
		fits, weighs := o.fits, o.weight
		if o.variables != nil {
			text, ok := o.variables.fill(e, t.kind)
			if !ok {
				continue
			}
			fits, weighs = t.compile(text), weight(text)
		}
		if e.affords(weighs*len(value)) && fits != nil && fits(value) {
			return true
		}
	}
	return false
}

// vacuous: no values, or none but empty ones, which quantifiers and Null take for an absent key.
func vacuous(values []string) bool {
	for _, v := range values {
		if v != "" {
			return false
		}
	}
	return true
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
