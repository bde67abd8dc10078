package kms

import (
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func one(int) int { return 1 }

// TestCacheNeverShowsWhatAChangeReplaced plays interleavings of slow readers and writers step by step against the
// record itself: whatever get serves while no change of the record is under way is the record's value now.
func TestCacheNeverShowsWhatAChangeReplaced(t *testing.T) {
	type reader struct {
		key, value int
		generation uint64
	}
	rapid.Check(t, func(t *rapid.T) {
		c := newCache[int](1000, 1000*cacheShards, one)
		stored, changing := map[int]int{}, map[int]int{}
		var readers []reader
		anyKey := rapid.IntRange(0, 2)
		t.Repeat(map[string]func(*rapid.T){
			"start reading": func(t *rapid.T) {
				k := anyKey.Draw(t, "key")
				if _, generation, ok := c.get(k); !ok {
					readers = append(readers, reader{k, stored[k], generation})
				}
			},
			"finish reading": func(t *rapid.T) {
				if len(readers) == 0 {
					t.Skip("nobody reads")
				}
				i := rapid.IntRange(0, len(readers)-1).Draw(t, "reader")
				c.put(readers[i].key, readers[i].value, readers[i].generation)
				readers = append(readers[:i], readers[i+1:]...)
			},
			"begin a change": func(t *rapid.T) {
				k := anyKey.Draw(t, "key")
				c.begin(k)
				changing[k]++
			},
			"commit and end": func(t *rapid.T) {
				k := anyKey.Draw(t, "key")
				if changing[k] == 0 {
					t.Skip("no change")
				}
				stored[k]++
				c.end(k)
				changing[k]--
			},
			"": func(t *rapid.T) {
				for k := range 3 {
					v, _, ok := c.get(k)
					if ok && changing[k] > 0 {
						t.Fatalf("record %d is served while it is being changed", k)
					}
					if ok && v != stored[k] {
						t.Fatalf("record %d reads %d, is %d", k, v, stored[k])
					}
				}
			},
		})
	})
}

// TestCacheUnderRealConcurrency has readers that go through the cache as the service does while a writer counts up:
// once the writer has ended a change, no reader may see less.
func TestCacheUnderRealConcurrency(t *testing.T) {
	c := newCache[int](1000, 1000*cacheShards, one)
	var stored, acknowledged atomic.Int64
	var all sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				least := acknowledged.Load()
				v, generation, ok := c.get(0)
				if !ok {
					v = int(stored.Load())
					c.put(0, v, generation)
				}
				if int64(v) < least {
					t.Errorf("read %d after %d was acknowledged", v, least)
					return
				}
			}
		})
	}
	for i := range int64(2_000) {
		c.begin(0)
		stored.Store(i + 1)
		c.end(0)
		acknowledged.Store(i + 1)
	}
	close(done)
	all.Wait()
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache[int](4*cacheShards, 40*cacheShards, func(w int) int { return w })
	for i := range 10_000 {
		_, generation, _ := c.get(i)
		c.put(i, 1+i%20, generation)
	}
	for i := range c.shards {
		s := &c.shards[i]
		sum := 0
		for _, w := range s.entries {
			sum += w
		}
		if len(s.entries) > 4 || sum != s.weight || sum > 40 {
			t.Errorf("shard %d: %d entries, weight %d, counted %d", i, len(s.entries), sum, s.weight)
		}
	}
	_, generation, _ := c.get(-1)
	c.put(-1, 41, generation)
	if _, _, ok := c.get(-1); ok {
		t.Error("an entry heavier than a shard was kept")
	}
}
