package kms

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// rotate gives k and its relatives other material, for the rotation that is due. What was current stays to decrypt. Had
// an automatic rotation to wait, because the key was disabled, the next one is counted from when it happened (AWS KMS
// API Reference, GetKeyRotationStatus).
func (s *Service) rotate(ctx context.Context, k *Key) error {
	kind := types.RotationTypeOnDemand
	if k.Rotation.Started.IsZero() {
		kind = types.RotationTypeAutomatic
	}
	fresh, err := s.successor(ctx, k)
	if err != nil {
		return fmt.Errorf("kms: rotating %s: %w", k.ARN(), err)
	}
	event := s.serviceEvent("RotateKey", k)
	event.Details.Add("rotationType", kind)
	event.Details.Add("keyOrigin", k.Origin)
	event.Details.Add("previousKeyMaterialId", k.Material.ID)
	event.Details.Add("currentKeyMaterialId", fresh.ID)
	event.Details.Add("keyId", k.ID)
	err = s.changeFamily(ctx, event, k, func(tx Tx, family []*Key) error {
		current := memberIn(family, k)
		if current == nil || !current.mayRotateNow() || current.Rotation != k.Rotation || current.Material.ID != k.Material.ID {
			return errNotDue
		}
		at := s.instant()
		current.Rotation.rotated(kind, at)
		for _, member := range family {
			member.promote(fresh, kind, at)
		}
		if err := s.share(tx, current, family); err != nil {
			return err
		}
		return tx.UpdateKey(current)
	})
	if err != nil {
		return fmt.Errorf("kms: rotating %s: %w", k.ARN(), err)
	}
	return nil
}

// successor is the material that k rotates to: what was imported and waits, or what is made now.
func (s *Service) successor(ctx context.Context, k *Key) (MaterialRecord, error) {
	if k.imported() {
		if k.ready() {
			return *k.waiting(), nil
		}
		return MaterialRecord{}, errNotDue
	}
	return s.material(k).Generate(ctx, k)
}

// rotated notes that the rotation has happened.
func (r *Rotation) rotated(kind types.RotationType, at time.Time) {
	if kind == types.RotationTypeOnDemand {
		r.Started = time.Time{}
		return
	}
	r.Next = at.AddDate(0, 0, r.Period)
}

// promote makes m, which is new or one of the others, k's current material.
func (k *Key) promote(m MaterialRecord, kind types.RotationType, at time.Time) {
	if i := k.other(m.ID); i >= 0 { // imported: each Region has wrapped and described its own
		m = k.Others[i]
		k.Others = slices.Delete(slices.Clone(k.Others), i, i+1)
	}
	k.Material.State = types.KeyMaterialStateNonCurrent
	k.Others = append(slices.Clone(k.Others), k.Material)
	m.State, m.Rotated, m.RotationType = types.KeyMaterialStateCurrent, at, kind
	k.Material = m
}

// other is the index in Others of a material, or -1.
func (k *Key) other(materialID string) int {
	return slices.IndexFunc(k.Others, func(m MaterialRecord) bool { return m.ID == materialID })
}
