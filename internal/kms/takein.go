package kms

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// takeIn gives k imported material: its first, one that it had, or one that is to become current by a rotation. A key
// remembers every material that it ever used, and takes no other in its place.
func takeIn(tx Tx, k *Key, family []*Key, brought MaterialRecord, in *kms.ImportKeyMaterialInput) error {
	fresh := in.ImportType == types.ImportTypeNewKeyMaterial || in.ImportType == "" && k.Material.ID == ""
	if fresh {
		if err := k.welcome(brought); err != nil {
			return err
		}
		if k.Material.ID != brought.ID { // it waits, and is to be imported into every replica
			if err := announce(tx, k, family, brought); err != nil {
				return err
			}
		}
	} else if err := k.readmit(brought, in.KeyMaterialId); err != nil {
		return err
	}
	k.arrived()
	return agree(tx, family, k)
}

// welcome adds material that the key has not had.
func (k *Key) welcome(m MaterialRecord) error {
	switch {
	case k.MultiRegion() && !k.Primary():
		return unsupported("New key material can only be imported into the primary key in %s.", k.PrimaryRegion)
	case k.Material.ID == "":
		k.Material = m
		return nil
	case k.record(m.ID) != nil:
		return incorrectMaterial("The key material was imported into this key before: import it as EXISTING_KEY_MATERIAL.")
	case k.waiting() != nil:
		return fault.New("KMSInvalidStateException", "New key material (id: %s) cannot be imported into KMS key %s, "+
			"because another key material (id: %s) is pending rotation.", m.ID, k.ARN(), k.waiting().ID)
	}
	m.State = types.KeyMaterialStatePendingRotation
	k.Others = append(slices.Clone(k.Others), m)
	return nil
}

// announce names to k's replicas the material that waits in k.
func announce(tx Tx, k *Key, family []*Key, m MaterialRecord) error {
	m.State = types.KeyMaterialStatePendingMultiRegionImportAndRotation
	m.drop()
	for _, member := range family {
		if member.Scope == k.Scope {
			continue
		}
		member.Others = append(slices.Clone(member.Others), m)
		if err := tx.UpdateKey(member); err != nil {
			return err
		}
	}
	return nil
}

// readmit takes back material that the key has had. wanted is the id that the caller expects it to have.
func (k *Key) readmit(m MaterialRecord, wanted *string) error {
	k.Others = slices.Clone(k.Others)
	known := k.record(m.ID)
	if known == nil || wanted != nil && *wanted != m.ID {
		return incorrectMaterial("The key material is not the same as was imported into this key before.")
	}
	known.Wrapped, known.ValidTo = m.Wrapped, m.ValidTo
	if m.Description != "" {
		known.Description = m.Description
	}
	return nil
}

// record of one of the key's materials, or nil.
func (k *Key) record(materialID string) *MaterialRecord {
	if k.Material.ID == materialID {
		return &k.Material
	}
	if i := k.other(materialID); i >= 0 {
		return &k.Others[i]
	}
	return nil
}

// arrived enables a key that waited for material and has all of it now.
func (k *Key) arrived() {
	switch {
	case !k.complete():
	case k.State == types.KeyStatePendingImport:
		k.State = types.KeyStateEnabled
	case k.Settled == types.KeyStatePendingImport:
		k.Settled = types.KeyStateEnabled
	}
}

// bereft makes a key wait for material that it has lost. One that waits for its deletion goes on doing so.
func (k *Key) bereft() {
	switch {
	case k.complete() || doomed(k.State):
	case k.transient():
		k.Settled = types.KeyStatePendingImport
	default:
		k.State = types.KeyStatePendingImport
	}
}

func (s *Service) deleteImportedKeyMaterial(
	ctx context.Context, call *operation.Call, in *kms.DeleteImportedKeyMaterialInput,
) (*kms.DeleteImportedKeyMaterialOutput, error) {
	const op = "DeleteImportedKeyMaterial"
	k, err := s.key(ctx, call, about(op), *in.KeyId)
	if err != nil {
		return nil, err
	}
	var id string
	_, err = s.alterFamily(ctx, call, op, k, func(tx Tx, k *Key, family []*Key, response *audit.Members) error {
		if id = aws.ToString(in.KeyMaterialId); id == "" {
			id = k.Material.ID
		} else if k.record(id) == nil {
			return fault.New("NotFoundException", "Key material '%s' does not exist", id)
		}
		response.Add("keyMaterialId", k.told(id))
		return giveUp(tx, k, family, id)
	})
	if err != nil {
		return nil, err
	}
	s.forget(ctx, k.Key, id)
	return &kms.DeleteImportedKeyMaterialOutput{KeyId: &k.arn, KeyMaterialId: k.told(id)}, nil
}

// giveUp removes imported material of k. What belongs to the key for good is remembered, so that it can be imported
// again; what waits in a primary is forgotten by its whole family (AWS KMS API Reference, DeleteImportedKeyMaterial).
func giveUp(tx Tx, k *Key, family []*Key, materialID string) error {
	k.Others = slices.Clone(k.Others)
	gone := k.record(materialID)
	if gone == nil {
		return nil // nothing was ever imported
	}
	if waits := k.waiting(); gone == waits && (!k.MultiRegion() || k.Primary()) {
		if err := withdraw(tx, k, family, materialID); err != nil {
			return err
		}
	} else {
		gone.drop()
	}
	k.bereft()
	return agree(tx, family, k)
}

// withdraw forgets waiting material in the whole family.
func withdraw(tx Tx, k *Key, family []*Key, materialID string) error {
	for _, member := range family {
		if i := member.other(materialID); i >= 0 {
			member.Others = slices.Delete(slices.Clone(member.Others), i, i+1)
		}
		if member.Scope == k.Scope {
			continue
		}
		if err := tx.UpdateKey(member); err != nil {
			return err
		}
	}
	return nil
}

// forget lets go of what is kept ready of material that is gone.
func (s *Service) forget(ctx context.Context, k *Key, materialID string) {
	gone := *k
	gone.Material, gone.Others = MaterialRecord{ID: materialID}, nil
	s.logDiscard(k, s.standard.Discard(ctx, &gone))
}

// expired is the first of k's materials whose time is over, or nil.
func (k *Key) expired(now time.Time) *MaterialRecord {
	if reached(k.Material.ValidTo, now) {
		return &k.Material
	}
	for i := range k.Others {
		if reached(k.Others[i].ValidTo, now) {
			return &k.Others[i]
		}
	}
	return nil
}

// expire removes imported material whose time is over.
func (s *Service) expire(ctx context.Context, k *Key, id string) error {
	event := s.serviceEvent("DeleteExpiredKeyMaterial", k)
	event.Details.Add("keyId", k.ID)
	event.Details.Add("keyMaterialId", k.told(id))
	err := s.changeFamily(ctx, event, k, func(tx Tx, family []*Key) error {
		current := memberIn(family, k)
		if current == nil {
			return errNotDue
		}
		if m := current.record(id); m == nil || !reached(m.ValidTo, s.now()) {
			return errNotDue
		}
		if err := giveUp(tx, current, family, id); err != nil {
			return err
		}
		return tx.UpdateKey(current)
	})
	if err != nil {
		return fmt.Errorf("kms: removing expired material of %s: %w", k.ARN(), err)
	}
	s.forget(ctx, k, id)
	return nil
}
