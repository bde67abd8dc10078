package keyspec

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/secret"
)

// What can be wrong with what callers bring.
var (
	// ErrMaterial: the bytes are not material of the spec.
	ErrMaterial = errors.New("keyspec: not material of this key spec")
	// ErrAlgorithm: the key does not have this algorithm.
	ErrAlgorithm = errors.New("keyspec: not an algorithm of this key")
	// ErrMessage: the message's length or type does not fit the algorithm.
	ErrMessage = errors.New("keyspec: the message does not fit the algorithm")
	// ErrCiphertext: the bytes were not encrypted or encapsulated for this key.
	ErrCiphertext = errors.New("keyspec: not a ciphertext of this key")
	// ErrPublicKey: the bytes are not a public key that this key can agree with.
	ErrPublicKey = errors.New("keyspec: not a public key on this key's curve")
)

// Key is material ready to use. It may be used concurrently.
type Key struct {
	Spec *Spec
	half half
}

// half is the private half of a pair, or what a symmetric key has instead. Each implements what its family can do
// besides: signer, cipherer, agreer, encapsulator, authenticator.
type half interface {
	// material in canonical form, for the caller to wipe.
	material() ([]byte, error)
	// public is the public half as SubjectPublicKeyInfo in DER; nil where there is none.
	public() ([]byte, error)
}

type (
	signer interface {
		sign(types.SigningAlgorithmSpec, types.MessageType, []byte) ([]byte, error)
		verify(types.SigningAlgorithmSpec, types.MessageType, []byte, []byte) (bool, error)
	}
	cipherer interface {
		encrypt(types.EncryptionAlgorithmSpec, []byte) ([]byte, error)
		decrypt(types.EncryptionAlgorithmSpec, []byte) ([]byte, error)
	}
	agreer interface {
		agree(peer *PublicKey) ([]byte, error)
	}
	encapsulator interface {
		encapsulate() (shared, ciphertext []byte, err error)
		decapsulate(ciphertext []byte) ([]byte, error)
	}
	authenticator interface {
		mac(types.MacAlgorithmSpec, []byte) ([]byte, error)
	}
)

// Generate makes new material in canonical form. An RSA key of 4096 bits takes seconds.
func (s *Spec) Generate() (secret.Bytes, error) {
	if s.size > 0 && s.family != rsaFamily {
		raw := make([]byte, s.size)
		_, err := rand.Read(raw)
		return secret.New(raw), err
	}
	made, err := s.generate()
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("keyspec: making a key of %s: %w", s.Name, err)
	}
	material, err := made.material()
	return secret.New(material), err
}

// Parse checks material against the spec and makes it ready. Foreign material that is not in canonical form is
// ErrMaterial. It keeps no reference to the bytes.
func (s *Spec) Parse(material []byte) (*Key, error) {
	h, err := s.parse(material)
	if err != nil {
		return nil, err
	}
	return &Key{s, h}, nil
}

// Material is the key's material in canonical form.
func (k *Key) Material() (secret.Bytes, error) {
	m, err := k.half.material()
	return secret.New(m), err
}

// PublicKey is the public half as SubjectPublicKeyInfo in DER; nil for keys without one.
func (k *Key) PublicKey() ([]byte, error) { return k.half.public() }

// Sign signs a message of a type: RAW is hashed as the algorithm says, DIGEST and EXTERNAL_MU have been already. PSS salts
// are as long as the hash; ECDSA signatures are in DER.
func (k *Key) Sign(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	if h, ok := k.half.(signer); ok {
		return h.sign(algorithm, as, message)
	}
	return nil, ErrAlgorithm
}

// Verify reports whether signature is of this message. What Sign refuses is refused here too.
func (k *Key) Verify(algorithm types.SigningAlgorithmSpec, as types.MessageType, message, signature []byte) (bool, error) {
	if h, ok := k.half.(signer); ok {
		return h.verify(algorithm, as, message, signature)
	}
	return false, ErrAlgorithm
}

// Encrypt encrypts at most MaxPlaintext bytes under the public half.
func (k *Key) Encrypt(algorithm types.EncryptionAlgorithmSpec, plaintext []byte) ([]byte, error) {
	if h, ok := k.half.(cipherer); ok {
		return h.encrypt(algorithm, plaintext)
	}
	return nil, ErrAlgorithm
}

// Decrypt reverses Encrypt, or answers ErrCiphertext.
func (k *Key) Decrypt(algorithm types.EncryptionAlgorithmSpec, ciphertext []byte) ([]byte, error) {
	if h, ok := k.half.(cipherer); ok {
		return h.decrypt(algorithm, ciphertext)
	}
	return nil, ErrAlgorithm
}

// MAC authenticates a message.
func (k *Key) MAC(algorithm types.MacAlgorithmSpec, message []byte) ([]byte, error) {
	if h, ok := k.half.(authenticator); ok {
		return h.mac(algorithm, message)
	}
	return nil, ErrAlgorithm
}

// Agree is ECDH: the x coordinate of the shared point.
func (k *Key) Agree(peer *PublicKey) ([]byte, error) {
	if h, ok := k.half.(agreer); ok {
		return h.agree(peer)
	}
	return nil, ErrAlgorithm
}

// Encapsulate makes a shared secret of 32 bytes and its ciphertext under the public half.
func (k *Key) Encapsulate() (shared, ciphertext []byte, err error) {
	if h, ok := k.half.(encapsulator); ok {
		return h.encapsulate()
	}
	return nil, nil, ErrAlgorithm
}

// Decapsulate opens what Encapsulate made. A ciphertext of the right length always gives a secret: a wrong one gives one
// that nobody knows (FIPS 203, implicit rejection). Another length is ErrCiphertext.
func (k *Key) Decapsulate(ciphertext []byte) ([]byte, error) {
	if h, ok := k.half.(encapsulator); ok {
		return h.decapsulate(ciphertext)
	}
	return nil, ErrAlgorithm
}

func (s *Spec) generate() (half, error) {
	switch s.family {
	case rsaFamily:
		return generateRSA(s)
	case nistCurve:
		return generateNIST(s)
	case koblitz:
		return generateKoblitz(s)
	case edwards:
		return generateEdwards()
	case mlDSA:
		return generateMLDSA(s)
	case mlKEM:
		return generateMLKEM(s)
	default:
		return nil, ErrAlgorithm
	}
}

func (s *Spec) parse(material []byte) (half, error) {
	switch s.family {
	case rsaFamily:
		return parseRSA(s, material)
	case nistCurve:
		return parseNIST(s, material)
	case koblitz:
		return parseKoblitz(s, material)
	case edwards:
		return parseEdwards(material)
	case mlDSA:
		return parseMLDSA(s, material)
	case mlKEM:
		return parseMLKEM(s, material)
	default:
		return parseRaw(s, material)
	}
}
