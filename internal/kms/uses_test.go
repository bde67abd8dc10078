package kms_test

import (
	"crypto/ecdh"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/kms"
)

// request is what all cryptographic operations are asked with.
type request struct {
	key       *string
	algorithm string
	dry       *bool
	tokens    []string
	peer      []byte // public key for key agreement
}

// valid makes a request of each cryptographic operation that succeeds under a key of the right kind, or fails because of
// its data only.
var valid = map[string]func(r request) any{
	"Encrypt": func(r request) any {
		return &awskms.EncryptInput{KeyId: r.key, EncryptionAlgorithm: types.EncryptionAlgorithmSpec(r.algorithm), Plaintext: []byte("x"), DryRun: r.dry, GrantTokens: r.tokens}
	},
	"GenerateDataKey": func(r request) any {
		return &awskms.GenerateDataKeyInput{KeyId: r.key, KeySpec: "AES_256", DryRun: r.dry, GrantTokens: r.tokens}
	},
	"GenerateDataKeyWithoutPlaintext": func(r request) any {
		return &awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: r.key, KeySpec: "AES_256", DryRun: r.dry, GrantTokens: r.tokens}
	},
	"GenerateDataKeyPair": func(r request) any {
		return &awskms.GenerateDataKeyPairInput{KeyId: r.key, KeyPairSpec: "ECC_NIST_P256", DryRun: r.dry, GrantTokens: r.tokens}
	},
	"GenerateDataKeyPairWithoutPlaintext": func(r request) any {
		return &awskms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: r.key, KeyPairSpec: "ECC_NIST_P256", DryRun: r.dry, GrantTokens: r.tokens}
	},
	"Sign": func(r request) any {
		form := forms(r.algorithm, []byte("x"))[0]
		return &awskms.SignInput{KeyId: r.key, SigningAlgorithm: types.SigningAlgorithmSpec(r.algorithm), Message: form.message, MessageType: form.kind, DryRun: r.dry, GrantTokens: r.tokens}
	},
	"Verify": func(r request) any {
		form := forms(r.algorithm, []byte("x"))[0]
		return &awskms.VerifyInput{KeyId: r.key, SigningAlgorithm: types.SigningAlgorithmSpec(r.algorithm), Message: form.message, MessageType: form.kind, Signature: []byte("no signature"), DryRun: r.dry, GrantTokens: r.tokens}
	},
	"GenerateMac": func(r request) any {
		return &awskms.GenerateMacInput{KeyId: r.key, MacAlgorithm: types.MacAlgorithmSpec(r.algorithm), Message: []byte("x"), DryRun: r.dry, GrantTokens: r.tokens}
	},
	"VerifyMac": func(r request) any {
		return &awskms.VerifyMacInput{KeyId: r.key, MacAlgorithm: types.MacAlgorithmSpec(r.algorithm), Message: []byte("x"), Mac: []byte("no MAC"), DryRun: r.dry, GrantTokens: r.tokens}
	},
	"DeriveSharedSecret": func(r request) any {
		return &awskms.DeriveSharedSecretInput{KeyId: r.key, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpec(r.algorithm), PublicKey: r.peer, DryRun: r.dry, GrantTokens: r.tokens}
	},
	"Encapsulate": func(r request) any {
		return &awskms.EncapsulateInput{KeyId: r.key, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpec(r.algorithm), DryRun: r.dry, GrantTokens: r.tokens}
	},
	"Decapsulate": func(r request) any {
		return &awskms.DecapsulateInput{KeyId: r.key, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpec(r.algorithm), SharedSecretCiphertextBlob: []byte("no ciphertext"), DryRun: r.dry, GrantTokens: r.tokens}
	},
}

// operationsOf are the operations that each usage of keys is for.
var operationsOf = map[types.KeyUsageType][]string{
	"ENCRYPT_DECRYPT":         {"Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"},
	"SIGN_VERIFY":             {"Sign", "Verify"},
	"GENERATE_VERIFY_MAC":     {"GenerateMac", "VerifyMac"},
	"KEY_AGREEMENT":           {"DeriveSharedSecret"},
	"ENCAPSULATE_DECAPSULATE": {"Encapsulate", "Decapsulate"},
}

// few has one kind for each usage, and the symmetric one.
var few = []kind{
	{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"},
	{"RSA_2048", "ENCRYPT_DECRYPT", "RSAES_OAEP_SHA_256"},
	{"ECC_NIST_P256", "SIGN_VERIFY", "ECDSA_SHA_256"},
	{"HMAC_256", "GENERATE_VERIFY_MAC", "HMAC_SHA_256"},
	{"ECC_NIST_P256", "KEY_AGREEMENT", "ECDH"},
	{"ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "ML_KEM"},
}

func TestKeysAreForOneUsageOnly(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	_, public := peer(t, ecdh.P256())
	keys := []*types.KeyMetadata{w.createStoreKey()}
	for _, k := range few {
		keys = append(keys, w.createKind(k))
	}
	for _, right := range few {
		for _, operation := range operationsOf[right.usage] {
			for _, m := range keys {
				if m.KeyUsage == right.usage {
					continue
				}
				for _, dry := range []*bool{nil, aws.Bool(true)} {
					w.refused(operation, valid[operation](request{key: m.KeyId, algorithm: right.algorithms, dry: dry, peer: public}), "InvalidKeyUsageException",
						*m.Arn+" key usage is "+string(m.KeyUsage)+" which is not valid for "+operation+".")
				}
			}
		}
	}
}

func TestAlgorithmsBelongToSpecs(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	foreign := map[types.KeyUsageType]string{
		"SIGN_VERIFY": "SM2DSA", "GENERATE_VERIFY_MAC": "HMAC_SHA_1", "KEY_AGREEMENT": "DH", "ENCAPSULATE_DECAPSULATE": "FRODO", "ENCRYPT_DECRYPT": "SM2PKE",
	}
	_, public := peer(t, ecdh.P256())
	for _, k := range few {
		m := w.createKind(k)
		for _, operation := range operationsOf[k.usage] {
			if strings.HasPrefix(operation, "GenerateDataKey") {
				continue // has no algorithm to choose
			}
			w.refused(operation, valid[operation](request{key: m.KeyId, algorithm: foreign[k.usage], peer: public}), "InvalidKeyUsageException",
				"Algorithm "+foreign[k.usage]+" is incompatible with key spec "+string(k.spec)+".")
		}
	}
}

// TestDryRuns: a request that would have succeeded is not carried out. That a signature or MAC is not one is not looked at.
func TestDryRuns(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	_, public := peer(t, ecdh.P256())
	for _, k := range few {
		m := w.createKind(k)
		for _, operation := range operationsOf[k.usage] {
			if k.spec != "SYMMETRIC_DEFAULT" && strings.HasPrefix(operation, "GenerateDataKey") {
				continue
			}
			r := request{key: m.KeyId, algorithm: k.algorithms, dry: aws.Bool(true), peer: public}
			w.refused(operation, valid[operation](r), "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
			r.tokens = []string{"token"}
			w.refused(operation, valid[operation](r), "InvalidGrantTokenException", "The request was rejected because the specified grant token is not valid.")
		}
	}
	m := w.createKind(kind{spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT"})
	w.refused("DeriveSharedSecret", valid["DeriveSharedSecret"](request{key: m.KeyId, algorithm: "ECDH", dry: aws.Bool(true), peer: []byte{1}}),
		"ValidationException", "")
	w.refused("DeriveSharedSecret", &awskms.DeriveSharedSecretInput{KeyId: m.KeyId, KeyAgreementAlgorithm: "ECDH", PublicKey: public, Recipient: &types.RecipientInfo{}},
		"UnsupportedOperationException", "Attested requests are not supported: this endpoint cannot verify the attestation document in Recipient.")
}

// TestEventsOfCryptography: what was asked by which algorithm, defaults filled in, on which key; nothing of the data, and
// no material of keys that have but one.
func TestEventsOfCryptography(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	_, public := peer(t, ecdh.P256())
	for _, k := range few {
		m := w.createKind(k)
		for _, operation := range operationsOf[k.usage] {
			r := request{key: m.KeyId, algorithm: k.algorithms, peer: public}
			event := w.eventOf(operation, valid[operation](r))
			if !strings.Contains(event, `"resources":[{"type":"AWS::KMS::Key","ARN":"`+*m.Arn+`"}]`) {
				t.Errorf("%s: %s", operation, event)
			}
			if has := strings.Contains(event, "keyMaterialId"); has != (k.spec == "SYMMETRIC_DEFAULT") {
				t.Errorf("%s: %s", operation, event)
			}
		}
	}
	ecc := w.createKind(kind{spec: "ECC_NIST_P256", usage: "SIGN_VERIFY"})
	if event := w.eventOf("Sign", &awskms.SignInput{KeyId: ecc.KeyId, SigningAlgorithm: "ECDSA_SHA_256", Message: []byte("x")}); !strings.Contains(event, `{"messageType":"RAW"}`) {
		t.Errorf("no default: %s", event)
	}
	logged := map[string]string{
		"Sign": "KeyId SigningAlgorithm DryRun", "Verify": "KeyId SigningAlgorithm DryRun",
		"GenerateMac": "KeyId MacAlgorithm DryRun", "VerifyMac": "KeyId MacAlgorithm DryRun",
		"DeriveSharedSecret": "KeyId KeyAgreementAlgorithm DryRun",
		"Encapsulate":        "KeyId EncapsulationAlgorithm DryRun", "Decapsulate": "KeyId EncapsulationAlgorithm DryRun",
		"GenerateDataKeyPair":                 "KeyId KeyPairSpec EncryptionContext DryRun",
		"GenerateDataKeyPairWithoutPlaintext": "KeyId KeyPairSpec EncryptionContext DryRun",
		"GetPublicKey":                        "KeyId",
	}
	for operation, members := range logged {
		if row := w.rows[operation]; strings.Join(row.Logged, " ") != members || !row.ReadOnly {
			t.Errorf("%s logs %v, read-only %v", operation, row.Logged, row.ReadOnly)
		}
	}
}

// TestKeysAreUsedConcurrently uses keys that nobody has used before from many sides at once, so that they are opened at
// once as well.
func TestKeysAreUsedConcurrently(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	inputs := map[string]any{}
	for _, k := range append(few[1:], kind{"ML_DSA_65", "SIGN_VERIFY", "ML_DSA_SHAKE_256"}, kind{"ECC_SECG_P256K1", "SIGN_VERIFY", "ECDSA_SHA_256"}) {
		for name, in := range w.inputs(k, w.createKind(k)) {
			inputs[name+" "+k.name()] = in
		}
	}
	w.restart(kms.Limits{})
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for name, in := range inputs {
				operation, _, _ := strings.Cut(name, " ")
				if _, err := w.invoke(w.call(operation), operation, in); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	users.Wait()
}
