package kms_test

import (
	"encoding/csv"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/kms"
)

// prepared is a key in a state, with an alias and a ciphertext from before.
type prepared struct {
	*types.KeyMetadata
	alias string
	blob  []byte
	grant *awskms.CreateGrantOutput
}

// prepare makes a key and brings it to a state by the operations that lead there.
func (w *world) prepare(state, origin, operation string) prepared {
	w.Helper()
	w.stores.connect(true)
	var k prepared
	if origin == "AWS_CLOUDHSM" {
		k.KeyMetadata = w.createStoreKey()
	} else if operation == "ReplicateKey" || operation == "UpdatePrimaryRegion" {
		k.KeyMetadata = w.createPrimary()
		w.replicate(*k.KeyId, "eu-west-2")
	} else {
		k.KeyMetadata = w.createKey()
	}
	k.alias = "alias/" + *k.KeyId
	w.must("CreateAlias", &awskms.CreateAliasInput{AliasName: &k.alias, TargetKeyId: k.KeyId})
	w.must("TagResource", &awskms.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}})
	k.blob = w.encrypt(*k.KeyId, "before", nil)
	k.grant = do[awskms.CreateGrantOutput](w, "CreateGrant", &awskms.CreateGrantInput{
		KeyId: k.KeyId, GranteePrincipal: &admin.ARN, Operations: []types.GrantOperation{"Encrypt"}})
	switch state {
	case "Disabled":
		w.must("DisableKey", &awskms.DisableKeyInput{KeyId: k.KeyId})
	case "PendingDeletion":
		w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId})
	case "Unavailable":
		w.stores.connect(false)
	}
	if got := string(w.describe(*k.KeyId).KeyState); got != state {
		w.Fatalf("prepared a key in state %s, want %s", got, state)
	}
	return k
}

// attempt is a valid request of each operation for a prepared key.
var attempt = map[string]func(w *world, k prepared) any{
	"CancelKeyDeletion": func(_ *world, k prepared) any { return &awskms.CancelKeyDeletionInput{KeyId: k.KeyId} },
	"CreateAlias": func(_ *world, k prepared) any {
		return &awskms.CreateAliasInput{AliasName: aws.String(k.alias + "-2"), TargetKeyId: k.KeyId}
	},
	"Decrypt":         func(_ *world, k prepared) any { return &awskms.DecryptInput{CiphertextBlob: k.blob} },
	"DeleteAlias":     func(_ *world, k prepared) any { return &awskms.DeleteAliasInput{AliasName: &k.alias} },
	"DescribeKey":     func(_ *world, k prepared) any { return &awskms.DescribeKeyInput{KeyId: &k.alias} },
	"DisableKey":      func(_ *world, k prepared) any { return &awskms.DisableKeyInput{KeyId: k.KeyId} },
	"EnableKey":       func(_ *world, k prepared) any { return &awskms.EnableKeyInput{KeyId: k.KeyId} },
	"Encrypt":         func(_ *world, k prepared) any { return &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")} },
	"GetKeyLastUsage": func(_ *world, k prepared) any { return &awskms.GetKeyLastUsageInput{KeyId: k.KeyId} },
	"GetKeyPolicy":    func(_ *world, k prepared) any { return &awskms.GetKeyPolicyInput{KeyId: k.KeyId} },
	"GenerateDataKey": func(_ *world, k prepared) any {
		return &awskms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: types.DataKeySpecAes256}
	},
	"GenerateDataKeyWithoutPlaintext": func(_ *world, k prepared) any {
		return &awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: k.KeyId, KeySpec: types.DataKeySpecAes256}
	},
	"EnableKeyRotation":    func(_ *world, k prepared) any { return &awskms.EnableKeyRotationInput{KeyId: k.KeyId} },
	"DisableKeyRotation":   func(_ *world, k prepared) any { return &awskms.DisableKeyRotationInput{KeyId: k.KeyId} },
	"GetKeyRotationStatus": func(_ *world, k prepared) any { return &awskms.GetKeyRotationStatusInput{KeyId: k.KeyId} },
	"ReplicateKey": func(_ *world, k prepared) any {
		return &awskms.ReplicateKeyInput{KeyId: k.KeyId, ReplicaRegion: aws.String("eu-west-1")}
	},
	"UpdatePrimaryRegion": func(_ *world, k prepared) any {
		return &awskms.UpdatePrimaryRegionInput{KeyId: k.KeyId, PrimaryRegion: aws.String("eu-west-2")}
	},
	"RotateKeyOnDemand": func(_ *world, k prepared) any { return &awskms.RotateKeyOnDemandInput{KeyId: k.KeyId} },
	"ListKeyRotations":  func(_ *world, k prepared) any { return &awskms.ListKeyRotationsInput{KeyId: k.KeyId} },
	"ListAliases":       func(_ *world, k prepared) any { return &awskms.ListAliasesInput{KeyId: k.KeyId} },
	"ListKeyPolicies":   func(_ *world, k prepared) any { return &awskms.ListKeyPoliciesInput{KeyId: k.KeyId} },
	"ListResourceTags":  func(_ *world, k prepared) any { return &awskms.ListResourceTagsInput{KeyId: k.KeyId} },
	"PutKeyPolicy":      func(_ *world, k prepared) any { return &awskms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: &openPolicy} },
	"ReEncrypt": func(_ *world, k prepared) any {
		return &awskms.ReEncryptInput{CiphertextBlob: k.blob, DestinationKeyId: k.KeyId}
	},
	"ScheduleKeyDeletion": func(_ *world, k prepared) any { return &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId} },
	"TagResource": func(_ *world, k prepared) any {
		return &awskms.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{{TagKey: aws.String("c"), TagValue: aws.String("d")}}}
	},
	"UntagResource": func(_ *world, k prepared) any {
		return &awskms.UntagResourceInput{KeyId: k.KeyId, TagKeys: []string{"a"}}
	},
	"UpdateAlias": func(w *world, k prepared) any { // the prepared key is the new target
		other := w.createKey()
		name := "alias/to-" + *k.KeyId
		w.must("CreateAlias", &awskms.CreateAliasInput{AliasName: &name, TargetKeyId: other.KeyId})
		return &awskms.UpdateAliasInput{AliasName: &name, TargetKeyId: k.KeyId}
	},
	"CreateGrant": func(_ *world, k prepared) any {
		return &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &admin.ARN, Operations: []types.GrantOperation{"Decrypt"}}
	},
	"ListGrants": func(_ *world, k prepared) any { return &awskms.ListGrantsInput{KeyId: k.KeyId} },
	"RevokeGrant": func(_ *world, k prepared) any {
		return &awskms.RevokeGrantInput{KeyId: k.KeyId, GrantId: k.grant.GrantId}
	},
	"RetireGrant": func(_ *world, k prepared) any { return &awskms.RetireGrantInput{GrantToken: k.grant.GrantToken} },
	"UpdateKeyDescription": func(_ *world, k prepared) any {
		return &awskms.UpdateKeyDescriptionInput{KeyId: k.KeyId, Description: aws.String("new")}
	},
}

// origins in which keys of this service reach a state.
var origins = map[string][]string{
	"Enabled":         {"AWS_KMS", "AWS_CLOUDHSM"},
	"Disabled":        {"AWS_KMS", "AWS_CLOUDHSM"},
	"PendingDeletion": {"AWS_KMS", "AWS_CLOUDHSM"},
	"Unavailable":     {"AWS_CLOUDHSM"},
}

// TestEveryRowOfTheStateTable plays each row of key-states.csv that concerns this service's operations and states that
// its keys can reach.
func TestEveryRowOfTheStateTable(t *testing.T) {
	file, err := os.Open("key-states.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, kms.Limits{})
	played := map[string]bool{}
	for _, row := range rows[1:] {
		operation, state, result, code, message := row[0], row[1], row[2], row[3], row[4]
		request, ok := attempt[operation]
		if !ok || result == "n/a" {
			continue
		}
		for _, origin := range origins[state] {
			if row[5] != "*" && row[5] != origin || (operation == "ReplicateKey" || operation == "UpdatePrimaryRegion") && state == "PendingDeletion" {
				continue
			}
			t.Run(operation+"/"+state+"/"+origin, func(t *testing.T) {
				w := w.with(t)
				k := w.prepare(state, origin, operation)
				in := request(w, k)
				played[operation] = true
				if result == "succeed" {
					w.must(operation, in)
					return
				}
				message, _, _ := strings.Cut(message, " (")
				w.refused(operation, in, code, strings.Replace(message, "<key ARN>", *k.Arn, 1))
			})
		}
	}
	for operation := range attempt {
		if !played[operation] {
			t.Errorf("the table has no row for %s", operation)
		}
	}
	for name := range w.rows {
		switch name {
		case "CreateKey", "ListKeys", "ListRetirableGrants", "GenerateRandom": // do not depend on a key's state
		default:
			if attempt[name] == nil {
				t.Errorf("%s is not played", name)
			}
		}
	}
}

func TestReEncryptChecksBothKeysSourceFirst(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	good, bad := w.prepare("Enabled", "AWS_KMS", ""), w.prepare("Disabled", "AWS_KMS", "")
	w.refused("ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: bad.blob, DestinationKeyId: good.KeyId}, "DisabledException", *bad.Arn+" is disabled.")
	w.refused("ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: good.blob, DestinationKeyId: bad.KeyId}, "DisabledException", *bad.Arn+" is disabled.")
}

func TestUnavailableKeepsWhatIsUnderneath(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createStoreKey().KeyId
	w.stores.connect(false)
	reads := func(want types.KeyState, enabled bool) {
		t.Helper()
		if m := w.describe(id); m.KeyState != want || m.Enabled != enabled {
			t.Errorf("state %s, enabled %v; want %s, %v", m.KeyState, m.Enabled, want, enabled)
		}
	}
	reads(types.KeyStateUnavailable, false)
	w.must("DisableKey", &awskms.DisableKeyInput{KeyId: &id})
	reads(types.KeyStateUnavailable, false)
	w.stores.connect(true)
	reads(types.KeyStateDisabled, false)
	w.stores.connect(false)
	w.must("EnableKey", &awskms.EnableKeyInput{KeyId: &id})
	w.stores.connect(true)
	reads(types.KeyStateEnabled, true)

	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: &id})
	w.stores.connect(false)
	reads(types.KeyStatePendingDeletion, false)
	w.must("CancelKeyDeletion", &awskms.CancelKeyDeletionInput{KeyId: &id})
	reads(types.KeyStateUnavailable, false)
	w.stores.connect(true)
	reads(types.KeyStateDisabled, false)
}

// TestAcknowledgedStateCountsAtOnce: as soon as DisableKey or EnableKey has answered, every further call sees it,
// however many others are reading the key meanwhile.
func TestAcknowledgedStateCountsAtOnce(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := w.createKey().KeyId
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					w.describe(*id)
				}
			}
		})
	}
	for range 10 {
		w.must("DisableKey", &awskms.DisableKeyInput{KeyId: id})
		w.refused("Encrypt", &awskms.EncryptInput{KeyId: id, Plaintext: []byte("x")}, "DisabledException", home.Key(*id)+" is disabled.")
		w.must("EnableKey", &awskms.EnableKeyInput{KeyId: id})
		w.encrypt(*id, "x", nil)
	}
	close(done)
	readers.Wait()
}
