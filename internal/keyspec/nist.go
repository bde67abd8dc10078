package keyspec

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var curves = map[types.KeySpec]elliptic.Curve{
	types.KeySpecEccNistP256: elliptic.P256(),
	types.KeySpecEccNistP384: elliptic.P384(),
	types.KeySpecEccNistP521: elliptic.P521(),
}

// nistKey signs or agrees on one of NIST's curves.
type nistKey struct {
	spec    *Spec
	private *ecdsa.PrivateKey
}

func generateNIST(s *Spec) (half, error) {
	private, err := ecdsa.GenerateKey(curves[s.Name], rand.Reader)
	if err != nil {
		return nil, err
	}
	return &nistKey{s, private}, nil
}

func parseNIST(s *Spec, material []byte) (half, error) {
	private, err := parseStandard[*ecdsa.PrivateKey](material)
	if err != nil || private.Curve != curves[s.Name] || !namesItsPoint(private, material) {
		return nil, ErrMaterial
	}
	return &nistKey{s, private}, nil
}

// namesItsPoint holds the public half that material may name, which the standard library does not look at, against the
// private one.
func namesItsPoint(private *ecdsa.PrivateKey, material []byte) bool {
	inner, err := parsePKCS8(material, oidPublicKeyECDSA)
	if err != nil {
		return false
	}
	defer clear(inner.PrivateKey)
	var key ecPrivateKey
	rest, err := asn1.Unmarshal(inner.PrivateKey, &key)
	if err != nil || len(rest) > 0 {
		return false
	}
	defer clear(key.PrivateKey)
	point, err := private.PublicKey.Bytes()
	return err == nil && isPoint(point, key.PublicKey)
}

func (k *nistKey) material() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.private) }

func (k *nistKey) public() ([]byte, error) { return x509.MarshalPKIXPublicKey(&k.private.PublicKey) }

func (k *nistKey) sign(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	sum, err := k.digest(algorithm, as, message)
	if err != nil {
		return nil, err
	}
	return ecdsa.SignASN1(rand.Reader, k.private, sum)
}

func (k *nistKey) verify(algorithm types.SigningAlgorithmSpec, as types.MessageType, message, signature []byte) (bool, error) {
	sum, err := k.digest(algorithm, as, message)
	return err == nil && ecdsa.VerifyASN1(&k.private.PublicKey, sum, signature), err
}

func (k *nistKey) digest(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	if !slices.Contains(k.spec.SigningAlgorithms(), algorithm) {
		return nil, ErrAlgorithm
	}
	sum, _, err := digest(algorithm, as, message)
	return sum, err
}

func (k *nistKey) agree(peer *PublicKey) ([]byte, error) {
	private, err := k.private.ECDH()
	if err != nil {
		return nil, err
	}
	shared, err := private.ECDH(peer.ecdh)
	if err != nil {
		return nil, ErrPublicKey
	}
	return shared, nil
}

// PublicKey is the other side of an agreement.
type PublicKey struct{ ecdh *ecdh.PublicKey }

// ParsePublic reads SubjectPublicKeyInfo in DER of a point on the spec's curve, or answers ErrPublicKey.
func ParsePublic(spec types.KeySpec, der []byte) (*PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	public, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || public.Curve != curves[spec] {
		return nil, ErrPublicKey
	}
	point, err := public.ECDH()
	if err != nil {
		return nil, ErrPublicKey
	}
	return &PublicKey{point}, nil
}
