package matrix

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
	"keyward/internal/keywrap"
	"keyward/internal/secret"
)

// subject is one key of a kind under examination, with what earlier steps left for later ones. The algorithms are those
// of the key where it has some, and anything a confused caller might send where it has none.
type subject struct {
	kind
	ctx   context.Context
	api   *kms.Client
	store string // the connected custom key store

	key         string // ARN
	symmetric   string // ARN of a symmetric key, the other side of ReEncrypt
	multiRegion string // ARN of a multi-Region key of this kind; the key itself where there can be none
	material    []byte // imported material

	encryption   types.EncryptionAlgorithmSpec
	signing      types.SigningAlgorithmSpec
	mac          types.MacAlgorithmSpec
	messageType  types.MessageType
	message      []byte
	peer         []byte // SPKI
	ciphertext   []byte
	signature    []byte
	code         []byte
	encapsulated []byte
	grant        string
	token        string
}

// create makes the key, with its material where that is imported.
func (s *subject) create() error {
	made, err := s.api.CreateKey(s.ctx, s.creation(false))
	if err != nil {
		return err
	}
	s.key, s.multiRegion = *made.KeyMetadata.Arn, *made.KeyMetadata.Arn
	s.choose(made.KeyMetadata)
	if s.origin == types.OriginTypeExternal {
		if err := s.makeMaterial(); err != nil {
			return err
		}
		if err := s.importInto(s.key, s.material, ""); err != nil {
			return err
		}
	}
	if related, err := s.api.CreateKey(s.ctx, s.creation(true)); err == nil {
		s.multiRegion = *related.KeyMetadata.Arn
		if s.origin == types.OriginTypeExternal {
			return s.importInto(s.multiRegion, s.material, "")
		}
	}
	return nil
}

func (s *subject) creation(multiRegion bool) *kms.CreateKeyInput {
	in := &kms.CreateKeyInput{KeySpec: s.spec, KeyUsage: s.usage, Origin: s.origin, MultiRegion: &multiRegion}
	switch s.origin {
	case types.OriginTypeAwsCloudhsm:
		in.CustomKeyStoreId = &s.store
	case types.OriginTypeExternalKeyStore:
		in.CustomKeyStoreId, in.XksKeyId = &s.store, aws.String("external-key")
	}
	return in
}

// choose picks algorithms and messages that fit the key.
func (s *subject) choose(m *types.KeyMetadata) {
	s.encryption, s.signing, s.mac = types.EncryptionAlgorithmSpecSymmetricDefault, types.SigningAlgorithmSpecEcdsaSha256, types.MacAlgorithmSpecHmacSha256
	s.messageType, s.message = types.MessageTypeRaw, []byte("attack at dawn")
	if len(m.EncryptionAlgorithms) > 0 {
		s.encryption = m.EncryptionAlgorithms[0]
	}
	if len(m.SigningAlgorithms) > 0 {
		s.signing = m.SigningAlgorithms[0]
	}
	if len(m.MacAlgorithms) > 0 {
		s.mac = m.MacAlgorithms[0]
	}
	s.ciphertext, s.signature, s.code, s.encapsulated = make([]byte, 256), make([]byte, 70), make([]byte, 32), make([]byte, 768)
	s.peer = peer(s.spec)
}

// peer is somebody else's public key on the key's curve, or on any where the key has none.
func peer(spec types.KeySpec) []byte {
	curve := ecdh.P256()
	switch spec {
	case types.KeySpecEccNistP384:
		curve = ecdh.P384()
	case types.KeySpecEccNistP521:
		curve = ecdh.P521()
	}
	private, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.PublicKey())
	if err != nil {
		panic(err)
	}
	return public
}

// makeMaterial makes material as its owner would, outside.
func (s *subject) makeMaterial() error {
	spec, ok := keyspec.Of(s.spec)
	if !ok {
		return fmt.Errorf("%s is not known", s.spec)
	}
	made, err := spec.Generate()
	if err != nil {
		return err
	}
	s.material = made.Expose()
	return nil
}

// importInto wraps material for a key and imports it.
func (s *subject) importInto(key string, material []byte, as types.ImportType) error {
	p, err := s.api.GetParametersForImport(s.ctx, s.parameters(key))
	if err != nil {
		return err
	}
	wrapped, err := keywrap.Wrap(types.AlgorithmSpecRsaAesKeyWrapSha256, p.PublicKey, secret.New(append([]byte(nil), material...)))
	if err != nil {
		return err
	}
	_, err = s.api.ImportKeyMaterial(s.ctx, &kms.ImportKeyMaterialInput{
		KeyId: &key, ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ImportType: as,
		ExpirationModel: types.ExpirationModelTypeKeyMaterialExpires, ValidTo: aws.Time(time.Now().Add(24 * time.Hour)),
	})
	return err
}

func (s *subject) parameters(key string) *kms.GetParametersForImportInput {
	return &kms.GetParametersForImportInput{
		KeyId: &key, WrappingAlgorithm: types.AlgorithmSpecRsaAesKeyWrapSha256, WrappingKeySpec: types.WrappingKeySpecRsa3072,
	}
}
