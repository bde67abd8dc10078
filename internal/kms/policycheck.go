package kms

import (
	"encoding/json"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

func malformed(format string, args ...any) error {
	return fault.New("MalformedPolicyDocumentException", format, args...)
}

// checkPolicy admits a new key policy: its size, its syntax and, unless the caller waives it, that the caller can still
// replace it.
func (s *Service) checkPolicy(call *operation.Call, keyARN, document string, waived bool) error {
	if len(document) > s.limits.PolicyBytes {
		return limitExceeded("The key policy has %d bytes, more than the limit of %d.", len(document), s.limits.PolicyBytes)
	}
	if err := s.parsePolicy([]byte(document)); err != nil {
		return err
	}
	if waived {
		return nil
	}
	open, err := leavesDoorOpen(document, keyARN, call.Scope.Account, call.Caller.ARN)
	if err != nil {
		return malformed("Policy contains a syntax error: %v", err)
	}
	if !open {
		return malformed("The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// policyStatement is as much of a statement as the lockout check reads.
type policyStatement struct {
	Effect                  string
	Principal, NotPrincipal principals
	Action, NotAction       oneOrMore
	Resource, NotResource   oneOrMore
	Condition               json.RawMessage
}

// principals are a statement's AWS principals; "*" on its own counts as one.
type principals []string

func (p *principals) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*oneOrMore)(p))
	}
	var kinds map[string]oneOrMore
	if err := json.Unmarshal(data, &kinds); err != nil {
		return err
	}
	*p = append(principals{}, kinds["AWS"]...)
	return nil
}

// oneOrMore is a string or a list of strings.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*o = make(oneOrMore, 1)
		return json.Unmarshal(data, &(*o)[0])
	}
	return json.Unmarshal(data, (*[]string)(o))
}

// statements is one statement or a list of them.
type statements []policyStatement

func (s *statements) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		*s = make(statements, 1)
		return json.Unmarshal(data, &(*s)[0])
	}
	return json.Unmarshal(data, (*[]policyStatement)(s))
}

// leavesDoorOpen reports whether a policy allows a later PutKeyPolicy to the caller, directly or through the account,
// whose IAM policies are then taken to suffice. It does not evaluate conditions: a conditional Allow counts as allowing
// and a conditional Deny as not denying, so that it never refuses a policy that full evaluation would admit.
func leavesDoorOpen(document, keyARN, account, caller string) (bool, error) {
	var policy struct{ Statement statements }
	if err := json.Unmarshal([]byte(document), &policy); err != nil {
		return false, err
	}
	who := []string{arn.Root(account), account, caller}
	allowed := false
	for _, st := range policy.Statement {
		if !st.covers("kms:PutKeyPolicy", keyARN) || !st.concerns(who) {
			continue
		}
		if st.Effect == "Deny" && st.Condition == nil {
			return false, nil
		}
		allowed = allowed || st.Effect == "Allow"
	}
	return allowed, nil
}

func (st *policyStatement) covers(action, resource string) bool {
	acts := anyMatch(st.Action, action, true) || st.NotAction != nil && !anyMatch(st.NotAction, action, true)
	on := anyMatch(st.Resource, resource, false) || st.NotResource != nil && !anyMatch(st.NotResource, resource, false)
	return acts && on
}

func (st *policyStatement) concerns(who []string) bool {
	if st.NotPrincipal != nil {
		return !st.NotPrincipal.include(who)
	}
	return st.Principal.include(who)
}

func (p principals) include(who []string) bool {
	for _, principal := range p {
		for _, w := range who {
			if principal == "*" || principal == w {
				return true
			}
		}
	}
	return false
}

func anyMatch(patterns []string, s string, foldCase bool) bool {
	if foldCase {
		s = strings.ToLower(s)
	}
	for _, p := range patterns {
		if foldCase {
			p = strings.ToLower(p)
		}
		if matches(p, s) {
			return true
		}
	}
	return false
}

// matches compares with the wildcards of IAM: * for any characters, ? for one.
func matches(pattern, s string) bool {
	star, mark := -1, 0
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
