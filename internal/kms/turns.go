package kms

import (
	"context"
	"runtime"
	"time"

	"keyward/internal/fault"
)

// longestTurn bounds the wait for a turn. Who waits longer is one of more than the machine can serve.
const longestTurn = 20 * time.Second

// errThrottled is AWS's answer to more calls than it serves.
var errThrottled = fault.New("ThrottlingException",
	"You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")

// turns bounds how many computations that take milliseconds or more run at once, so that calls that take microseconds
// find a processor soon, however many of the others there are.
type turns chan struct{}

// newTurns lets as many run at once as a share of the processors, at least one.
func newTurns(share float64) turns {
	return make(turns, max(1, int(share*float64(runtime.GOMAXPROCS(0)))))
}

// take waits for a turn, which give ends.
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
		return errThrottled
	}
}

func (t turns) give() { <-t }
