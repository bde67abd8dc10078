package kms

import (
	"errors"
	"slices"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

func malformed(reason string) error {
	return fault.New("MalformedPolicyDocumentException", "%s", reason)
}

// checkPolicy admits a new key policy: its size, its syntax and, unless the caller waives it, that the caller can still
// replace it afterwards.
func (s *Service) checkPolicy(call *operation.Call, keyARN, document string, waived bool) error {
	if len(document) > s.limits.PolicyBytes {
		return limitExceeded("The key policy has %d bytes, more than the limit of %d.", len(document), s.limits.PolicyBytes)
	}
	parsed, err := policy.Parse([]byte(document))
	if m := (*policy.Malformed)(nil); errors.As(err, &m) {
		return malformed(m.Reason)
	}
	if err != nil {
		return unexpected("reading a key policy", err)
	}
	if !waived && !leavesDoorOpen(parsed, keyARN, call.Scope.Account, call.Caller) {
		return malformed("The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// leavesDoorOpen reports whether a policy allows a later PutKeyPolicy to the caller, directly or through the account,
// whose IAM policies are then taken to suffice (AWS KMS API Reference, BypassPolicyLockoutSafetyCheck). It does not
// evaluate conditions: a conditional Allow counts as allowing and a conditional Deny as not denying, so that it never
// refuses a policy that full evaluation would admit.
func leavesDoorOpen(d *policy.Document, keyARN, account string, caller policy.Caller) bool {
	who := []string{"*", account, arn.Root(account), caller.ARN, caller.PrincipalID}
	allowed := false
	for i := range d.Statements {
		st := &d.Statements[i]
		if !covers(st, "kms:putkeypolicy", keyARN) || !concerns(st, who) {
			continue
		}
		if st.Effect == policy.Deny && len(st.Conditions) == 0 {
			return false
		}
		allowed = allowed || st.Effect == policy.Allow
	}
	return allowed
}

// covers reports whether a statement is about an action, given in lower case, on a resource. Action patterns know no
// case.
func covers(st *policy.Statement, action, resource string) bool {
	if len(st.Actions) == 0 || len(st.Resources) == 0 {
		return false // kept and without effect
	}
	acts := slices.ContainsFunc(st.Actions, func(p string) bool { return matches(strings.ToLower(p), action) })
	on := slices.ContainsFunc(st.Resources, func(p string) bool { return matches(p, resource) })
	return acts != st.NotAction && on != st.NotResource
}

func concerns(st *policy.Statement, who []string) bool {
	named := st.Principals.Anyone || slices.ContainsFunc(st.Principals.AWS, func(p string) bool { return slices.Contains(who, p) })
	return named != st.NotPrincipal
}

// matches compares with the wildcards of IAM: * for any characters, ? for one.
func matches(pattern, s string) bool {
	star, mark := -1, 0 // where to go on when a later part does not fit
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
