package keyspec

import (
	"crypto/subtle"
	"encoding/asn1"
)

// seedForm is one algorithm whose private keys are made from short seeds, and its expansion.
type seedForm struct {
	algorithm asn1.ObjectIdentifier
	size      int // of a seed, in bytes
	expand    func(seed []byte) ([]byte, error)
}

// parse reads the seed from PKCS #8 that holds it alone or together with the expanded key (RFC 9881 and RFC 9935,
// section 6), which must then be the seed's. The expanded key alone is ErrMaterial: keys are kept as seeds, and none can
// be found from it.
func (f *seedForm) parse(material []byte) ([]byte, error) {
	p, err := parsePKCS8(material, f.algorithm)
	if err != nil || len(p.Algorithm.Parameters.FullBytes) > 0 {
		return nil, ErrMaterial
	}
	defer clear(p.PrivateKey)
	var seed []byte
	if rest, err := asn1.UnmarshalWithParams(p.PrivateKey, &seed, "tag:0"); err == nil && len(rest) == 0 && len(seed) == f.size {
		return seed, nil
	}
	return f.parseBoth(p.PrivateKey)
}

func (f *seedForm) parseBoth(choice []byte) ([]byte, error) {
	var both struct{ Seed, Expanded []byte }
	rest, err := asn1.Unmarshal(choice, &both)
	if err != nil || len(rest) > 0 || len(both.Seed) != f.size {
		return nil, ErrMaterial
	}
	expanded, err := f.expand(both.Seed)
	if err != nil {
		return nil, err
	}
	defer clear(expanded)
	defer clear(both.Expanded)
	if subtle.ConstantTimeCompare(expanded, both.Expanded) != 1 {
		return nil, ErrMaterial
	}
	return both.Seed, nil
}
