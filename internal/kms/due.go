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
	var failed error
	for tries := 0; tries < attempts; {
		due, err := s.store.Due(ctx, s.now(), dueBatch)
		if err != nil {
			return fmt.Errorf("kms: looking for what is due: %w", err)
		}
		var done, overtaken bool
		switch done, overtaken, failed = s.happenAll(ctx, due); {
		case done: // a key for which one thing was done may have another that is due
			tries = 0
		case overtaken:
			tries++
		default:
			return errors.Join(failed, s.discardAll(ctx))
		}
	}
	return errors.Join(failed, s.discardAll(ctx))
}

// happenAll does what is due for each of these keys, and says whether anything was done and whether a change of a key came
// before it. What fails for one key must not keep the others waiting.
func (s *Service) happenAll(ctx context.Context, due []*Key) (done, overtaken bool, failed error) {
	for _, k := range due {
		switch err := s.happen(ctx, k); {
		case err == nil:
			done = true
		case errors.Is(err, fault.ErrConflict) || errors.Is(err, errNotDue):
			overtaken = true
		default:
			failed = errors.Join(failed, err)
		}
	}
	return done, overtaken, failed
}

// errNotDue says that what was due for a key is no longer, because the key was changed meanwhile.
var errNotDue = errors.New("kms: not due any more")

// happen does what is due for k, one thing at a time: what else is due is found again, and so is what errNotDue or
// fault.ErrConflict says was overtaken by a change of the key.
func (s *Service) happen(ctx context.Context, k *Key) error {
	now := s.now()
	switch gone := k.expired(now); {
	case reached(k.DeletionDate, now):
		return s.delete(ctx, k)
	case reached(k.Settles, now):
		return s.settled(ctx, k)
	case gone != nil:
		return s.expire(ctx, k, gone.ID)
	case k.mayRotateNow() && (reached(k.Rotation.Started, now) || reached(k.Rotation.Next, now)):
		return s.rotate(ctx, k)
	default: // the clock was set back meanwhile
		return errNotDue
	}
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
