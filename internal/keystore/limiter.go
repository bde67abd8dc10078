package keystore

import (
	"sync"
	"time"
)

// limiter is a token bucket that holds the tokens of one second. A nil limiter admits everything.
type limiter struct {
	rate float64

	mu     sync.Mutex // guards what follows
	tokens float64
	filled time.Time
}

// newLimiter admits perSecond operations a second; zero or less means no bound.
func newLimiter(perSecond int) *limiter {
	if perSecond <= 0 {
		return nil
	}
	return &limiter{rate: float64(perSecond), tokens: float64(perSecond)}
}

func (l *limiter) admit(now time.Time) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.filled.IsZero() && now.After(l.filled) {
		l.tokens = min(l.rate, l.tokens+l.rate*now.Sub(l.filled).Seconds())
	}
	if l.filled.IsZero() || now.After(l.filled) {
		l.filled = now
	}
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
