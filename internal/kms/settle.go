package kms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// After ReplicateKey and UpdatePrimaryRegion keys are Creating and Updating for some seconds, in which AWS KMS tells other
// Regions. Here nothing is left to do when the call answers: keys show these states for as long as Config.Settle says, so
// that programs can be tried in them.

// settles is when a transient state that begins now ends.
func (s *Service) settles() time.Time { return s.instant().Add(s.settle) }

// settleAtOnce ends the transient states that these keys have just entered, if they last no time, so that the next call
// finds them over whatever else there is to do. What fails here, Run does.
func (s *Service) settleAtOnce(ctx context.Context, keys ...*Key) {
	defer s.Wake() // Run learns what is due, and when
	if s.settle > 0 {
		return
	}
	for _, k := range keys {
		if err := s.settled(ctx, k); err != nil && !errors.Is(err, errNotDue) {
			s.log.Error("ending a transient state", "error", err)
		}
	}
}

// settled ends k's transient state.
func (s *Service) settled(ctx context.Context, k *Key) error {
	err := s.snapshots.change(ctx, nil, oneKey(k), func(tx Tx) error {
		current, err := tx.Key(k.Scope, k.ID)
		if err != nil || !current.transient() {
			return errors.Join(err, errNotDue)
		}
		current.become(current.Settled)
		return tx.UpdateKey(current)
	})
	if err != nil {
		return fmt.Errorf("kms: ending state %s of %s: %w", k.State, k.ARN(), err)
	}
	return nil
}

// become enters a state, out of a transient one too.
func (k *Key) become(state types.KeyState) {
	k.State, k.Settles, k.Settled = state, time.Time{}, ""
}

// transient reports whether the key's state ends by itself.
func (k *Key) transient() bool { return !k.Settles.IsZero() }
