package keyspec

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// koblitzKey signs on secp256k1, which the standard library does not know.
type koblitzKey struct {
	spec      *Spec
	scalar    *secp256k1.ModNScalar
	verifying *secp256k1.PublicKey
}

func newKoblitz(s *Spec, scalar *secp256k1.ModNScalar) (*koblitzKey, error) {
	point, err := multiply(scalar)
	if err != nil {
		return nil, err
	}
	return &koblitzKey{s, scalar, secp256k1.NewPublicKey(&point.X, &point.Y)}, nil
}

func generateKoblitz(s *Spec) (half, error) {
	scalar, err := randomScalar()
	if err != nil {
		return nil, err
	}
	return newKoblitz(s, scalar)
}

var oidSecp256k1 = asn1.ObjectIdentifier{1, 3, 132, 0, 10}

func koblitzAlgorithm() (pkix.AlgorithmIdentifier, error) {
	curve, err := asn1.Marshal(oidSecp256k1)
	return pkix.AlgorithmIdentifier{Algorithm: oidPublicKeyECDSA, Parameters: asn1.RawValue{FullBytes: curve}}, err
}

func parseKoblitz(s *Spec, material []byte) (half, error) {
	inner, err := parsePKCS8(material, oidPublicKeyECDSA)
	if err != nil {
		return nil, err
	}
	var curve asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(inner.Algorithm.Parameters.FullBytes, &curve); err != nil || len(rest) > 0 || !curve.Equal(oidSecp256k1) {
		return nil, ErrMaterial
	}
	var key ecPrivateKey
	rest, err := asn1.Unmarshal(inner.PrivateKey, &key)
	if err != nil || len(rest) > 0 || key.Version != 1 || len(key.PrivateKey) != secp256k1.PrivKeyBytesLen ||
		key.Curve != nil && !key.Curve.Equal(oidSecp256k1) {
		return nil, ErrMaterial
	}
	defer clear(key.PrivateKey)
	var scalar secp256k1.ModNScalar
	if overflow := scalar.SetByteSlice(key.PrivateKey); overflow || scalar.IsZero() {
		return nil, ErrMaterial
	}
	made, err := newKoblitz(s, &scalar)
	if err != nil {
		return nil, err
	}
	if !isPoint(made.verifying.SerializeUncompressed(), key.PublicKey) {
		return nil, ErrMaterial
	}
	return made, nil
}

func (k *koblitzKey) material() ([]byte, error) {
	scalar := k.scalar.Bytes()
	defer clear(scalar[:])
	public := k.verifying.SerializeUncompressed()
	inner, err := asn1.Marshal(ecPrivateKey{Version: 1, PrivateKey: scalar[:], PublicKey: asn1.BitString{Bytes: public, BitLength: 8 * len(public)}})
	if err != nil {
		return nil, err
	}
	defer clear(inner)
	algorithm, err := koblitzAlgorithm()
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(pkcs8{Algorithm: algorithm, PrivateKey: inner})
}

func (k *koblitzKey) public() ([]byte, error) {
	algorithm, err := koblitzAlgorithm()
	if err != nil {
		return nil, err
	}
	return marshalSPKI(algorithm, k.verifying.SerializeUncompressed())
}

func (k *koblitzKey) sign(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	sum, err := k.digest(algorithm, as, message)
	if err != nil {
		return nil, err
	}
	signature, err := signBlinded(k.scalar, sum)
	if err != nil {
		return nil, err
	}
	return signature.Serialize(), nil
}

// verify also takes signatures whose s is in the upper half of the order, which other signers make.
func (k *koblitzKey) verify(algorithm types.SigningAlgorithmSpec, as types.MessageType, message, signature []byte) (bool, error) {
	sum, err := k.digest(algorithm, as, message)
	if err != nil {
		return false, err
	}
	parsed, err := ecdsa.ParseDERSignature(signature)
	if err != nil {
		return false, nil
	}
	return parsed.Verify(sum, k.verifying), nil
}

func (k *koblitzKey) digest(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	if !slices.Contains(k.spec.SigningAlgorithms(), algorithm) {
		return nil, ErrAlgorithm
	}
	sum, _, err := digest(algorithm, as, message)
	return sum, err
}
