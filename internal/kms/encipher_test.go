package kms_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/uuid"

	"keyward/internal/kms"
)

// oaep encrypts with Go's own RSA.
func oaep(t testing.TB, public []byte, algorithm types.EncryptionAlgorithmSpec, plaintext []byte) []byte {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	hash := crypto.SHA256
	if algorithm == types.EncryptionAlgorithmSpecRsaesOaepSha1 {
		hash = crypto.SHA1
	}
	out, err := rsa.EncryptOAEP(hash.New(), rand.Reader, key.(*rsa.PublicKey), plaintext, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var longest = map[types.EncryptionAlgorithmSpec]int{"RSAES_OAEP_SHA_1": 214, "RSAES_OAEP_SHA_256": 190} // of RSA_2048

func TestEncryptWithRSA(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	m, other := w.createKind(kind{spec: "RSA_2048", usage: "ENCRYPT_DECRYPT"}), w.createKind(kind{spec: "RSA_2048", usage: "ENCRYPT_DECRYPT"})
	w.alias("alias/rsa", m)
	public := w.publicKey(m)
	for algorithm, most := range longest {
		text := make([]byte, most)
		out := do[awskms.EncryptOutput](w, "Encrypt", &awskms.EncryptInput{KeyId: aws.String("alias/rsa"), Plaintext: text, EncryptionAlgorithm: algorithm})
		if *out.KeyId != *m.Arn || out.EncryptionAlgorithm != algorithm || len(out.CiphertextBlob) != 256 {
			t.Errorf("%s: %+v", algorithm, out)
		}
		for _, blob := range [][]byte{out.CiphertextBlob, oaep(t, public, algorithm, text)} {
			in := &awskms.DecryptInput{KeyId: m.Arn, CiphertextBlob: blob, EncryptionAlgorithm: algorithm}
			back := do[awskms.DecryptOutput](w, "Decrypt", in)
			if !slices.Equal(back.Plaintext, text) || *back.KeyId != *m.Arn || back.KeyMaterialId != nil || back.EncryptionAlgorithm != algorithm {
				t.Errorf("%s: %+v", algorithm, back)
			}
			w.decryptsNothingElse(in, other)
		}
		tooMuch := "Algorithm " + string(algorithm) + " and key spec RSA_2048 cannot encrypt data larger than " + map[int]string{214: "214", 190: "190"}[most] + " bytes."
		for _, dry := range []*bool{nil, aws.Bool(true)} {
			w.refused("Encrypt", &awskms.EncryptInput{KeyId: m.KeyId, Plaintext: make([]byte, most+1), EncryptionAlgorithm: algorithm, DryRun: dry}, "ValidationException", tooMuch)
		}
		w.refused("ReEncrypt", &awskms.ReEncryptInput{
			CiphertextBlob: w.encrypt(*w.createKey().KeyId, string(make([]byte, most+1)), nil), DestinationKeyId: m.KeyId, DestinationEncryptionAlgorithm: algorithm,
		}, "ValidationException", tooMuch)
	}
}

// decryptsNothingElse: neither changed ciphertexts, nor by the other algorithm, nor under another key.
func (w *world) decryptsNothingElse(good *awskms.DecryptInput, other *types.KeyMetadata) {
	w.Helper()
	for algorithm := range longest {
		if algorithm != good.EncryptionAlgorithm {
			w.refused("Decrypt", &awskms.DecryptInput{KeyId: good.KeyId, CiphertextBlob: good.CiphertextBlob, EncryptionAlgorithm: algorithm}, "InvalidCiphertextException", "")
		}
	}
	w.refused("Decrypt", &awskms.DecryptInput{KeyId: other.KeyId, CiphertextBlob: good.CiphertextBlob, EncryptionAlgorithm: good.EncryptionAlgorithm}, "InvalidCiphertextException", "")
	for _, bad := range [][]byte{flipped(good.CiphertextBlob, 1000), good.CiphertextBlob[1:], append(slices.Clone(good.CiphertextBlob), 0), {0}, make([]byte, 256), make([]byte, 6144)} {
		w.refused("Decrypt", &awskms.DecryptInput{KeyId: good.KeyId, CiphertextBlob: bad, EncryptionAlgorithm: good.EncryptionAlgorithm}, "InvalidCiphertextException", "")
	}
}

// TestReEncryptBetweenKinds moves a secret through keys of every kind and store, and back.
func TestReEncryptBetweenKinds(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	encrypting := kind{spec: "RSA_2048", usage: "ENCRYPT_DECRYPT"}
	stops := []struct {
		key       *types.KeyMetadata
		algorithm types.EncryptionAlgorithmSpec
		context   map[string]string
	}{
		{w.createKey(), "", map[string]string{"stop": "1"}},
		{w.createKind(encrypting), "RSAES_OAEP_SHA_256", nil},
		{w.createKind(encrypting), "RSAES_OAEP_SHA_1", nil},
		{w.createStoreKey(), "SYMMETRIC_DEFAULT", map[string]string{"stop": "4"}},
		{w.createKey(), "", nil},
	}
	blob := w.encrypt(*stops[0].key.KeyId, "on its way", stops[0].context)
	for i, to := range stops[1:] {
		from := stops[i]
		out := do[awskms.ReEncryptOutput](w, "ReEncrypt", &awskms.ReEncryptInput{
			CiphertextBlob: blob, SourceKeyId: from.key.KeyId, SourceEncryptionAlgorithm: from.algorithm, SourceEncryptionContext: from.context,
			DestinationKeyId: to.key.KeyId, DestinationEncryptionAlgorithm: to.algorithm, DestinationEncryptionContext: to.context,
		})
		if *out.SourceKeyId != *from.key.Arn || *out.KeyId != *to.key.Arn ||
			aws.ToString(out.SourceKeyMaterialId) != aws.ToString(from.key.CurrentKeyMaterialId) ||
			aws.ToString(out.DestinationKeyMaterialId) != aws.ToString(to.key.CurrentKeyMaterialId) {
			t.Errorf("to stop %d: %+v", i+1, out)
		}
		blob = out.CiphertextBlob
	}
	if got := w.decrypt(blob, nil); got != "on its way" {
		t.Errorf("%q", got)
	}
}

func TestWhatAsymmetricEncryptionRefuses(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	rsa := w.createKind(kind{spec: "RSA_2048", usage: "ENCRYPT_DECRYPT"})
	signing := w.createKind(kind{spec: "ECC_NIST_P256", usage: "SIGN_VERIFY"})
	symmetric := w.createKey()
	blob := w.encrypt(*symmetric.KeyId, "x", nil)
	sealed := oaep(t, w.publicKey(rsa), "RSAES_OAEP_SHA_256", []byte("x"))
	yes, context, plain := aws.Bool(true), map[string]string{"a": "1"}, []byte("x")
	const alg = types.EncryptionAlgorithmSpecRsaesOaepSha256
	const noContext = "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."
	const incorrect = "The key ID in the request does not identify a CMK that can perform this operation."
	const dry = "The request would have succeeded, but the DryRun option is set."
	const asymmetric = "You cannot generate a data key with an asymmetric CMK"
	incompatible := func(alg, spec string) string {
		return "Algorithm " + alg + " is incompatible with key spec " + spec + "."
	}
	ignore := []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext}
	for _, c := range []struct {
		operation     string
		in            any
		code, message string
	}{
		{"Encrypt", &awskms.EncryptInput{KeyId: rsa.KeyId, Plaintext: plain}, "InvalidKeyUsageException", incompatible("SYMMETRIC_DEFAULT", "RSA_2048")},
		{"Encrypt", &awskms.EncryptInput{KeyId: rsa.KeyId, Plaintext: plain, EncryptionAlgorithm: "SM2PKE"}, "InvalidKeyUsageException", incompatible("SM2PKE", "RSA_2048")},
		{"Encrypt", &awskms.EncryptInput{KeyId: rsa.KeyId, Plaintext: plain, EncryptionAlgorithm: alg, EncryptionContext: context}, "ValidationException", noContext},
		{"Encrypt", &awskms.EncryptInput{KeyId: rsa.KeyId, Plaintext: plain, EncryptionAlgorithm: alg, DryRun: yes}, "DryRunOperationException", dry},
		{"Encrypt", &awskms.EncryptInput{KeyId: signing.KeyId, Plaintext: plain, EncryptionAlgorithm: alg}, "InvalidKeyUsageException", *signing.Arn + " key usage is SIGN_VERIFY which is not valid for Encrypt."},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: sealed, EncryptionAlgorithm: alg}, "ValidationException", "KeyId must not be null"},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: sealed, KeyId: rsa.KeyId}, "InvalidCiphertextException", ""},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, KeyId: rsa.KeyId}, "IncorrectKeyException", incorrect},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, KeyId: signing.KeyId}, "IncorrectKeyException", incorrect},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, KeyId: rsa.KeyId, EncryptionAlgorithm: alg}, "InvalidCiphertextException", ""},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, KeyId: symmetric.KeyId, EncryptionAlgorithm: alg}, "InvalidKeyUsageException", incompatible("RSAES_OAEP_SHA_256", "SYMMETRIC_DEFAULT")},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: sealed, KeyId: rsa.KeyId, EncryptionAlgorithm: alg, EncryptionContext: context}, "ValidationException", noContext},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: sealed, KeyId: rsa.KeyId, EncryptionAlgorithm: alg, DryRun: yes}, "DryRunOperationException", dry},
		{"Decrypt", &awskms.DecryptInput{KeyId: rsa.KeyId, EncryptionAlgorithm: alg, DryRun: yes, DryRunModifiers: ignore}, "DryRunOperationException", dry},
		{"Decrypt", &awskms.DecryptInput{KeyId: rsa.KeyId, DryRun: yes, DryRunModifiers: ignore}, "InvalidKeyUsageException", incompatible("SYMMETRIC_DEFAULT", "RSA_2048")},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: sealed, SourceEncryptionAlgorithm: alg, DestinationKeyId: symmetric.KeyId}, "ValidationException", "SourceKeyId must not be null"},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: rsa.KeyId}, "InvalidKeyUsageException", incompatible("SYMMETRIC_DEFAULT", "RSA_2048")},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: rsa.KeyId, DestinationEncryptionAlgorithm: alg, DestinationEncryptionContext: context}, "ValidationException", noContext},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: rsa.KeyId, DestinationEncryptionAlgorithm: alg, DryRun: yes}, "DryRunOperationException", dry},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: sealed, SourceKeyId: rsa.KeyId, SourceEncryptionAlgorithm: alg, DestinationKeyId: symmetric.KeyId, DryRun: yes}, "DryRunOperationException", dry},
		{"GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: rsa.KeyId, KeySpec: "AES_256"}, "InvalidKeyUsageException", asymmetric},
		{"GenerateDataKeyWithoutPlaintext", &awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: rsa.KeyId, KeySpec: "AES_256"}, "InvalidKeyUsageException", asymmetric},
		{"GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: signing.KeyId, KeySpec: "AES_256"}, "InvalidKeyUsageException", *signing.Arn + " key usage is SIGN_VERIFY which is not valid for GenerateDataKey."},
	} {
		w.refused(c.operation, c.in, c.code, c.message)
	}
}

// TestCiphertextThatNamesAnAsymmetricKey: the header of a symmetric ciphertext cannot be made to name another kind of key.
func TestCiphertextThatNamesAnAsymmetricKey(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	blob := w.encrypt(*w.createKey().KeyId, "x", nil)
	id := uuid.MustParse(*w.createKind(kind{spec: "ECC_NIST_P256", usage: "SIGN_VERIFY"}).KeyId)
	copy(blob[1:], id[:])
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: blob}, "InvalidCiphertextException", "")
}
