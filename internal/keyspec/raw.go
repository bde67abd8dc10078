package keyspec

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// rawKey is material without structure: a symmetric key, which others use, or an HMAC key.
type rawKey struct {
	spec  *Spec
	bytes []byte
}

func parseRaw(s *Spec, material []byte) (half, error) {
	if len(material) != s.size {
		return nil, ErrMaterial
	}
	return &rawKey{s, bytes.Clone(material)}, nil
}

func (k *rawKey) material() ([]byte, error) { return bytes.Clone(k.bytes), nil }

func (k *rawKey) public() ([]byte, error) { return nil, nil }

func (k *rawKey) mac(algorithm types.MacAlgorithmSpec, message []byte) ([]byte, error) {
	if !slices.Contains(k.spec.MacAlgorithms(), algorithm) {
		return nil, ErrAlgorithm
	}
	m := hmac.New(macHashes[algorithm], k.bytes)
	m.Write(message)
	return m.Sum(nil), nil
}

var macHashes = map[types.MacAlgorithmSpec]func() hash.Hash{
	types.MacAlgorithmSpecHmacSha224: sha256.New224,
	types.MacAlgorithmSpecHmacSha256: sha256.New,
	types.MacAlgorithmSpecHmacSha384: sha512.New384,
	types.MacAlgorithmSpecHmacSha512: sha512.New,
}
