package identity

import (
	"context"
	"maps"
	"sync"
	"time"
)

// uses gathers when access keys were last used, until it is written down.
type uses struct {
	mu      sync.Mutex
	pending map[string]Use
}

func (u *uses) note(id string, use Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pending == nil {
		u.pending = map[string]Use{}
	}
	u.pending[id] = use
}

// newest is the last use of k, written down or not.
func (u *uses) newest(k *AccessKey) Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	if use, pending := u.pending[k.AccessKeyID]; pending {
		return use
	}
	return k.LastUsed
}

func (u *uses) snapshot() map[string]Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.pending)
}

// written forgets what was written down and has not been overtaken since.
func (u *uses) written(done map[string]Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, use := range done {
		if u.pending[id] == use {
			delete(u.pending, id)
		}
	}
}

const (
	// tidying is how often uses are written down and what is over is removed.
	tidying = time.Minute
	// remembered is how long a session or deletion that is over is told from one that never was.
	remembered = 24 * time.Hour
)

// Run writes down when access keys were used and removes sessions and deletions that are over, until ctx ends. report is told of
// failures, after which it goes on.
func (s *Service) Run(ctx context.Context, report func(error)) {
	ticker := time.NewTicker(tidying)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := s.Tidy(ctx); err != nil && ctx.Err() == nil {
				report(err)
			}
		case <-ctx.Done():
			if err := s.Tidy(context.WithoutCancel(ctx)); err != nil {
				report(err)
			}
			return
		}
	}
}

// Tidy does what Run does, once.
func (s *Service) Tidy(ctx context.Context) error {
	if pending := s.uses.snapshot(); len(pending) > 0 {
		if err := s.config.Store.NoteUses(ctx, pending); err != nil {
			return err
		}
		s.uses.written(pending)
	}
	return s.config.Store.Purge(ctx, s.config.Now().Add(-remembered))
}
