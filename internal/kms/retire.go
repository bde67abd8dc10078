package kms

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// revokeGrant ends a grant by the key's owner's will.
func (s *Service) revokeGrant(ctx context.Context, call *operation.Call, in *kms.RevokeGrantInput) (*operation.Void, error) {
	if !isGrantID(*in.GrantId) {
		return nil, errGrantID
	}
	k, err := s.key(ctx, call, aboutGrants("RevokeGrant"), *in.KeyId)
	if err != nil {
		return nil, err
	}
	g, err := s.grant(ctx, k, *in.GrantId)
	if err != nil {
		return nil, err
	}
	return nil, s.end(ctx, call, "RevokeGrant", k, g, aws.ToBool(in.DryRun))
}

// retireGrant ends a grant by the will of those whom it names, or of the account that made it.
func (s *Service) retireGrant(ctx context.Context, call *operation.Call, in *kms.RetireGrantInput) (*operation.Void, error) {
	keyName, id, err := s.retired(in)
	if id != "" {
		call.Event.Additional.Add("grantId", id)
	}
	if err != nil {
		return nil, err
	}
	t, err := s.resolve(ctx, call, keyName, byKey)
	if err != nil {
		return nil, err
	}
	if t.key == nil {
		return nil, s.mayRetire(ctx, call, &t, nil)
	}
	k := t.key
	if t.account == call.Scope.Account {
		call.About(keyType, k.arn)
	}
	g, missing := s.grant(ctx, k, id)
	if missing != nil && !fault.Is(missing, "NotFoundException") {
		return nil, missing
	}
	if err := s.mayRetire(ctx, call, &t, g); err != nil {
		return nil, err
	}
	share(call, k)
	if missing != nil {
		return nil, missing
	}
	return nil, s.end(ctx, call, "RetireGrant", k, g, aws.ToBool(in.DryRun))
}

// retired reads which grant RetireGrant is to end: a token says it all.
func (s *Service) retired(in *kms.RetireGrantInput) (keyName, id string, err error) {
	switch {
	case in.GrantToken != nil && in.KeyId == nil && in.GrantId == nil:
		f, err := s.tokens.read(*in.GrantToken)
		if err != nil {
			return "", "", errGrantToken
		}
		return f.keyARN, f.grantID, nil
	case in.GrantToken == nil && in.KeyId != nil && in.GrantId != nil:
		if !isGrantID(*in.GrantId) {
			return "", "", errGrantID
		}
		return *in.KeyId, *in.GrantId, nil
	default:
		return "", aws.ToString(in.GrantId), invalid("Grant token OR (grant ID, key ID) must be specified.")
	}
}

// mayRetire decides by the grant and by IAM policies alone: key policies have no say (AWS KMS Developer Guide, "Retiring
// and revoking grants"). A grant that is not there, g is nil then, can be retired by those of the key's account only.
func (s *Service) mayRetire(ctx context.Context, call *operation.Call, t *target, g *Grant) error {
	q := about("RetireGrant")
	c := s.inquiry(ctx, call, &q, t)
	c.request.ResourcePolicy = nil
	if g != nil {
		c.request.Grants = g.retirers(s.handles(c.request.Principal))
	}
	return c.decide("")
}

// retirers are the grant's own provisions for its end, as grants to those whom it names: the account that made it, its
// retiring principal, and its grantee if it says so. Of these, handles says whom the caller is.
func (g *Grant) retirers(handles [5]string) []policy.Grant {
	all := []policy.Grant{{ID: g.ID, Grantee: g.Issuer, Operations: retiring}}
	if g.Retiring != (Party{}) && slices.Contains(handles[:], g.Retiring.Handle()) {
		all = append(all, policy.Grant{ID: g.ID, Grantee: g.Retiring.named(), Operations: retiring})
	}
	if slices.Contains(handles[:], g.Grantee.Handle()) {
		all = append(all, g.permission())
	}
	return all
}

var retiring = []string{string(types.GrantOperationRetireGrant)}

// grant reads one grant of a key.
func (s *Service) grant(ctx context.Context, k *snapshot, id string) (*Grant, error) {
	g, err := s.store.Grant(ctx, k.Scope, k.ID, id)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, grantNotFound(id)
	}
	if err != nil {
		return nil, unexpected("reading a grant", err)
	}
	return g, nil
}

// end removes a grant; what it allowed is refused from then on.
func (s *Service) end(ctx context.Context, call *operation.Call, op string, k *snapshot, g *Grant, dryRun bool) error {
	if err := s.permits(op, k.Key); err != nil {
		return err
	}
	if dryRun {
		return errDryRun
	}
	return s.changeGrant(ctx, call, k, g, func(tx Tx) error {
		call.Event.Response = audit.Members{{Name: "keyId", Value: k.arn}}
		err := tx.DeleteGrant(k.Scope, k.ID, g.ID)
		if errors.Is(err, fault.ErrNotFound) {
			return grantNotFound(g.ID)
		}
		return err
	})
}
