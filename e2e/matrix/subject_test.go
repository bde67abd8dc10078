package matrix

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
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
	ctx       context.Context
	api       *kms.Client
	elsewhere *kms.Client // in the Region of replicas
	store     string      // the connected custom key store

	key         string // ARN
	symmetric   string // ARN of a symmetric key, the other side of ReEncrypt
	multiRegion string // ARN of a multi-Region key of this kind; the key itself where there can be none
	material    []byte // imported at first
	current     []byte // imported, and current since the last rotation

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
		s.current = s.material
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

// owned is material that owners have, one for each spec: making it may take seconds.
var owned = map[types.KeySpec][]byte{}

// makeMaterial makes material as its owner would, outside.
func (s *subject) makeMaterial() error {
	if s.material = owned[s.spec]; s.material != nil {
		return nil
	}
	spec, ok := keyspec.Of(s.spec)
	if !ok {
		return fmt.Errorf("%s is not known", s.spec)
	}
	made, err := spec.Generate()
	if err != nil {
		return err
	}
	s.material = made.Expose()
	owned[s.spec] = s.material
	return nil
}

// importInto wraps material for a key and imports it.
func (s *subject) importInto(key string, material []byte, as types.ImportType) error {
	p, err := s.api.GetParametersForImport(s.ctx, s.parameters(key))
	if err != nil {
		return err
	}
	wrapped, err := keywrap.Wrap(s.wrapping(), p.PublicKey, secret.New(append([]byte(nil), material...)))
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
		KeyId: &key, WrappingAlgorithm: s.wrapping(), WrappingKeySpec: types.WrappingKeySpecRsa3072,
	}
}

// wrapping is the algorithm that AWS recommends for the key's material.
func (s *subject) wrapping() types.AlgorithmSpec {
	if len(s.material) > 64 { // in PKCS #8
		return types.AlgorithmSpecRsaAesKeyWrapSha256
	}
	return types.AlgorithmSpecRsaesOaepSha256
}

// again says that material was imported before, to keys that can have several.
func (s *subject) again() types.ImportType {
	if s.spec == types.KeySpecSymmetricDefault {
		return types.ImportTypeExistingKeyMaterial
	}
	return ""
}

// replicaUsable waits until the replica has been created, and gives it its material where that is imported. Keys without
// a replica are left to be refused.
func (s *subject) replicaUsable() error {
	there := *s
	there.api = s.elsewhere
	key := strings.Replace(s.multiRegion, ":us-east-1:", ":"+elsewhere+":", 1)
	for {
		seen, err := there.api.DescribeKey(s.ctx, &kms.DescribeKeyInput{KeyId: &key})
		var absent *types.NotFoundException
		switch {
		case errors.As(err, &absent):
			return nil
		case err != nil:
			return err
		case seen.KeyMetadata.KeyState == types.KeyStatePendingImport:
			return there.importInto(key, s.material, "")
		case seen.KeyMetadata.KeyState != types.KeyStateCreating:
			return nil
		}
	}
}
