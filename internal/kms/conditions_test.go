package kms_test

import (
	"crypto/ecdh"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/kms"
)

// TestConditionsOnRequests: a key policy denies an operation for one value of a condition key; calls with that value,
// whether given or by default, are denied, and calls with another or none are not.
func TestConditionsOnRequests(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	_, public := peer(t, ecdh.P256())
	symmetric, encrypting := few[0], few[1]
	elsewhere := w.createKey().KeyId
	for _, c := range []struct {
		kind         kind
		operation    string
		key, value   string
		denied       func(id *string) any
		allowed      func(id *string) any // nil where there is no other value
		whatIsDenied string
	}{
		{symmetric, "Encrypt", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT",
			func(id *string) any { return &awskms.EncryptInput{KeyId: id, Plaintext: []byte("x")} }, nil, "Encrypt"},
		{encrypting, "Encrypt", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_256",
			func(id *string) any { return valid["Encrypt"](request{key: id, algorithm: "RSAES_OAEP_SHA_256"}) },
			func(id *string) any { return valid["Encrypt"](request{key: id, algorithm: "RSAES_OAEP_SHA_1"}) }, "Encrypt"},
		{encrypting, "Decrypt", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_1",
			func(id *string) any {
				return &awskms.DecryptInput{KeyId: id, EncryptionAlgorithm: "RSAES_OAEP_SHA_1", CiphertextBlob: make([]byte, 256)}
			},
			func(id *string) any {
				return &awskms.DecryptInput{KeyId: id, EncryptionAlgorithm: "RSAES_OAEP_SHA_256", CiphertextBlob: make([]byte, 256)}
			}, "Decrypt"},
		{symmetric, "GenerateDataKey", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT",
			func(id *string) any { return valid["GenerateDataKey"](request{key: id}) }, nil, "GenerateDataKey"},
		{symmetric, "GenerateDataKeyPair", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT",
			func(id *string) any { return valid["GenerateDataKeyPair"](request{key: id}) }, nil, "GenerateDataKeyPair"},
		{symmetric, "GenerateDataKeyPair", "kms:DataKeyPairSpec", "ECC_NIST_P384",
			func(id *string) any { return &awskms.GenerateDataKeyPairInput{KeyId: id, KeyPairSpec: "ECC_NIST_P384"} },
			func(id *string) any { return &awskms.GenerateDataKeyPairInput{KeyId: id, KeyPairSpec: "ECC_NIST_P256"} }, "GenerateDataKeyPair"},
		{few[2], "Sign", "kms:MessageType", "RAW",
			func(id *string) any {
				return &awskms.SignInput{KeyId: id, Message: make([]byte, 32), SigningAlgorithm: "ECDSA_SHA_256"}
			},
			func(id *string) any {
				return &awskms.SignInput{KeyId: id, Message: make([]byte, 32), SigningAlgorithm: "ECDSA_SHA_256", MessageType: "DIGEST"}
			}, "Sign"},
		{few[2], "Verify", "kms:SigningAlgorithm", "ECDSA_SHA_256",
			func(id *string) any { return valid["Verify"](request{key: id, algorithm: "ECDSA_SHA_256"}) },
			func(id *string) any { return valid["Verify"](request{key: id, algorithm: "ECDSA_SHA_384"}) }, "Verify"},
		{few[3], "GenerateMac", "kms:MacAlgorithm", "HMAC_SHA_256",
			func(id *string) any { return valid["GenerateMac"](request{key: id, algorithm: "HMAC_SHA_256"}) },
			func(id *string) any { return valid["GenerateMac"](request{key: id, algorithm: "HMAC_SHA_384"}) }, "GenerateMac"},
		{few[4], "DeriveSharedSecret", "kms:KeyAgreementAlgorithm", "ECDH",
			func(id *string) any {
				return valid["DeriveSharedSecret"](request{key: id, algorithm: "ECDH", peer: public})
			}, nil, "DeriveSharedSecret"},
		{symmetric, "ReEncrypt", "kms:ReEncryptOnSameKey", "true",
			func(id *string) any {
				return &awskms.ReEncryptInput{CiphertextBlob: w.encrypt(*id, "x", nil), DestinationKeyId: id}
			},
			func(id *string) any {
				return &awskms.ReEncryptInput{CiphertextBlob: w.encrypt(*id, "x", nil), DestinationKeyId: elsewhere}
			}, "ReEncryptFrom"},
		{symmetric, "ReEncrypt", "kms:ReEncryptOnSameKey", "false",
			func(id *string) any {
				return &awskms.ReEncryptInput{CiphertextBlob: w.encrypt(*id, "x", nil), DestinationKeyId: elsewhere}
			},
			func(id *string) any {
				return &awskms.ReEncryptInput{CiphertextBlob: w.encrypt(*id, "x", nil), DestinationKeyId: aws.String(home.Key(*id))}
			}, "ReEncryptFrom"},
	} {
		t.Run(c.operation+" "+c.key+" "+c.value, func(t *testing.T) {
			w := w.with(t)
			id := w.createDenying("kms:"+c.whatIsDenied, c.key, c.value, c.kind).KeyId
			if _, err := w.invoke(w.call(c.operation), c.operation, c.denied(id)); !fault.Is(err, "AccessDeniedException") {
				t.Errorf("with this value: %v", err)
			}
			if c.allowed == nil {
				return
			}
			if _, err := w.invoke(w.call(c.operation), c.operation, c.allowed(id)); fault.Is(err, "AccessDeniedException") {
				t.Errorf("with another value: %v", err)
			}
		})
	}
}

// createDenying makes a key whose policy denies an action for one value of a condition key.
func (w *world) createDenying(action, key, value string, k kind) *types.KeyMetadata {
	w.Helper()
	document := strings.NewReplacer("ACTION", action, "KEY", key, "VALUE", value).Replace(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"ACTION","Resource":"*","Condition":{"StringEquals":{"KEY":"VALUE"}}}]}`)
	return do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{KeySpec: k.spec, KeyUsage: k.usage, Policy: &document}).KeyMetadata
}
