package kms

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
)

// Bounds of the caches. A snapshot weighs its policy, tags and description, which can be large, and a share for the rest.
const (
	cachedKeys    = 100_000
	cachedAliases = 100_000
	cachedBytes   = 128 << 20
	snapshotShare = 1 << 10
)

// snapshot is a key as it was read, with what each use of it needs. It is shared and never changed.
type snapshot struct {
	*Key
	arn      string
	identity string
	header   header   // of ciphertexts under the current material
	others   []header // likewise, one for each of Key.Others
	// family tells of related multi-Region keys; nil for a single-Region key.
	family *types.MultiRegionConfiguration
}

// newSnapshot prepares k. The family of a multi-Region key are its related keys and it.
func newSnapshot(k *Key, family []*Key) (*snapshot, error) {
	s := &snapshot{
		Key: k, arn: k.ARN(), identity: k.identity(), others: make([]header, len(k.Others)), family: configuration(k, family),
	}
	var err error
	if s.header, err = headerOf(k, &k.Material); err != nil {
		return nil, err
	}
	for i := range k.Others {
		if s.others[i], err = headerOf(k, &k.Others[i]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// sealedBy is the material that a ciphertext's header names; nil if it is none of the key's.
func (s *snapshot) sealedBy(h *header) *MaterialRecord {
	if *h == s.header {
		return &s.Material
	}
	for i := range s.others {
		if *h == s.others[i] {
			return &s.Others[i]
		}
	}
	return nil
}

func (s *snapshot) weight() int {
	w := snapshotShare + len(s.Policy) + len(s.Description)
	for i := range s.Others {
		w += len(s.Others[i].Wrapped) + headerSize + 256
	}
	for _, t := range s.Tags {
		w += len(*t.TagKey) + len(*t.TagValue) + 64
	}
	return w
}

type keyRef struct {
	scope arn.Scope
	id    string
}

type aliasRef struct {
	scope arn.Scope
	name  string
}

// snapshots reads keys and the targets of aliases through caches and runs all changes, so that it knows of each.
type snapshots struct {
	store   Store
	keys    *cache[keyRef, *snapshot]
	aliases *cache[aliasRef, string]
}

func newSnapshots(store Store) *snapshots {
	return &snapshots{
		store:   store,
		keys:    newCache[keyRef](cachedKeys, cachedBytes, (*snapshot).weight),
		aliases: newCache[aliasRef](cachedAliases, cachedBytes, func(string) int { return snapshotShare }),
	}
}

// key returns the key or fault.ErrNotFound.
func (s *snapshots) key(ctx context.Context, ref keyRef) (*snapshot, error) {
	found, generation, ok := s.keys.get(ref)
	if ok {
		return found, nil
	}
	k, family, err := s.read(ctx, ref)
	if err != nil {
		return nil, err
	}
	read, err := newSnapshot(k, family)
	if err != nil {
		return nil, err
	}
	s.keys.put(ref, read, generation)
	return read, nil
}

// read reads a key; a multi-Region key together with its family, all as they are at one moment.
func (s *snapshots) read(ctx context.Context, ref keyRef) (*Key, []*Key, error) {
	if !strings.HasPrefix(ref.id, multiRegionPrefix) {
		k, err := s.store.Key(ctx, ref.scope, ref.id)
		return k, nil, err
	}
	family, err := s.store.Related(ctx, ref.scope.Account, ref.id)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range family {
		if k.Scope == ref.scope {
			return k, family, nil
		}
	}
	return nil, nil, fault.ErrNotFound
}

// target returns the id of the key that the alias points to, or fault.ErrNotFound.
func (s *snapshots) target(ctx context.Context, ref aliasRef) (string, error) {
	id, generation, ok := s.aliases.get(ref)
	if ok {
		return id, nil
	}
	a, err := s.store.Alias(ctx, ref.scope, ref.name)
	if err != nil {
		return "", err
	}
	s.aliases.put(ref, a.KeyID, generation)
	return a.KeyID, nil
}

// touched names the records that a change may replace or remove.
type touched struct {
	keys    []keyRef
	aliases []aliasRef
}

// oneKey is touched for changes of a single key.
func oneKey(k *Key) touched { return touched{keys: []keyRef{{k.Scope, k.ID}}} }

// attempts bounds how often a change is decided again because another one came between.
const attempts = 10

// change runs fn in a transaction that also keeps the event. fn may run several times, each time on what is there then.
func (s *snapshots) change(ctx context.Context, event *audit.Event, t touched, fn func(Tx) error) (err error) {
	s.begin(t)
	defer s.end(t)
	for range attempts {
		err = s.store.Change(ctx, event, fn)
		if !errors.Is(err, fault.ErrConflict) {
			break
		}
	}
	if err != nil && event != nil {
		event.Response = nil
	}
	return err
}

func (s *snapshots) begin(t touched) {
	for _, ref := range t.keys {
		s.keys.begin(ref)
	}
	for _, ref := range t.aliases {
		s.aliases.begin(ref)
	}
}

func (s *snapshots) end(t touched) {
	for _, ref := range t.keys {
		s.keys.end(ref)
	}
	for _, ref := range t.aliases {
		s.aliases.end(ref)
	}
}
