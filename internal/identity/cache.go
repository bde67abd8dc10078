package identity

import (
	"sync"
	"sync/atomic"
	"time"

	"keyward/internal/policy"
	"keyward/internal/secret"
	"keyward/internal/sigv4"
)

// entry is a set of credentials ready for use. All but noted stays as it was made.
type entry struct {
	principal *policy.Principal
	secret    secret.Bytes
	tokenHash []byte    // of the session token; nil for access keys of users
	ends      time.Time // of the session; zero for access keys of users
	fresh     time.Time // until when the entry is good
	noted     atomic.Bool
}

// check holds the session token of a request, empty where it has none, against the credentials.
func (e *entry) check(token string, now time.Time) error {
	switch {
	case (token == "") != (e.tokenHash == nil), token != "" && !sameToken(token, e.tokenHash):
		return sigv4.ErrUnknownKey
	case !e.ends.IsZero() && !now.Before(e.ends):
		return sigv4.ErrExpiredToken
	}
	return nil
}

// cache holds opened credentials. When it is full it forgets any one of them: a working set that does not fit costs a
// look-up a request, never a refusal.
type cache struct {
	size int
	mu   sync.RWMutex
	keys map[string]*entry
	// changes counts forget, so that what was read before a change is not put after it.
	changes int64
}

func newCache(size int) *cache { return &cache{size: size, keys: make(map[string]*entry)} }

// get returns the entry of id unless it is too old.
func (c *cache) get(id string, now time.Time) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.keys[id]; e != nil && now.Before(e.fresh) {
		return e
	}
	return nil
}

// seen is the number of changes so far: to be asked before reading what is then put.
func (c *cache) seen() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.changes
}

// put does not wipe the secret it displaces: a request that is being verified may still hold it.
func (c *cache) put(id string, e *entry, seen int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seen != c.changes {
		return
	}
	if _, known := c.keys[id]; !known && len(c.keys) >= c.size {
		for other := range c.keys {
			delete(c.keys, other)
			break
		}
	}
	c.keys[id] = e
}

// forget drops everything: after a change of what principals are or may do. Changes are rare, and a change of one
// account can reach principals of others through the policies that they share.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	clear(c.keys)
}
