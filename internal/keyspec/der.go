package keyspec

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
)

// pkcs8 is a OneAsymmetricKey of RFC 5958, version 1, without attributes.
type pkcs8 struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

// parsePKCS8 reads one whose algorithm is the one given. The standard library knows only its own algorithms.
func parsePKCS8(der []byte, algorithm asn1.ObjectIdentifier) (pkcs8, error) {
	// Further members (attributes, a public key) may follow in foreign keys; asn1 passes over the end of a sequence.
	var p pkcs8
	rest, err := asn1.Unmarshal(der, &p)
	if err != nil || len(rest) > 0 || !p.Algorithm.Algorithm.Equal(algorithm) {
		return p, ErrMaterial
	}
	return p, nil
}

// parseStandard reads PKCS #8 that the standard library knows. That passes over what follows; this does not.
func parseStandard[K any](der []byte) (key K, err error) {
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &whole); err != nil || len(rest) > 0 {
		return key, ErrMaterial
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := parsed.(K)
	if err != nil || !ok {
		return key, ErrMaterial
	}
	return key, nil
}

var oidPublicKeyECDSA = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}

// ecPrivateKey is RFC 5915's.
type ecPrivateKey struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

// isPoint reports whether the public half that a foreign key names, if it does, is this uncompressed point.
func isPoint(point []byte, named asn1.BitString) bool {
	size := len(point) / 2
	compressed := append([]byte{2 | point[2*size]&1}, point[1:1+size]...)
	return named.Bytes == nil || bytes.Equal(named.Bytes, point) || bytes.Equal(named.Bytes, compressed)
}

func marshalSPKI(algorithm pkix.AlgorithmIdentifier, public []byte) ([]byte, error) {
	return asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}{algorithm, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}})
}
