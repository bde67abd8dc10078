package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	"keyward/internal/secret"
)

// Key is a signing key: the secret access key narrowed to one day, Region and service. It may be used concurrently.
type Key struct {
	macs sync.Pool // of hash.Hash keyed with it: keying costs as much as signing
}

// DeriveKey makes the signing key of c's scope.
func DeriveKey(secretAccessKey secret.Bytes, c Credential) *Key {
	start := append([]byte("AWS4"), secretAccessKey.Expose()...)
	defer clear(start)
	k := mac(start, c.Day)
	k = mac(k, c.Region)
	k = mac(k, c.Service)
	k = mac(k, terminator)
	return &Key{sync.Pool{New: func() any { return hmac.New(sha256.New, k) }}}
}

// appendMAC appends the MAC of text to b.
func (k *Key) appendMAC(b, text []byte) []byte {
	h := k.macs.Get().(hash.Hash)
	defer k.macs.Put(h)
	h.Reset()
	h.Write(text)
	return h.Sum(b)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// scratch holds the canonical request, the string to sign and the signature while they are made.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// Verify compares the signature with the one that key gives for r. The time it takes does not depend on how much of
// the signature is right. The error is *Error of kind Mismatch.
func (s *Signature) Verify(r *Request, key *Key) error {
	bodyHash := hexHash(r.Body)
	if s.payloadHash != "" && s.payloadHash != string(bodyHash[:]) {
		return errMismatch
	}
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	b := s.appendCanonical((*buf)[:0], r, bodyHash[:])
	canonical := len(b)
	b = s.appendStringToSign(b, hexHash(b))
	signed := len(b)
	b = key.appendMAC(b, b[canonical:])
	*buf = b
	if !hmac.Equal(b[signed:], s.signature[:]) {
		return errMismatch
	}
	return nil
}

func hexHash(b []byte) (out [2 * sha256.Size]byte) {
	sum := sha256.Sum256(b)
	hex.Encode(out[:], sum[:])
	return out
}

func (s *Signature) appendStringToSign(b []byte, canonical [2 * sha256.Size]byte) []byte {
	b = append(b, Algorithm...)
	b = append(b, '\n')
	b = append(b, s.stamp...)
	b = append(b, '\n')
	for _, part := range [...]string{s.Day, s.Region, s.Service} {
		b = append(b, part...)
		b = append(b, '/')
	}
	b = append(b, terminator...)
	b = append(b, '\n')
	return append(b, canonical[:]...)
}
