package keyspec

import (
	"crypto/rand"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// The secp256k1 library adds and multiplies scalars in constant time, but multiplies points and inverts scalars in a time
// that depends on them. Here it does so only with random numbers of one use, from which nothing of a key or a nonce
// follows alone: a scalar is multiplied in two shares, and inverted under a factor.

// randomScalar is uniform, and not 0.
func randomScalar() (*secp256k1.ModNScalar, error) {
	var b [secp256k1.PrivKeyBytesLen]byte
	defer clear(b[:])
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return nil, err
		}
		var s secp256k1.ModNScalar
		if overflow := s.SetBytes(&b); overflow == 0 && !s.IsZero() {
			return &s, nil
		}
	}
}

// multiply is scalar·G, affine.
func multiply(scalar *secp256k1.ModNScalar) (*secp256k1.JacobianPoint, error) {
	share, err := randomScalar()
	if err != nil {
		return nil, err
	}
	rest := new(secp256k1.ModNScalar).NegateVal(share).Add(scalar)
	defer share.Zero()
	defer rest.Zero()
	var a, b, sum secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(share, &a)
	secp256k1.ScalarBaseMultNonConst(rest, &b)
	secp256k1.AddNonConst(&a, &b, &sum)
	sum.ToAffine()
	return &sum, nil
}

// invert is 1/scalar.
func invert(scalar *secp256k1.ModNScalar) (*secp256k1.ModNScalar, error) {
	factor, err := randomScalar()
	if err != nil {
		return nil, err
	}
	defer factor.Zero()
	inverse := new(secp256k1.ModNScalar).Mul2(scalar, factor).InverseNonConst()
	return inverse.Mul(factor), nil
}

// signBlinded is ECDSA's signing (FIPS 186-5, section 6.4.1) of a digest of 32 bytes. The encoding of its result puts s into
// the lower half of the order.
func signBlinded(private *secp256k1.ModNScalar, digest []byte) (*ecdsa.Signature, error) {
	for {
		nonce, err := randomScalar()
		if err != nil {
			return nil, err
		}
		signature, err := signWith(nonce, private, digest)
		nonce.Zero()
		if signature != nil || err != nil {
			return signature, err
		}
	}
}

// signWith returns nil for the nonces, never met, that make r or s 0.
func signWith(nonce, private *secp256k1.ModNScalar, digest []byte) (*ecdsa.Signature, error) {
	point, err := multiply(nonce)
	if err != nil {
		return nil, err
	}
	inverse, err := invert(nonce)
	if err != nil {
		return nil, err
	}
	defer inverse.Zero()
	var r, e secp256k1.ModNScalar
	r.SetBytes(point.X.Bytes())
	e.SetByteSlice(digest)
	s := new(secp256k1.ModNScalar).Mul2(private, &r).Add(&e).Mul(inverse)
	if r.IsZero() || s.IsZero() {
		return nil, nil
	}
	return ecdsa.NewSignature(&r, s), nil
}
