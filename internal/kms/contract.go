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
	ID    string // UUID
	// Version counts changes; UpdateKey compares and swaps on it.
	Version     int64
	Created     time.Time
	Description string
	Spec        types.KeySpec
	Usage       types.KeyUsageType
	Origin      types.OriginType
	// State is the underlying state: Enabled, Disabled or PendingDeletion. What callers see also depends on whether
	// the material can be reached (Material.Available).
	State        types.KeyState
	DeletionDate time.Time // zero unless PendingDeletion
	// StoreID names the custom key store; empty for keys of the default store.
	StoreID string
	Policy  string
	Tags    []types.Tag
	// Material is what Material.Generate returned.
	Material MaterialRecord
}

// ARN of the key.
func (k *Key) ARN() string { return k.Scope.Key(k.ID) }

// MaterialRecord is what must be kept to use a key's material again. It holds nothing in clear.
type MaterialRecord struct {
	// ID is the KeyMaterialId: 64 hex digits for keys of the default store, empty in custom key stores.
	ID string
	// Wrapped is the material under the root key; empty where the material lives elsewhere.
	Wrapped []byte
	// BackingKeyID is the id attribute of the HSM key, in lower-case hex without 0x; empty in the default store.
	BackingKeyID string
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
	// Aliases lists aliases with names above after in the order of names, at most limit; keyID, when not empty,
	// restricts them to one key.
	Aliases(ctx context.Context, scope arn.Scope, keyID, after string, limit int) ([]Alias, error)
	// CountAliases of one key.
	CountAliases(ctx context.Context, scope arn.Scope, keyID string) (int, error)
	// DueDeletions lists keys of all scopes that are PendingDeletion with a DeletionDate not after now.
	DueDeletions(ctx context.Context, now time.Time, limit int) ([]*Key, error)
	// Discards lists what Tx.InsertDiscard added and nobody has deleted yet, at most limit, oldest first.
	Discards(ctx context.Context, limit int) ([]*Key, error)
	// Change runs fn in one transaction together with the call's event (nil for background work): all or nothing is
	// durable when it returns.
	Change(ctx context.Context, event *audit.Event, fn func(Tx) error) error
}

// Tx is the inside of a Change; its reads see its writes.
type Tx interface {
	Key(scope arn.Scope, keyID string) (*Key, error)
	Alias(scope arn.Scope, name string) (*Alias, error)
	CountAliases(scope arn.Scope, keyID string) (int, error)
	// CountKeys of one account and Region. It must not depend on their number.
	CountKeys(scope arn.Scope) (int, error)
	// InsertKey adds a key: fault.ErrExists if the id is taken.
	InsertKey(*Key) error
	// UpdateKey replaces the key whose Version is the one given and counts it up in k, or fails with
	// fault.ErrConflict.
	UpdateKey(k *Key) error
	// DeleteKey removes a key of this Version with its aliases, or fails with fault.ErrConflict.
	DeleteKey(*Key) error
	InsertAlias(*Alias) error // fault.ErrExists
	UpdateAlias(*Alias) error // fault.ErrNotFound
	DeleteAlias(scope arn.Scope, name string) error
	// InsertDiscard notes that a deleted key's material, which lives outside the store, is still to be discarded. Of
	// the key only Scope, ID, Origin, StoreID and Material.BackingKeyID are kept.
	InsertDiscard(*Key) error
	// DeleteDiscard forgets the note; fault.ErrNotFound if it is gone.
	DeleteDiscard(scope arn.Scope, keyID string) error
}

// ErrBadCiphertext is what Material.Open answers when the bytes were not sealed under this key with this context.
var ErrBadCiphertext = errors.New("kms: not sealed under this key and context")

// Material performs the cryptography of the keys in its care and never lets their material out. Errors that are
// faults go to the caller as they are.
type Material interface {
	// Generate makes 256-bit AES material for the new key k (whose ID, Scope and StoreID are set).
	Generate(ctx context.Context, k *Key) (MaterialRecord, error)
	// Seal encrypts plaintext, authenticating aad with it; the result is nonce, ciphertext and tag in one.
	Seal(ctx context.Context, k *Key, aad, plaintext []byte) ([]byte, error)
	// Open reverses Seal, or answers ErrBadCiphertext.
	Open(ctx context.Context, k *Key, aad, sealed []byte) ([]byte, error)
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
