package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/policy"
)

// Bounds of the caches. A snapshot weighs its own policy, tags and description, which can be large, and a share for the
// rest.
const (
	cachedKeys    = 100_000
	cachedAliases = 100_000
	cachedGrants  = 200_000
	cachedCommon  = 10_000
	cachedBytes   = 128 << 20
	snapshotShare = 1 << 10
	compiledShare = 5 // a policy's text and what is made of it, in lengths of the text
	grantShare    = 512
)

// snapshot is a key as it was read, with what each use of it needs. It is shared and never changed.
type snapshot struct {
	*Key
	arn      string
	identity string
	policy   *policy.Policy
	common   bool                 // policy is the default one, which all keys of an account share
	header   header               // of ciphertexts under the current material
	others   []header             // likewise, one for each of Key.Others
	mark     atomic.Pointer[mark] // of header, see marker.current
	// family tells of related multi-Region keys; nil for a single-Region key.
	family *types.MultiRegionConfiguration
}

// prepare makes the snapshot of k. The family of a multi-Region key are its related keys and it.
func (all *snapshots) prepare(k *Key, family []*Key) (*snapshot, error) {
	s := &snapshot{
		Key: k, arn: k.ARN(), identity: k.identity(), others: make([]header, len(k.Others)), family: configuration(k, family),
	}
	var err error
	if s.policy, s.common, err = all.compile(k); err != nil {
		return nil, fmt.Errorf("kms: the policy of %s cannot be read, so nobody may use it: %w", s.arn, err)
	}
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

// compile prepares a key's policy and reports whether it is the default one. Most are: those are prepared once.
func (all *snapshots) compile(k *Key) (p *policy.Policy, common bool, err error) {
	common = len(k.Bound) == 0 && k.Policy == defaultPolicy(k.Scope.Account)
	if !common {
		p, err = policy.Compile(policy.Resource, policyName, []byte(k.Policy), k.Bound)
		return p, false, err
	}
	p, generation, ok := all.common.get(k.Scope.Account)
	if !ok {
		if p, err = policy.Compile(policy.Resource, policyName, []byte(k.Policy), nil); err != nil {
			return nil, true, err
		}
		all.common.put(k.Scope.Account, p, generation)
	}
	return p, true, nil
}

// sealedBy is the material that a ciphertext's header names; nil if it is none of the key's.
func (s *snapshot) sealedBy(h *header) *MaterialRecord {
	if h.names(&s.header) {
		return &s.Material
	}
	for i := range s.others {
		if h.names(&s.others[i]) {
			return &s.Others[i]
		}
	}
	return nil
}

func (s *snapshot) ref() keyRef { return keyRef{s.Scope, s.ID} }

// grantsTo names the key's grants to a principal.
func (s *snapshot) grantsTo(handle string) grantRef { return grantRef{s.ref(), s.Created, handle} }

func (s *snapshot) weight() int {
	w := snapshotShare + len(s.Policy) + len(s.Description)
	if !s.common {
		w += (compiledShare - 1) * len(s.Policy)
	}
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

// grantRef names the grants of a key to a principal, by its handle. A multi-Region key that is gone can come back under
// its id, without its grants: born tells the two apart.
type grantRef struct {
	key     keyRef
	born    time.Time
	grantee string
}

// snapshots reads keys, aliases and grants through caches and runs all changes, so that it knows of each.
type snapshots struct {
	store   Store
	keys    *cache[keyRef, *snapshot]
	aliases *cache[aliasRef, string]
	labels  *cache[keyRef, []string] // the names of a key's aliases
	// owners are the scopes of keys that were found by their ids alone; an id never moves to another account, so nothing
	// here is ever replaced.
	owners *cache[keyRef, arn.Scope]
	grants *cache[grantRef, []policy.Grant]
	common *cache[string, *policy.Policy] // the default policies of accounts
}

func newSnapshots(store Store) *snapshots {
	return &snapshots{
		store:   store,
		keys:    newCache[keyRef](cachedKeys, cachedBytes, (*snapshot).weight),
		aliases: newCache[aliasRef](cachedAliases, cachedBytes, func(string) int { return snapshotShare }),
		owners:  newCache[keyRef](cachedAliases, cachedBytes, func(arn.Scope) int { return snapshotShare }),
		labels:  newCache[keyRef](cachedAliases, cachedBytes, func(names []string) int { return snapshotShare * (1 + len(names)) }),
		grants:  newCache[grantRef](cachedGrants, cachedBytes, func(all []policy.Grant) int { return grantShare * (1 + len(all)) }),
		common:  newCache[string](cachedCommon, cachedCommon, func(*policy.Policy) int { return 1 }),
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
	read, err := s.prepare(k, family)
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

// sealer returns the key of a ciphertext by its id: the one in scope or, if there is none, one of another account in the
// Region; fault.ErrNotFound if there is neither.
func (s *snapshots) sealer(ctx context.Context, scope arn.Scope, id string) (*snapshot, error) {
	k, err := s.key(ctx, keyRef{scope, id})
	if !errors.Is(err, fault.ErrNotFound) {
		return k, err
	}
	owner, generation, ok := s.owners.get(keyRef{arn.Scope{Region: scope.Region}, id})
	if ok {
		return s.key(ctx, keyRef{owner, id})
	}
	found, err := s.store.Find(ctx, scope.Region, id)
	if err != nil {
		return nil, err
	}
	s.owners.put(keyRef{arn.Scope{Region: scope.Region}, id}, found.Scope, generation)
	return s.key(ctx, keyRef{found.Scope, id})
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

// allAliases is beyond any limit of aliases per key, allGrants of grants.
const (
	allAliases = 1 << 20
	allGrants  = 1 << 30
)

// aliasesOf returns the names of all aliases of a key; callers do not change the list.
func (s *snapshots) aliasesOf(ctx context.Context, ref keyRef) ([]string, error) {
	names, generation, ok := s.labels.get(ref)
	if ok {
		return names, nil
	}
	aliases, err := s.store.Aliases(ctx, ref.scope, ref.id, "", allAliases)
	if err != nil {
		return nil, err
	}
	for i := range aliases {
		names = append(names, aliases[i].Name)
	}
	s.labels.put(ref, names, generation)
	return names, nil
}

// grantsOf returns the grants of a key to a principal; callers do not change the list.
func (s *snapshots) grantsOf(ctx context.Context, ref grantRef) ([]policy.Grant, error) {
	all, generation, ok := s.grants.get(ref)
	if ok {
		return all, nil
	}
	found, err := s.store.Grants(ctx, ref.key.scope, ref.key.id, GrantFilter{Grantee: ref.grantee}, allGrants)
	if err != nil {
		return nil, err
	}
	for i := range found {
		all = append(all, found[i].permission())
	}
	s.grants.put(ref, all, generation)
	return all, nil
}

// touched names the records that a change may replace or remove.
type touched struct {
	keys    []keyRef
	aliases []aliasRef
	labels  []keyRef // keys whose aliases change
	grants  []grantRef
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
	each(t.keys, s.keys.begin)
	each(t.aliases, s.aliases.begin)
	each(t.labels, s.labels.begin)
	each(t.grants, s.grants.begin)
}

func (s *snapshots) end(t touched) {
	each(t.keys, s.keys.end)
	each(t.aliases, s.aliases.end)
	each(t.labels, s.labels.end)
	each(t.grants, s.grants.end)
}

func each[Ref any](all []Ref, do func(Ref)) {
	for _, ref := range all {
		do(ref)
	}
}
