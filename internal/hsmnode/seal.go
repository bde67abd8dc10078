package hsmnode

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"keyward/internal/secret"
	"keyward/internal/xaes"
)

// Every purpose has its own key. The names are part of the format: a changed name is another key.
const (
	purposeDevice   = "keyward hsm device file v1"
	purposeWrap     = "keyward hsm key wrapping v1"
	purposeLog      = "keyward hsm replication log v1"
	purposeSnapshot = "keyward hsm snapshot v1"
	purposeEnroll   = "keyward hsm enrolment v1"
	purposeShare    = "keyward hsm manufacturer share v1"
	purposeBackup   = "keyward hsm backup v1"
	purposeAudit    = "keyward hsm audit log v1"
)

const masterSize = 32 // bytes of a masking key and of a platform secret

// sealedOverhead is by how many bytes sealing lengthens.
const sealedOverhead = xaes.NonceSize + xaes.Overhead

var errUnseal = errors.New("hsmnode: sealed data does not open: damaged, or sealed under another key")

// sealer seals for one purpose: XAES-256-GCM, so that random nonces do for any number of messages.
type sealer struct{ aead cipher.AEAD }

// newSealer derives the key of a purpose from a master key.
func newSealer(master secret.Bytes, salt []byte, purpose string) (sealer, error) {
	key, err := hkdf.Key(sha256.New, master.Expose(), salt, purpose, xaes.KeySize)
	if err != nil {
		return sealer{}, fmt.Errorf("hsmnode: deriving a key: %w", err)
	}
	defer clear(key)
	aead, err := xaes.New(key)
	return sealer{aead}, err
}

// seal returns nonce‖ciphertext‖tag, bound to context.
func (s sealer) seal(plaintext, context []byte) []byte {
	out := make([]byte, xaes.NonceSize, xaes.NonceSize+len(plaintext)+xaes.Overhead)
	_, _ = rand.Read(out) // never fails: it ends the process rather
	return s.aead.Seal(out, out, plaintext, context)
}

func (s sealer) open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < xaes.NonceSize {
		return nil, errUnseal
	}
	plaintext, err := s.aead.Open(nil, sealed[:xaes.NonceSize], sealed[xaes.NonceSize:], context)
	if err != nil {
		return nil, errUnseal
	}
	return plaintext, nil
}

// keyring holds what the cluster's masking key derives. All HSMs of a cluster have the same.
type keyring struct {
	wrap     sealer // key material
	log      sealer // commands in the replication log
	snapshot sealer // snapshots of the machine
}

func newKeyring(masking secret.Bytes) (*keyring, error) {
	var k keyring
	for purpose, s := range map[string]*sealer{
		purposeWrap: &k.wrap, purposeLog: &k.log, purposeSnapshot: &k.snapshot,
	} {
		var err error
		if *s, err = newSealer(masking, nil, purpose); err != nil {
			return nil, err
		}
	}
	return &k, nil
}

// random returns n fresh random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process rather
	return b
}
