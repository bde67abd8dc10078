package policy

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Policies of principals are checked in the order in which IAM was seen to miss things: the first of several errors counts
// in the whole document, not in the first statement.

// checkPut looks at a document that is to be kept.
func (d *Document) checkPut() error {
	return d.check((*Document).checkEffects, (*Document).checkDates, (*Document).checkLegacy, (*Document).checkSids,
		(*Document).checkElements, (*Document).checkResources, (*Document).checkActions)
}

// checkKept looks at one that is kept. What it names may be of a form that was once let in: that must not cost anybody
// all permissions.
func (d *Document) checkKept() error {
	return d.check((*Document).checkEffects, (*Document).checkSids, (*Document).checkElements, (*Document).checkFormats,
		(*Document).checkActions)
}

func (d *Document) check(all ...func(*Document) error) error {
	for _, check := range all {
		if err := check(d); err != nil {
			return err
		}
	}
	return nil
}

// checkEffects finds those that are right but for the case of letters.
func (d *Document) checkEffects() error {
	for i := range d.Statements {
		if e := d.Statements[i].Effect; e != Allow && e != Deny {
			return errLegacy
		}
	}
	return nil
}

func (d *Document) checkDates() error {
	for i := range d.Statements {
		for _, c := range d.Statements[i].Conditions {
			if strings.HasPrefix(c.Operator, "Date") && slices.ContainsFunc(c.Values, undated) {
				return errLegacy
			}
		}
	}
	return nil
}

// undated finds what is certainly no date: words without a digit, and seconds that 64 bits do not hold. IAM reads the rest more
// generously than anybody describes.
func undated(value string) bool {
	if value != "" && !strings.Contains(value, "${") && !strings.ContainsAny(value, "0123456789") {
		return true
	}
	_, err := strconv.ParseInt(value, 10, 64)
	return errors.Is(err, strconv.ErrRange)
}

func (d *Document) checkElements() error {
	lacks := func(list func(*Statement) []string) bool {
		return slices.ContainsFunc(d.Statements, func(s Statement) bool { return len(list(&s)) == 0 })
	}
	switch {
	case lacks(func(s *Statement) []string { return s.Actions }):
		return malformed("Policy statement must contain actions.")
	case lacks(func(s *Statement) []string { return s.Resources }):
		return malformed("Policy statement must contain resources.")
	default:
		return nil
	}
}

func (d *Document) checkActions() error {
	for i := range d.Statements {
		for _, a := range d.Statements[i].Actions {
			vendor, _, _ := strings.Cut(a, ":")
			if err := checkAction(a, alphanumeric+"-.", malformed("Vendor %s is not valid", vendor)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkAction wants a vendor of the letters given, and a name.
func checkAction(action, letters string, invalid *Malformed) error {
	vendor, name, _ := strings.Cut(action, ":")
	switch {
	case action == "*":
		return nil
	case strings.Contains(name, ":"):
		return malformed("Actions/Condition can contain only one colon.")
	case vendor == "" || name == "":
		return errVendor
	case strings.Trim(vendor, letters) != "":
		return invalid
	default:
		return nil
	}
}

func (d *Document) checkFormats() error { return d.eachResource(checkFormat) }

func (d *Document) checkResources() error { return d.eachResource(checkARN) }

func (d *Document) checkLegacy() error { return d.eachResource(checkLegacy) }

// eachResource looks at all that is named and not simply everything.
func (d *Document) eachResource(check func(string) error) error {
	for i := range d.Statements {
		for _, r := range d.Statements[i].Resources {
			if r == "*" {
				continue
			}
			if err := check(r); err != nil {
				return err
			}
		}
	}
	return nil
}
