package kms

import (
	"errors"

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
	compiled, err := policy.Compile(policy.Resource, "default", []byte(document), nil)
	if m := (*policy.Malformed)(nil); errors.As(err, &m) {
		return malformed(m.Reason)
	}
	if err != nil {
		return unexpected("reading a key policy", err)
	}
	if !waived && !keepsOpen(compiled, call, keyARN) {
		return malformed("The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// keepsOpen reports whether a policy allows a later PutKeyPolicy to the caller under the circumstances of this call.
func keepsOpen(p *policy.Policy, call *operation.Call, keyARN string) bool {
	caller := &policy.Principal{Caller: call.Caller}
	account := call.Scope.Account
	return policy.KeepsOpen(p, &policy.Request{
		Principal: caller, Resource: keyARN, Account: account, Context: call.Globals(caller, account, nil),
	})
}
