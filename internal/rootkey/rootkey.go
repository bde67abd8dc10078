// Package rootkey keeps the installation's root key: the one secret from which everything that is sealed on disk or in
// the database hangs. This file says what can be done with a root key; file.go keeps one in a sealed file; seals.go
// holds what opens that file. Other keepers (another KMS, an HSM) join by implementing Key.
//
// Nothing outside this package may see the root key itself: callers seal, open and derive by purpose.
package rootkey

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"keyward/internal/secret"
	"keyward/internal/xaes"
)

// Key seals small secrets and derives keys. Purposes keep uses apart: what was sealed for one purpose does not open
// for another, and keys derived for two purposes are independent.
type Key interface {
	// Seal encrypts plaintext for a purpose.
	Seal(purpose string, plaintext []byte) ([]byte, error)
	// Open reverses Seal, or answers ErrNotSealedHere.
	Open(purpose string, sealed []byte) ([]byte, error)
	// Derive makes a 32-byte key, the same one whenever it is asked for this purpose.
	Derive(purpose string) secret.Bytes
}

// ErrNotSealedHere is what Open answers for bytes that this root key did not seal for this purpose.
var ErrNotSealedHere = errors.New("rootkey: not sealed under this root key for this purpose")

// Sizes in bytes.
const (
	size = 32

	sealVersion = 1 // leading byte of everything sealed: version, nonce, ciphertext and tag
	sealHeader  = 1 + xaes.NonceSize
)

// root is a Key whose secret is in memory.
type root struct{ secret secret.Bytes }

func (r root) Seal(purpose string, plaintext []byte) ([]byte, error) {
	key := r.subkey("seal", purpose)
	defer key.Wipe()
	return seal(key, []byte(purpose), plaintext)
}

func (r root) Open(purpose string, sealed []byte) ([]byte, error) {
	key := r.subkey("seal", purpose)
	defer key.Wipe()
	plaintext, err := open(key, []byte(purpose), sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrNotSealedHere, purpose)
	}
	return plaintext, nil
}

func (r root) Derive(purpose string) secret.Bytes { return r.subkey("derive", purpose) }

// subkey expands the root secret, which is uniformly random and so needs no extraction.
func (r root) subkey(use, purpose string) secret.Bytes {
	return expand(r.secret, "keyward root key v1 "+use+"\x00"+purpose)
}

func expand(key secret.Bytes, info string) secret.Bytes {
	out, err := hkdf.Expand(sha256.New, key.Expose(), info, size)
	if err != nil {
		panic(err) // only for lengths that HKDF cannot give, and 32 is none of them
	}
	return secret.New(out)
}

// seal encrypts under a key that may be used any number of times: nonces are long enough to be random.
func seal(key secret.Bytes, aad, plaintext []byte) ([]byte, error) {
	aead, err := xaes.New(key.Expose())
	if err != nil {
		return nil, err
	}
	out := make([]byte, sealHeader, sealHeader+len(plaintext)+xaes.Overhead)
	out[0] = sealVersion
	if _, err := rand.Read(out[1:]); err != nil {
		return nil, err
	}
	return aead.Seal(out, out[1:sealHeader], plaintext, aad), nil
}

func open(key secret.Bytes, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < sealHeader || sealed[0] != sealVersion {
		return nil, ErrNotSealedHere
	}
	aead, err := xaes.New(key.Expose())
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, sealed[1:sealHeader], sealed[sealHeader:], aad)
}
