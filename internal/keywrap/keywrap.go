// Package keywrap opens key material that owners wrapped for import (AWS KMS Developer Guide, "Importing key material"):
// RSAES-OAEP, and RSA-OAEP around an AES key that wraps the material with RFC 5649 (PKCS #11's CKM_RSA_AES_KEY_WRAP). It
// wraps too, as the owners' tools do.
package keywrap

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	_ "crypto/sha1"   // for OAEP
	_ "crypto/sha256" // likewise

	"keyward/internal/secret"
)

// ErrUnwrap: the bytes were not wrapped for this key with this algorithm. It does not say what is wrong with them.
var ErrUnwrap = errors.New("keywrap: cannot be unwrapped")

// maxWrapped bounds what is looked at, in bytes: the API's bound of EncryptedKeyMaterial.
const maxWrapped = 6144

// algorithm is a wrapping algorithm: the hash of OAEP, and whether an AES key stands between.
type algorithm struct {
	hash    crypto.Hash
	through bool
}

var algorithms = map[types.AlgorithmSpec]algorithm{
	types.AlgorithmSpecRsaesOaepSha1:       {crypto.SHA1, false},
	types.AlgorithmSpecRsaesOaepSha256:     {crypto.SHA256, false},
	types.AlgorithmSpecRsaAesKeyWrapSha1:   {crypto.SHA1, true},
	types.AlgorithmSpecRsaAesKeyWrapSha256: {crypto.SHA256, true},
}

// MaxDirect is the most that an algorithm wraps without an AES key between, in bytes, under an RSA key of so many bits; 0
// for algorithms that have no such bound.
func MaxDirect(name types.AlgorithmSpec, bits int) int {
	a, ok := algorithms[name]
	if !ok || a.through {
		return 0
	}
	return bits/8 - 2*a.hash.Size() - 2
}

// Unwrap opens wrapped material with the private key of the wrapping pair. The error is ErrUnwrap, or an unknown
// algorithm.
func Unwrap(name types.AlgorithmSpec, private *rsa.PrivateKey, wrapped []byte) (secret.Bytes, error) {
	a, ok := algorithms[name]
	if !ok {
		return secret.Bytes{}, fmt.Errorf("keywrap: no algorithm %s", name)
	}
	if len(wrapped) > maxWrapped {
		return secret.Bytes{}, ErrUnwrap
	}
	if !a.through {
		return open(a, private, wrapped)
	}
	size := private.Size()
	if len(wrapped) <= size {
		return secret.Bytes{}, ErrUnwrap
	}
	between, err := open(a, private, wrapped[:size])
	if err != nil {
		return secret.Bytes{}, err
	}
	defer between.Wipe()
	material, err := unpad(between.Expose(), wrapped[size:])
	if err != nil {
		return secret.Bytes{}, ErrUnwrap
	}
	return secret.New(material), nil
}

func open(a algorithm, private *rsa.PrivateKey, wrapped []byte) (secret.Bytes, error) {
	if len(wrapped) != private.Size() { // Go's library makes up for leading zeros; RFC 8017, section 7.1.2, does not
		return secret.Bytes{}, ErrUnwrap
	}
	opened, err := private.Decrypt(nil, wrapped, &rsa.OAEPOptions{Hash: a.hash})
	if err != nil {
		return secret.Bytes{}, ErrUnwrap
	}
	return secret.New(opened), nil
}

// Wrap wraps material under a public key in SubjectPublicKeyInfo, as the owner of the material does. The AES key between
// has 256 bits.
func Wrap(name types.AlgorithmSpec, public []byte, material secret.Bytes) ([]byte, error) {
	a, ok := algorithms[name]
	parsed, err := x509.ParsePKIXPublicKey(public)
	key, isRSA := parsed.(*rsa.PublicKey)
	if err != nil || !isRSA || !ok {
		return nil, errors.Join(fmt.Errorf("keywrap: not an RSA public key for %s", name), err)
	}
	if !a.through {
		return rsa.EncryptOAEP(a.hash.New(), rand.Reader, key, material.Expose(), nil)
	}
	between := make([]byte, 32)
	defer clear(between)
	if _, err := rand.Read(between); err != nil {
		return nil, err
	}
	sealed, err := rsa.EncryptOAEP(a.hash.New(), rand.Reader, key, between, nil)
	if err != nil {
		return nil, err
	}
	padded, err := pad(between, material.Expose())
	return append(sealed, padded...), err
}
