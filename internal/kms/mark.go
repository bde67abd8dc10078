package kms

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"

	"keyward/internal/secret"
)

// markSize in bytes: a forger has to guess 128 bits.
const markSize = 16

// mark follows the header of a ciphertext: a MAC of the header under a key of the installation. It tells a ciphertext
// whose key is gone, or closed to the caller, which is AccessDeniedException, from bytes that never were one, which are
// InvalidCiphertextException whatever key they name. It opens nothing; the sealed part is authenticated by itself.
type mark [markSize]byte

var errMark = errors.New("kms: not a ciphertext of this installation")

// marker makes marks.
type marker struct{ key secret.Bytes }

func (m marker) of(h *header) (made mark) {
	mac := hmac.New(sha256.New, m.key.Expose())
	mac.Write(h[:])
	copy(made[:], mac.Sum(nil))
	return made
}

// current is the mark of what k encrypts. It is made once for each snapshot.
func (m marker) current(k *snapshot) *mark {
	if made := k.mark.Load(); made != nil {
		return made
	}
	made := m.of(&k.header)
	k.mark.Store(&made)
	return &made
}

// check refuses a ciphertext that this installation has not made. k is the key that it names, nil if there is none. A
// ciphertext of the first version has no mark: where its key is there, decrypting it will tell whether it is genuine;
// without the key nothing can, and it is refused.
func (m marker) check(c *blob, k *snapshot) error {
	var want mark
	switch {
	case c.header[0] == unmarked && k == nil:
		return errMark
	case c.header[0] == unmarked:
		return nil
	case k != nil && c.header == k.header:
		want = *m.current(k)
	default:
		want = m.of(&c.header)
	}
	if !hmac.Equal(want[:], c.mark[:]) {
		return errMark
	}
	return nil
}
