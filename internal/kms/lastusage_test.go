package kms_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/kms"
)

// record runs an operation and keeps its event as the wire does, however the call ended.
func (w *world) record(name string, in any) {
	w.Helper()
	call := w.call(name)
	call.Event.ID, call.Event.RequestID = "event of "+name, "request of "+name
	if _, err := w.invoke(call, name, in); err != nil {
		f, ok := fault.As(err)
		if !ok {
			w.Fatalf("%s: %v", name, err)
		}
		call.Event.ErrorCode = f.Code
	}
	if err := w.db.Record(w.Context(), call.Event); err != nil {
		w.Fatal(err)
	}
}

func (w *world) lastUsage(keyID *string) *awskms.GetKeyLastUsageOutput {
	w.Helper()
	return do[awskms.GetKeyLastUsageOutput](w, "GetKeyLastUsage", &awskms.GetKeyLastUsageInput{KeyId: keyID})
}

// TestEveryCryptographicOperationIsAUse has keys of every family used in every way.
func TestEveryCryptographicOperationIsAUse(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	seen := map[types.KeyLastUsageTrackingOperation]bool{}
	use := func(keyID *string, name string, in any) {
		before := w.lastUsage(keyID).KeyLastUsage.Operation
		w.advance(time.Minute)
		w.record(name, in)
		got := w.lastUsage(keyID).KeyLastUsage
		seen[got.Operation] = true
		if name == "GetPublicKey" {
			name = string(before)
		} else if !aws.ToTime(got.Timestamp).Equal(w.clock()) {
			t.Errorf("%s is not noted", name)
		}
		if string(got.Operation) != name {
			t.Errorf("after %s: %s", name, got.Operation)
		}
	}
	families := map[types.KeySpec]bool{"RSA_2048": true, "ECC_NIST_P256": true, "HMAC_256": true, "ML_DSA_44": true, "ML_KEM_512": true}
	for _, k := range kinds {
		if families[k.spec] {
			m := w.createKind(k)
			for name, in := range w.inputs(k, m) {
				use(m.KeyId, name, in)
			}
		}
	}
	id := w.createKey().KeyId
	blob := w.encrypt(*id, "x", nil)
	use(id, "GenerateDataKeyPair", &awskms.GenerateDataKeyPairInput{KeyId: id, KeyPairSpec: "ECC_NIST_P256"})
	use(id, "GenerateDataKeyPairWithoutPlaintext", &awskms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: id, KeyPairSpec: "ECC_NIST_P256"})
	use(id, "GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: id, KeySpec: "AES_256"})
	use(id, "GenerateDataKeyWithoutPlaintext", &awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: id, KeySpec: "AES_256"})
	use(id, "ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: id})
	for _, operation := range types.KeyLastUsageTrackingOperation("").Values() {
		if !seen[operation] {
			t.Errorf("%s was not tried", operation)
		}
	}
}

func TestGetKeyLastUsage(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k, other := w.createKey(), w.createKey()
	out := w.lastUsage(k.KeyId)
	if *out.KeyId != *k.Arn || !out.KeyCreationDate.Equal(start) || !out.TrackingStartDate.Equal(start) {
		t.Errorf("%s, created %v, tracked since %v", *out.KeyId, out.KeyCreationDate, out.TrackingStartDate)
	}
	if out.KeyLastUsage == nil || *out.KeyLastUsage != (types.KeyLastUsageData{}) {
		t.Errorf("of a key that was never used: %+v; want an empty object", out.KeyLastUsage)
	}
	blob := w.encrypt(*k.KeyId, "x", nil)
	for _, c := range []struct {
		operation string
		in        any
		counts    bool
	}{
		{"Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}, true},
		{"Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), DryRun: aws.Bool(true)}, false},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob}, true},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"not": "it"}}, false},
		{"DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}, false},
		{"GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: "AES_256"}, true},
		{"GenerateDataKeyWithoutPlaintext", &awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: k.KeyId, KeySpec: "AES_256"}, true},
		{"GenerateRandom", &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(8)}, false},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: other.KeyId}, true},
	} {
		before := *w.lastUsage(k.KeyId).KeyLastUsage
		w.advance(time.Minute)
		w.record(c.operation, c.in)
		got := w.lastUsage(k.KeyId).KeyLastUsage
		if !c.counts {
			if got.Operation != before.Operation || aws.ToTime(got.Timestamp) != aws.ToTime(before.Timestamp) {
				t.Errorf("%s %+v counted: %s at %v", c.operation, c.in, got.Operation, got.Timestamp)
			}
			continue
		}
		if string(got.Operation) != c.operation || !got.Timestamp.Equal(w.clock()) || *got.CloudTrailEventId != "event of "+c.operation ||
			*got.KmsRequestId != "request of "+c.operation {
			t.Errorf("after %s: %s at %v, %v, %v", c.operation, got.Operation, got.Timestamp, *got.CloudTrailEventId, *got.KmsRequestId)
		}
	}
	if got := w.lastUsage(other.Arn).KeyLastUsage; got.Operation != types.KeyLastUsageTrackingOperationReEncrypt {
		t.Errorf("the destination of ReEncrypt was used by %q", got.Operation)
	}
	w.refused("GetKeyLastUsage", &awskms.GetKeyLastUsageInput{KeyId: aws.String("alias/a")}, "InvalidArnException",
		"Key Aliases are not supported for this operation.")
}
