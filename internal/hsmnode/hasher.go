package hsmnode

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash/maphash"
	"runtime"
	"time"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

const (
	hashAlgorithm = "pbkdf2-sha512"
	hashSize      = 64 // bytes
	hashSaltSize  = 16 // bytes
	hashWait      = 20 * time.Second
	loginStripes  = 64
)

// hashIterations is OWASP's number for PBKDF2 with SHA-512, about a fifth of a second. Every hash keeps the number it
// was made with. Only the tests of this package, which log in hundreds of times, change it.
var hashIterations = 210_000

// hasher makes password hashes, as many at a time as there are processors: logins need no login, and must not starve
// those who have one.
type hasher struct {
	slots   chan struct{}
	decoy   hsm.PasswordHash // stands in for a user who does not exist
	stripes [loginStripes]chan struct{}
	seed    maphash.Seed
}

func newHasher() *hasher {
	h := &hasher{
		slots: make(chan struct{}, runtime.NumCPU()),
		decoy: hsm.PasswordHash{
			Algorithm: hashAlgorithm, Iterations: hashIterations, Salt: random(hashSaltSize), Hash: random(hashSize),
		},
		seed: maphash.MakeSeed(),
	}
	for i := range h.stripes {
		h.stripes[i] = make(chan struct{}, 1)
	}
	return h
}

// exclude lets one login of a user be verified and recorded at a time, so that guesses side by side cannot exceed the
// limit. The caller calls the returned function when done.
func (h *hasher) exclude(ctx context.Context, user string) (func(), error) {
	stripe := h.stripes[maphash.String(h.seed, user)%loginStripes]
	return enter(ctx, stripe)
}

func enter(ctx context.Context, room chan struct{}) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case room <- struct{}{}:
		return func() { <-room }, nil
	case <-ctx.Done():
		return nil, &hsmproto.Error{Code: hsmproto.CodeNoSession, Detail: "too many logins at once"}
	}
}

// derive computes a hash; password is overwritten only by its owner.
func (h *hasher) derive(ctx context.Context, password, salt []byte, iterations, size int) ([]byte, error) {
	leave, err := enter(ctx, h.slots)
	if err != nil {
		return nil, err
	}
	defer leave()
	return pbkdf2.Key(sha512.New, string(password), salt, iterations, size)
}

// hash makes the record of a new password.
func (h *hasher) hash(ctx context.Context, password []byte) (hsm.PasswordHash, error) {
	record := hsm.PasswordHash{Algorithm: hashAlgorithm, Iterations: hashIterations, Salt: random(hashSaltSize)}
	var err error
	record.Hash, err = h.derive(ctx, password, record.Salt, record.Iterations, hashSize)
	return record, err
}

// verify tells in constant time whether the password is the one recorded.
func (h *hasher) verify(ctx context.Context, password []byte, record hsm.PasswordHash) (bool, error) {
	if record.Algorithm != hashAlgorithm {
		return false, fmt.Errorf("hsmnode: password hash of unknown algorithm %q", record.Algorithm)
	}
	hash, err := h.derive(ctx, password, record.Salt, record.Iterations, len(record.Hash))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(hash, record.Hash) == 1, nil
}
