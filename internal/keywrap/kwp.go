package keywrap

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// AES Key Wrap with Padding (RFC 5649). Neither the standard library nor one that is kept without a tree of its own has
// it.

const (
	semiblock = 8 // bytes
	rounds    = 6
)

// alternativeIV begins the integrity check value; the length of the plaintext follows.
var alternativeIV = [4]byte{0xA6, 0x59, 0x59, 0xA6}

var errIntegrity = errors.New("keywrap: integrity check failed")

// pad wraps plaintext of 1 to 2³²-1 bytes under an AES key.
func pad(key, plaintext []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(plaintext) == 0 || uint64(len(plaintext)) > 1<<32-1 {
		return nil, errors.New("keywrap: nothing to wrap, or too much")
	}
	n := (len(plaintext) + semiblock - 1) / semiblock
	out := make([]byte, (n+1)*semiblock)
	copy(out, alternativeIV[:])
	binary.BigEndian.PutUint32(out[4:], uint32(len(plaintext)))
	copy(out[semiblock:], plaintext)
	if n == 1 {
		block.Encrypt(out, out)
		return out, nil
	}
	wrap(block, out, n)
	return out, nil
}

// unpad reverses pad. Nothing of a text that fails the check is returned, and how it fails is not told.
func unpad(key, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errIntegrity
	}
	if len(wrapped) < 2*semiblock || len(wrapped)%semiblock != 0 {
		return nil, errIntegrity
	}
	out := append([]byte(nil), wrapped...)
	n := len(out)/semiblock - 1
	if n == 1 {
		block.Decrypt(out, out)
	} else {
		unwrap(block, out, n)
	}
	size, ok := checked(out, n)
	if !ok {
		clear(out)
		return nil, errIntegrity
	}
	return out[semiblock : semiblock+size], nil
}

// checked holds what was unwrapped against the integrity check value, in time that depends on its length only.
func checked(out []byte, n int) (size int, ok bool) {
	good := subtle.ConstantTimeCompare(out[:4], alternativeIV[:])
	length := binary.BigEndian.Uint32(out[4:])
	// n blocks hold more than 8(n-1) and at most 8n bytes.
	if uint64(length) <= uint64(n-1)*semiblock || uint64(length) > uint64(n)*semiblock {
		return 0, false
	}
	var padding byte
	for i, b := range out[semiblock:] {
		padding |= b & byte(subtle.ConstantTimeSelect(subtle.ConstantTimeLessOrEq(int(length), i), 0xff, 0))
	}
	good &= subtle.ConstantTimeByteEq(padding, 0)
	return int(length), good == 1
}

// wrap is RFC 3394's W on the check value and n semiblocks, in place.
func wrap(block cipher.Block, out []byte, n int) {
	var b [aes.BlockSize]byte
	copy(b[:semiblock], out)
	for j := range rounds {
		for i := 1; i <= n; i++ {
			r := out[i*semiblock : (i+1)*semiblock]
			copy(b[semiblock:], r)
			block.Encrypt(b[:], b[:])
			mixCounter(b[:semiblock], n*j+i)
			copy(r, b[semiblock:])
		}
	}
	copy(out, b[:semiblock])
}

// unwrap is W's inverse.
func unwrap(block cipher.Block, out []byte, n int) {
	var b [aes.BlockSize]byte
	copy(b[:semiblock], out)
	for j := rounds - 1; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			r := out[i*semiblock : (i+1)*semiblock]
			mixCounter(b[:semiblock], n*j+i)
			copy(b[semiblock:], r)
			block.Decrypt(b[:], b[:])
			copy(r, b[semiblock:])
		}
	}
	copy(out, b[:semiblock])
}

func mixCounter(a []byte, t int) {
	binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(a)^uint64(t))
}
