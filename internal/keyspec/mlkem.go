package keyspec

import (
	"crypto/mlkem"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	circl "github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
)

// kemSeedSize is the length of an ML-KEM seed, d and z, in bytes.
const kemSeedSize = mlkem.SeedSize

// kemForms are private keys as RFC 9935 has them.
var kemForms = map[types.KeySpec]*seedForm{
	types.KeySpecMlKem512:  kemForm(1, mlkem512.Scheme()),
	types.KeySpecMlKem768:  kemForm(2, mlkem768.Scheme()),
	types.KeySpecMlKem1024: kemForm(3, mlkem1024.Scheme()),
}

func kemForm(arc int, scheme circl.Scheme) *seedForm {
	return &seedForm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, arc}, kemSeedSize, func(seed []byte) ([]byte, error) {
		_, private := scheme.DeriveKeyPair(seed)
		return private.MarshalBinary()
	}}
}

// kemKey encapsulates secrets with ML-KEM (FIPS 203).
type kemKey struct {
	spec *Spec
	seed []byte
	kem
}

// kem is one parameter set. Ciphertexts given to open have the right length.
type kem interface {
	publicKey() []byte
	ciphertextSize() int
	seal() (shared, ciphertext []byte, err error)
	open(ciphertext []byte) ([]byte, error)
}

func generateMLKEM(s *Spec) (half, error) {
	seed := make([]byte, kemSeedSize)
	if _, err := rand.Read(seed); err != nil {
		return nil, err
	}
	return newMLKEM(s, seed)
}

func newMLKEM(s *Spec, seed []byte) (half, error) {
	k, err := newKEM(s.Name, seed)
	if err != nil {
		return nil, ErrMaterial
	}
	return &kemKey{s, seed, k}, nil
}

func newKEM(name types.KeySpec, seed []byte) (kem, error) {
	switch name {
	case types.KeySpecMlKem512:
		_, private := mlkem512.NewKeyFromSeed(seed)
		return kem512{private}, nil
	case types.KeySpecMlKem768:
		private, err := mlkem.NewDecapsulationKey768(seed)
		return kem768{private}, err
	default:
		private, err := mlkem.NewDecapsulationKey1024(seed)
		return kem1024{private}, err
	}
}

func parseMLKEM(s *Spec, material []byte) (half, error) {
	seed, err := kemForms[s.Name].parse(material)
	if err != nil {
		return nil, err
	}
	return newMLKEM(s, seed)
}

func (k *kemKey) algorithm() pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: kemForms[k.spec.Name].algorithm}
}

func (k *kemKey) material() ([]byte, error) {
	choice, err := asn1.MarshalWithParams(k.seed, "tag:0")
	if err != nil {
		return nil, err
	}
	defer clear(choice)
	return asn1.Marshal(pkcs8{Algorithm: k.algorithm(), PrivateKey: choice})
}

func (k *kemKey) public() ([]byte, error) { return marshalSPKI(k.algorithm(), k.publicKey()) }

func (k *kemKey) encapsulate() (shared, ciphertext []byte, err error) { return k.seal() }

func (k *kemKey) decapsulate(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != k.ciphertextSize() {
		return nil, ErrCiphertext
	}
	return k.open(ciphertext)
}

// kem512 is from another library: the standard one leaves the smallest parameter set out.
type kem512 struct{ private *mlkem512.PrivateKey }

func (k kem512) publicKey() []byte {
	packed := make([]byte, mlkem512.PublicKeySize)
	k.half().Pack(packed)
	return packed
}

func (k kem512) half() *mlkem512.PublicKey {
	public, _ := k.private.Public().(*mlkem512.PublicKey) // it is
	return public
}

func (kem512) ciphertextSize() int { return mlkem512.CiphertextSize }

func (k kem512) seal() (shared, ciphertext []byte, err error) {
	shared, ciphertext = make([]byte, mlkem512.SharedKeySize), make([]byte, mlkem512.CiphertextSize)
	seed := make([]byte, mlkem512.EncapsulationSeedSize)
	defer clear(seed)
	if _, err := rand.Read(seed); err != nil {
		return nil, nil, err
	}
	k.half().EncapsulateTo(ciphertext, shared, seed)
	return shared, ciphertext, nil
}

func (k kem512) open(ciphertext []byte) ([]byte, error) {
	shared := make([]byte, mlkem512.SharedKeySize)
	k.private.DecapsulateTo(shared, ciphertext)
	return shared, nil
}

type kem768 struct{ private *mlkem.DecapsulationKey768 }

func (k kem768) publicKey() []byte { return k.private.EncapsulationKey().Bytes() }
func (kem768) ciphertextSize() int { return mlkem.CiphertextSize768 }
func (k kem768) seal() (shared, ciphertext []byte, err error) {
	shared, ciphertext = k.private.EncapsulationKey().Encapsulate()
	return shared, ciphertext, nil
}
func (k kem768) open(ciphertext []byte) ([]byte, error) { return k.private.Decapsulate(ciphertext) }

type kem1024 struct{ private *mlkem.DecapsulationKey1024 }

func (k kem1024) publicKey() []byte { return k.private.EncapsulationKey().Bytes() }
func (kem1024) ciphertextSize() int { return mlkem.CiphertextSize1024 }
func (k kem1024) seal() (shared, ciphertext []byte, err error) {
	shared, ciphertext = k.private.EncapsulationKey().Encapsulate()
	return shared, ciphertext, nil
}
func (k kem1024) open(ciphertext []byte) ([]byte, error) { return k.private.Decapsulate(ciphertext) }
