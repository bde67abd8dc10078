package mldsamu

import "crypto/sha3"

const (
	q       = 8380417
	n       = 256
	dropped = 13 // bits of t that a public key leaves out: FIPS 204's d
	zeta    = 1753
	// inverseN is 256⁻¹ mod q.
	inverseN = 8347681
)

// poly is a polynomial of degree below 256 over the integers mod q, in normal or in NTT form.
type poly [n]uint32

// zetas are the powers of ζ in the order in which the transform needs them.
var zetas = func() (z [n]uint32) {
	power := uint32(1)
	var powers [n]uint32
	for i := range powers {
		powers[i] = power
		power = mul(power, zeta)
	}
	for i := range z {
		reversed := 0
		for bit := range 8 {
			reversed |= i >> bit & 1 << (7 - bit)
		}
		z[i] = powers[reversed]
	}
	return z
}()

func add(a, b uint32) uint32 { return (a + b) % q }

func sub(a, b uint32) uint32 { return (a + q - b) % q }

func mul(a, b uint32) uint32 { return uint32(uint64(a) * uint64(b) % q) }

// ntt transforms in place (FIPS 204, algorithm 41).
func (p *poly) ntt() {
	m := 0
	for length := n / 2; length >= 1; length /= 2 {
		for start := 0; start < n; start += 2 * length {
			m++
			for j := start; j < start+length; j++ {
				t := mul(zetas[m], p[j+length])
				p[j], p[j+length] = add(p[j], t), sub(p[j], t)
			}
		}
	}
}

// inverse undoes ntt (FIPS 204, algorithm 42).
func (p *poly) inverse() {
	m := n
	for length := 1; length < n; length *= 2 {
		for start := 0; start < n; start += 2 * length {
			m--
			for j := start; j < start+length; j++ {
				a, b := p[j], p[j+length]
				p[j], p[j+length] = add(a, b), mul(zetas[m], sub(b, a))
			}
		}
	}
	for i := range p {
		p[i] = mul(p[i], inverseN)
	}
}

// addProduct adds a·b, all in NTT form.
func (p *poly) addProduct(a, b *poly) {
	for i := range p {
		p[i] = add(p[i], mul(a[i], b[i]))
	}
}

// uniform samples an entry of the matrix, in NTT form (FIPS 204, algorithms 30 and 32).
func uniform(p *poly, seed []byte, column, row byte) {
	x := sha3.NewSHAKE128()
	x.Write(seed)
	x.Write([]byte{column, row})
	var block [168]byte // SHAKE128's rate, a multiple of 3
	for i := 0; i < n; {
		x.Read(block[:])
		for b := block[:]; len(b) > 0 && i < n; b = b[3:] {
			if c := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2]&0x7f)<<16; c < q {
				p[i] = c
				i++
			}
		}
	}
}

// ball makes a challenge of its hash: tau coefficients of 1 or -1 (FIPS 204, algorithm 29).
func ball(hash []byte, tau int) (c poly) {
	x := sha3.NewSHAKE256()
	x.Write(hash)
	var signs [8]byte
	x.Read(signs[:])
	var at [1]byte
	for i := n - tau; i < n; i++ {
		for x.Read(at[:]); int(at[0]) > i; {
			x.Read(at[:])
		}
		c[i] = c[at[0]]
		c[at[0]] = 1
		if bit := i + tau - n; signs[bit/8]>>(bit%8)&1 == 1 {
			c[at[0]] = q - 1
		}
	}
	return c
}

// unpack reads 256 integers of so many bits, least significant first.
func unpack(p *poly, packed []byte, bits int) {
	var held uint64
	have, at := 0, 0
	for i := range p {
		for ; have < bits; have += 8 {
			held |= uint64(packed[at]) << have
			at++
		}
		p[i] = uint32(held & (1<<bits - 1))
		held >>= bits
		have -= bits
	}
}

// pack appends what unpack reads.
func pack(out []byte, p *poly, bits int) []byte {
	var held uint64
	have := 0
	for _, c := range p {
		held |= uint64(c) << have
		for have += bits; have >= 8; have -= 8 {
			out = append(out, byte(held))
			held >>= 8
		}
	}
	return out
}
