// Package xaes implements XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM with nonces of 24 bytes, long enough to be
// drawn at random for any number of messages under one key. Half of the nonce derives a fresh AES-256 key with the
// counter KDF of NIST SP 800-108r1 over CMAC, the other half is that key's GCM nonce.
//
// It is pure arithmetic over crypto/aes and crypto/cipher; where nonces come from is the caller's business.
package xaes

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
)

// Sizes in bytes.
const (
	KeySize   = 32
	NonceSize = 24
	Overhead  = 16

	derivingNonce = 12 // leading bytes of a nonce, which choose the message's key
)

// ErrKeySize is returned by New for keys that are not 32 bytes.
var ErrKeySize = errors.New("xaes: key is not 32 bytes")

var (
	errOpen      = errors.New("xaes: message authentication failed")
	errNonceSize = errors.New("xaes: nonce is not 24 bytes")
)

type aead struct {
	block cipher.Block
	mask  [aes.BlockSize]byte // CMAC's K1: the same for every message
}

// New prepares a key, which is not kept. The result may be used by several goroutines at once. Seal panics on a nonce
// of another size, as the AEADs of crypto/cipher do; Open returns an error.
func New(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, ErrKeySize
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	x := &aead{block: block}
	block.Encrypt(x.mask[:], x.mask[:])
	double(&x.mask)
	return x, nil
}

// double multiplies by x in GF(2^128), in constant time (NIST SP 800-38B 6.1).
func double(b *[aes.BlockSize]byte) {
	var carry byte
	for i := len(b) - 1; i >= 0; i-- {
		next := b[i] >> 7
		b[i] = b[i]<<1 | carry
		carry = next
	}
	b[len(b)-1] ^= carry * 0x87
}

// derive makes the AEAD of one message.
func (x *aead) derive(nonce []byte) (cipher.AEAD, error) {
	var key [KeySize]byte
	for half := range 2 {
		k := key[half*aes.BlockSize:][:aes.BlockSize]
		k[1], k[2] = byte(half+1), 'X' // counter (2 bytes), label "X", separator 0
		copy(k[4:], nonce[:derivingNonce])
		for i := range k {
			k[i] ^= x.mask[i]
		}
		x.block.Encrypt(k, k)
	}
	block, err := aes.NewCipher(key[:])
	clear(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (x *aead) NonceSize() int { return NonceSize }

func (x *aead) Overhead() int { return Overhead }

func (x *aead) Seal(dst, nonce, plaintext, additionalData []byte) []byte {
	if len(nonce) != NonceSize {
		panic(errNonceSize)
	}
	message, err := x.derive(nonce)
	if err != nil {
		panic(err) // derived keys have a valid size: this is a mistake in this file
	}
	return message.Seal(dst, nonce[derivingNonce:], plaintext, additionalData)
}

func (x *aead) Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error) {
	if len(nonce) != NonceSize {
		return nil, errNonceSize
	}
	message, err := x.derive(nonce)
	if err != nil {
		return nil, err
	}
	out, err := message.Open(dst, nonce[derivingNonce:], ciphertext, additionalData)
	if err != nil {
		return nil, errOpen
	}
	return out, nil
}
