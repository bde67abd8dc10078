package kms

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/operation"
)

// An import token is kept by whoever asked for it, not here: sealed under the root key for one KMS key it holds
//
//	version (1) ‖ wrapping algorithm (1) ‖ end of validity in milliseconds (8) ‖ wrapping private key (PKCS #8)
//
// so that any number may be outstanding, none can be made up, and one for another key does not open.

const (
	importVersion = 1
	importHeader  = 1 + 1 + 8
	// importTime is how long a token and its public key can be used (AWS KMS API Reference, GetParametersForImport).
	importTime = 24 * time.Hour
)

var (
	errImportToken = fault.New("InvalidImportTokenException",
		"The request was rejected because the provided import token is invalid or is associated with a different KMS key.")
	errExpiredToken = fault.New("ExpiredImportTokenException",
		"The request was rejected because the specified import token is expired. Use GetParametersForImport to get a new "+
			"import token and public key, use the new public key to encrypt the key material, and then try the request again.")
)

// wrappingAlgorithms that are served; a token holds the index. Entries are never moved.
var wrappingAlgorithms = []types.AlgorithmSpec{
	types.AlgorithmSpecRsaesOaepSha1, types.AlgorithmSpecRsaesOaepSha256,
	types.AlgorithmSpecRsaAesKeyWrapSha1, types.AlgorithmSpecRsaAesKeyWrapSha256,
}

// wrappingSizes are the bits of wrapping keys.
var wrappingSizes = map[types.WrappingKeySpec]int{
	types.WrappingKeySpecRsa2048: 2048, types.WrappingKeySpecRsa3072: 3072, types.WrappingKeySpecRsa4096: 4096,
}

// importToken is a token in the open.
type importToken struct {
	algorithm types.AlgorithmSpec
	validTo   time.Time
	key       *rsa.PrivateKey
}

// tokenPurpose binds a token to its key.
func tokenPurpose(k *Key) string { return "kms import parameters of " + k.ARN() }

// sealToken makes the token of k.
func (d *DefaultStore) sealToken(k *Key, t *importToken) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(t.key)
	if err != nil {
		return nil, fmt.Errorf("kms: encoding a wrapping key: %w", err)
	}
	defer clear(der)
	plain := make([]byte, 0, importHeader+len(der))
	plain = append(plain, importVersion, byte(slices.Index(wrappingAlgorithms, t.algorithm)))
	plain = binary.BigEndian.AppendUint64(plain, uint64(t.validTo.UnixMilli()))
	plain = append(plain, der...)
	defer clear(plain)
	return d.root.Seal(tokenPurpose(k), plain)
}

// openToken reverses sealToken: errImportToken if the token is not one of k.
func (d *DefaultStore) openToken(k *Key, sealed []byte) (*importToken, error) {
	plain, err := d.root.Open(tokenPurpose(k), sealed)
	if err != nil {
		return nil, errImportToken.Because(err)
	}
	defer clear(plain)
	if len(plain) < importHeader || plain[0] != importVersion || int(plain[1]) >= len(wrappingAlgorithms) {
		return nil, errImportToken.Because(errors.New("kms: an import token of another version"))
	}
	key, err := x509.ParsePKCS8PrivateKey(plain[importHeader:])
	if err != nil {
		return nil, fmt.Errorf("kms: reading a wrapping key: %w", err)
	}
	wrapping, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("kms: a wrapping key is a %T", key)
	}
	validTo := time.UnixMilli(int64(binary.BigEndian.Uint64(plain[2:]))).UTC()
	return &importToken{wrappingAlgorithms[plain[1]], validTo, wrapping}, nil
}

func (s *Service) getParametersForImport(
	ctx context.Context, call *operation.Call, in *kms.GetParametersForImportInput,
) (*kms.GetParametersForImportOutput, error) {
	k, err := s.key(ctx, call, question{operation: "GetParametersForImport", request: []condition{
		{"kms:wrappingalgorithm", []string{string(in.WrappingAlgorithm)}},
		{"kms:wrappingkeyspec", []string{string(in.WrappingKeySpec)}},
	}}, *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := s.permits("GetParametersForImport", k.Key); err != nil {
		return nil, err
	}
	if err := wraps(in.WrappingAlgorithm, in.WrappingKeySpec, k.Spec); err != nil {
		return nil, err
	}
	token := importToken{algorithm: in.WrappingAlgorithm, validTo: s.instant().Add(importTime)}
	if token.key, err = s.wrappingKey(ctx, in.WrappingKeySpec); err != nil {
		return nil, err
	}
	sealed, err := s.standard.sealToken(k.Key, &token)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&token.key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("kms: encoding a wrapping key: %w", err)
	}
	return &kms.GetParametersForImportOutput{
		KeyId: &k.arn, ImportToken: sealed, PublicKey: public, ParametersValidTo: &token.validTo,
	}, nil
}

// wrappingKey makes an RSA key, which takes up to seconds.
func (s *Service) wrappingKey(ctx context.Context, spec types.WrappingKeySpec) (*rsa.PrivateKey, error) {
	if err := s.standard.making.take(ctx); err != nil {
		return nil, err
	}
	defer s.standard.making.give()
	key, err := rsa.GenerateKey(rand.Reader, wrappingSizes[spec])
	if err != nil {
		return nil, fmt.Errorf("kms: making a wrapping key: %w", err)
	}
	return key, nil
}

// wraps refuses combinations that AWS KMS does not take (AWS KMS Developer Guide, "Select a wrapping algorithm").
func wraps(algorithm types.AlgorithmSpec, wrapping types.WrappingKeySpec, spec types.KeySpec) error {
	if !slices.Contains(wrappingAlgorithms, algorithm) || wrappingSizes[wrapping] == 0 {
		return unsupported("Wrapping algorithm %s and wrapping key spec %s are not supported.", algorithm, wrapping)
	}
	direct := algorithm == types.AlgorithmSpecRsaesOaepSha1 || algorithm == types.AlgorithmSpecRsaesOaepSha256
	short := wrapping == types.WrappingKeySpecRsa2048
	var fits bool
	switch {
	case rsaKey(spec):
		fits = !direct // too long for RSA itself
	case spec == types.KeySpecEccNistP521:
		fits = !direct || !short
	case asymmetric(spec):
		fits = true // ML-DSA and ML-KEM keys as seeds, if not with an algorithm for any length
	default: // symmetric and HMAC keys
		fits = direct
	}
	if !fits {
		return invalid("Wrapping algorithm %s and wrapping key spec %s cannot be used to import a %s key.", algorithm, wrapping, spec)
	}
	return nil
}
