package kms

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// A ciphertext of a symmetric key is
//
//	version (1) ‖ key id (16) ‖ material id (16) ‖ what Material.Seal gave
//
// The header names key and material, so that Decrypt needs no KeyId and a rotated key finds the material again. The
// material id is the first half of the KeyMaterialId, or zeros for a key in a custom key store, whose material never
// changes. Header, key ARN and encryption context are authenticated by Material.Seal.

const (
	blobVersion = 1
	headerSize  = 1 + 16 + 16
	// maxBlob is the API's bound of a CiphertextBlob, in bytes.
	maxBlob = 6144
	// maxContext bounds the sum of an encryption context's keys and values, in bytes.
	maxContext = 8192
)

type header [headerSize]byte

var errBlob = errors.New("kms: not a ciphertext of a symmetric key")

// headerOf builds the header of k's ciphertexts.
func headerOf(k *Key) (h header, err error) {
	id, err := uuid.Parse(k.ID)
	if err != nil {
		return h, fmt.Errorf("kms: key id %q: %w", k.ID, err)
	}
	h[0] = blobVersion
	copy(h[1:], id[:])
	if k.Material.ID == "" {
		return h, nil
	}
	if len(k.Material.ID) != 64 {
		return h, fmt.Errorf("kms: key %s: its material id has %d digits", k.ID, len(k.Material.ID))
	}
	if _, err := hex.Decode(h[17:], []byte(k.Material.ID[:32])); err != nil {
		return h, fmt.Errorf("kms: key %s: its material id: %w", k.ID, err)
	}
	return h, nil
}

// parseBlob takes a ciphertext apart.
func parseBlob(blob []byte) (h header, sealed []byte, err error) {
	if len(blob) <= headerSize || len(blob) > maxBlob || blob[0] != blobVersion {
		return h, nil, errBlob
	}
	copy(h[:], blob)
	return h, blob[headerSize:], nil
}

// keyID is the id of the key that the header names.
func (h *header) keyID() string { return uuid.UUID(h[1:17]).String() }

// authenticated is what a ciphertext is bound to beside its plaintext: header, key ARN, and the encryption context as
// its pairs in the order of keys. Every part carries its length, so that no two inputs look alike.
func authenticated(h *header, keyARN string, context map[string]string) []byte {
	size := headerSize + len(keyARN) + 8*len(context) + 8
	for k, v := range context {
		size += len(k) + len(v)
	}
	out := append(make([]byte, 0, size), h[:]...)
	out = appendCounted(out, keyARN)
	out = binary.BigEndian.AppendUint32(out, uint32(len(context)))
	if len(context) == 0 {
		return out
	}
	names := make([]string, 0, 8)
	for name := range context {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = appendCounted(appendCounted(out, name), context[name])
	}
	return out
}

func appendCounted(out []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(s))), s...)
}

func checkContext(context map[string]string) error {
	size := 0
	for k, v := range context {
		size += len(k) + len(v)
	}
	if size > maxContext {
		return invalid("EncryptionContext has %d bytes, more than the limit of %d.", size, maxContext)
	}
	return nil
}
