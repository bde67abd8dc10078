package kms

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/keyspec"
	"keyward/internal/keywrap"
	"keyward/internal/operation"
	"keyward/internal/secret"
)

// longestImport is how far off the expiry of imported material may be (AWS KMS API Reference, ImportKeyMaterial).
const longestImport = 365 * 24 * time.Hour

func incorrectMaterial(format string, args ...any) error {
	return fault.New("IncorrectKeyMaterialException", format, args...)
}

func (s *Service) importKeyMaterial(
	ctx context.Context, call *operation.Call, in *kms.ImportKeyMaterialInput,
) (*kms.ImportKeyMaterialOutput, error) {
	sent := importConditions(in)
	if in.ExpirationModel == "" {
		in.ExpirationModel = types.ExpirationModelTypeKeyMaterialExpires
	}
	logImport(call, in)
	if err := s.checkImport(in); err != nil {
		return nil, err
	}
	k, err := s.key(ctx, call, question{operation: "ImportKeyMaterial", request: sent}, *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := s.permits("ImportKeyMaterial", k.Key); err != nil {
		return nil, err
	}
	if err := onlySymmetric(k.Key, in); err != nil {
		return nil, err
	}
	brought, err := s.unwrap(k.Key, in)
	if err != nil {
		return nil, err
	}
	_, err = s.alterFamily(ctx, call, "ImportKeyMaterial", k, func(tx Tx, k *Key, family []*Key, response *audit.Members) error {
		response.Add("keyMaterialId", k.told(brought.ID))
		return takeIn(tx, k, family, brought, in)
	})
	if err != nil {
		return nil, err
	}
	if in.ValidTo != nil { // Run must know when to wake up for it
		s.Wake()
	}
	return &kms.ImportKeyMaterialOutput{KeyId: &k.arn, KeyMaterialId: k.told(brought.ID)}, nil
}

func logImport(call *operation.Call, in *kms.ImportKeyMaterialInput) {
	call.Event.Request.Add("expirationModel", in.ExpirationModel)
	call.Event.Request.Add("validTo", in.ValidTo)
	call.Event.Request.Add("importType", optional(string(in.ImportType)))
	call.Event.Request.Add("keyMaterialDescription", in.KeyMaterialDescription)
	call.Event.Request.Add("keyMaterialId", in.KeyMaterialId)
}

// importConditions are there only if the member was sent: policies test for that (AWS KMS Developer Guide,
// kms:ExpirationModel and kms:ValidTo).
func importConditions(in *kms.ImportKeyMaterialInput) (all []condition) {
	if in.ExpirationModel != "" {
		all = append(all, condition{"kms:expirationmodel", []string{string(in.ExpirationModel)}})
	}
	if in.ValidTo != nil {
		all = append(all, condition{"kms:validto", []string{in.ValidTo.UTC().Format(time.RFC3339)}})
	}
	return all
}

// checkImport checks members that depend on one another.
func (s *Service) checkImport(in *kms.ImportKeyMaterialInput) error {
	expires := in.ExpirationModel == types.ExpirationModelTypeKeyMaterialExpires
	switch {
	case expires && in.ValidTo == nil:
		return invalid("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
	case !expires && in.ValidTo != nil:
		return invalid("A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
	case expires && !in.ValidTo.After(s.now()):
		return invalid("ValidTo must be in the future")
	case expires && in.ValidTo.After(s.now().Add(longestImport)):
		return invalid("ValidTo must be within 365 days from now")
	case in.ImportType == types.ImportTypeNewKeyMaterial && in.KeyMaterialId != nil:
		return invalid("A KeyMaterialId cannot be specified if the ImportType is NEW_KEY_MATERIAL")
	default:
		return nil
	}
}

// onlySymmetric refuses what only keys with several materials take.
func onlySymmetric(k *Key, in *kms.ImportKeyMaterialInput) error {
	if k.Spec == types.KeySpecSymmetricDefault || in.ImportType == "" && in.KeyMaterialDescription == nil && in.KeyMaterialId == nil {
		return nil
	}
	return invalid("ImportType, KeyMaterialDescription and KeyMaterialId can only be used with symmetric encryption keys.")
}

// unwrap opens token and material, and wraps the material for keeping.
func (s *Service) unwrap(k *Key, in *kms.ImportKeyMaterialInput) (m MaterialRecord, err error) {
	token, err := s.standard.openToken(k, in.ImportToken)
	if err != nil {
		return m, err
	}
	if !token.validTo.After(s.now()) {
		return m, errExpiredToken
	}
	if len(in.EncryptedKeyMaterial) < token.key.Size() {
		return m, invalid("Invalid encrypted key size.")
	}
	material, err := keywrap.Unwrap(token.algorithm, token.key, in.EncryptedKeyMaterial)
	if err != nil {
		return m, invalidCiphertext(err)
	}
	defer material.Wipe()
	if m, err = s.standard.receive(k, material); err != nil {
		return m, err
	}
	m.Description = aws.ToString(in.KeyMaterialDescription)
	if in.ValidTo != nil {
		m.ValidTo = in.ValidTo.UTC().Truncate(time.Millisecond)
	}
	return m, nil
}

// receive checks material that k's owner has brought, and wraps it.
func (d *DefaultStore) receive(k *Key, material secret.Bytes) (MaterialRecord, error) {
	spec, ok := keyspec.Of(k.Spec)
	if !ok {
		return MaterialRecord{}, fmt.Errorf("kms: %s is of the spec %s, which is not served", k.ARN(), k.Spec)
	}
	key, err := spec.Parse(material.Expose())
	if err != nil {
		return MaterialRecord{}, fault.New("IncorrectKeyMaterialException",
			"The key material is not valid for the key spec %s.", k.Spec).Because(err)
	}
	canonical, err := key.Material()
	if err != nil {
		return MaterialRecord{}, fmt.Errorf("kms: encoding imported material of %s: %w", k.ARN(), err)
	}
	defer canonical.Wipe()
	return d.keep(k, canonical.Expose())
}
