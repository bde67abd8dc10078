package keyspec

import (
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

func marshalSPKI(algorithm pkix.AlgorithmIdentifier, public []byte) ([]byte, error) {
	return asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}{algorithm, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}})
}
