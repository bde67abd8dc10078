package kms_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/kms"
)

// eventOf runs an operation and returns what it added to the event, as stored.
func (w *world) eventOf(name string, in any) string {
	w.Helper()
	call := w.call(name)
	_, _ = w.invoke(call, name, in) // the event tells of refusals as well
	text, err := call.Event.AppendJSON(nil)
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

func TestEvents(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k, stored := w.createKey(), w.createStoreKey()
	blob, storedBlob := w.encrypt(*k.KeyId, "x", nil), w.encrypt(*stored.KeyId, "x", nil)
	resource := func(arns ...string) string {
		var all []string
		for _, a := range arns {
			all = append(all, `{"type":"AWS::KMS::Key","ARN":"`+a+`"}`)
		}
		return `"resources":[` + strings.Join(all, ",") + `]`
	}
	answered := `"responseElements":{"keyId":"` + *k.Arn + `"}`
	material := `"additionalEventData":{"keyMaterialId":"` + *k.CurrentKeyMaterialId + `"}`
	backing := `"additionalEventData":{"customKeyStoreId":"` + storeID + `","backingKey":"{\"backingKeyId\":\"00000000000000000000000000000001\"}"}`
	for _, c := range []struct {
		operation string
		in        any
		want      []string
	}{
		{"Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")},
			[]string{`"requestParameters":{"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}`, material, resource(*k.Arn)}},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob},
			[]string{`"requestParameters":{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"` + *k.Arn + `"}`, material, resource(*k.Arn)}},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: storedBlob}, []string{backing, resource(*stored.Arn)}},
		{"GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: stored.KeyId, KeySpec: "AES_256"}, []string{backing, resource(*stored.Arn)}},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: stored.KeyId}, []string{resource(*k.Arn, *stored.Arn)}},
		{"GenerateRandom", &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(8), CustomKeyStoreId: aws.String(storeID)},
			[]string{`"additionalEventData":{"customKeyStoreId":"` + storeID + `"}`}},
		{"CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: k.KeyId},
			[]string{answered, resource(*k.Arn, home.Alias("alias/a"))}},
		{"DeleteAlias", &awskms.DeleteAliasInput{AliasName: aws.String("alias/a")}, []string{answered, resource(*k.Arn, home.Alias("alias/a"))}},
		{"TagResource", &awskms.TagResourceInput{KeyId: k.KeyId, Tags: tags("a", "1")},
			[]string{`"requestParameters":{"tags":[{"tagKey":"a","tagValue":"1"}]}`, answered, resource(*k.Arn)}},
		{"DisableKey", &awskms.DisableKeyInput{KeyId: k.KeyId}, []string{answered, resource(*k.Arn)}},
		{"Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}, []string{material, resource(*k.Arn)}}, // refused: disabled
		{"ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: stored.KeyId},
			[]string{`"requestParameters":{"pendingWindowInDays":30}`, `"keyState":"PendingDeletion","deletionDate":"Feb 1, 2026, 3:04:05 AM","pendingWindowInDays":30}`,
				`"customKeyStoreId":"` + storeID + `","clusterId":"cluster-abcdefghijk","backingKeys":"[{\"backingKeyId\":\"00000000000000000000000000000001\"}]"`}},
		{"CreateKey", &awskms.CreateKeyInput{Tags: tags("a", "1")}, []string{
			`"requestParameters":{"description":"","origin":"AWS_KMS","keySpec":"SYMMETRIC_DEFAULT","customerMasterKeySpec":"SYMMETRIC_DEFAULT",` +
				`"keyUsage":"ENCRYPT_DECRYPT","multiRegion":false,"bypassPolicyLockoutSafetyCheck":false,"tags":[{"tagKey":"a","tagValue":"1"}]}`,
			`"responseElements":{"keyMetadata":{"aWSAccountId":"111122223333","keyId":"`}},
		{"ListKeys", &awskms.ListKeysInput{}, nil},
	} {
		got := w.eventOf(c.operation, c.in)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in\n%s", c.operation, want, got)
			}
		}
		if c.want == nil && strings.Contains(got, "resources") {
			t.Errorf("%s has resources: %s", c.operation, got)
		}
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	secret := map[string]bool{
		"Plaintext": true, "CiphertextBlob": true, "Message": true, "Signature": true, "Mac": true, "PublicKey": true,
		"SharedSecretCiphertextBlob": true, "GrantTokens": true, "Recipient": true, "Tags": true,
	}
	for name, row := range w.rows {
		for _, member := range row.Logged {
			if secret[member] {
				t.Errorf("%s logs %s", name, member)
			}
		}
	}
	k := w.createKey()
	signing := w.createKind(kind{spec: "ECC_NIST_P256", usage: "SIGN_VERIFY"})
	mac := w.createKind(kind{spec: "HMAC_256", usage: "GENERATE_VERIFY_MAC"})
	kem := w.createKind(kind{spec: "ML_KEM_512", usage: "ENCAPSULATE_DECAPSULATE"})
	const marker = "marker-plaintext-marker"
	for _, op := range []struct {
		name string
		in   any
	}{
		{"Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte(marker)}},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: w.encrypt(*k.KeyId, marker, nil)}},
		{"Sign", &awskms.SignInput{KeyId: signing.KeyId, Message: []byte(marker), SigningAlgorithm: "ECDSA_SHA_256"}},
		{"Verify", &awskms.VerifyInput{KeyId: signing.KeyId, Message: []byte(marker), Signature: []byte(marker), SigningAlgorithm: "ECDSA_SHA_256"}},
		{"GenerateMac", &awskms.GenerateMacInput{KeyId: mac.KeyId, Message: []byte(marker), MacAlgorithm: "HMAC_SHA_256"}},
		{"VerifyMac", &awskms.VerifyMacInput{KeyId: mac.KeyId, Message: []byte(marker), Mac: []byte(marker), MacAlgorithm: "HMAC_SHA_256"}},
		{"Decapsulate", &awskms.DecapsulateInput{KeyId: kem.KeyId, SharedSecretCiphertextBlob: []byte(marker), EncapsulationAlgorithm: "ML_KEM"}},
	} {
		if text := w.eventOf(op.name, op.in); strings.Contains(text, "marker") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(marker))) {
			t.Errorf("%s: %s", op.name, text)
		}
	}
}

// brokenStore fails every change after it has run, as a full disk would.
type brokenStore struct {
	kms.Store
	broken bool
	after  bool // the change is kept and only the answer is lost
}

var errDisk = errors.New("disk is full")

func (s *brokenStore) Change(ctx context.Context, event *audit.Event, fn func(kms.Tx) error) error {
	if !s.broken {
		return s.Store.Change(ctx, event, fn)
	}
	if s.after {
		return errors.Join(s.Store.Change(ctx, event, fn), errDisk)
	}
	return s.Store.Change(ctx, event, func(tx kms.Tx) error { return errors.Join(fn(tx), errDisk) })
}

func TestMaterialOfAKeyThatCouldNotBeKeptIsDiscarded(t *testing.T) {
	for name, after := range map[string]bool{"not kept": false, "kept after all": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, kms.Limits{})
			w.store = &brokenStore{Store: w.store, broken: true, after: after}
			w.restart(kms.Limits{})
			call := w.call("CreateKey")
			in := &awskms.CreateKeyInput{Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: aws.String(storeID)}
			if _, err := w.invoke(call, "CreateKey", in); !errors.Is(err, errDisk) || fault.Is(err, "") {
				t.Errorf("%v", err)
			}
			keys, err := w.store.Keys(t.Context(), home, "", 10)
			if err != nil || len(keys) != w.stores.count() {
				t.Errorf("%d keys kept, %d in the cluster, %v", len(keys), w.stores.count(), err)
			}
			if kept := len(keys) == 1; kept != after {
				t.Errorf("kept %v, want %v", kept, after)
			}
		})
	}
}

func TestRefusedChangeLeavesNoTrace(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := w.createKey().KeyId
	broken := &brokenStore{Store: w.store}
	w.store = broken
	w.restart(kms.Limits{})
	if got := w.describe(*id).KeyState; got != "Enabled" {
		t.Fatal(got)
	}
	broken.broken = true
	if _, err := w.invoke(w.call("DisableKey"), "DisableKey", &awskms.DisableKeyInput{KeyId: id}); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	if got := w.describe(*id).KeyState; got != "Enabled" {
		t.Errorf("after a failed DisableKey the key is %s", got)
	}
	if events := w.events("DisableKey"); len(events) != 0 {
		t.Errorf("events %q", events)
	}
}
