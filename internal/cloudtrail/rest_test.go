package cloudtrail

import (
	"testing"
	"time"
)

// TestPackingLeavesTheProcessorToCalls, but not for good.
func TestPackingLeavesTheProcessorToCalls(t *testing.T) {
	for _, c := range []struct {
		more    bool
		backlog int64
		want    time.Duration
	}{
		{false, 0, packInterval},
		{false, maxBacklog + 1, packInterval},
		{true, 0, share * time.Second},
		{true, maxBacklog, share * time.Second},
		{true, maxBacklog + 1, time.Second},
	} {
		if got := restAfter(c.more, time.Second, c.backlog); got != c.want {
			t.Errorf("more %t, %d bytes wait: rests %v, want %v", c.more, c.backlog, got, c.want)
		}
	}
}
