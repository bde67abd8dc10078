package policy

import (
	"slices"
	"strings"
)

// grammar is what differs between the kinds of policies.
type grammar struct {
	// statement looks at a whole statement; has tells which elements it has.
	statement func(s *Statement, has func(string) bool) error
	// whole looks at a document whose statements are read.
	whole func(d *Document) error
	// blunt: every error of syntax has one sentence. So IAM answers CreatePolicy, but neither CreateRole nor STS.
	blunt bool
	// late: actions are looked at when the document is right otherwise.
	late bool
	// loose: a condition may ask for a key of any form, which no request has, and an operator that is asked of no key may have
	// any name.
	loose bool
}

var grammars = map[Kind]grammar{
	Identity: {statement: checkIdentity, whole: (*Document).checkKept, blunt: true, late: true, loose: true},
	Boundary: {statement: checkIdentity, whole: (*Document).checkKept, blunt: true, late: true, loose: true},
	Session:  {statement: checkIdentity, whole: (*Document).checkKept, late: true, loose: true},
	Resource: {statement: checkResource, whole: func(*Document) error { return nil }},
	Trust:    {statement: checkTrust, whole: (*Document).checkSids, loose: true},
}

// syntax words an error of syntax.
func (g grammar) syntax(m *Malformed) *Malformed {
	if g.blunt {
		return errSyntax
	}
	return m
}

func checkResource(s *Statement, has func(string) bool) error {
	switch {
	case s.Principals.Empty():
		return malformed("Missing required field Principal")
	case s.NotPrincipal && s.Effect == Allow:
		// It would allow everybody on earth but a few; AWS's guide forbids it, and KMS supports no such statement.
		return malformed("NotPrincipal is not supported with Effect Allow.")
	}
	for i := range s.Conditions {
		if err := s.Conditions[i].checkPermissive(); err != nil {
			return err
		}
	}
	return nil
}

func checkIdentity(_ *Statement, has func(string) bool) error {
	if has("Principal") || has("NotPrincipal") {
		return malformed("Policy document should not specify a principal.")
	}
	return nil
}

func checkTrust(s *Statement, has func(string) bool) error {
	for _, name := range []string{"Resource", "NotResource", "NotPrincipal", "NotAction"} {
		if has(name) {
			return malformed("Has prohibited field %s", name)
		}
	}
	switch {
	case s.Principals.Empty():
		return malformed("Missing required field Principal")
	case len(s.Actions) == 0:
		return malformed("Missing required field Action")
	case slices.ContainsFunc(s.Actions, func(a string) bool { return !hasPrefixFold(a, "sts:") }):
		return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
	}
	return nil
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// checkSids holds a document to IAM's rules for Sid.
func (d *Document) checkSids() error {
	seen := make(map[string]bool, len(d.Statements))
	for i := range d.Statements {
		sid := d.Statements[i].Sid
		if strings.Trim(sid, alphanumeric) != "" {
			return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
		}
		if sid != "" && seen[sid] {
			return malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		seen[sid] = true
	}
	return nil
}
