package kms

import (
	"hash/maphash"
	"sync"
)

// cache holds copies of records so that hot reads cost no storage. It never shows what a change has replaced: while a
// change of a record's shard is under way nothing of that record is served or kept, and a value read before a change
// ended is refused afterwards (put compares the generation that get gave).
type cache[K comparable, V any] struct {
	seed   maphash.Seed
	weigh  func(V) int
	shards [cacheShards]shard[K, V]
	// Bounds of one shard.
	maxEntries, maxWeight int
}

const cacheShards = 64

type shard[K comparable, V any] struct {
	mu         sync.RWMutex
	entries    map[K]V
	changing   map[K]int // changes under way of each record
	weight     int
	generation uint64
}

// newCache bounds the cache by number and by the sum of weights.
func newCache[K comparable, V any](entries, weight int, weigh func(V) int) *cache[K, V] {
	c := &cache[K, V]{seed: maphash.MakeSeed(), weigh: weigh, maxEntries: max(1, entries/cacheShards), maxWeight: weight / cacheShards}
	for i := range c.shards {
		c.shards[i].entries = map[K]V{}
		c.shards[i].changing = map[K]int{}
	}
	return c
}

func (c *cache[K, V]) shard(k K) *shard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

// get returns the value, or the generation to give to put with what is then read from storage.
func (c *cache[K, V]) get(k K) (v V, generation uint64, ok bool) {
	s := c.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok = s.entries[k]
	return v, s.generation, ok
}

// put keeps v if no change came between get and now, making room by dropping arbitrary entries.
func (c *cache[K, V]) put(k K, v V, generation uint64) {
	w := c.weigh(v)
	if w > c.maxWeight {
		return
	}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation != generation || s.changing[k] > 0 {
		return
	}
	c.drop(s, k)
	for victim := range s.entries {
		if len(s.entries) < c.maxEntries && s.weight+w <= c.maxWeight {
			break
		}
		c.drop(s, victim)
	}
	s.entries[k] = v
	s.weight += w
}

func (c *cache[K, V]) drop(s *shard[K, V], k K) {
	if old, ok := s.entries[k]; ok {
		s.weight -= c.weigh(old)
		delete(s.entries, k)
	}
}

// begin announces a change of k: from here until end it is read from storage.
func (c *cache[K, V]) begin(k K) { c.change(k, +1) }

// end tells that the change of k has happened or failed.
func (c *cache[K, V]) end(k K) { c.change(k, -1) }

func (c *cache[K, V]) change(k K, by int) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.drop(s, k)
	s.generation++
	if s.changing[k] += by; s.changing[k] == 0 {
		delete(s.changing, k)
	}
}
