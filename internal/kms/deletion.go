package kms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/uuid"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
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
	due := s.now().UTC().Truncate(time.Millisecond).AddDate(0, 0, int(days))
	k, err := s.mutate(ctx, call, "ScheduleKeyDeletion", *in.KeyId, func(k *Key, response *audit.Members) error {
		k.State, k.DeletionDate = types.KeyStatePendingDeletion, due
		response.Add("keyState", k.State)
		response.Add("deletionDate", due)
		response.Add("pendingWindowInDays", days)
		s.noteBacking(call.Event, k)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.ScheduleKeyDeletionOutput{
		KeyId: aws.String(k.ARN()), KeyState: k.State, DeletionDate: &due, PendingWindowInDays: &days,
	}, nil
}

func (s *Service) cancelKeyDeletion(ctx context.Context, call *operation.Call, in *kms.CancelKeyDeletionInput) (*kms.CancelKeyDeletionOutput, error) {
	k, err := s.mutate(ctx, call, "CancelKeyDeletion", *in.KeyId, func(k *Key, _ *audit.Members) error {
		k.State, k.DeletionDate = types.KeyStateDisabled, time.Time{}
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

const (
	// dueInterval is how often deletions are looked for when nothing wakes the service; waiting periods are days.
	dueInterval = time.Minute
	dueBatch    = 100
	// allAliases is beyond any limit of aliases per key.
	allAliases = 1 << 20
)

// Wake makes Run look for due deletions now, for example because the clock was moved.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run deletes keys when they are due, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(dueInterval)
	defer tick.Stop()
	for {
		if err := s.DeleteDue(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("deleting keys that are due", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// DeleteDue deletes all keys whose waiting period is over: the key with its aliases first, then, once and as best it
// can, the material. The event DeleteKey is kept with the deletion of the key, or, for keys in custom key stores, with
// the outcome of discarding the material; a crash between the two is caught up on by the next call.
func (s *Service) DeleteDue(ctx context.Context) error {
	s.deleting.Lock() // two at once would both try to discard, and one of them report failure
	defer s.deleting.Unlock()
	if err := s.discardAll(ctx); err != nil {
		return err
	}
	for {
		due, err := s.store.DueDeletions(ctx, s.now(), dueBatch)
		if err != nil {
			return fmt.Errorf("kms: looking for due deletions: %w", err)
		}
		for _, k := range due {
			if err := s.delete(ctx, k); err != nil {
				return err
			}
		}
		if len(due) < dueBatch {
			return s.discardAll(ctx)
		}
	}
}

// delete removes a key unless its deletion was cancelled meanwhile.
func (s *Service) delete(ctx context.Context, k *Key) error {
	aliases, err := s.store.Aliases(ctx, k.Scope, k.ID, "", allAliases)
	if err != nil {
		return fmt.Errorf("kms: listing aliases of %s: %w", k.ARN(), err)
	}
	t := touched{scope: k.Scope, keyID: k.ID}
	for _, a := range aliases {
		t.aliases = append(t.aliases, a.Name)
	}
	s.snapshots.begin(t)
	defer s.snapshots.end(t)
	var event *audit.Event
	if k.StoreID == "" {
		event = s.deleted(k)
	}
	err = s.store.Change(ctx, event, func(tx Tx) error {
		if err := tx.DeleteKey(k); err != nil || k.StoreID == "" {
			return err
		}
		return tx.InsertDiscard(k)
	})
	if errors.Is(err, fault.ErrConflict) {
		return nil // it was changed after it was listed; if it is still due, the next round finds it
	}
	if err != nil {
		return fmt.Errorf("kms: deleting %s: %w", k.ARN(), err)
	}
	if k.StoreID == "" {
		s.logDiscard(k, s.standard.Discard(ctx, k))
	}
	return nil
}

// deleted is the service event of a key's deletion.
func (s *Service) deleted(k *Key) *audit.Event {
	return &audit.Event{
		ID:        uuid.NewString(),
		Time:      s.now(),
		Region:    k.Scope.Region,
		Caller:    policy.Caller{Type: "AWSService", Account: k.Scope.Account},
		SourceIP:  "AWS Internal",
		UserAgent: "AWS Internal",
		Source:    "kms.amazonaws.com",
		Name:      "DeleteKey",
		Response:  audit.Members{{Name: "keyId", Value: k.ARN()}},
		Resources: []audit.Resource{{Type: keyType, ARN: k.ARN()}},
	}
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
