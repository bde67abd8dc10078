// Package mldsamu verifies ML-DSA signatures (FIPS 204) of an external μ: the 64 bytes that stand for a message once it
// has been hashed together with the public key. Libraries sign such a μ but verify only whole messages; KMS's Verify
// takes a μ (MessageType EXTERNAL_MU).
//
// Everything here is public, so nothing runs in constant time. It is pure arithmetic over crypto/sha3.
package mldsamu

import (
	"bytes"
	"crypto/sha3"
)

// MuSize is the length of μ in bytes.
const MuSize = 64

// parameters are a row of FIPS 204's tables 1 and 2.
type parameters struct {
	k, l      int    // rows and columns of the matrix
	tau       int    // coefficients of a challenge that are not zero
	challenge int    // bytes of a challenge's hash: λ/4
	gamma1    uint32 // bound of a response's coefficients
	gamma2    uint32 // half the range that rounding drops
	beta      uint32 // τ·η
	omega     int    // most hints of a signature
}

const (
	seedSize = 32
	t1Bits   = 10
	t1Size   = n * t1Bits / 8
)

var sets = []parameters{
	{k: 4, l: 4, tau: 39, challenge: 32, gamma1: 1 << 17, gamma2: (q - 1) / 88, beta: 78, omega: 80},
	{k: 6, l: 5, tau: 49, challenge: 48, gamma1: 1 << 19, gamma2: (q - 1) / 32, beta: 196, omega: 55},
	{k: 8, l: 7, tau: 60, challenge: 64, gamma1: 1 << 19, gamma2: (q - 1) / 32, beta: 120, omega: 75},
}

// zBits is the width of a response's coefficient in a signature.
func (p *parameters) zBits() int {
	if p.gamma1 == 1<<17 {
		return 18
	}
	return 20
}

// w1Bits is the width of a rounded coefficient.
func (p *parameters) w1Bits() int {
	if p.gamma2 == (q-1)/88 {
		return 6
	}
	return 4
}

func (p *parameters) publicSize() int { return seedSize + p.k*t1Size }

func (p *parameters) signatureSize() int { return p.challenge + p.l*n*p.zBits()/8 + p.omega + p.k }

// Verify reports whether signature is one of mu under an encoded public key of ML-DSA-44, 65 or 87 (FIPS 204, algorithm
// 8 from its line 7 on). Bytes of other lengths are of no signature.
func Verify(public, mu, signature []byte) bool {
	for i := range sets {
		if p := &sets[i]; len(public) == p.publicSize() {
			return len(mu) == MuSize && len(signature) == p.signatureSize() && p.verify(public, mu, signature)
		}
	}
	return false
}

func (p *parameters) verify(public, mu, signature []byte) bool {
	challenge, rest := signature[:p.challenge], signature[p.challenge:]
	zSize := p.l * n * p.zBits() / 8
	z, short := p.response(rest[:zSize])
	hints, wellFormed := p.hints(rest[zSize:])
	if !short || !wellFormed {
		return false
	}
	w1 := p.commitment(public, challenge, z, hints)
	h := sha3.NewSHAKE256()
	h.Write(mu)
	h.Write(w1)
	again := make([]byte, p.challenge)
	h.Read(again)
	return bytes.Equal(again, challenge)
}

// response unpacks z in NTT form and reports whether it is as short as a signer's is.
func (p *parameters) response(packed []byte) (z []poly, short bool) {
	z, short = make([]poly, p.l), true
	size := len(packed) / p.l
	for i := range z {
		unpack(&z[i], packed[i*size:], p.zBits())
		for j, c := range z[i] {
			// Packed is γ1 minus the coefficient.
			distance := max(c, p.gamma1) - min(c, p.gamma1)
			short = short && distance < p.gamma1-p.beta
			z[i][j] = sub(p.gamma1, c)
		}
		z[i].ntt()
	}
	return z, short
}

// hints unpacks the hint, which has one encoding only (FIPS 204, algorithm 21).
func (p *parameters) hints(packed []byte) (h []poly, ok bool) {
	h = make([]poly, p.k)
	positions, ends := packed[:p.omega], packed[p.omega:]
	next := 0
	for i := range h {
		first, end := next, int(ends[i])
		if end < first || end > p.omega {
			return nil, false
		}
		for ; next < end; next++ {
			if next > first && positions[next-1] >= positions[next] {
				return nil, false
			}
			h[i][positions[next]] = 1
		}
	}
	for _, unused := range positions[next:] {
		if unused != 0 {
			return nil, false
		}
	}
	return h, true
}

// commitment is what the signer must have committed to, encoded: A·z - c·t1·2^d, rounded with the hints.
func (p *parameters) commitment(public, challenge []byte, z, hints []poly) []byte {
	c := ball(challenge, p.tau)
	c.ntt()
	encoded := make([]byte, 0, p.k*n*p.w1Bits()/8)
	for r := range p.k {
		var w, t1, a poly
		for s := range p.l {
			uniform(&a, public[:seedSize], byte(s), byte(r))
			w.addProduct(&a, &z[s])
		}
		unpack(&t1, public[seedSize+r*t1Size:], t1Bits)
		for i := range t1 {
			t1[i] = q - t1[i]<<dropped // t1·2^d < q
		}
		t1.ntt()
		w.addProduct(&c, &t1)
		w.inverse()
		for i := range w {
			w[i] = p.useHint(hints[r][i], w[i])
		}
		encoded = pack(encoded, &w, p.w1Bits())
	}
	return encoded
}

// useHint is FIPS 204's algorithm 40: the high bits of r, moved by the hint.
func (p *parameters) useHint(hint, r uint32) uint32 {
	m := (q - 1) / (2 * p.gamma2)
	high, low := r/(2*p.gamma2), r%(2*p.gamma2)
	positive := low > 0
	if low > p.gamma2 { // low is nearer to the next multiple, and below it
		high, positive = high+1, false
	}
	if high == m { // q-1 counts as -1: its high bits are those of 0
		high, positive = 0, false
	}
	switch {
	case hint == 0:
		return high
	case positive:
		return (high + 1) % m
	default:
		return (high + m - 1) % m
	}
}
