package kms

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := newTurns(0)
		if err := free.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := free.take(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("whose caller has gone: %v", err)
		}
		begun := time.Now()
		if err := free.take(t.Context()); err != error(ErrThrottled) || time.Since(begun) != longestTurn {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		next := make(chan error)
		go func() { next <- free.take(t.Context()) }()
		synctest.Wait() // until it waits
		free.give()
		if err := <-next; err != nil {
			t.Errorf("whose turn came: %v", err)
		}
	})
}
