package kms

import (
	"context"

	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// acrossAccounts are the actions that callers of other accounts can be allowed (AWS KMS Developer Guide, "Allowing users
// in other accounts to use a KMS key").
var acrossAccounts = setOf("CreateGrant", "Decrypt", "DeriveSharedSecret", "DescribeKey", "Encapsulate", "Decapsulate", "Encrypt",
	"GenerateDataKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
	"GetKeyRotationStatus", "GetPublicKey", "ListGrants", "ReEncryptFrom", "ReEncryptTo", "RetireGrant", "RevokeGrant", "Sign", "Verify",
	"VerifyMac")

// unconstrained are the actions without an encryption context, which grant constraints do not limit.
var unconstrained = setOf("CreateGrant", "DescribeKey", "RetireGrant")

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// fullNames spares the hot path making "kms:Encrypt" of "Encrypt".
var fullNames = func() map[string]string {
	names := map[string]string{}
	for p := range verdicts {
		names[p.operation] = "kms:" + p.operation
	}
	for action := range acrossAccounts {
		names[action] = "kms:" + action
	}
	return names
}()

func fullName(action string) string {
	if full, ok := fullNames[action]; ok {
		return full
	}
	return "kms:" + action
}

// nowhere is the account of what was not found: nobody's.
const nowhere = "nobody's"

// principal is who calls, with what it may do.
func principal(call *operation.Call) *policy.Principal {
	if call.Principal != nil {
		return call.Principal
	}
	return &policy.Principal{Caller: call.Caller}
}

// authorize asks whether the caller may do with t's key what q wants. Of a key in another account that is not there it
// says the same as of one that is not the caller's to use.
func (s *Service) authorize(ctx context.Context, call *operation.Call, q *question, t *target) error {
	c := s.inquiry(ctx, call, q, t)
	if err := c.consider(); err != nil {
		return err
	}
	return c.decide(t.on)
}

// consider adds the policy and the grants of the key that is asked about.
func (c *keyContext) consider() (err error) {
	k := c.target.key
	if k == nil {
		return nil
	}
	c.request.ResourcePolicy = k.policy
	c.request.Grants, err = c.service.grantsFor(c.ctx, k, c.request.Principal, c.question.child)
	return err
}

// inquiry prepares a request about t that nothing but the principal's own policies could allow.
func (s *Service) inquiry(ctx context.Context, call *operation.Call, q *question, t *target) *keyContext {
	p, action := principal(call), q.iam()
	c := &keyContext{service: s, ctx: ctx, call: call, question: *q, target: *t}
	c.request = policy.Request{
		Principal: p, Action: fullName(action), Resource: t.arn, Account: t.account, AcrossAccounts: acrossAccounts[action],
		ResourcePolicy: policy.Nothing, EncryptionContext: q.context, IgnoreConstraints: unconstrained[action],
		Context: call.Globals(p, t.account, c),
	}
	return c
}

// decide turns a decision into the call's refusal. What the decision could not be made without and was not to be had
// refuses as well, as an internal failure.
func (c *keyContext) decide(on string) error {
	d := policy.Evaluate(&c.request)
	if c.failure != nil {
		return c.failure
	}
	if d.Allowed {
		return nil
	}
	c.service.log.Info("access denied", "requestID", c.call.RequestID, "principal", c.request.Principal.ARN,
		"action", c.request.Action, "resource", c.request.Resource, "decision", d.String())
	return fault.New("AccessDeniedException", "%s", d.Message(&c.request, on))
}

// byIdentity asks for an action on t, which has no policy of its own: the principal's policies decide.
func (s *Service) byIdentity(ctx context.Context, call *operation.Call, q *question, t *target) error {
	c := s.inquiry(ctx, call, q, t)
	c.request.ResourcePolicy = nil
	return c.decide(t.on)
}

// grantsFor are the grants of a key that may name p. Where child is not nil, only those count of which it may be made.
func (s *Service) grantsFor(ctx context.Context, k *snapshot, p *policy.Principal, child *Grant) ([]policy.Grant, error) {
	var all []policy.Grant
	for _, handle := range s.handles(p) {
		if handle == "" {
			continue
		}
		some, err := s.snapshots.grantsOf(ctx, k.grantsTo(handle))
		if err != nil {
			return nil, unexpected("reading grants", err)
		}
		switch {
		case len(all) == 0:
			all = some // shared: never appended to
		case len(some) > 0:
			all = append(all[:len(all):len(all)], some...)
		}
	}
	if child == nil {
		return all, nil
	}
	var parents []policy.Grant
	for i := range all {
		if begets(&all[i], child) {
			parents = append(parents, all[i])
		}
	}
	return parents, nil
}
