package matrix

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keywrap"
	"keyward/internal/secret"
)

// step is one operation, called in a way that succeeds on every kind of key that has it.
type step struct {
	operation string
	call      func(s *subject) error
}

// just drops a call's answer.
func just[Out any](_ *Out, err error) error { return err }

const (
	alias  = "alias/matrix"
	myself = "arn:aws:iam::111122223333:user/admin"
	// elsewhere is the Region of replicas.
	elsewhere = "eu-west-1"
)

// steps are in an order in which each finds what it needs. Those that end a key's usefulness come last.
var steps = []step{
	{"DescribeKey", func(s *subject) error { return just(s.api.DescribeKey(s.ctx, &kms.DescribeKeyInput{KeyId: &s.key})) }},
	{"GetKeyPolicy", func(s *subject) error { return just(s.api.GetKeyPolicy(s.ctx, &kms.GetKeyPolicyInput{KeyId: &s.key})) }},
	{"ListKeyPolicies", func(s *subject) error {
		return just(s.api.ListKeyPolicies(s.ctx, &kms.ListKeyPoliciesInput{KeyId: &s.key}))
	}},
	{"PutKeyPolicy", putKeyPolicy},
	{"UpdateKeyDescription", func(s *subject) error {
		return just(s.api.UpdateKeyDescription(s.ctx, &kms.UpdateKeyDescriptionInput{KeyId: &s.key, Description: aws.String("seen")}))
	}},
	{"CreateAlias", func(s *subject) error {
		return just(s.api.CreateAlias(s.ctx, &kms.CreateAliasInput{AliasName: aws.String(alias), TargetKeyId: &s.key}))
	}},
	{"UpdateAlias", func(s *subject) error {
		return just(s.api.UpdateAlias(s.ctx, &kms.UpdateAliasInput{AliasName: aws.String(alias), TargetKeyId: &s.key}))
	}},
	{"DeleteAlias", func(s *subject) error {
		return just(s.api.DeleteAlias(s.ctx, &kms.DeleteAliasInput{AliasName: aws.String(alias)}))
	}},
	{"TagResource", func(s *subject) error {
		tags := []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("v")}}
		return just(s.api.TagResource(s.ctx, &kms.TagResourceInput{KeyId: &s.key, Tags: tags}))
	}},
	{"ListResourceTags", func(s *subject) error {
		return just(s.api.ListResourceTags(s.ctx, &kms.ListResourceTagsInput{KeyId: &s.key}))
	}},
	{"UntagResource", func(s *subject) error {
		return just(s.api.UntagResource(s.ctx, &kms.UntagResourceInput{KeyId: &s.key, TagKeys: []string{"k"}}))
	}},

	{"GetPublicKey", func(s *subject) error { return just(s.api.GetPublicKey(s.ctx, &kms.GetPublicKeyInput{KeyId: &s.key})) }},
	{"Encrypt", encrypt},
	{"Decrypt", func(s *subject) error {
		return just(s.api.Decrypt(s.ctx, &kms.DecryptInput{KeyId: &s.key, CiphertextBlob: s.ciphertext, EncryptionAlgorithm: s.encryption}))
	}},
	{"ReEncrypt", func(s *subject) error {
		return just(s.api.ReEncrypt(s.ctx, &kms.ReEncryptInput{
			CiphertextBlob: s.ciphertext, SourceKeyId: &s.key, SourceEncryptionAlgorithm: s.encryption, DestinationKeyId: &s.symmetric,
		}))
	}},
	{"GenerateDataKey", func(s *subject) error {
		return just(s.api.GenerateDataKey(s.ctx, &kms.GenerateDataKeyInput{KeyId: &s.key, KeySpec: types.DataKeySpecAes256}))
	}},
	{"GenerateDataKeyWithoutPlaintext", func(s *subject) error {
		return just(s.api.GenerateDataKeyWithoutPlaintext(s.ctx,
			&kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &s.key, KeySpec: types.DataKeySpecAes128}))
	}},
	{"GenerateDataKeyPair", func(s *subject) error {
		return just(s.api.GenerateDataKeyPair(s.ctx,
			&kms.GenerateDataKeyPairInput{KeyId: &s.key, KeyPairSpec: types.DataKeyPairSpecEccNistP256}))
	}},
	{"GenerateDataKeyPairWithoutPlaintext", func(s *subject) error {
		return just(s.api.GenerateDataKeyPairWithoutPlaintext(s.ctx,
			&kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: &s.key, KeyPairSpec: types.DataKeyPairSpecEccNistP256}))
	}},
	{"GenerateMac", generateMac},
	{"VerifyMac", func(s *subject) error {
		return just(s.api.VerifyMac(s.ctx, &kms.VerifyMacInput{KeyId: &s.key, Message: s.message, MacAlgorithm: s.mac, Mac: s.code}))
	}},
	{"Sign", sign},
	{"Verify", func(s *subject) error {
		return just(s.api.Verify(s.ctx, &kms.VerifyInput{
			KeyId: &s.key, Message: s.message, MessageType: s.messageType, SigningAlgorithm: s.signing, Signature: s.signature,
		}))
	}},
	{"DeriveSharedSecret", func(s *subject) error {
		return just(s.api.DeriveSharedSecret(s.ctx, &kms.DeriveSharedSecretInput{
			KeyId: &s.key, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, PublicKey: s.peer,
		}))
	}},
	{"Encapsulate", encapsulate},
	{"Decapsulate", func(s *subject) error {
		return just(s.api.Decapsulate(s.ctx, &kms.DecapsulateInput{
			KeyId: &s.key, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem, SharedSecretCiphertextBlob: s.encapsulated,
		}))
	}},
	{"GetKeyLastUsage", func(s *subject) error {
		return just(s.api.GetKeyLastUsage(s.ctx, &kms.GetKeyLastUsageInput{KeyId: &s.key}))
	}},

	{"CreateGrant", createGrant},
	{"ListGrants", func(s *subject) error { return just(s.api.ListGrants(s.ctx, &kms.ListGrantsInput{KeyId: &s.key})) }},
	{"RetireGrant", func(s *subject) error {
		return just(s.api.RetireGrant(s.ctx, &kms.RetireGrantInput{GrantToken: &s.token}))
	}},
	{"RevokeGrant", func(s *subject) error {
		if err := createGrant(s); err != nil {
			return err
		}
		return just(s.api.RevokeGrant(s.ctx, &kms.RevokeGrantInput{KeyId: &s.key, GrantId: &s.grant}))
	}},

	{"EnableKeyRotation", func(s *subject) error {
		return just(s.api.EnableKeyRotation(s.ctx, &kms.EnableKeyRotationInput{KeyId: &s.key}))
	}},
	{"GetKeyRotationStatus", func(s *subject) error {
		return just(s.api.GetKeyRotationStatus(s.ctx, &kms.GetKeyRotationStatusInput{KeyId: &s.key}))
	}},
	{"DisableKeyRotation", func(s *subject) error {
		return just(s.api.DisableKeyRotation(s.ctx, &kms.DisableKeyRotationInput{KeyId: &s.key}))
	}},
	{"RotateKeyOnDemand", rotateOnDemand},
	{"ListKeyRotations", func(s *subject) error {
		return just(s.api.ListKeyRotations(s.ctx, &kms.ListKeyRotationsInput{KeyId: &s.key}))
	}},
	{"ReplicateKey", func(s *subject) error {
		return just(s.api.ReplicateKey(s.ctx, &kms.ReplicateKeyInput{KeyId: &s.multiRegion, ReplicaRegion: aws.String(elsewhere)}))
	}},
	{"UpdatePrimaryRegion", updatePrimaryRegion},
	{"GetParametersForImport", func(s *subject) error {
		return just(s.api.GetParametersForImport(s.ctx, s.parameters(s.key)))
	}},
	{"ImportKeyMaterial", importAgain},
	{"DeleteImportedKeyMaterial", func(s *subject) error {
		return just(s.api.DeleteImportedKeyMaterial(s.ctx, &kms.DeleteImportedKeyMaterialInput{KeyId: &s.key}))
	}},

	{"DisableKey", disable},
	{"EnableKey", func(s *subject) error { return just(s.api.EnableKey(s.ctx, &kms.EnableKeyInput{KeyId: &s.key})) }},
	{"ScheduleKeyDeletion", func(s *subject) error {
		return just(s.api.ScheduleKeyDeletion(s.ctx, &kms.ScheduleKeyDeletionInput{KeyId: &s.key, PendingWindowInDays: aws.Int32(7)}))
	}},
	{"CancelKeyDeletion", func(s *subject) error {
		return just(s.api.CancelKeyDeletion(s.ctx, &kms.CancelKeyDeletionInput{KeyId: &s.key}))
	}},
}

func putKeyPolicy(s *subject) error {
	now, err := s.api.GetKeyPolicy(s.ctx, &kms.GetKeyPolicyInput{KeyId: &s.key})
	if err != nil {
		return err
	}
	return just(s.api.PutKeyPolicy(s.ctx, &kms.PutKeyPolicyInput{KeyId: &s.key, Policy: now.Policy}))
}

func encrypt(s *subject) error {
	out, err := s.api.Encrypt(s.ctx, &kms.EncryptInput{KeyId: &s.key, Plaintext: s.message, EncryptionAlgorithm: s.encryption})
	if err == nil {
		s.ciphertext = out.CiphertextBlob
	}
	return err
}

func generateMac(s *subject) error {
	out, err := s.api.GenerateMac(s.ctx, &kms.GenerateMacInput{KeyId: &s.key, Message: s.message, MacAlgorithm: s.mac})
	if err == nil {
		s.code = out.Mac
	}
	return err
}

// sign signs the message itself where the first algorithm of the key allows it, else what the algorithm asks for.
func sign(s *subject) error {
	out, err := s.api.Sign(s.ctx, &kms.SignInput{KeyId: &s.key, Message: s.message, MessageType: s.messageType, SigningAlgorithm: s.signing})
	if err == nil {
		s.signature = out.Signature
	}
	return err
}

func encapsulate(s *subject) error {
	out, err := s.api.Encapsulate(s.ctx, &kms.EncapsulateInput{KeyId: &s.key, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem})
	if err == nil {
		s.encapsulated = out.SharedSecretCiphertextBlob
	}
	return err
}

// createGrant grants what every kind of key can be asked for.
func createGrant(s *subject) error {
	out, err := s.api.CreateGrant(s.ctx, &kms.CreateGrantInput{
		KeyId: &s.key, GranteePrincipal: aws.String(myself), RetiringPrincipal: aws.String(myself),
		Operations: []types.GrantOperation{types.GrantOperationDescribeKey},
	})
	if err == nil {
		s.grant, s.token = *out.GrantId, *out.GrantToken
	}
	return err
}

// rotateOnDemand gives a key of imported material the next material first: without it there is nothing to rotate to.
func rotateOnDemand(s *subject) error {
	if s.origin == types.OriginTypeExternal && s.spec == types.KeySpecSymmetricDefault {
		next := make([]byte, 32)
		if _, err := rand.Read(next); err != nil {
			return err
		}
		if err := s.importInto(s.key, next, types.ImportTypeNewKeyMaterial); err != nil {
			return err
		}
		s.current = next
	}
	return just(s.api.RotateKeyOnDemand(s.ctx, &kms.RotateKeyOnDemandInput{KeyId: &s.key}))
}

// updatePrimaryRegion makes the replica the primary, once it is usable: the replica of a key of imported material gets
// its material from its owner too.
func updatePrimaryRegion(s *subject) error {
	if err := s.replicaUsable(); err != nil {
		return err
	}
	return just(s.api.UpdatePrimaryRegion(s.ctx, &kms.UpdatePrimaryRegionInput{KeyId: &s.multiRegion, PrimaryRegion: aws.String(elsewhere)}))
}

// importAgain imports the material that the key has already. Keys that import nothing get a token and a
// ciphertext of the right form, so that it is the key that is refused.
func importAgain(s *subject) error {
	if s.origin == types.OriginTypeExternal {
		return s.importInto(s.key, s.current, s.again())
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return err
	}
	wrapped, err := keywrap.Wrap(types.AlgorithmSpecRsaesOaepSha256, public, secret.New(make([]byte, 32)))
	if err != nil {
		return err
	}
	return just(s.api.ImportKeyMaterial(s.ctx, &kms.ImportKeyMaterialInput{
		KeyId: &s.key, ImportToken: make([]byte, 64), EncryptedKeyMaterial: wrapped,
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}))
}

// disable puts back the material that an earlier step deleted: it is not what this step is about.
func disable(s *subject) error {
	if s.origin == types.OriginTypeExternal {
		if err := s.importInto(s.key, s.current, s.again()); err != nil {
			return errors.Join(errors.New("putting material back"), err)
		}
	}
	return just(s.api.DisableKey(s.ctx, &kms.DisableKeyInput{KeyId: &s.key}))
}
