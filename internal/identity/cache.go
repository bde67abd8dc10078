package identity

import (
	"sync"
	"time"

	"keyward/internal/policy"
	"keyward/internal/secret"
)

// entry is an access key ready for use.
type entry struct {
	caller  policy.Caller
	secret  secret.Bytes
	expires time.Time
}

// cache holds opened access keys. When it is full it forgets any one of them: a working set that does not fit costs a
// look-up a request, never a refusal.
type cache struct {
	size int
	mu   sync.RWMutex
	keys map[string]*entry
}

func newCache(size int) *cache { return &cache{size: size, keys: make(map[string]*entry)} }

// get returns the entry of id unless it is too old.
func (c *cache) get(id string, now time.Time) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.keys[id]; e != nil && now.Before(e.expires) {
		return e
	}
	return nil
}

// put does not wipe the secret it displaces: a request that is being verified may still hold it.
func (c *cache) put(id string, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.keys[id]; !known && len(c.keys) >= c.size {
		for other := range c.keys {
			delete(c.keys, other)
			break
		}
	}
	c.keys[id] = e
}
