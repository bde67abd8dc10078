package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"keyward/internal/secret"
)

// Key is a signing key: the secret access key narrowed to one day, Region and service.
type Key [sha256.Size]byte

// DeriveKey makes the signing key of c's scope.
func DeriveKey(secretAccessKey secret.Bytes, c Credential) Key {
	start := append([]byte("AWS4"), secretAccessKey.Expose()...)
	defer clear(start)
	k := mac(start, c.Day)
	k = mac(k, c.Region)
	k = mac(k, c.Service)
	return Key(mac(k, terminator))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// scratch holds the canonical request while it is hashed.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// Verify compares the signature with the one that key gives for r. The time it takes does not depend on how much of
// the signature is right. The error is *Error of kind Mismatch.
func (s *Signature) Verify(r *Request, key Key) error {
	bodyHash := hexHash(r.Body)
	if s.payloadHash != "" && s.payloadHash != string(bodyHash[:]) {
		return errMismatch
	}
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	*buf = s.appendCanonical((*buf)[:0], r, bodyHash[:])
	h := hmac.New(sha256.New, key[:])
	h.Write(s.stringToSign(hexHash(*buf)))
	var want [sha256.Size]byte
	if !hmac.Equal(h.Sum(want[:0]), s.signature[:]) {
		return errMismatch
	}
	return nil
}

func hexHash(b []byte) (out [2 * sha256.Size]byte) {
	sum := sha256.Sum256(b)
	hex.Encode(out[:], sum[:])
	return out
}

func (s *Signature) stringToSign(canonical [2 * sha256.Size]byte) []byte {
	b := make([]byte, 0, 192)
	b = append(b, Algorithm...)
	b = append(b, '\n')
	b = append(b, s.stamp...)
	b = append(b, '\n')
	for _, part := range []string{s.Day, s.Region, s.Service} {
		b = append(b, part...)
		b = append(b, '/')
	}
	b = append(b, terminator...)
	b = append(b, '\n')
	return append(b, canonical[:]...)
}
