package server

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestPartsThatFailDoNotWait: of several that cannot go on at once the first is told of, and none holds up the others' end.
func TestPartsThatFailDoNotWait(t *testing.T) {
	first := errors.New("first")
	i := &installation{failed: make(chan error, 1)}
	i.fail(first)
	i.background(func(context.Context) { i.fail(errors.New("second")) })
	if err := i.close(); err != nil {
		t.Error(err)
	}
	if err := <-i.failed; err != first {
		t.Errorf("%v is told of", err)
	}
}

// TestClockStaysWhereItWasMoved moves it from many sides at once, and starts again: the clock does not run back.
func TestClockStaysWhereItWasMoved(t *testing.T) {
	config := testConfig(t)
	config.Dev = true
	started := func() *installation {
		t.Helper()
		i, err := open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	i := started()
	const moves = 8
	var all sync.WaitGroup
	for range moves {
		all.Go(func() {
			if _, err := AdvanceClock(t.Context(), config.Data, time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	err := i.close()
	i = started()
	if got := i.clock.Offset(); got != moves*time.Hour {
		t.Errorf("after %d hours it is %v ahead", moves, got)
	}
	if err := errors.Join(err, i.close()); err != nil {
		t.Error(err)
	}
}
