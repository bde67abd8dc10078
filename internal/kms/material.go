package kms

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
	"keyward/internal/secret"
	"keyward/internal/xaes"
)

// RootKey protects the material of ordinary keys. Package rootkey has them.
type RootKey interface {
	// Seal encrypts plaintext for a purpose; Open for any other purpose fails.
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
	// Derive makes a 32-byte key, the same one whenever it is asked for this purpose.
	Derive(purpose string) secret.Bytes
}

// openCiphers bounds the ciphers kept ready, about 1 KiB each.
const openCiphers = 20_000

// DefaultStore is the Material of keys outside custom key stores: cryptography in this process (XAES-256-GCM for symmetric
// encryption keys, what package keyspec does for all others), with material that is kept wrapped by the root key.
// Plaintext material is wiped as soon as what uses it is made of it. That itself, an AES key schedule or a private key,
// cannot be wiped with Go's types and is left to the garbage collector when its cache entry goes.
type DefaultStore struct {
	root    RootKey
	naming  secret.Bytes // names material without giving a way to test guesses of it
	ciphers *cache[string, cipher.AEAD]
	keys    *cache[string, *keyspec.Key]
	// Turns of computations that take long: of using private keys, and of making RSA keys.
	using, making turns
}

// NewDefaultStore prepares a DefaultStore.
func NewDefaultStore(root RootKey) *DefaultStore {
	return &DefaultStore{
		root:    root,
		naming:  root.Derive("kms key material id"),
		ciphers: newCache[string](openCiphers, openCiphers, func(cipher.AEAD) int { return 1 }),
		keys:    newCache[string](openKeys, openKeyBytes, weight),
		using:   newTurns(1),
		making:  newTurns(0.5),
	}
}

// Generate implements Material.
func (d *DefaultStore) Generate(ctx context.Context, k *Key) (MaterialRecord, error) {
	material, err := d.generate(ctx, k.Spec)
	if err != nil {
		return MaterialRecord{}, err
	}
	defer material.Wipe()
	return d.keep(k, material.Expose())
}

// keep wraps material of k, made here or elsewhere.
func (d *DefaultStore) keep(k *Key, material []byte) (MaterialRecord, error) {
	id := d.name(k, material)
	wrapped, err := d.root.Seal(wrapping(k, id), material)
	if err != nil {
		return MaterialRecord{}, fmt.Errorf("kms: wrapping key material: %w", err)
	}
	return MaterialRecord{ID: id, Wrapped: wrapped, State: types.KeyMaterialStateCurrent}, nil
}

// name is the KeyMaterialId: 64 hex digits that depend on key id and material.
func (d *DefaultStore) name(k *Key, material []byte) string {
	mac := hmac.New(sha256.New, d.naming.Expose())
	mac.Write([]byte(k.ID))
	mac.Write([]byte{0})
	mac.Write(material)
	return hex.EncodeToString(mac.Sum(nil))
}

// wrapping binds wrapped material to its key, so that records cannot be exchanged in the database.
func wrapping(k *Key, materialID string) string {
	return "kms key material " + materialID + " of " + k.identity()
}

// cipher returns the cipher of one of k's materials.
func (d *DefaultStore) cipher(k *Key, m *MaterialRecord) (cipher.AEAD, error) {
	return opened(d, d.ciphers, k, m, xaes.New)
}

// opened returns one of k's materials in the form that a cache keeps, unwrapping it if need be.
func opened[T any](d *DefaultStore, kept *cache[string, T], k *Key, m *MaterialRecord, prepare func([]byte) (T, error)) (T, error) {
	ready, generation, ok := kept.get(m.ID)
	if ok {
		return ready, nil
	}
	material, err := d.root.Open(wrapping(k, m.ID), m.Wrapped)
	if err != nil {
		return ready, fmt.Errorf("kms: unwrapping the material of %s: %w", k.ARN(), err)
	}
	defer clear(material)
	made, err := prepare(material)
	if err != nil {
		return ready, fmt.Errorf("kms: the material of %s: %w", k.ARN(), err)
	}
	kept.put(m.ID, made, generation)
	return made, nil
}

// Seal implements Material: nonce (24 bytes), ciphertext, tag (16 bytes).
func (d *DefaultStore) Seal(_ context.Context, k *Key, aad, plaintext []byte) ([]byte, error) {
	aead, err := d.cipher(k, &k.Material)
	if err != nil {
		return nil, err
	}
	out := make([]byte, xaes.NonceSize, xaes.NonceSize+len(plaintext)+xaes.Overhead)
	if _, err := rand.Read(out); err != nil {
		return nil, err
	}
	return aead.Seal(out, out, plaintext, aad), nil
}

// Open implements Material.
func (d *DefaultStore) Open(_ context.Context, k *Key, m *MaterialRecord, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < xaes.NonceSize+xaes.Overhead || !m.held() {
		return nil, ErrBadCiphertext
	}
	aead, err := d.cipher(k, m)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, sealed[:xaes.NonceSize], sealed[xaes.NonceSize:], aad)
	if err != nil {
		return nil, ErrBadCiphertext
	}
	return plaintext, nil
}

// Random implements Material.
func (d *DefaultStore) Random(_ context.Context, _ *Key, n int) ([]byte, error) {
	out := make([]byte, n)
	_, err := rand.Read(out)
	return out, err
}

// Discard implements Material. The wrapped material goes with the key's record; here only the ciphers are let go.
func (d *DefaultStore) Discard(_ context.Context, k *Key) error {
	d.forget(k.Material.ID)
	for i := range k.Others {
		d.forget(k.Others[i].ID)
	}
	return nil
}

// forget lets go of what was made of one material.
func (d *DefaultStore) forget(materialID string) {
	d.ciphers.begin(materialID)
	d.ciphers.end(materialID)
	d.keys.begin(materialID)
	d.keys.end(materialID)
}

// Available implements Material: what is in this process always is.
func (d *DefaultStore) Available(*Key) bool { return true }
