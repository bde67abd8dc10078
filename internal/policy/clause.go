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

// clause is a condition prepared for evaluation.
type clause struct {
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

func newClause(from *Condition, kind Kind, variables bool) clause {
	c := clause{
		operator: operators[from.Operator], kind: kind, key: strings.ToLower(from.Key),
		quantifier: from.Quantifier, ifExists: from.IfExists,
	}
	for _, v := range from.Values {
		c.operands = append(c.operands, c.operand(v, variables))
	}
	return c
}

func (c *clause) operand(text string, variables bool) operand {
	if !c.variables || !variables {
		if c.wildcards {
			text = pattern(text)
		}
		return operand{fits: c.compile(text), weight: weight(text)}
	}
	filled := newTemplate(text, c.wildcards)
	if constant, ok := filled.constant(); ok {
		return operand{fits: c.compile(constant), weight: weight(constant)}
	}
	return operand{variables: filled}
}

// holds reports whether the condition is met (IAM guide, "Condition operators" and "Multivalued context keys").
//
// What an operator without a quantifier makes of several values is left undefined by IAM, and of two tags whose names
// differ by case it only says that they do not both count. Here nobody gains by adding one: what allows must hold for all
// values, and what denies for any.
func (c *clause) holds(e *evaluation, effect Effect) bool {
	values, present := e.lookup(c.kind, c.key)
	switch {
	case c.null:
		return c.fitsAny(e, truth(vacuous(values)))
	case c.key == resourceAliases && len(values) > maxAliases:
		return effect == Deny
	case c.quantifier == ForAllValues:
		return vacuous(values) || c.all(e, values)
	case c.quantifier == ForAnyValue:
		// Also with IfExists: each value is tested by itself, and where there is none, none holds.
		return !vacuous(values) && c.any(e, values)
	case !present:
		return c.ifExists || c.negated
	case len(values) == 0:
		return c.negated
	case effect == Deny:
		return c.any(e, values)
	default:
		return c.all(e, values)
	}
}

func (c *clause) all(e *evaluation, values []string) bool {
	for _, v := range values {
		if c.fitsAny(e, v) == c.negated {
			return false
		}
	}
	return true
}

func (c *clause) any(e *evaluation, values []string) bool {
	for _, v := range values {
		if c.fitsAny(e, v) != c.negated {
			return true
		}
	}
	return false
}

// fitsAny compares one value of the request with all of the policy.
func (c *clause) fitsAny(e *evaluation, value string) bool {
	for i := range c.operands {
		o := &c.operands[i]
		fits, weighs := o.fits, o.weight
		if o.variables != nil {
			text, ok := o.variables.fill(e, c.kind)
			if !ok {
				continue
			}
			fits, weighs = c.compile(text), weight(text)
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
