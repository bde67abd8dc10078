package kms

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/operation"
)

// listKeyRotations lists materials in the order in which they became current; those that wait come last.
func (s *Service) listKeyRotations(
	ctx context.Context, call *operation.Call, in *kms.ListKeyRotationsInput,
) (*kms.ListKeyRotationsOutput, error) {
	size, err := pageSize(in.Limit, 100, 1000)
	if err != nil {
		return nil, err
	}
	k, err := s.key(ctx, call, about("ListKeyRotations"), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := s.permits("ListKeyRotations", k.Key); err != nil {
		return nil, err
	}
	if err := rotatable(k.Key); err != nil {
		return nil, err
	}
	all := k.history(in.IncludeKeyMaterial == types.IncludeKeyMaterialAllKeyMaterial)
	l := newListing("ListKeyRotations", k.Scope, k.ID+"\x00"+string(in.IncludeKeyMaterial))
	if in.Marker != nil {
		after, err := l.after(in.Marker)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(m *MaterialRecord) bool { return m.ID == after })
		if i < 0 { // it waited for a rotation and was deleted
			return nil, errMarker
		}
		all = all[i+1:]
	}
	all, truncated := page(all, size)
	out := &kms.ListKeyRotationsOutput{Rotations: make([]types.RotationsListEntry, len(all)), Truncated: truncated}
	for i, m := range all {
		out.Rotations[i] = rotationEntry(k, m)
	}
	if truncated {
		out.NextMarker = l.marker(all[size-1].ID)
	}
	return out, nil
}

// history lists the key's materials, oldest first: those that a rotation brought or, if asked for, also the first and
// those that wait.
func (k *Key) history(all bool) (found []*MaterialRecord) {
	add := func(m *MaterialRecord) {
		if m.ID != "" && (all || !m.Rotated.IsZero()) {
			found = append(found, m)
		}
	}
	for i := range k.Others {
		if k.Others[i].State == types.KeyMaterialStateNonCurrent {
			add(&k.Others[i])
		}
	}
	add(&k.Material)
	for i := range k.Others {
		if k.Others[i].State != types.KeyMaterialStateNonCurrent {
			add(&k.Others[i])
		}
	}
	return found
}

func rotationEntry(k *snapshot, m *MaterialRecord) types.RotationsListEntry {
	e := types.RotationsListEntry{
		KeyId: &k.arn, KeyMaterialId: &m.ID, KeyMaterialState: m.State, RotationType: m.RotationType,
	}
	if !m.Rotated.IsZero() {
		e.RotationDate = &m.Rotated
	}
	if !k.imported() {
		return e
	}
	e.ImportState = types.ImportStatePendingImport
	if m.held() {
		e.ImportState = types.ImportStateImported
		e.ExpirationModel, e.ValidTo = m.expiration()
	}
	if m.Description != "" {
		e.KeyMaterialDescription = aws.String(m.Description)
	}
	return e
}
