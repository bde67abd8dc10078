package policy

import (
	"slices"
	"strings"
)

// grammar is what differs between the kinds of policies.
type grammar struct {
	// check looks at a whole statement; has tells which elements it has.
	check func(s *Statement, has func(string) bool) error
	// sids must be alphanumeric and unique. Key policies know neither rule.
	sids bool
}

var grammars = map[Kind]grammar{
	Identity: {checkIdentity, true},
	Boundary: {checkIdentity, true},
	Session:  {checkIdentity, true},
	Resource: {checkResource, false},
	Trust:    {checkTrust, true},
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

func checkIdentity(s *Statement, has func(string) bool) error {
	switch {
	case has("Principal") || has("NotPrincipal"):
		return malformed("Policy document should not specify a principal.")
	case len(s.Actions) == 0:
		return malformed("Policy statement must contain actions.")
	case len(s.Resources) == 0:
		return malformed("Policy statement must contain resources.")
	}
	for _, r := range s.Resources {
		if r != "*" && !strings.HasPrefix(r, "arn:") {
			return malformed("Resource %s must be in ARN format or \"*\".", r)
		}
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

// checkSids holds a document to IAM's rules for Sid.
func (d *Document) checkSids() error {
	seen := make(map[string]bool, len(d.Statements))
	for i := range d.Statements {
		sid := d.Statements[i].Sid
		if strings.Trim(sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
		}
		if sid != "" && seen[sid] {
			return malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		seen[sid] = true
	}
	return nil
}
