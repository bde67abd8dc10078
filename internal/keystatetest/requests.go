package keystatetest

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const (
	ecdsaSHA256 = types.SigningAlgorithmSpecEcdsaSha256
	hmacSHA256  = types.MacAlgorithmSpecHmacSha256
	mlKEM       = types.EncapsulationAlgorithmSpecMlKem
)

var openPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*"}]}`

func grantFor(f *fixture) *kms.CreateGrantInput {
	operations := map[kind][]types.GrantOperation{
		signing: {types.GrantOperationSign}, mac: {types.GrantOperationGenerateMac}, agreement: {types.GrantOperationDeriveSharedSecret},
		encapsulation: {types.GrantOperationDescribeKey},
	}[f.kind]
	if operations == nil || f.origin == "AWS_CLOUDHSM" {
		operations = []types.GrantOperation{types.GrantOperationEncrypt}
	}
	return &kms.CreateGrantInput{
		KeyId: &f.id, GranteePrincipal: &f.principal, RetiringPrincipal: &f.principal, Operations: operations,
	}
}

// requests are valid requests of each operation for a key: mostly one; several where the key can take several parts in
// it. changes says that success leaves the key in another state or without something that it had.
var requests = map[string]struct {
	changes bool
	of      func(f *fixture) []any
}{
	"CancelKeyDeletion": {true, one(func(f *fixture) any { return &kms.CancelKeyDeletionInput{KeyId: &f.id} })},
	"CreateAlias": {false, one(func(f *fixture) any {
		return &kms.CreateAliasInput{AliasName: aws.String(f.alias + "-new"), TargetKeyId: &f.id}
	})},
	"CreateGrant": {false, one(func(f *fixture) any { return grantFor(f) })},
	"Decapsulate": {false, one(func(f *fixture) any {
		blob := f.made
		if f.origin == "AWS_CLOUDHSM" {
			blob = make([]byte, 1088)
		}
		return &kms.DecapsulateInput{KeyId: &f.id, EncapsulationAlgorithm: mlKEM, SharedSecretCiphertextBlob: blob}
	})},
	"Decrypt":     {false, one(func(f *fixture) any { return &kms.DecryptInput{CiphertextBlob: f.made} })},
	"DeleteAlias": {false, one(func(f *fixture) any { return &kms.DeleteAliasInput{AliasName: aws.String(f.alias + "-deleted")} })},
	"DeleteImportedKeyMaterial": {true, one(func(f *fixture) any {
		return &kms.DeleteImportedKeyMaterialInput{KeyId: &f.id}
	})},
	"DeriveSharedSecret": {false, one(func(f *fixture) any {
		return &kms.DeriveSharedSecretInput{KeyId: &f.id, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, PublicKey: peer(f.t)}
	})},
	"DescribeKey":        {false, one(func(f *fixture) any { return &kms.DescribeKeyInput{KeyId: &f.alias} })},
	"DisableKey":         {true, one(func(f *fixture) any { return &kms.DisableKeyInput{KeyId: &f.id} })},
	"DisableKeyRotation": {false, one(func(f *fixture) any { return &kms.DisableKeyRotationInput{KeyId: &f.id} })},
	"EnableKey":          {true, one(func(f *fixture) any { return &kms.EnableKeyInput{KeyId: &f.id} })},
	"EnableKeyRotation":  {false, one(func(f *fixture) any { return &kms.EnableKeyRotationInput{KeyId: &f.id} })},
	"Encapsulate": {false, one(func(f *fixture) any {
		return &kms.EncapsulateInput{KeyId: &f.id, EncapsulationAlgorithm: mlKEM}
	})},
	"Encrypt": {false, one(func(f *fixture) any { return &kms.EncryptInput{KeyId: &f.id, Plaintext: message} })},
	"GenerateDataKey": {false, one(func(f *fixture) any {
		return &kms.GenerateDataKeyInput{KeyId: &f.id, KeySpec: types.DataKeySpecAes256}
	})},
	"GenerateDataKeyPair": {false, one(func(f *fixture) any {
		return &kms.GenerateDataKeyPairInput{KeyId: &f.id, KeyPairSpec: types.DataKeyPairSpecEccNistP256}
	})},
	"GenerateDataKeyPairWithoutPlaintext": {false, one(func(f *fixture) any {
		return &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: &f.id, KeyPairSpec: types.DataKeyPairSpecEccNistP256}
	})},
	"GenerateDataKeyWithoutPlaintext": {false, one(func(f *fixture) any {
		return &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &f.id, KeySpec: types.DataKeySpecAes256}
	})},
	"GenerateMac": {false, one(func(f *fixture) any {
		return &kms.GenerateMacInput{KeyId: &f.id, Message: message, MacAlgorithm: hmacSHA256}
	})},
	"GetKeyLastUsage":      {false, one(func(f *fixture) any { return &kms.GetKeyLastUsageInput{KeyId: &f.id} })},
	"GetKeyPolicy":         {false, one(func(f *fixture) any { return &kms.GetKeyPolicyInput{KeyId: &f.id} })},
	"GetKeyRotationStatus": {false, one(func(f *fixture) any { return &kms.GetKeyRotationStatusInput{KeyId: &f.id} })},
	"GetParametersForImport": {false, one(func(f *fixture) any {
		return &kms.GetParametersForImportInput{
			KeyId: &f.id, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
		}
	})},
	"GetPublicKey": {false, one(func(f *fixture) any { return &kms.GetPublicKeyInput{KeyId: &f.id} })},
	"ImportKeyMaterial": {true, one(func(f *fixture) any {
		if in := f.imported[f.region]; in != nil {
			return in
		}
		return &kms.ImportKeyMaterialInput{
			KeyId: &f.id, ImportToken: []byte("token"), EncryptedKeyMaterial: []byte("material"),
			ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
		}
	})},
	"ListAliases":      {false, one(func(f *fixture) any { return &kms.ListAliasesInput{KeyId: &f.id} })},
	"ListGrants":       {false, one(func(f *fixture) any { return &kms.ListGrantsInput{KeyId: &f.id} })},
	"ListKeyPolicies":  {false, one(func(f *fixture) any { return &kms.ListKeyPoliciesInput{KeyId: &f.id} })},
	"ListKeyRotations": {false, one(func(f *fixture) any { return &kms.ListKeyRotationsInput{KeyId: &f.id} })},
	"ListResourceTags": {false, one(func(f *fixture) any { return &kms.ListResourceTagsInput{KeyId: &f.id} })},
	"PutKeyPolicy": {false, one(func(f *fixture) any {
		return &kms.PutKeyPolicyInput{KeyId: &f.id, Policy: &openPolicy}
	})},
	"ReEncrypt": {false, func(f *fixture) []any { // as source, as destination
		other := f.other()
		return []any{
			&kms.ReEncryptInput{CiphertextBlob: f.made, DestinationKeyId: &other.id},
			&kms.ReEncryptInput{CiphertextBlob: other.made, DestinationKeyId: &f.id},
		}
	}},
	"ReplicateKey": {true, one(func(f *fixture) any {
		return &kms.ReplicateKeyInput{KeyId: &f.id, ReplicaRegion: aws.String(beyond)}
	})},
	"RetireGrant": {false, one(func(f *fixture) any {
		if f.grants[0] != nil {
			return &kms.RetireGrantInput{GrantToken: f.grants[0].GrantToken}
		}
		return &kms.RetireGrantInput{KeyId: &f.arn, GrantId: &noGrant}
	})},
	"RevokeGrant": {false, one(func(f *fixture) any {
		if f.grants[1] != nil {
			return &kms.RevokeGrantInput{KeyId: &f.id, GrantId: f.grants[1].GrantId}
		}
		return &kms.RevokeGrantInput{KeyId: &f.id, GrantId: &noGrant}
	})},
	"RotateKeyOnDemand":   {true, one(func(f *fixture) any { return &kms.RotateKeyOnDemandInput{KeyId: &f.id} })},
	"ScheduleKeyDeletion": {true, one(func(f *fixture) any { return &kms.ScheduleKeyDeletionInput{KeyId: &f.id} })},
	"Sign": {false, one(func(f *fixture) any {
		return &kms.SignInput{KeyId: &f.id, Message: message, SigningAlgorithm: ecdsaSHA256}
	})},
	"TagResource": {false, one(func(f *fixture) any {
		return &kms.TagResourceInput{KeyId: &f.id, Tags: []types.Tag{{TagKey: aws.String("c"), TagValue: aws.String("d")}}}
	})},
	"UntagResource": {false, one(func(f *fixture) any {
		return &kms.UntagResourceInput{KeyId: &f.id, TagKeys: []string{"a"}}
	})},
	"UpdateAlias": {false, func(f *fixture) []any { // as new target, as the one before
		other := f.other()
		from := "alias/from-" + f.id
		f.call(f.region, "CreateAlias", &kms.CreateAliasInput{AliasName: &from, TargetKeyId: &other.id})
		return []any{
			&kms.UpdateAliasInput{AliasName: &from, TargetKeyId: &f.id},
			&kms.UpdateAliasInput{AliasName: aws.String(f.alias + "-moved"), TargetKeyId: &other.id},
		}
	}},
	"UpdateKeyDescription": {false, one(func(f *fixture) any {
		return &kms.UpdateKeyDescriptionInput{KeyId: &f.id, Description: aws.String("new")}
	})},
	"UpdatePrimaryRegion": {true, one(func(f *fixture) any {
		to := beside
		if f.region == beside { // it is updating, and goes back
			to = home
		}
		return &kms.UpdatePrimaryRegionInput{KeyId: &f.id, PrimaryRegion: &to}
	})},
	"Verify": {false, one(func(f *fixture) any {
		return &kms.VerifyInput{KeyId: &f.id, Message: message, Signature: f.made, SigningAlgorithm: ecdsaSHA256}
	})},
	"VerifyMac": {false, one(func(f *fixture) any {
		return &kms.VerifyMacInput{KeyId: &f.id, Message: message, Mac: f.made, MacAlgorithm: hmacSHA256}
	})},
}

// noGrant is a grant id that nobody has.
var noGrant = "0000000000000000000000000000000000000000000000000000000000000000"

func one(of func(f *fixture) any) func(f *fixture) []any {
	return func(f *fixture) []any { return []any{of(f)} }
}
