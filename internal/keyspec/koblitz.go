package keyspec

import (
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// koblitzKey signs on secp256k1, which the standard library does not know.
type koblitzKey struct {
	spec    *Spec
	private *secp256k1.PrivateKey
}

func generateKoblitz(s *Spec) (half, error) {
	private, err := secp256k1.GeneratePrivateKeyFromRand(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &koblitzKey{s, private}, nil
}

var (
	oidPublicKeyECDSA = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidSecp256k1      = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
)

// ecPrivateKey is RFC 5915's.
type ecPrivateKey struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

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
	private := secp256k1.NewPrivateKey(&scalar)
	if key.PublicKey.Bytes != nil {
		public, err := secp256k1.ParsePubKey(key.PublicKey.Bytes)
		if err != nil || !public.IsEqual(private.PubKey()) {
			return nil, ErrMaterial
		}
	}
	return &koblitzKey{s, private}, nil
}

func (k *koblitzKey) material() ([]byte, error) {
	scalar := k.private.Serialize()
	defer clear(scalar)
	public := k.private.PubKey().SerializeUncompressed()
	inner, err := asn1.Marshal(ecPrivateKey{Version: 1, PrivateKey: scalar, PublicKey: asn1.BitString{Bytes: public, BitLength: 8 * len(public)}})
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
	return marshalSPKI(algorithm, k.private.PubKey().SerializeUncompressed())
}

func (k *koblitzKey) sign(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	sum, err := k.digest(algorithm, as, message)
	if err != nil {
		return nil, err
	}
	return ecdsa.Sign(k.private, sum).Serialize(), nil
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
	return parsed.Verify(sum, k.private.PubKey()), nil
}

func (k *koblitzKey) digest(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	if !slices.Contains(k.spec.SigningAlgorithms(), algorithm) {
		return nil, ErrAlgorithm
	}
	sum, _, err := digest(algorithm, as, message)
	return sum, err
}
