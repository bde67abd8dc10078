package keyspec_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
)

// The checks of this file follow the standards' own words with math/big, and share no code with what they check.

// raw is m^e mod n in as many bytes as n.
func raw(m []byte, e, n *big.Int) []byte {
	c := new(big.Int).Exp(new(big.Int).SetBytes(m), e, n)
	return c.FillBytes(make([]byte, (n.BitLen()+7)/8))
}

func hashed(h crypto.Hash, parts ...[]byte) []byte {
	d := h.New()
	for _, p := range parts {
		d.Write(p)
	}
	return d.Sum(nil)
}

// mgf1 masks b in place (RFC 8017, B.2.1).
func mgf1(h crypto.Hash, seed, b []byte) {
	for i := 0; i*h.Size() < len(b); i++ {
		mask := hashed(h, seed, binary.BigEndian.AppendUint32(nil, uint32(i)))
		for j := i * h.Size(); j < min(len(b), (i+1)*h.Size()); j++ {
			b[j] ^= mask[j-i*h.Size()]
		}
	}
}

// digestInfos are the constants of RFC 8017, section 9.2, note 1.
var digestInfos = map[crypto.Hash]string{
	crypto.SHA256: "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
	crypto.SHA384: "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
	crypto.SHA512: "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
}

// pkcs1Valid is RSASSA-PKCS1-v1_5's verification (RFC 8017, section 8.2.2).
func pkcs1Valid(n, e *big.Int, h crypto.Hash, sum, signature []byte) bool {
	t := append([]byte(digestInfos[h]), sum...)
	em := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, len(signature)-len(t)-3)...)
	return bytes.Equal(raw(signature, e, n), append(append(em, 0), t...))
}

// pssValid is RSASSA-PSS's verification with a salt as long as the hash (RFC 8017, section 9.1.2).
func pssValid(n, e *big.Int, h crypto.Hash, sum, signature []byte) bool {
	em := raw(signature, e, n)
	size := h.Size()
	db, seed := em[:len(em)-size-1], em[len(em)-size-1:len(em)-1]
	if em[len(em)-1] != 0xbc || em[0]&0x80 != 0 {
		return false
	}
	mgf1(h, seed, db)
	db[0] &= 0x7f
	padding, salt := db[:len(db)-size], db[len(db)-size:]
	zeros := append(make([]byte, len(padding)-1), 1)
	return bytes.Equal(padding, zeros) && bytes.Equal(seed, hashed(h, make([]byte, 8), sum, salt))
}

// oaepEncrypt is RSAES-OAEP's encryption without a label (RFC 8017, section 7.1.1).
func oaepEncrypt(n, e *big.Int, h crypto.Hash, seed, plaintext []byte) []byte {
	em := make([]byte, (n.BitLen()+7)/8)
	masked, db := em[1:1+h.Size()], em[1+h.Size():]
	copy(masked, seed)
	copy(db, hashed(h))
	db[len(db)-len(plaintext)-1] = 1
	copy(db[len(db)-len(plaintext):], plaintext)
	mgf1(h, masked, db)
	mgf1(h, db, masked)
	return raw(em, e, n)
}

// oaepDecrypt is the reverse (RFC 8017, section 7.1.2); nil if the padding is wrong.
func oaepDecrypt(n, d *big.Int, h crypto.Hash, ciphertext []byte) []byte {
	em := raw(ciphertext, d, n)
	masked, db := em[1:1+h.Size()], em[1+h.Size():]
	mgf1(h, db, masked)
	mgf1(h, masked, db)
	label, rest := db[:h.Size()], bytes.TrimLeft(db[h.Size():], "\x00")
	if em[0] != 0 || !bytes.Equal(label, hashed(h)) || len(rest) == 0 || rest[0] != 1 {
		return nil
	}
	return rest[1:]
}

// hmacOf is RFC 2104's.
func hmacOf(h crypto.Hash, key, message []byte) []byte {
	inner, outer := bytes.Repeat([]byte{0x36}, h.New().BlockSize()), bytes.Repeat([]byte{0x5c}, h.New().BlockSize())
	for i, b := range key {
		inner[i] ^= b
		outer[i] ^= b
	}
	return hashed(h, outer, hashed(h, inner, message))
}

// curve is y² = x³ + ax + b over p, with a base point of order n.
type curve struct{ p, a, n, x, y *big.Int }

func hexInt(s string) *big.Int {
	i, _ := new(big.Int).SetString(s, 16)
	return i
}

func nist(c elliptic.Curve) *curve {
	p := c.Params()
	return &curve{p.P, big.NewInt(-3), p.N, p.Gx, p.Gy}
}

// secp256k1 is SEC 2's, section 2.4.1.
var secp256k1 = &curve{
	p: hexInt("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"),
	a: big.NewInt(0),
	n: hexInt("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
	x: hexInt("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
	y: hexInt("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"),
}

// point is in Jacobian coordinates; z is 0 at infinity.
type point struct{ x, y, z *big.Int }

func affine(x, y *big.Int) point { return point{x, y, big.NewInt(1)} }

func (c *curve) mul(factors ...*big.Int) *big.Int {
	product := big.NewInt(1)
	for _, f := range factors {
		product.Mod(product.Mul(product, f), c.p)
	}
	return product
}

func (c *curve) sub(a *big.Int, bs ...*big.Int) *big.Int {
	difference := new(big.Int).Set(a)
	for _, b := range bs {
		difference.Sub(difference, b)
	}
	return difference.Mod(difference, c.p)
}

func (c *curve) double(a point) point {
	yy := c.mul(a.y, a.y)
	s := c.mul(big.NewInt(4), a.x, yy)
	m := c.mul(big.NewInt(3), a.x, a.x)
	m.Add(m, c.mul(c.a, a.z, a.z, a.z, a.z))
	x := c.sub(c.mul(m, m), s, s)
	return point{x, c.sub(c.mul(m, c.sub(s, x)), c.mul(big.NewInt(8), yy, yy)), c.mul(big.NewInt(2), a.y, a.z)}
}

func (c *curve) add(a, b point) point {
	if a.z.Sign() == 0 {
		return b
	}
	if b.z.Sign() == 0 {
		return a
	}
	u1, u2 := c.mul(a.x, b.z, b.z), c.mul(b.x, a.z, a.z)
	s1, s2 := c.mul(a.y, b.z, b.z, b.z), c.mul(b.y, a.z, a.z, a.z)
	h, r := c.sub(u2, u1), c.sub(s2, s1)
	if h.Sign() == 0 && r.Sign() == 0 {
		return c.double(a)
	}
	hh := c.mul(h, h)
	hhh, v := c.mul(hh, h), c.mul(u1, hh)
	x := c.sub(c.mul(r, r), hhh, v, v)
	return point{x, c.sub(c.mul(r, c.sub(v, x)), c.mul(s1, hhh)), c.mul(h, a.z, b.z)}
}

// sum is k·a + l·b.
func (c *curve) sum(k *big.Int, a point, l *big.Int, b point) point {
	both, r := c.add(a, b), point{big.NewInt(1), big.NewInt(1), new(big.Int)}
	for i := max(k.BitLen(), l.BitLen()) - 1; i >= 0; i-- {
		r = c.double(r)
		switch {
		case k.Bit(i) == 1 && l.Bit(i) == 1:
			r = c.add(r, both)
		case k.Bit(i) == 1:
			r = c.add(r, a)
		case l.Bit(i) == 1:
			r = c.add(r, b)
		}
	}
	return r
}

// affineX is the x coordinate of a point that is not at infinity.
func (c *curve) affineX(a point) *big.Int {
	inverse := new(big.Int).ModInverse(a.z, c.p)
	return c.mul(a.x, inverse, inverse)
}

// decode reads an uncompressed point.
func decode(b []byte) point {
	size := len(b) / 2
	return affine(new(big.Int).SetBytes(b[1:1+size]), new(big.Int).SetBytes(b[1+size:]))
}

// ecdsaValid is ECDSA's verification (FIPS 186-5, section 6.4.2) of a signature in DER, and reports its s.
func (c *curve) ecdsaValid(public, sum, signature []byte) (valid bool, s *big.Int) {
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(signature, &pair); err != nil || len(rest) > 0 {
		return false, nil
	}
	if pair.R.Sign() <= 0 || pair.S.Sign() <= 0 || pair.R.Cmp(c.n) >= 0 || pair.S.Cmp(c.n) >= 0 {
		return false, nil
	}
	e := new(big.Int).SetBytes(sum) // no hash here is longer than its curve's order
	w := new(big.Int).ModInverse(pair.S, c.n)
	u1, u2 := new(big.Int).Mul(e, w), new(big.Int).Mul(pair.R, w)
	x := c.affineX(c.sum(u1.Mod(u1, c.n), affine(c.x, c.y), u2.Mod(u2, c.n), decode(public)))
	return x.Mod(x, c.n).Cmp(pair.R) == 0, pair.S
}

// shared is the x coordinate of scalar times a peer's point, in as many bytes as the field has.
func (c *curve) shared(scalar, peer []byte) []byte {
	x := c.affineX(c.sum(new(big.Int).SetBytes(scalar), decode(peer), new(big.Int), affine(c.x, c.y)))
	return x.FillBytes(make([]byte, (c.p.BitLen()+7)/8))
}
