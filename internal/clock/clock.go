// Package clock is the installation's time. It runs with the machine's clock; a rehearsal (`keyward up --dev`) may
// move it forward, never back. Signatures are checked against the machine's clock, everything else against this one.
package clock

import (
	"sync"
	"time"
)

// Clock tells the installation's time. The zero value tells the machine's.
type Clock struct {
	mu     sync.Mutex // guards what follows
	offset time.Duration
	moved  []func()
}

// New makes a clock that is ahead of the machine's by offset.
func New(offset time.Duration) *Clock { return &Clock{offset: max(offset, 0)} }

// Now is the installation's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Offset is how far ahead of the machine's clock this one is.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// Advance moves the clock forward by d, which must not be negative, and tells everyone who asked by OnMove.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	c.offset += max(d, 0)
	moved := c.moved
	c.mu.Unlock()
	for _, f := range moved {
		f()
	}
}

// OnMove registers f to be called after every Advance. Work that waits for a due time looks again then.
func (c *Clock) OnMove(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = append(c.moved, f)
}
