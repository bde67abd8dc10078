package kms

import (
	"context"
	"errors"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

func malformed(reason string) error {
	return fault.New("MalformedPolicyDocumentException", "%s", reason)
}

const invalidPrincipals = "Policy contains a statement with one or more invalid principals."

// checkedPolicy is a key policy that was admitted, with the ids of the principals that it names.
type checkedPolicy struct {
	document string
	bound    map[string]string
}

// put gives k the policy.
func (p checkedPolicy) put(k *Key) { k.Policy, k.Bound = p.document, p.bound }

// adopt gives k, a key that is being made, a policy of its maker's. asked are the condition keys of the request.
func (s *Service) adopt(ctx context.Context, call *operation.Call, k *Key, asked []condition, document string, waived bool) error {
	q := about("CreateKey", asked...)
	p, err := s.checkPolicy(s.inquiry(ctx, call, &q, &target{arn: k.ARN(), account: k.Scope.Account}), document, waived)
	if err == nil {
		p.put(k)
	}
	return err
}

// checkPolicy admits a new key policy: its size, its syntax, the principals that it names and, unless the caller waives
// it, that the caller can still replace it afterwards under the circumstances of c's call.
func (s *Service) checkPolicy(c *keyContext, document string, waived bool) (p checkedPolicy, err error) {
	if len(document) > s.limits.PolicyBytes {
		return p, limitExceeded("The key policy has %d bytes, more than the limit of %d.", len(document), s.limits.PolicyBytes)
	}
	compiled, err := compilePolicy(document, nil)
	if err != nil {
		return p, err
	}
	p.document = document
	if p.bound, err = s.bind(c.ctx, compiled.Document); err != nil {
		return p, err
	}
	if p.bound != nil {
		if compiled, err = compilePolicy(document, p.bound); err != nil {
			return p, err
		}
	}
	if !waived && !policy.KeepsOpen(compiled, &c.request) {
		return p, malformed("The new key policy will not allow you to update the key policy in the future.")
	}
	return p, c.failure
}

func compilePolicy(document string, bound map[string]string) (*policy.Policy, error) {
	compiled, err := policy.Compile(policy.Resource, policyName, []byte(document), bound)
	if m := (*policy.Malformed)(nil); errors.As(err, &m) {
		return nil, malformed(m.Reason)
	}
	if err != nil {
		return nil, unexpected("reading a key policy", err)
	}
	return compiled, nil
}

// bind finds the ids of the users, roles and sessions that a policy names. All principals must be there now; those that
// have an ARN are bound, so that nobody who comes later under the same name is meant.
func (s *Service) bind(ctx context.Context, d *policy.Document) (map[string]string, error) {
	if s.directory == nil {
		return nil, nil
	}
	var bound map[string]string
	for i := range d.Statements {
		for _, name := range d.Statements[i].Principals.AWS {
			id, there, err := s.bound(ctx, name)
			switch {
			case err != nil:
				return nil, unexpected("looking for a principal", err)
			case !there:
				return nil, malformed(invalidPrincipals)
			case id != "":
				if bound == nil {
					bound = map[string]string{}
				}
				bound[name] = id
			}
		}
	}
	return bound, nil
}

// bound is the id to bind the name of a principal to; empty for names that mean no one user, role or session.
func (s *Service) bound(ctx context.Context, name string) (id string, there bool, err error) {
	switch {
	case name == "*":
		return "", true, nil
	case isAccount(name):
		name = arn.Root(name)
	case !arn.Is(name): // a unique id, as a policy shows a principal that is gone
		_, there, err = s.directory.Name(ctx, name)
		return "", there, err
	}
	id, there, err = s.directory.UniqueID(ctx, name)
	if principalKind(name) == accountPrincipal {
		id = ""
	}
	return id, there, err
}

// shownPolicy is a key's policy as GetKeyPolicy shows it. A principal that was renamed stands in it under its new name, and
// one that is gone under its unique id (AWS KMS Developer Guide, "Key policies", on deleted principals): whoever puts the
// text again means the same principals. Everything else is as it was put.
func (s *Service) shownPolicy(ctx context.Context, k *snapshot) (string, error) {
	changed, err := s.changedNames(ctx, k.Bound)
	if err != nil || len(changed) == 0 {
		return k.Policy, err
	}
	d := *k.policy.Document
	d.Statements = append([]policy.Statement{}, d.Statements...)
	for i := range d.Statements {
		names := append([]string{}, d.Statements[i].Principals.AWS...)
		for j, name := range names {
			if now := changed[name]; now != "" {
				names[j] = now
			}
		}
		if len(names) > 0 {
			d.Statements[i].Principals.AWS = names
		}
	}
	return string(d.JSON()), nil
}

// changedNames are the bound principals that no longer have the name that they had, with what to call them instead.
func (s *Service) changedNames(ctx context.Context, bound map[string]string) (map[string]string, error) {
	if s.directory == nil {
		return nil, nil
	}
	changed := map[string]string{}
	for name, id := range bound {
		now, there, err := s.directory.Name(ctx, id)
		if err != nil {
			return nil, unexpected("looking for a principal", err)
		}
		if !there {
			now, _, _ = strings.Cut(id, ":") // of a session it is the role that has a unique id of its own
		}
		if now != name {
			changed[name] = now
		}
	}
	return changed, nil
}
