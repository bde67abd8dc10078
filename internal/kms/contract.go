package kms

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
)

// Key is a KMS key as it is kept. Values read from a Store are snapshots: change a copy and put it back.
type Key struct {
	Scope arn.Scope
	ID    string // UUID, or "mrk-" and 32 hex digits for a multi-Region key
	// Version counts changes; UpdateKey compares and swaps on it.
	Version     int64
	Created     time.Time
	Description string
	Spec        types.KeySpec
	Usage       types.KeyUsageType
	Origin      types.OriginType
	// State is the underlying state: any but Unavailable. What callers see also depends on whether the material can be
	// reached (Material.Available).
	State        types.KeyState
	DeletionDate time.Time // zero unless PendingDeletion
	// PendingWindow is the waiting period in days of a key that is PendingReplicaDeletion; it begins when the last
	// replica is gone.
	PendingWindow int
	// Settles is when a key that is Creating or Updating becomes what Settled says; zero in all other states.
	Settles time.Time
	Settled types.KeyState
	// StoreID names the custom key store; empty for keys of the default store.
	StoreID string
	Policy  string
	// Bound maps ARNs of principals that Policy names to the unique ids they stood for when the policy was put: a user or
	// role that is made again under the same name is somebody else.
	Bound map[string]string
	Tags  []types.Tag
	// Material is the current material: it encrypts, and is what Material.Generate returned.
	Material MaterialRecord
	// Others are the key's other materials in the order in which they came: earlier ones, which still decrypt, and such
	// as wait for a rotation.
	Others   []MaterialRecord
	Rotation Rotation
	// PrimaryRegion is where the primary of a multi-Region key is; empty for single-Region keys.
	PrimaryRegion string
}

// ARN of the key.
func (k *Key) ARN() string { return k.Scope.Key(k.ID) }

// MultiRegion reports whether the key may have related keys in other Regions.
func (k *Key) MultiRegion() bool { return k.PrimaryRegion != "" }

// Primary reports whether the key is the primary of its multi-Region family.
func (k *Key) Primary() bool { return k.PrimaryRegion == k.Scope.Region }

// identity names the key in what is bound to it cryptographically: its ARN, or, since related multi-Region keys are
// interchangeable, the ARN without a Region.
func (k *Key) identity() string {
	if k.MultiRegion() {
		return arn.Scope{Account: k.Scope.Account}.Key(k.ID)
	}
	return k.ARN()
}

// Due is when something happens to the key by itself: the earliest of its deletion, rotation, the expiry of imported
// material and the end of a transient state. It is zero if nothing will.
func (k *Key) Due() time.Time {
	var due time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	sooner(k.DeletionDate)
	sooner(k.Settles)
	sooner(k.Material.ValidTo)
	for i := range k.Others {
		sooner(k.Others[i].ValidTo)
	}
	if k.mayRotateNow() {
		sooner(k.Rotation.Next)
		sooner(k.Rotation.Started)
	}
	return due
}

// mayRotateNow reports whether rotations that are due happen: those of disabled keys wait, and replicas follow their
// primary.
func (k *Key) mayRotateNow() bool {
	return k.State == types.KeyStateEnabled && (!k.MultiRegion() || k.Primary())
}

// Rotation is how the material of a key changes. Related multi-Region keys have the same.
type Rotation struct {
	Enabled bool
	Period  int       // days, once rotation was enabled
	Next    time.Time // of the automatic rotation; zero unless enabled
	// Started is when a rotation on demand was asked for that has not happened yet.
	Started time.Time
	// OnDemand counts the rotations on demand that the key ever had.
	OnDemand int
}

// MaterialRecord is what must be kept to use a key's material again, and its history. It holds nothing in clear.
type MaterialRecord struct {
	// ID is the KeyMaterialId: 64 hex digits for keys of the default store, empty in custom key stores.
	ID string
	// Wrapped is the material under the root key; empty where the material lives elsewhere, or was imported and is gone.
	Wrapped []byte
	// BackingKeyID is the id attribute of the HSM key, in lower-case hex without 0x; empty in the default store.
	BackingKeyID string

	// State of the material in its key; empty in custom key stores.
	State types.KeyMaterialState
	// Rotated is when it became current by a rotation of this type; zero for the first.
	Rotated      time.Time
	RotationType types.RotationType

	// ValidTo is when imported material expires; zero where it does not, or is gone.
	ValidTo time.Time
	// Description was given when the material was imported.
	Description string
}

// Alias points to a key of its account and Region.
type Alias struct {
	Scope   arn.Scope
	Name    string // with its prefix "alias/"
	KeyID   string
	Created time.Time
	Updated time.Time
}

// Store keeps keys and aliases. Reads see everything that was acknowledged before. Absent records are
// fault.ErrNotFound.
type Store interface {
	Key(ctx context.Context, scope arn.Scope, id string) (*Key, error)
	Alias(ctx context.Context, scope arn.Scope, name string) (*Alias, error)
	// Keys lists key ids above after in the order of ids, at most limit.
	Keys(ctx context.Context, scope arn.Scope, after string, limit int) ([]string, error)
	// CountKeys of one account and Region. It must not depend on their number.
	CountKeys(ctx context.Context, scope arn.Scope) (int, error)
	// Aliases lists aliases with names above after in the order of names, at most limit; keyID, when not empty,
	// restricts them to one key.
	Aliases(ctx context.Context, scope arn.Scope, keyID, after string, limit int) ([]Alias, error)
	// Find returns a key by its id, whosever it is; id names at most one in a Region.
	Find(ctx context.Context, region, id string) (*Key, error)
	// Related lists the keys of a multi-Region family, in the order of their Regions.
	Related(ctx context.Context, account, id string) ([]*Key, error)
	// Due lists keys of all scopes for which Key.Due is not after now, the most overdue first.
	Due(ctx context.Context, now time.Time, limit int) ([]*Key, error)
	// LastUse returns the last use of a key that was kept with an event (audit.Event.Used), zero if there is none, and
	// since when uses are kept, zero if that was always so. The last use of a key is forgotten with the key.
	LastUse(ctx context.Context, scope arn.Scope, id string) (last LastUse, tracked time.Time, err error)
	// Discards lists what Tx.InsertDiscard added and nobody has deleted yet, at most limit, oldest first.
	Discards(ctx context.Context, limit int) ([]*Key, error)
	// Grant returns one grant of a key.
	Grant(ctx context.Context, scope arn.Scope, keyID, grantID string) (*Grant, error)
	// Grants lists grants of a key in the order of their ids, at most limit.
	Grants(ctx context.Context, scope arn.Scope, keyID string, f GrantFilter, limit int) ([]Grant, error)
	// RetirableGrants lists grants of all keys of a Region with this retiring principal (Party.Handle), with ids above
	// after, in the order of their ids, at most limit.
	RetirableGrants(ctx context.Context, region, retiring, after string, limit int) ([]Grant, error)
	// Change runs fn in one transaction together with the call's event (nil for background work): all or nothing is
	// durable when it returns.
	Change(ctx context.Context, event *audit.Event, fn func(Tx) error) error
}

// Tx is the inside of a Change; its reads see its writes.
type Tx interface {
	Key(scope arn.Scope, keyID string) (*Key, error)
	Related(account, keyID string) ([]*Key, error)
	Alias(scope arn.Scope, name string) (*Alias, error)
	CountAliases(scope arn.Scope, keyID string) (int, error)
	// CountKeys is Store's.
	CountKeys(scope arn.Scope) (int, error)
	// InsertKey adds a key: fault.ErrExists if the id is taken.
	InsertKey(*Key) error
	// UpdateKey replaces the key whose Version is the one given and counts it up in k, or fails with
	// fault.ErrConflict.
	UpdateKey(k *Key) error
	// DeleteKey removes a key of this Version with its aliases and grants, or fails with fault.ErrConflict.
	DeleteKey(*Key) error
	InsertAlias(*Alias) error // fault.ErrExists
	UpdateAlias(*Alias) error // fault.ErrNotFound
	DeleteAlias(scope arn.Scope, name string) error
	// CountGrants of one key. It must not depend on their number.
	CountGrants(scope arn.Scope, keyID string) (int, error)
	// SameGrant returns the id of the key's grant with this Fingerprint, or fault.ErrNotFound.
	SameGrant(scope arn.Scope, keyID, fingerprint string) (id string, err error)
	InsertGrant(*Grant) error                                 // fault.ErrExists
	DeleteGrant(scope arn.Scope, keyID, grantID string) error // fault.ErrNotFound
	// InsertDiscard notes that a deleted key's material, which lives outside the store, is still to be discarded. Of
	// the key only Scope, ID, Origin, StoreID and Material.BackingKeyID are kept.
	InsertDiscard(*Key) error
	// DeleteDiscard forgets the note; fault.ErrNotFound if it is gone.
	DeleteDiscard(scope arn.Scope, keyID string) error
	// AddEvent keeps one more event with the change, beside the one that Change was given.
	AddEvent(*audit.Event) error
}

// ErrBadCiphertext is what Material.Open answers when the bytes were not sealed under this key with this context.
var ErrBadCiphertext = errors.New("kms: not sealed under this key and context")

// Material performs the cryptography of the keys in its care and never lets their material out. Errors that are
// faults go to the caller as they are.
type Material interface {
	// Generate makes material for k, whose ID, Scope, Spec and StoreID are set.
	Generate(ctx context.Context, k *Key) (MaterialRecord, error)
	// Seal encrypts plaintext under the symmetric key's current material, authenticating aad with it; the result is nonce,
	// ciphertext and tag in one.
	Seal(ctx context.Context, k *Key, aad, plaintext []byte) ([]byte, error)
	// Open reverses Seal under one of k's materials, or answers ErrBadCiphertext.
	Open(ctx context.Context, k *Key, m *MaterialRecord, aad, sealed []byte) ([]byte, error)
	// Random returns n random bytes, 1 to 1024, from where k's material lives.
	Random(ctx context.Context, k *Key, n int) ([]byte, error)
	// Discard removes the material, at once and for good.
	Discard(ctx context.Context, k *Key) error
	// Available is false while k is to read Unavailable. It is asked on every call, so it must be cheap.
	Available(k *Key) bool
}

// KeyStores is what the KMS API needs of custom key stores beside their keys' Material.
type KeyStores interface {
	Material
	// Admit checks that a key can be created in the store now, answering with the exception CreateKey gives if not:
	// CustomKeyStoreNotFoundException, CustomKeyStoreInvalidStateException,
	// CloudHsmClusterInvalidConfigurationException.
	Admit(ctx context.Context, scope arn.Scope, storeID string) error
	// Cluster is the id of the cluster behind the store now.
	Cluster(storeID string) string
	// RandomOf returns n random bytes from the store's cluster, for GenerateRandom: CustomKeyStoreNotFoundException,
	// CustomKeyStoreInvalidStateException.
	RandomOf(ctx context.Context, scope arn.Scope, storeID string, n int) ([]byte, error)
}
