// Package quota counts requests against rates. Time comes in with each request: there is no clock and no timer, and a
// decision takes the same time however many requests came before.
package quota

import (
	"sync"
	"time"
)

// Rate is how many requests are admitted.
type Rate struct {
	PerSecond float64 // above zero
	// Burst is how many are admitted at once after a rest, at least one.
	Burst float64
}

// Every is the rate of a quota that is counted in requests a second: what one second admits is admitted at once. A rate
// below one admits one request, and the next when its share of a second has passed as often as one takes.
func Every(perSecond float64) Rate { return Rate{perSecond, max(1, perSecond)} }

func (r Rate) cost() time.Duration { return time.Duration(float64(time.Second) / r.PerSecond) }

func (r Rate) fill() time.Duration {
	return time.Duration(r.Burst * float64(time.Second) / r.PerSecond)
}

// Bucket is a token bucket: tokens flow in at a rate, up to the burst, and each request takes one. It is the one instant
// at which it will be full again, so that the zero Bucket is full.
type Bucket struct{ full time.Time }

// disorder is how much later than now the instant of an earlier request may be: concurrent requests come out of the
// order in which they looked at the clock. Beyond it the clock was set back, and the bucket begins anew.
const disorder = time.Second

// Take takes n tokens, or takes nothing and reports false. A bucket must always be given the same rate.
func (b *Bucket) Take(n int, r Rate, now time.Time) bool {
	full := b.full
	if full.Before(now) || full.After(now.Add(r.fill()+disorder)) {
		full = now
	}
	full = full.Add(time.Duration(n) * r.cost())
	if full.Sub(now) > r.fill() {
		return false
	}
	b.full = full
	return true
}

// Limiter is one bucket that many goroutines use. A nil Limiter admits everything.
type Limiter struct {
	rate   Rate
	mu     sync.Mutex // guards bucket
	bucket Bucket
}

// NewLimiter admits perSecond requests a second; zero or less means no bound.
func NewLimiter(perSecond float64) *Limiter {
	if perSecond <= 0 {
		return nil
	}
	return &Limiter{rate: Every(perSecond)}
}

// Admit counts a request, or refuses it.
func (l *Limiter) Admit(now time.Time) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket.Take(1, l.rate, now)
}

// Buckets keeps a bucket for each of many names, and never more than a fixed number of them. Buckets that were asked for
// long ago are forgotten, and are full when they are asked for again.
type Buckets[K comparable] struct {
	half int

	mu sync.Mutex // guards what follows
	// Two generations: what is used moves to the young one; when that has half of all, the old one is forgotten and the
	// young one becomes old.
	young, old map[K]Bucket
}

// NewBuckets remembers at least half of most names, the latest ones.
func NewBuckets[K comparable](most int) *Buckets[K] {
	return &Buckets[K]{half: max(1, most/2), young: map[K]Bucket{}}
}

// Take takes n tokens of the bucket of this name, as Bucket.Take does.
func (s *Buckets[K]) Take(name K, n int, r Rate, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.young[name]
	if !ok {
		b = s.old[name]
		if len(s.young) >= s.half {
			s.young, s.old = map[K]Bucket{}, s.young
		}
	}
	taken := b.Take(n, r, now)
	s.young[name] = b
	return taken
}
