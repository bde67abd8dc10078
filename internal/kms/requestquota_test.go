package kms_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/arn"
	"keyward/internal/kms"
	"keyward/internal/operation"
)

// bounded is a world whose service keeps request quotas.
func bounded(t *testing.T, aws bool, rates map[string]float64) *world {
	t.Helper()
	w := newWorld(t, kms.Limits{})
	q, err := kms.NewRequestQuotas(aws, rates)
	if err != nil {
		t.Fatal(err)
	}
	w.requests = q
	w.restart(kms.Limits{})
	return w
}

// send runs an operation as the wire does, which asks for admission before it decodes.
func (w *world) send(call *operation.Call, name string, in any) error {
	w.Helper()
	if err := w.service.API().Admit(call, name); err != nil {
		return err
	}
	_, err := w.invoke(call, name, in)
	return err
}

const throttled = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."

// admits sends a request until it is throttled, and checks that this took a number of times.
func (w *world) admits(n int, name string, in any) {
	w.Helper()
	for i := range n {
		if err := w.send(w.call(name), name, in); err != nil {
			w.Fatalf("%s, request %d of %d: %v", name, i+1, n, err)
		}
	}
	w.isFault(name, w.send(w.call(name), name, in), "ThrottlingException", throttled)
}

func TestRequestQuotasCountOperations(t *testing.T) {
	w := bounded(t, true, map[string]float64{"describekey request rate": 2})
	id := w.createKey().KeyId // not through send: it does not count
	describe := &awskms.DescribeKeyInput{KeyId: id}
	w.admits(2, "DescribeKey", describe)
	w.admits(15, "PutKeyPolicy", &awskms.PutKeyPolicyInput{KeyId: id, Policy: &openPolicy})
	w.advance(500 * time.Millisecond)
	w.admits(1, "DescribeKey", describe)

	for name, scope := range map[string]arn.Scope{
		"another Region":  {Account: home.Account, Region: "eu-west-1"},
		"another account": {Account: "444455556666", Region: home.Region},
	} {
		call := w.call("DescribeKey")
		call.Scope = scope
		if err := w.service.API().Admit(call, "DescribeKey"); err != nil {
			t.Errorf("%s is throttled too: %v", name, err)
		}
	}
}

func TestCryptographicOperationsShareAQuota(t *testing.T) {
	w := bounded(t, false, map[string]float64{"Cryptographic operations (symmetric)": 4})
	id := w.createKey().KeyId
	blob := w.encrypt(*id, "x", nil) // the first
	for name, in := range map[string]any{
		"GenerateRandom": &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)},
		"ReEncrypt":      &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: id}, // one request, though it uses two keys
	} {
		if err := w.send(w.call(name), name, in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.admits(1, "Decrypt", &awskms.DecryptInput{CiphertextBlob: blob})
	dry := &awskms.EncryptInput{KeyId: id, Plaintext: []byte("x"), DryRun: aws.Bool(true)}
	w.isFault("a dry run", w.send(w.call("Encrypt"), "Encrypt", dry), "ThrottlingException", throttled)
	if err := w.send(w.call("DescribeKey"), "DescribeKey", &awskms.DescribeKeyInput{KeyId: id}); err != nil {
		t.Errorf("another operation is throttled: %v", err)
	}
	w.advance(time.Second)
	w.isFault("a dry run", w.send(w.call("Encrypt"), "Encrypt", dry), "DryRunOperationException",
		"The request would have succeeded, but the DryRun option is set.")
	w.admits(3, "Encrypt", &awskms.EncryptInput{KeyId: id, Plaintext: []byte("x")})
}

// TestEachKindOfKeyHasItsQuota uses keys of every kind with one request a second for each quota: the second request is
// throttled, and no request is by those with other kinds of keys.
func TestEachKindOfKeyHasItsQuota(t *testing.T) {
	families := map[string]string{
		"SYMMETRIC_DEFAULT": "symmetric", "HMAC_256": "symmetric", "RSA_2048": "RSA", "ECC_NIST_P256": "ECC and SM2",
		"ML_DSA_44": "ML-DSA", "ML_KEM_512": "ML-KEM",
	}
	rates := map[string]float64{}
	for _, family := range families {
		rates["Cryptographic operations ("+family+")"] = 1
	}
	w := bounded(t, false, rates)
	for _, k := range kinds {
		family := families[string(k.spec)]
		if family == "" {
			continue
		}
		m := w.createKind(k)
		w.advance(2 * time.Second)
		inputs := w.inputs(k, m) // which takes one request to make the input of the inverse operation
		for name, in := range inputs {
			if name == "GetPublicKey" {
				continue
			}
			w.advance(2 * time.Second)
			w.admits(1, name, in)
		}
	}
	w.advance(2 * time.Second)
	w.admits(1, "Encrypt", &awskms.EncryptInput{KeyId: w.createKey().KeyId, Plaintext: []byte("x")})
	ecc := w.createKind(kind{"ECC_NIST_P256", "SIGN_VERIFY", "ECDSA_SHA_256"})
	w.admits(1, "Sign", &awskms.SignInput{KeyId: ecc.KeyId, Message: []byte("x"), SigningAlgorithm: "ECDSA_SHA_256"})
}

func TestDataKeyPairsAreCountedBySpec(t *testing.T) {
	w := bounded(t, false, map[string]float64{"GenerateDataKeyPair (ECC_NIST_P256)": 2, "Cryptographic operations (symmetric)": 1})
	id := w.createKey().KeyId
	with := &awskms.GenerateDataKeyPairInput{KeyId: id, KeyPairSpec: "ECC_NIST_P256"}
	if err := w.send(w.call("GenerateDataKeyPair"), "GenerateDataKeyPair", with); err != nil {
		t.Fatal(err)
	}
	w.admits(1, "GenerateDataKeyPairWithoutPlaintext", &awskms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: id, KeyPairSpec: "ECC_NIST_P256"})
	if err := w.send(w.call("GenerateDataKeyPair"), "GenerateDataKeyPair",
		&awskms.GenerateDataKeyPairInput{KeyId: id, KeyPairSpec: "ECC_NIST_P384"}); err != nil {
		t.Errorf("a pair of another spec: %v", err)
	}
	w.admits(1, "Encrypt", &awskms.EncryptInput{KeyId: id, Plaintext: []byte("x")}) // pairs do not count there
}

// TestReplicasCountAsKeysOfTheirRegion: of 5 new keys a second, each replica takes two.
func TestReplicasCountAsKeysOfTheirRegion(t *testing.T) {
	w := bounded(t, true, nil)
	primaries := [3]*awskms.CreateKeyOutput{}
	for i := range primaries {
		primaries[i] = do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	}
	replicate := func(i int) error {
		return w.send(w.call("ReplicateKey"), "ReplicateKey", &awskms.ReplicateKeyInput{
			KeyId: primaries[i].KeyMetadata.KeyId, ReplicaRegion: aws.String("eu-west-1"),
		})
	}
	for i := range 2 {
		if err := replicate(i); err != nil {
			t.Fatal(err)
		}
	}
	w.isFault("the third replica", replicate(2), "ThrottlingException", throttled)
}

// TestEveryOperationHasARequestQuota has AWS's values throttle each operation, but for those whose quotas depend on the
// key that they use.
func TestEveryOperationHasARequestQuota(t *testing.T) {
	w := bounded(t, true, nil)
	byKey := map[string]bool{
		"Encrypt": true, "Decrypt": true, "ReEncrypt": true, "GenerateDataKey": true, "GenerateDataKeyWithoutPlaintext": true,
		"GenerateMac": true, "VerifyMac": true, "Sign": true, "Verify": true, "DeriveSharedSecret": true, "Encapsulate": true,
		"Decapsulate": true, "GenerateDataKeyPair": true, "GenerateDataKeyPairWithoutPlaintext": true,
	}
	const many = 100_001 // more than any of the quotas
	admit := w.service.API().Admit
	for name := range w.rows {
		call, n := w.call(name), 0
		for n < many && admit(call, name) == nil {
			call.Quotas = nil
			n++
		}
		if (n == many) != byKey[name] {
			t.Errorf("%s: %d requests at once", name, n)
		}
	}
}

func TestRequestQuotaNames(t *testing.T) {
	for name, good := range map[string]bool{
		"CreateKey": true, "createkey request rate": true, "Cryptographic operations (ECC and SM2) request rate": true,
		"GenerateDataKeyPair (RSA_4096)": true, "GenerateDataKeyPair (ML_KEM_768)": true, "Encrypt": false, "": false,
	} {
		if _, err := kms.NewRequestQuotas(false, map[string]float64{name: 1}); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, rate := range []float64{0, -1} {
		if _, err := kms.NewRequestQuotas(true, map[string]float64{"CreateKey": rate}); err == nil {
			t.Errorf("%v requests a second", rate)
		}
	}
}
