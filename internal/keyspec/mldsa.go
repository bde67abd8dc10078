package keyspec

import (
	"crypto"
	"crypto/subtle"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	mldsax509 "filippo.io/mldsa/x509"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var mldsaParameters = map[types.KeySpec]mldsa.Parameters{
	types.KeySpecMlDsa44: mldsa.MLDSA44(),
	types.KeySpecMlDsa65: mldsa.MLDSA65(),
	types.KeySpecMlDsa87: mldsa.MLDSA87(),
}

// muSize is the length of an external μ in bytes.
const muSize = 64

// mldsaKey signs with ML-DSA (FIPS 204), with an empty context.
//
// It signs in the deterministic variant. The library verifies messages but offers no verification of an external μ; since
// no key of this family is ever outside, signing once more and comparing is one: every signature of a μ there can be is
// the one that this makes.
type mldsaKey struct{ private *mldsa.PrivateKey }

func generateMLDSA(s *Spec) (half, error) {
	private, err := mldsa.GenerateKey(mldsaParameters[s.Name])
	if err != nil {
		return nil, err
	}
	return &mldsaKey{private}, nil
}

func parseMLDSA(s *Spec, material []byte) (half, error) {
	parsed, err := mldsax509.ParsePKCS8PrivateKey(material)
	private, ok := parsed.(*mldsa.PrivateKey)
	if err != nil || !ok || private.PublicKey().Parameters() != mldsaParameters[s.Name] {
		return nil, ErrMaterial
	}
	return &mldsaKey{private}, nil
}

// material holds the seed (RFC 9881).
func (k *mldsaKey) material() ([]byte, error) { return mldsax509.MarshalPKCS8PrivateKey(k.private) }

func (k *mldsaKey) public() ([]byte, error) {
	return mldsax509.MarshalPKIXPublicKey(k.private.PublicKey())
}

func (k *mldsaKey) sign(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	options, err := mldsaOptions(algorithm, as, message)
	if err != nil {
		return nil, err
	}
	return k.private.SignDeterministic(message, options)
}

func (k *mldsaKey) verify(algorithm types.SigningAlgorithmSpec, as types.MessageType, message, signature []byte) (bool, error) {
	options, err := mldsaOptions(algorithm, as, message)
	if err != nil {
		return false, err
	}
	if as == types.MessageTypeRaw {
		return mldsa.Verify(k.private.PublicKey(), message, signature, nil) == nil, nil
	}
	again, err := k.private.SignDeterministic(message, options)
	return err == nil && subtle.ConstantTimeCompare(again, signature) == 1, err
}

func mldsaOptions(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) (crypto.SignerOpts, error) {
	switch {
	case algorithm != types.SigningAlgorithmSpecMlDsaShake256:
		return nil, ErrAlgorithm
	case as == types.MessageTypeRaw:
		return &mldsa.Options{}, nil
	case as == types.MessageTypeExternalMu && len(message) == muSize:
		return mldsacrypto.MLDSAMu, nil
	default:
		return nil, ErrMessage
	}
}
