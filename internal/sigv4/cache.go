package sigv4

import (
	"sync"

	"keyward/internal/secret"
)

// KeyCache keeps derived signing keys, so that a client costs one derivation a day, Region and service. It holds two
// generations of at most Size/2 keys each: when the young one is full it becomes the old one, and what nobody asked
// for since is forgotten.
type KeyCache struct {
	size       int
	mu         sync.RWMutex
	young, old map[cacheKey]*Key
}

type cacheKey struct{ accessKeyID, day, region, service string }

// NewKeyCache makes a cache of at most size keys; size must be at least 2.
func NewKeyCache(size int) *KeyCache {
	return &KeyCache{size: max(size, 2), young: map[cacheKey]*Key{}}
}

// Key returns the signing key for c, deriving it at the first use. The secret must be that of c.AccessKeyID, which
// never changes during the life of an access key. Scopes enter the cache before their signature is verified, which is
// why it must be bounded.
func (k *KeyCache) Key(secretAccessKey secret.Bytes, c Credential) *Key {
	id := cacheKey{c.AccessKeyID, c.Day, c.Region, c.Service}
	k.mu.RLock()
	key, ok := k.young[id]
	k.mu.RUnlock()
	if ok {
		return key
	}
	return k.refresh(id, secretAccessKey, c)
}

func (k *KeyCache) refresh(id cacheKey, secretAccessKey secret.Bytes, c Credential) *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.old[id]
	if !ok {
		key = DeriveKey(secretAccessKey, c)
	}
	if len(k.young) >= k.size/2 {
		k.old, k.young = k.young, make(map[cacheKey]*Key, k.size/2)
	}
	k.young[id] = key
	return key
}

// Len is the number of keys held.
func (k *KeyCache) Len() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.young) + len(k.old)
}
