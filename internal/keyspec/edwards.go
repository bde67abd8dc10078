package keyspec

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// edwardsKey signs with Ed25519 and Ed25519ph.
type edwardsKey struct{ private ed25519.PrivateKey }

func generateEdwards() (half, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &edwardsKey{private}, nil
}

func parseEdwards(material []byte) (half, error) {
	private, err := parseStandard[ed25519.PrivateKey](material)
	if err != nil {
		return nil, err
	}
	return &edwardsKey{private}, nil
}

func (k *edwardsKey) material() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.private) }

func (k *edwardsKey) public() ([]byte, error) { return x509.MarshalPKIXPublicKey(k.private.Public()) }

func (k *edwardsKey) sign(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	message, options, err := edwardsMessage(algorithm, as, message)
	if err != nil {
		return nil, err
	}
	return k.private.Sign(nil, message, options)
}

func (k *edwardsKey) verify(algorithm types.SigningAlgorithmSpec, as types.MessageType, message, signature []byte) (bool, error) {
	message, options, err := edwardsMessage(algorithm, as, message)
	if err != nil {
		return false, err
	}
	public, _ := k.private.Public().(ed25519.PublicKey)
	return ed25519.VerifyWithOptions(public, message, signature, options) == nil, nil
}

// edwardsMessage is what is signed. With Ed25519ph AWS hashes once more what the caller has hashed (AWS KMS API Reference,
// Sign, MessageType).
func edwardsMessage(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, *ed25519.Options, error) {
	switch {
	case algorithm == types.SigningAlgorithmSpecEd25519Sha512 && as == types.MessageTypeRaw:
		return message, &ed25519.Options{}, nil
	case algorithm == types.SigningAlgorithmSpecEd25519PhSha512 && as == types.MessageTypeDigest && len(message) == sha512.Size:
		sum := sha512.Sum512(message)
		return sum[:], &ed25519.Options{Hash: crypto.SHA512}, nil
	case algorithm == types.SigningAlgorithmSpecEd25519Sha512 || algorithm == types.SigningAlgorithmSpecEd25519PhSha512:
		return nil, nil, ErrMessage
	default:
		return nil, nil, ErrAlgorithm
	}
}
