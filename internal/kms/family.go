package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// Related multi-Region keys are a family: rows of their own that share id, material, spec, usage, origin and rotation
// (AWS KMS Developer Guide, "Shared properties of multi-Region keys"). What is shared changes in all rows at once, in one
// transaction. A single-Region key is a family of one.

// errGrown says that a family got a member between looking for whose cached copies a change makes stale and the change.
var errGrown = errors.New("kms: the family has a new member")

// changeFamily runs a change of k's family in a transaction that also keeps the event. fn gets the keys as they are then,
// in the order of their Regions; none if k is gone. It may run several times. more names keys that join the family.
func (s *Service) changeFamily(
	ctx context.Context, event *audit.Event, k *Key, fn func(tx Tx, family []*Key) error, more ...keyRef,
) error {
	for range attempts {
		t, err := s.members(ctx, k)
		if err != nil {
			return err
		}
		t.keys = append(t.keys, more...)
		err = s.snapshots.change(ctx, event, t, func(tx Tx) error {
			family, err := family(tx, k)
			if err != nil {
				return err
			}
			for _, member := range family {
				if !slices.Contains(t.keys, keyRef{member.Scope, member.ID}) {
					return errGrown
				}
			}
			return fn(tx, family)
		})
		if !errors.Is(err, errGrown) {
			return err
		}
	}
	return errGrown
}

// members names the keys of k's family.
func (s *Service) members(ctx context.Context, k *Key) (touched, error) {
	t := oneKey(k)
	if !k.MultiRegion() {
		return t, nil
	}
	related, err := s.store.Related(ctx, k.Scope.Account, k.ID)
	if err != nil {
		return t, fmt.Errorf("kms: looking for the relatives of %s: %w", k.ARN(), err)
	}
	for _, r := range related {
		if r.Scope != k.Scope {
			t.keys = append(t.keys, keyRef{r.Scope, r.ID})
		}
	}
	return t, nil
}

// family is read inside a transaction.
func family(tx Tx, k *Key) ([]*Key, error) {
	if k.MultiRegion() {
		return tx.Related(k.Scope.Account, k.ID)
	}
	current, err := tx.Key(k.Scope, k.ID)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, nil
	}
	return []*Key{current}, err
}

// memberIn is the member of a family in k's Region, or nil.
func memberIn(family []*Key, k *Key) *Key {
	for _, member := range family {
		if member.Scope == k.Scope {
			return member
		}
	}
	return nil
}

// familyEdit changes k, which the caller stores afterwards. Other members of the family that it changes it has to store
// itself, with tx. It adds to the event's response, which already holds the key's ARN as keyId.
type familyEdit func(tx Tx, k *Key, family []*Key, response *audit.Members) error

// alterFamily is alter for changes that concern related keys as well.
func (s *Service) alterFamily(ctx context.Context, call *operation.Call, op string, seen *snapshot, change familyEdit) (*Key, error) {
	if err := s.permits(op, seen.Key); err != nil {
		return nil, err
	}
	var changed *Key
	err := s.changeFamily(ctx, call.Event, seen.Key, func(tx Tx, family []*Key) error {
		if changed = memberIn(family, seen.Key); changed == nil {
			return keyNotFound(seen.Scope, seen.ID)
		}
		if err := s.permits(op, changed); err != nil {
			return err
		}
		call.Event.Response = audit.Members{{Name: "keyId", Value: seen.arn}}
		if err := change(tx, changed, family, &call.Event.Response); err != nil {
			return err
		}
		return tx.UpdateKey(changed)
	})
	if err != nil {
		return nil, unexpected("changing a key and its relatives", err)
	}
	return changed, nil
}

// share gives k's relatives what a family shares and k has got. The material of imported keys is everybody's own affair:
// it is imported in each Region (AWS KMS Developer Guide, "Importing key material into multi-Region keys").
func (s *Service) share(tx Tx, k *Key, family []*Key) error {
	if len(family) < 2 {
		return nil
	}
	for _, member := range family {
		if member.Scope == k.Scope {
			continue
		}
		member.Rotation = k.Rotation
		if !k.imported() {
			member.Material, member.Others = k.Material, slices.Clone(k.Others)
		}
		if err := tx.UpdateKey(member); err != nil {
			return err
		}
	}
	return tx.AddEvent(s.synchronized(k))
}

// synchronized is the event of sharing. Unlike other events of the service's own it counts as an API call (AWS KMS
// Developer Guide, "SynchronizeMultiRegionKey").
func (s *Service) synchronized(primary *Key) *audit.Event {
	event := s.serviceEvent("SynchronizeMultiRegionKey", primary)
	event.RequestID = uuid.NewString()
	event.Response = audit.Members{{Name: "keyId", Value: primary.ARN()}}
	return event
}
