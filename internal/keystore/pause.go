package keystore

import (
	"context"
	"time"
)

// pause waits between repetitions, longer each time.
type pause struct{ next, longest time.Duration }

func (t *Timing) pause() *pause { return &pause{t.Backoff, t.BackoffTo} }

// wait returns early, with its error, when ctx ends.
func (p *pause) wait(ctx context.Context) error {
	timer := time.NewTimer(p.next)
	defer timer.Stop()
	p.next = min(2*p.next, p.longest)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// insist repeats try while it fails for a reason that may pass, until patience runs out; then it gives the last error.
func (m *Manager) insist(ctx context.Context, try func(context.Context) error) error {
	patience, cancel := context.WithTimeout(ctx, m.timing.Patience)
	defer cancel()
	pause := m.timing.pause()
	for {
		err := try(ctx)
		if err == nil || !passing(err) || ctx.Err() != nil {
			return err
		}
		if pause.wait(patience) != nil {
			return err
		}
	}
}
