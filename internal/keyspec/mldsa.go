package keyspec

import (
	"crypto"
	"encoding/asn1"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	mldsax509 "filippo.io/mldsa/x509"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	circl "github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"

	"keyward/internal/mldsamu"
)

var mldsaParameters = map[types.KeySpec]mldsa.Parameters{
	types.KeySpecMlDsa44: mldsa.MLDSA44(),
	types.KeySpecMlDsa65: mldsa.MLDSA65(),
	types.KeySpecMlDsa87: mldsa.MLDSA87(),
}

// mldsaForms are private keys as RFC 9881 has them.
var mldsaForms = map[types.KeySpec]*seedForm{
	types.KeySpecMlDsa44: mldsaForm(17, mldsa44.Scheme()),
	types.KeySpecMlDsa65: mldsaForm(18, mldsa65.Scheme()),
	types.KeySpecMlDsa87: mldsaForm(19, mldsa87.Scheme()),
}

func mldsaForm(arc int, scheme circl.Scheme) *seedForm {
	return &seedForm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, arc}, mldsa.PrivateKeySize, func(seed []byte) ([]byte, error) {
		_, private := scheme.DeriveKey(seed)
		return private.MarshalBinary()
	}}
}

// mldsaKey signs with ML-DSA (FIPS 204), in its hedged variant and with an empty context. The public half is kept, because
// asking the library for it copies the whole expanded matrix.
type mldsaKey struct {
	private   *mldsa.PrivateKey
	verifying *mldsa.PublicKey
}

func newMLDSA(private *mldsa.PrivateKey) half { return &mldsaKey{private, private.PublicKey()} }

func generateMLDSA(s *Spec) (half, error) {
	private, err := mldsa.GenerateKey(mldsaParameters[s.Name])
	if err != nil {
		return nil, err
	}
	return newMLDSA(private), nil
}

func parseMLDSA(s *Spec, material []byte) (half, error) {
	seed, err := mldsaForms[s.Name].parse(material)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	private, err := mldsa.NewPrivateKey(mldsaParameters[s.Name], seed)
	if err != nil {
		return nil, ErrMaterial
	}
	return newMLDSA(private), nil
}

// material holds the seed (RFC 9881).
func (k *mldsaKey) material() ([]byte, error) { return mldsax509.MarshalPKCS8PrivateKey(k.private) }

func (k *mldsaKey) public() ([]byte, error) {
	return mldsax509.MarshalPKIXPublicKey(k.verifying)
}

func (k *mldsaKey) sign(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	options, err := mldsaOptions(algorithm, as, message)
	if err != nil {
		return nil, err
	}
	return k.private.Sign(nil, message, options)
}

func (k *mldsaKey) verify(algorithm types.SigningAlgorithmSpec, as types.MessageType, message, signature []byte) (bool, error) {
	if _, err := mldsaOptions(algorithm, as, message); err != nil {
		return false, err
	}
	if as == types.MessageTypeExternalMu {
		return mldsamu.Verify(k.verifying.Bytes(), message, signature), nil
	}
	return mldsa.Verify(k.verifying, message, signature, nil) == nil, nil
}

func mldsaOptions(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) (crypto.SignerOpts, error) {
	switch {
	case algorithm != types.SigningAlgorithmSpecMlDsaShake256:
		return nil, ErrAlgorithm
	case as == types.MessageTypeRaw:
		return &mldsa.Options{}, nil
	case as == types.MessageTypeExternalMu && len(message) == mldsamu.MuSize:
		return mldsacrypto.MLDSAMu, nil
	default:
		return nil, ErrMessage
	}
}
