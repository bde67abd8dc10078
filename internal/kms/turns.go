package kms

import (
	"context"
	"runtime"
	"time"
)

// longestTurn bounds the wait for a turn. Who waits longer is one of more than the machine can serve.
const longestTurn = 20 * time.Second

// turns bounds how many computations that take milliseconds or more run at once, so that calls that take microseconds
// find a processor soon, however many of the others there are.
type turns chan struct{}

// newTurns lets as many run at once as a share of the processors, at least one.
func newTurns(share float64) turns {
	return make(turns, max(1, int(share*float64(runtime.GOMAXPROCS(0)))))
}

// take waits for a turn, which give ends. It fails with ctx, or with ErrThrottled if the wait is too long.
func (t turns) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(longestTurn)
	defer patience.Stop()
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return ErrThrottled
	}
}

func (t turns) give() { <-t }
