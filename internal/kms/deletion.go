package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// Waiting periods in days (AWS KMS Developer Guide, "Delete an AWS KMS key").
const (
	minWindow   = 7
	maxWindow   = 30
	usualWindow = 30
)

func (s *Service) scheduleKeyDeletion(
	ctx context.Context, call *operation.Call, in *kms.ScheduleKeyDeletionInput,
) (*kms.ScheduleKeyDeletionOutput, error) {
	days := aws.ToInt32(in.PendingWindowInDays)
	if in.PendingWindowInDays == nil {
		days = usualWindow
	}
	call.Event.Request.Add("pendingWindowInDays", days)
	if days < minWindow || days > maxWindow {
		return nil, invalid("PendingWindowInDays must be between %d and %d", minWindow, maxWindow)
	}
	q := about("ScheduleKeyDeletion", with(keyPendingWindow, strconv.Itoa(int(days)))...)
	k, err := s.key(ctx, call, q, *in.KeyId)
	if err != nil {
		return nil, err
	}
	scheduled, err := s.alterFamily(ctx, call, "ScheduleKeyDeletion", k, func(_ Tx, k *Key, family []*Key, response *audit.Members) error {
		if k.Primary() && len(family) > 1 {
			k.become(types.KeyStatePendingReplicaDeletion)
			k.PendingWindow = int(days)
		} else {
			s.doom(k, int(days))
		}
		response.Add("keyState", k.State)
		response.Add("deletionDate", deletionDate(k))
		response.Add("pendingWindowInDays", days)
		s.noteBacking(call.Event, k)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.ScheduleKeyDeletionOutput{
		KeyId: &k.arn, KeyState: scheduled.State, DeletionDate: deletionDate(scheduled), PendingWindowInDays: &days,
	}, nil
}

// doom begins the waiting period.
func (s *Service) doom(k *Key, days int) {
	k.become(types.KeyStatePendingDeletion)
	k.DeletionDate, k.PendingWindow = s.instant().AddDate(0, 0, days), 0
}

// deletionDate is nil while it depends on when the last replica is gone.
func deletionDate(k *Key) *time.Time {
	if k.DeletionDate.IsZero() {
		return nil
	}
	return &k.DeletionDate
}

// cancelKeyDeletion disables the key, whatever it was before. A key whose imported material has gone meanwhile waits for it
// first: enabled, it would be of no use.
func (s *Service) cancelKeyDeletion(ctx context.Context, call *operation.Call, in *kms.CancelKeyDeletionInput) (*kms.CancelKeyDeletionOutput, error) {
	k, err := s.mutate(ctx, call, about("CancelKeyDeletion"), *in.KeyId, func(k *Key, _ *audit.Members) error {
		k.become(types.KeyStateDisabled)
		if !k.complete() {
			k.become(types.KeyStatePendingImport)
		}
		k.DeletionDate, k.PendingWindow = time.Time{}, 0
		s.noteBacking(call.Event, k)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.CancelKeyDeletionOutput{KeyId: aws.String(k.ARN())}, nil
}

// noteBacking adds where the material of a key in a custom key store is.
func (s *Service) noteBacking(e *audit.Event, k *Key) {
	if k.StoreID == "" {
		return
	}
	addOnce(&e.Additional, "customKeyStoreId", k.StoreID)
	addOnce(&e.Additional, "clusterId", s.stores.Cluster(k.StoreID))
	addOnce(&e.Additional, "backingKeys", backingKeys(k))
}

// delete removes a key unless its deletion was cancelled meanwhile. The waiting period of a primary that is to follow its
// replicas begins with the last of them.
func (s *Service) delete(ctx context.Context, k *Key) error {
	aliases, err := s.store.Aliases(ctx, k.Scope, k.ID, "", allAliases)
	if err != nil {
		return fmt.Errorf("kms: listing aliases of %s: %w", k.ARN(), err)
	}
	t := touched{labels: []keyRef{{k.Scope, k.ID}}}
	for _, a := range aliases {
		t.aliases = append(t.aliases, aliasRef{k.Scope, a.Name})
	}
	s.snapshots.begin(t)
	defer s.snapshots.end(t)
	var event *audit.Event
	if k.StoreID == "" {
		event = s.deleted(k)
	}
	err = s.changeFamily(ctx, event, k, func(tx Tx, family []*Key) error {
		current := memberIn(family, k)
		if current == nil || !reached(current.DeletionDate, s.now()) {
			return errNotDue
		}
		if err := tx.DeleteKey(current); err != nil {
			return err
		}
		if k.StoreID != "" {
			return tx.InsertDiscard(k)
		}
		left := slices.DeleteFunc(family, func(member *Key) bool { return member == current })
		if err := agree(tx, left); err != nil { // material that only the one that is gone did not have waits no longer
			return err
		}
		return s.follow(tx, left)
	})
	if err != nil {
		return fmt.Errorf("kms: deleting %s: %w", k.ARN(), err)
	}
	if k.StoreID == "" {
		s.logDiscard(k, s.standard.Discard(ctx, k))
	}
	return nil
}

// follow begins the waiting period of a primary that waits for its last replica to be gone, if it is all that is left of
// its family.
func (s *Service) follow(tx Tx, left []*Key) error {
	if len(left) != 1 || left[0].State != types.KeyStatePendingReplicaDeletion {
		return nil
	}
	s.doom(left[0], left[0].PendingWindow)
	return tx.UpdateKey(left[0])
}

// deleted is the service event of a key's deletion.
func (s *Service) deleted(k *Key) *audit.Event {
	event := s.serviceEvent("DeleteKey", k)
	event.Response = audit.Members{{Name: "keyId", Value: k.ARN()}}
	return event
}

// discardAll discards the material of deleted keys in custom key stores.
func (s *Service) discardAll(ctx context.Context) error {
	for {
		left, err := s.store.Discards(ctx, dueBatch)
		if err != nil {
			return fmt.Errorf("kms: looking for material to discard: %w", err)
		}
		for _, k := range left {
			if err := s.discard(ctx, k); err != nil {
				return err
			}
		}
		if len(left) < dueBatch {
			return nil
		}
	}
}

// discard tries once and keeps the outcome: AWS KMS does not try again, and tells the owner of the cluster through the
// event (AWS KMS Developer Guide, "Deleting orphaned key material").
func (s *Service) discard(ctx context.Context, k *Key) error {
	bounded, cancel := context.WithTimeout(ctx, discardTime)
	failure := s.stores.Discard(bounded, k)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err() // the service is stopping: this was no fair try
	}
	status := "SUCCESS"
	if failure != nil {
		status = "FAILURE"
		s.logDiscard(k, failure)
	}
	event := s.deleted(k)
	s.noteBacking(event, k)
	event.Additional.Add("backingKeysDeletionStatus",
		fmt.Sprintf(`[{"backingKeyId":"%s","deletionStatus":"%s"}]`, k.Material.BackingKeyID, status))
	err := s.store.Change(ctx, event, func(tx Tx) error { return tx.DeleteDiscard(k.Scope, k.ID) })
	if errors.Is(err, fault.ErrNotFound) {
		return nil // another node has done it
	}
	if err != nil {
		return fmt.Errorf("kms: keeping the deletion of %s: %w", k.ARN(), err)
	}
	return nil
}
