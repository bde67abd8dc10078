package kms

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// A ciphertext of a symmetric key is
//
//	version (1) ‖ key id (16) ‖ material id (16) ‖ mark (16) ‖ what Material.Seal gave
//
// The header, which is all before the mark, names key and material, so that Decrypt needs no KeyId and a rotated key finds
// the material again. The version tells single-Region from multi-Region key ids. The material id is the first half of the
// KeyMaterialId, or zeros for a key in a custom key store, whose material never changes. Header, the key's identity and
// encryption context are authenticated by Material.Seal.

const (
	unmarked     = 1 // version: the key id is a UUID, and there is no mark; not made any longer
	multiRegion  = 2 // version: the key id is "mrk-" and 32 hex digits
	singleRegion = 3 // version: the key id is a UUID
	headerSize   = 1 + 16 + 16
	// maxBlob is the API's bound of a CiphertextBlob, in bytes.
	maxBlob = 6144
	// maxContext bounds the sum of an encryption context's keys and values, in bytes.
	maxContext = 8192
)

type header [headerSize]byte

var errBlob = errors.New("kms: not a ciphertext of a symmetric key")

// headerOf builds the header of ciphertexts under one of k's materials.
func headerOf(k *Key, m *MaterialRecord) (h header, err error) {
	if digits, ok := strings.CutPrefix(k.ID, multiRegionPrefix); ok {
		h[0] = multiRegion
		_, err = hex.Decode(h[1:17], []byte(digits))
	} else {
		h[0] = singleRegion
		var id uuid.UUID
		id, err = uuid.Parse(k.ID)
		copy(h[1:], id[:])
	}
	if err != nil {
		return h, fmt.Errorf("kms: key id %q: %w", k.ID, err)
	}
	if m.ID == "" {
		return h, nil
	}
	if len(m.ID) != 64 {
		return h, fmt.Errorf("kms: key %s: its material id has %d digits", k.ID, len(m.ID))
	}
	if _, err := hex.Decode(h[17:], []byte(m.ID[:32])); err != nil {
		return h, fmt.Errorf("kms: key %s: its material id: %w", k.ID, err)
	}
	return h, nil
}

// blob is a ciphertext taken apart.
type blob struct {
	header header
	mark   mark // zero where version is unmarked
	sealed []byte
}

// parseBlob takes a ciphertext apart. It shares b's bytes.
func parseBlob(b []byte) (c blob, err error) {
	if len(b) <= headerSize || len(b) > maxBlob || b[0] < unmarked || b[0] > singleRegion {
		return c, errBlob
	}
	c.sealed = b[copy(c.header[:], b):]
	if b[0] == unmarked {
		return c, nil
	}
	if len(c.sealed) <= markSize {
		return c, errBlob
	}
	c.sealed = c.sealed[copy(c.mark[:], c.sealed):]
	return c, nil
}

// names reports whether h is a header of the same key and material as of, in a version of its own perhaps.
func (h *header) names(of *header) bool {
	return *h == *of || h[0] == unmarked && of[0] == singleRegion && bytes.Equal(h[1:], of[1:])
}

// keyID is the id of the key that the header names.
func (h *header) keyID() string {
	if h[0] == multiRegion {
		return multiRegionPrefix + hex.EncodeToString(h[1:17])
	}
	return uuid.UUID(h[1:17]).String()
}

// authenticated is what a ciphertext is bound to beside its plaintext: header, the key's identity, and the encryption
// context as its pairs in the order of keys. Every part carries its length, so that no two inputs look alike.
func authenticated(h *header, identity string, context map[string]string) []byte {
	size := headerSize + len(identity) + 8*len(context) + 8
	for k, v := range context {
		size += len(k) + len(v)
	}
	out := append(make([]byte, 0, size), h[:]...)
	out = appendCounted(out, identity)
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
