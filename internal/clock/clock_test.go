package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(time.Hour)
		start := time.Now()
		told := 0
		c.OnMove(func() { told++ })
		c.Advance(24 * time.Hour)
		c.Advance(-time.Hour)
		if got := c.Now().Sub(start); got != 25*time.Hour {
			t.Errorf("ahead by %v; want 25h", got)
		}
		if c.Offset() != 25*time.Hour || told != 2 {
			t.Errorf("offset %v, told %d times", c.Offset(), told)
		}
	})
}
