package cloudtrail

import (
	"sync"
	"time"

	"keyward/internal/arn"
)

// Lookups per account and Region: two a second (CloudTrail API Reference, "LookupEvents"), with room for the pages of
// one search after a rest.
const (
	lookupRate  = 2.0
	lookupBurst = 10.0
	maxBuckets  = 1000
)

type bucket struct {
	tokens float64
	filled time.Time
}

// limiter is a token bucket for each scope.
type limiter struct {
	mu      *sync.Mutex // guards buckets
	buckets map[arn.Scope]*bucket
}

func newLimiter() limiter { return limiter{new(sync.Mutex), map[arn.Scope]*bucket{}} }

func (l limiter) admit(scope arn.Scope, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[scope]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			clear(l.buckets) // callers choose Regions: forgetting is better than growing
		}
		b = &bucket{lookupBurst, now}
		l.buckets[scope] = b
	}
	if now.After(b.filled) {
		b.tokens = min(lookupBurst, b.tokens+lookupRate*now.Sub(b.filled).Seconds())
		b.filled = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
