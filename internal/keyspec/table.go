package keyspec

import "github.com/aws/aws-sdk-go-v2/service/kms/types"

// specs is the AWS KMS Developer Guide's "Key spec reference".
var specs = []*Spec{
	{types.KeySpecSymmetricDefault, symmetric, 32, []usage{{
		name: types.KeyUsageTypeEncryptDecrypt, encryption: []types.EncryptionAlgorithmSpec{types.EncryptionAlgorithmSpecSymmetricDefault},
	}}},

	// The sizes are those of the hash (AWS KMS Developer Guide, "HMAC keys in AWS KMS").
	{types.KeySpecHmac224, hmacFamily, 28, macs(types.MacAlgorithmSpecHmacSha224)},
	{types.KeySpecHmac256, hmacFamily, 32, macs(types.MacAlgorithmSpecHmacSha256)},
	{types.KeySpecHmac384, hmacFamily, 48, macs(types.MacAlgorithmSpecHmacSha384)},
	{types.KeySpecHmac512, hmacFamily, 64, macs(types.MacAlgorithmSpecHmacSha512)},

	{types.KeySpecRsa2048, rsaFamily, 2048, rsaUsages},
	{types.KeySpecRsa3072, rsaFamily, 3072, rsaUsages},
	{types.KeySpecRsa4096, rsaFamily, 4096, rsaUsages},

	{types.KeySpecEccNistP256, nistCurve, 0, append(signs(types.SigningAlgorithmSpecEcdsaSha256), agrees)},
	{types.KeySpecEccNistP384, nistCurve, 0, append(signs(types.SigningAlgorithmSpecEcdsaSha384), agrees)},
	{types.KeySpecEccNistP521, nistCurve, 0, append(signs(types.SigningAlgorithmSpecEcdsaSha512), agrees)},
	{types.KeySpecEccSecgP256k1, koblitz, 0, signs(types.SigningAlgorithmSpecEcdsaSha256)},
	{types.KeySpecEccNistEdwards25519, edwards, 0, signs(types.SigningAlgorithmSpecEd25519Sha512, types.SigningAlgorithmSpecEd25519PhSha512)},

	{types.KeySpecMlDsa44, mlDSA, 0, signs(types.SigningAlgorithmSpecMlDsaShake256)},
	{types.KeySpecMlDsa65, mlDSA, 0, signs(types.SigningAlgorithmSpecMlDsaShake256)},
	{types.KeySpecMlDsa87, mlDSA, 0, signs(types.SigningAlgorithmSpecMlDsaShake256)},

	{types.KeySpecMlKem512, mlKEM, 0, encapsulates},
	{types.KeySpecMlKem768, mlKEM, 0, encapsulates},
	{types.KeySpecMlKem1024, mlKEM, 0, encapsulates},
}

var rsaUsages = []usage{
	{
		name: types.KeyUsageTypeEncryptDecrypt,
		encryption: []types.EncryptionAlgorithmSpec{
			types.EncryptionAlgorithmSpecRsaesOaepSha1, types.EncryptionAlgorithmSpecRsaesOaepSha256,
		},
	},
	signs(
		types.SigningAlgorithmSpecRsassaPkcs1V15Sha256, types.SigningAlgorithmSpecRsassaPkcs1V15Sha384,
		types.SigningAlgorithmSpecRsassaPkcs1V15Sha512,
		types.SigningAlgorithmSpecRsassaPssSha256, types.SigningAlgorithmSpecRsassaPssSha384,
		types.SigningAlgorithmSpecRsassaPssSha512,
	)[0],
}

var (
	agrees = usage{
		name:      types.KeyUsageTypeKeyAgreement,
		agreement: []types.KeyAgreementAlgorithmSpec{types.KeyAgreementAlgorithmSpecEcdh},
	}
	encapsulates = []usage{{
		name:          types.KeyUsageTypeEncapsulateDecapsulate,
		encapsulation: []types.EncapsulationAlgorithmSpec{types.EncapsulationAlgorithmSpecMlKem},
	}}
)

func signs(algorithms ...types.SigningAlgorithmSpec) []usage {
	return []usage{{name: types.KeyUsageTypeSignVerify, signing: algorithms}}
}

func macs(algorithm types.MacAlgorithmSpec) []usage {
	return []usage{{name: types.KeyUsageTypeGenerateVerifyMac, mac: []types.MacAlgorithmSpec{algorithm}}}
}
