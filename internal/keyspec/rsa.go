package keyspec

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSAES_OAEP_SHA_1 is AWS's; OAEP does not rest on collision resistance
	"crypto/sha256"
	"crypto/x509"
	"hash"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

type rsaKey struct {
	spec    *Spec
	private *rsa.PrivateKey
}

func generateRSA(s *Spec) (half, error) {
	private, err := rsa.GenerateKey(rand.Reader, s.size)
	if err != nil {
		return nil, err
	}
	return &rsaKey{s, private}, nil
}

// leastExponent is FIPS 186-5's (section 5.1) bound of public exponents.
const leastExponent = 1<<16 + 1

// parseRSA takes two primes and a modulus of exactly the spec's size.
func parseRSA(s *Spec, material []byte) (half, error) {
	private, err := parseStandard[*rsa.PrivateKey](material)
	if err != nil || private.N.BitLen() != s.size || len(private.Primes) != 2 || private.E < leastExponent || private.Validate() != nil {
		return nil, ErrMaterial
	}
	return &rsaKey{s, private}, nil
}

func (k *rsaKey) material() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.private) }

func (k *rsaKey) public() ([]byte, error) { return x509.MarshalPKIXPublicKey(&k.private.PublicKey) }

func pss(hash crypto.Hash) *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: hash.Size(), Hash: hash}
}

func (k *rsaKey) sign(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, error) {
	if !slices.Contains(k.spec.SigningAlgorithms(), algorithm) {
		return nil, ErrAlgorithm
	}
	sum, hash, err := digest(algorithm, as, message)
	if err != nil {
		return nil, err
	}
	if isPSS(algorithm) {
		return rsa.SignPSS(rand.Reader, k.private, hash, sum, pss(hash))
	}
	return rsa.SignPKCS1v15(nil, k.private, hash, sum)
}

func (k *rsaKey) verify(algorithm types.SigningAlgorithmSpec, as types.MessageType, message, signature []byte) (bool, error) {
	if !slices.Contains(k.spec.SigningAlgorithms(), algorithm) {
		return false, ErrAlgorithm
	}
	sum, hash, err := digest(algorithm, as, message)
	if err != nil {
		return false, err
	}
	if isPSS(algorithm) {
		return rsa.VerifyPSS(&k.private.PublicKey, hash, sum, signature, pss(hash)) == nil, nil
	}
	return rsa.VerifyPKCS1v15(&k.private.PublicKey, hash, sum, signature) == nil, nil
}

func isPSS(algorithm types.SigningAlgorithmSpec) bool {
	return strings.HasPrefix(string(algorithm), "RSASSA_PSS_")
}

func oaep(algorithm types.EncryptionAlgorithmSpec) func() hash.Hash {
	switch algorithm {
	case types.EncryptionAlgorithmSpecRsaesOaepSha1:
		return sha1.New
	case types.EncryptionAlgorithmSpecRsaesOaepSha256:
		return sha256.New
	default:
		return nil
	}
}

func (k *rsaKey) encrypt(algorithm types.EncryptionAlgorithmSpec, plaintext []byte) ([]byte, error) {
	h := oaep(algorithm)
	if h == nil {
		return nil, ErrAlgorithm
	}
	if len(plaintext) > MaxPlaintext(k.spec.Name, algorithm) {
		return nil, ErrMessage
	}
	return rsa.EncryptOAEP(h(), rand.Reader, &k.private.PublicKey, plaintext, nil)
}

func (k *rsaKey) decrypt(algorithm types.EncryptionAlgorithmSpec, ciphertext []byte) ([]byte, error) {
	h := oaep(algorithm)
	if h == nil {
		return nil, ErrAlgorithm
	}
	if len(ciphertext) != k.private.Size() { // Go's library makes up for leading zeros; RFC 8017, section 7.1.2, does not
		return nil, ErrCiphertext
	}
	plaintext, err := rsa.DecryptOAEP(h(), nil, k.private, ciphertext, nil)
	if err != nil {
		return nil, ErrCiphertext
	}
	return plaintext, nil
}
