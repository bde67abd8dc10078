package kms

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

func (s *Service) createGrant(ctx context.Context, call *operation.Call, in *kms.CreateGrantInput) (*kms.CreateGrantOutput, error) {
	g, err := askedGrant(in)
	if err != nil {
		return nil, err
	}
	k, err := s.key(ctx, call, aboutGrant(in, g), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := s.permits("CreateGrant", k.Key); err != nil {
		return nil, err
	}
	if err := fitGrant(k.Key, g); err != nil {
		return nil, err
	}
	if err := s.name(ctx, in, g); err != nil {
		return nil, err
	}
	g.Scope, g.KeyID, g.Issuer, g.Created = k.Scope, k.ID, call.Caller.Account, s.instant()
	g.ID, g.Fingerprint = newGrantID(), g.fingerprint()
	if aws.ToBool(in.DryRun) {
		return nil, errDryRun
	}
	if err := s.keepGrant(ctx, call, k, g); err != nil {
		return nil, err
	}
	token := s.tokens.issue(tokenFacts{k.arn, g.ID, g.Grantee.Handle()})
	return &kms.CreateGrantOutput{GrantId: &g.ID, GrantToken: &token}, nil
}

// newGrantID makes a GrantId: 64 hex digits.
func newGrantID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails; the program would have ended
	return hex.EncodeToString(b[:])
}

// askedGrant reads what CreateGrant is asked for, as far as that needs neither key nor principals.
func askedGrant(in *kms.CreateGrantInput) (*Grant, error) {
	g := &Grant{Name: aws.ToString(in.Name)}
	for _, o := range in.Operations {
		if !slices.Contains(g.Operations, o) {
			g.Operations = append(g.Operations, o)
		}
	}
	if in.GranteeServicePrincipal != nil || in.RetiringServicePrincipal != nil {
		return nil, unsupported("Grants to AWS services are not supported.")
	}
	if in.GranteePrincipal == nil {
		return nil, missing("granteePrincipal")
	}
	if c := in.Constraints; c != nil {
		if c.SourceArn != nil { // to pass it over would widen the grant
			return nil, unsupported("The grant constraint SourceArn is not supported.")
		}
		g.Equals, g.Subset = meant(c.EncryptionContextEquals, c.EncryptionContextSubset)
	}
	if err := checkConstraint(g.Equals); err != nil {
		return nil, err
	}
	return g, checkConstraint(g.Subset)
}

// meant drops a constraint without pairs that stands beside one with pairs. Terraform's AWS provider sends both members
// whichever one is configured; taken as they stand, no encryption context could ever satisfy them.
func meant(equals, subset map[string]string) (_, _ map[string]string) {
	switch {
	case len(equals) == 0 && len(subset) > 0:
		return nil, subset
	case len(subset) == 0 && len(equals) > 0:
		return equals, nil
	}
	return equals, subset
}

// name binds the principals that a grant names.
func (s *Service) name(ctx context.Context, in *kms.CreateGrantInput, g *Grant) (err error) {
	if g.Grantee, err = s.party(ctx, aws.ToString(in.GranteePrincipal)); err != nil || in.RetiringPrincipal == nil {
		return err
	}
	g.Retiring, err = s.party(ctx, *in.RetiringPrincipal)
	return err
}

// keepGrant keeps g, or finds the grant of the same name and properties that is there already and gives g its id.
func (s *Service) keepGrant(ctx context.Context, call *operation.Call, k *snapshot, g *Grant) error {
	fresh := g.ID
	err := s.changeGrant(ctx, call, k, g, func(tx Tx) error {
		current, err := tx.Key(k.Scope, k.ID)
		if errors.Is(err, fault.ErrNotFound) || err == nil && !current.Created.Equal(k.Created) {
			return keyNotFound(k.Scope, k.ID)
		}
		if err != nil {
			return err
		}
		if err := s.permits("CreateGrant", current); err != nil {
			return err
		}
		if g.ID, err = s.insertGrant(tx, g, fresh); err != nil {
			return err
		}
		call.Event.Response = audit.Members{{Name: "grantId", Value: g.ID}, {Name: "keyId", Value: k.arn}}
		return nil
	})
	return err
}

// insertGrant returns the id of the grant that is there then.
func (s *Service) insertGrant(tx Tx, g *Grant, fresh string) (string, error) {
	if g.Fingerprint != "" {
		same, err := tx.SameGrant(g.Scope, g.KeyID, g.Fingerprint)
		if err == nil || !errors.Is(err, fault.ErrNotFound) {
			return same, err
		}
	}
	n, err := tx.CountGrants(g.Scope, g.KeyID)
	if err != nil {
		return "", err
	}
	if n >= s.limits.GrantsPerKey {
		return "", overQuota("Grants per key", s.limits.GrantsPerKey, n)
	}
	made := *g
	made.ID = fresh
	return fresh, tx.InsertGrant(&made)
}

// changeGrant runs a change of one grant together with the call's event.
func (s *Service) changeGrant(ctx context.Context, call *operation.Call, k *snapshot, g *Grant, fn func(Tx) error) error {
	t := touched{grants: []grantRef{k.grantsTo(g.Grantee.Handle())}}
	if err := s.snapshots.change(ctx, call.Event, t, fn); err != nil {
		return unexpected("changing a grant", err)
	}
	return nil
}

func (s *Service) listGrants(ctx context.Context, call *operation.Call, in *kms.ListGrantsInput) (*kms.ListGrantsOutput, error) {
	size, err := pageSize(in.Limit, 50, 100)
	if err != nil {
		return nil, err
	}
	if in.GranteeServicePrincipal != nil {
		return nil, unsupported("Grants to AWS services are not supported.")
	}
	if in.GrantId != nil && !isGrantID(*in.GrantId) {
		return nil, errGrantID
	}
	k, err := s.key(ctx, call, aboutGrants("ListGrants"), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := s.permits("ListGrants", k.Key); err != nil {
		return nil, err
	}
	f := GrantFilter{ID: aws.ToString(in.GrantId)}
	if f.Grantee, err = s.handle(ctx, aws.ToString(in.GranteePrincipal)); err != nil {
		return nil, err
	}
	l := newListing("ListGrants", k.Scope, k.ID+"\x00"+f.ID+"\x00"+f.Grantee)
	if f.After, err = l.after(in.Marker); err != nil {
		return nil, err
	}
	found, err := s.store.Grants(ctx, k.Scope, k.ID, f, size+1)
	if err != nil {
		return nil, unexpected("listing grants", err)
	}
	found, truncated := page(found, size)
	out := &kms.ListGrantsOutput{Truncated: truncated}
	if out.Grants, err = s.grantEntries(ctx, found); err == nil && truncated {
		out.NextMarker = l.marker(found[size-1].ID)
	}
	return out, err
}

// handle is what grants know a principal by that a caller names in a filter; one that is gone is named by its id.
func (s *Service) handle(ctx context.Context, name string) (string, error) {
	if principalKind(name) == noPrincipal {
		return name, nil
	}
	p, err := s.party(ctx, name)
	if fault.Is(err, "InvalidArnException") {
		return name, nil // no grant has it
	}
	return p.Handle(), err
}

// listRetirableGrants lists grants of all accounts' keys in the Region that a principal of the caller's account may
// retire because they say so.
func (s *Service) listRetirableGrants(
	ctx context.Context, call *operation.Call, in *kms.ListRetirableGrantsInput,
) (*kms.ListRetirableGrantsOutput, error) {
	size, err := pageSize(in.Limit, 50, 100)
	if err != nil {
		return nil, err
	}
	if in.RetiringServicePrincipal != nil {
		return nil, unsupported("Grants to AWS services are not supported.")
	}
	if in.RetiringPrincipal == nil {
		return nil, missing("retiringPrincipal")
	}
	if err := s.mayListRetirable(ctx, call, *in.RetiringPrincipal); err != nil {
		return nil, err
	}
	retiring, err := s.party(ctx, *in.RetiringPrincipal)
	if err != nil {
		return nil, err
	}
	l := newListing("ListRetirableGrants", call.Scope, retiring.Handle())
	after, err := l.after(in.Marker)
	if err != nil {
		return nil, err
	}
	found, err := s.store.RetirableGrants(ctx, call.Scope.Region, retiring.Handle(), after, size+1)
	if err != nil {
		return nil, unexpected("listing retirable grants", err)
	}
	found, truncated := page(found, size)
	out := &kms.ListRetirableGrantsOutput{Truncated: truncated}
	if out.Grants, err = s.grantEntries(ctx, found); err == nil && truncated {
		out.NextMarker = l.marker(found[size-1].ID)
	}
	return out, err
}

// mayListRetirable asks for the action on the retiring principal, which must be of the caller's own account.
func (s *Service) mayListRetirable(ctx context.Context, call *operation.Call, retiring string) error {
	if principalKind(retiring) == noPrincipal {
		return invalidPrincipal(retiring)
	}
	a, err := arn.Parse(retiring)
	if err != nil {
		return err
	}
	q := about("ListRetirableGrants")
	return s.byIdentity(ctx, call, &q, &target{arn: retiring, account: a.Account})
}

func (s *Service) grantEntries(ctx context.Context, found []Grant) ([]types.GrantListEntry, error) {
	entries := make([]types.GrantListEntry, len(found))
	for i := range found {
		var err error
		if entries[i], err = s.grantEntry(ctx, &found[i]); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func (s *Service) grantEntry(ctx context.Context, g *Grant) (e types.GrantListEntry, err error) {
	grantee, err := s.shown(ctx, g.Grantee)
	if err != nil {
		return e, err
	}
	e = types.GrantListEntry{
		KeyId: aws.String(g.Scope.Key(g.KeyID)), GrantId: &g.ID, Name: &g.Name, CreationDate: &g.Created,
		GranteePrincipal: &grantee, IssuingAccount: aws.String(arn.Root(g.Issuer)), Operations: g.Operations,
	}
	if g.Retiring != (Party{}) {
		retiring, err := s.shown(ctx, g.Retiring)
		if err != nil {
			return e, err
		}
		e.RetiringPrincipal = &retiring
	}
	if g.Equals != nil || g.Subset != nil {
		e.Constraints = &types.GrantConstraints{EncryptionContextEquals: maps.Clone(g.Equals), EncryptionContextSubset: maps.Clone(g.Subset)}
	}
	return e, nil
}
