package kms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/policy"
)

const (
	// dueInterval is how often due keys are looked for at least: what failed is tried again, and what becomes due later is
	// known in time.
	dueInterval = time.Minute
	dueBatch    = 100
)

// Wake makes Run look for what is due now, for example because the clock was moved.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run does with keys what is due, when it is, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for {
		began := s.now()
		err := s.CatchUp(ctx)
		pause, later := s.pause(ctx, began)
		if err = errors.Join(err, later); err != nil && ctx.Err() == nil {
			s.log.Error("doing with keys what is due", "error", err)
		}
		next := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-next.C:
		case <-s.wake:
		}
		next.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// pause is how long it takes until something becomes due that is known of now, at most dueInterval. What was due already
// when CatchUp began could not be done, and waits as long as that.
func (s *Service) pause(ctx context.Context, began time.Time) (time.Duration, error) {
	now := s.now()
	soon, err := s.store.Due(ctx, now.Add(dueInterval), dueBatch)
	if err != nil {
		return dueInterval, fmt.Errorf("kms: looking for what is due next: %w", err)
	}
	for _, k := range soon { // the soonest first
		if due := k.Due(); due.After(began) {
			return due.Sub(now), nil
		}
	}
	return dueInterval, nil
}

// CatchUp does with all keys what is due (Key.Due). Each step is one transaction with its event; a crash between two steps
// is caught up on by the next call.
func (s *Service) CatchUp(ctx context.Context) error {
	s.catching.Lock() // two at once would both try to discard, and one of them report failure
	defer s.catching.Unlock()
	if err := s.discardAll(ctx); err != nil {
		return err
	}
	for {
		due, err := s.store.Due(ctx, s.now(), dueBatch)
		if err != nil {
			return fmt.Errorf("kms: looking for what is due: %w", err)
		}
		var failed error // of one key, which must not keep the others waiting
		done := false
		for _, k := range due {
			happened, err := s.happen(ctx, k)
			done, failed = done || happened, errors.Join(failed, err)
		}
		if !done { // a key for which one thing was done may have another that is due
			return errors.Join(failed, s.discardAll(ctx))
		}
	}
}

// errNotDue says that what was due for a key is no longer, because the key was changed meanwhile.
var errNotDue = errors.New("kms: not due any more")

// happen does what is due for k, one thing at a time, and says whether it did: what else is due is found again.
func (s *Service) happen(ctx context.Context, k *Key) (happened bool, err error) {
	now := s.now()
	switch gone := k.expired(now); {
	case reached(k.DeletionDate, now):
		err = s.delete(ctx, k)
	case reached(k.Settles, now):
		err = s.settled(ctx, k)
	case gone != nil:
		err = s.expire(ctx, k, gone.ID)
	case k.mayRotateNow() && (reached(k.Rotation.Started, now) || reached(k.Rotation.Next, now)):
		err = s.rotate(ctx, k)
	}
	if errors.Is(err, fault.ErrConflict) || errors.Is(err, errNotDue) {
		return false, nil // if something is still due, it is found again
	}
	return err == nil, err
}

// instant is now in the form in which times are kept.
func (s *Service) instant() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// reached reports whether a due time is over; zero never is.
func reached(due, now time.Time) bool { return !due.IsZero() && !due.After(now) }

// serviceEvent is the record of what the service did to k by itself.
func (s *Service) serviceEvent(name string, k *Key) *audit.Event {
	return &audit.Event{
		ID:        uuid.NewString(),
		Time:      s.now(),
		Region:    k.Scope.Region,
		Caller:    policy.Caller{Type: audit.ServiceCaller, Account: k.Scope.Account},
		SourceIP:  "AWS Internal",
		UserAgent: "AWS Internal",
		Source:    "kms.amazonaws.com",
		Name:      name,
		Resources: []audit.Resource{{Type: keyType, ARN: k.ARN()}},
	}
}
