package keystore

import (
	"context"
	"encoding/hex"
	"time"

	"keyward/internal/hsmproto"
	"keyward/internal/kms"
)

// inventory is what a store's cluster held at one time. KMS keys whose material was missing then read Unavailable until
// an inventory finds it again (spec key-stores 8, deleted material).
type inventory struct {
	begun time.Time
	held  map[string]struct{} // ids of kmsuser's keys, hex
}

// pageSize of key listings: the most an HSM gives at once.
const pageSize = 1000

// maxHeld bounds an inventory, above the number of keys a cluster can hold (spec hsm 6.4).
const maxHeld = 20_000

// lacks reports whether the key's material was missing. Keys made since the inventory began are not judged.
func (v *inventory) lacks(k *kms.Key) bool {
	if v == nil || !k.Created.Before(v.begun) {
		return false
	}
	_, held := v.held[k.Material.BackingKeyID]
	return !held
}

// takeInventory replaces the link's inventory. One that cannot be completed changes nothing.
func (l *link) takeInventory(ctx context.Context) {
	v, err := readInventory(ctx, l.pool, l.m.now())
	if err != nil {
		l.m.log.Warn("a key store's keys could not be compared with its cluster's", "keyStore", l.record.ID, "error", err)
		return
	}
	l.inventory.Store(v)
}

// readInventory pages through kmsuser's keys. A key deleted meanwhile may push another one over a page's edge and out
// of sight, so that a listing whose total changed is begun again.
func readInventory(ctx context.Context, pool Pool, begun time.Time) (*inventory, error) {
	v := &inventory{begun: begun, held: make(map[string]struct{})}
	total := -1
	for offset := 0; offset < maxHeld; {
		page, err := pool.FindKeys(ctx, hsmproto.FindKeysRequest{Offset: offset, Max: pageSize})
		if err != nil {
			return nil, err
		}
		if total >= 0 && page.Total != total {
			clear(v.held)
			offset, total = 0, -1
			continue
		}
		total = page.Total
		for _, key := range page.Keys {
			if key.Owner == kmsuser {
				v.held[hex.EncodeToString(key.ID)] = struct{}{}
			}
		}
		offset += len(page.Keys)
		if len(page.Keys) == 0 || offset >= total {
			break
		}
	}
	return v, nil
}

// TakeInventory compares the keys of every CONNECTED store with its cluster's now instead of when their time comes.
func (m *Manager) TakeInventory(ctx context.Context) {
	for _, e := range *m.view.Load() {
		if !e.usable {
			continue
		}
		if pool, err := e.link.ready(ctx); err == nil && pool != nil {
			e.link.takeInventory(ctx)
		}
	}
}
