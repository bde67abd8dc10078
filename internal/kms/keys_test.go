//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated in AWS's model and still part of it.

package kms_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/kms"
)

var openPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`

func TestMetadataOfANewKey(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	made := do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{Description: aws.String("mine")}).KeyMetadata
	want := &types.KeyMetadata{
		AWSAccountId: aws.String(home.Account), KeyId: made.KeyId, Arn: aws.String(home.Key(*made.KeyId)), CreationDate: &start,
		Enabled: true, Description: aws.String("mine"), KeyUsage: "ENCRYPT_DECRYPT", KeyState: "Enabled", Origin: "AWS_KMS",
		KeyManager: "CUSTOMER", CustomerMasterKeySpec: "SYMMETRIC_DEFAULT", KeySpec: "SYMMETRIC_DEFAULT",
		EncryptionAlgorithms: []types.EncryptionAlgorithmSpec{"SYMMETRIC_DEFAULT"}, MultiRegion: aws.Bool(false),
		CurrentKeyMaterialId: made.CurrentKeyMaterialId,
	}
	ignore := cmpopts.IgnoreUnexported(types.KeyMetadata{})
	if diff := cmp.Diff(want, made, ignore); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(made, w.describe(*made.KeyId), ignore); diff != "" {
		t.Error("DescribeKey differs from CreateKey:", diff)
	}
	if id := *made.CurrentKeyMaterialId; len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("material id %q", id)
	}
	stored := w.createStoreKey()
	if *stored.CustomKeyStoreId != storeID || *stored.CloudHsmClusterId != "cluster-abcdefghijk" || stored.Origin != "AWS_CLOUDHSM" {
		t.Errorf("%+v", stored)
	}
}

func TestCreateKeyRefuses(t *testing.T) {
	w := newWorld(t, kms.Limits{Keys: 1})
	many := make([]types.Tag, 51)
	for i := range many {
		many[i] = types.Tag{TagKey: aws.String(fmt.Sprint("k", i)), TagValue: aws.String("")}
	}
	for name, c := range map[string]struct {
		in            awskms.CreateKeyInput
		code, message string
	}{
		"two specs": {awskms.CreateKeyInput{KeySpec: "RSA_2048", CustomerMasterKeySpec: "RSA_4096", KeyUsage: "SIGN_VERIFY"}, "ValidationException",
			"You cannot specify KeySpec and CustomerMasterKeySpec with different values. CustomerMasterKeySpec is deprecated."},
		"no usage": {awskms.CreateKeyInput{KeySpec: "HMAC_256"}, "ValidationException",
			"You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."},
		"usage":              {awskms.CreateKeyInput{KeyUsage: "SIGN_VERIFY"}, "ValidationException", "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT"},
		"agreement with RSA": {awskms.CreateKeyInput{KeySpec: "RSA_2048", KeyUsage: "KEY_AGREEMENT"}, "ValidationException", "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048"},
		"signing with HMAC":  {awskms.CreateKeyInput{KeySpec: "HMAC_256", KeyUsage: "SIGN_VERIFY"}, "ValidationException", "KeyUsage SIGN_VERIFY is not compatible with KeySpec HMAC_256"},
		"no store":           {awskms.CreateKeyInput{Origin: "AWS_CLOUDHSM"}, "ValidationException", "You must specify a CustomKeyStoreId when Origin is AWS_CLOUDHSM."},
		"needless store":     {awskms.CreateKeyInput{CustomKeyStoreId: aws.String(storeID)}, "ValidationException", "You cannot specify a CustomKeyStoreId when Origin is AWS_KMS."},
		"xks key":            {awskms.CreateKeyInput{XksKeyId: aws.String("x")}, "ValidationException", "You cannot specify an XksKeyId when Origin is AWS_KMS."},
		"unknown store": {awskms.CreateKeyInput{Origin: "AWS_CLOUDHSM", CustomKeyStoreId: aws.String("cks-00000000000000000")},
			"CustomKeyStoreNotFoundException", "not found"},
		"SM2": {awskms.CreateKeyInput{KeySpec: "SM2", KeyUsage: "SIGN_VERIFY"}, "UnsupportedOperationException", "KeySpec SM2 is not supported in this Region"},
		"asymmetric in a store": {awskms.CreateKeyInput{KeySpec: "RSA_2048", KeyUsage: "SIGN_VERIFY", Origin: "AWS_CLOUDHSM", CustomKeyStoreId: aws.String(storeID)},
			"UnsupportedOperationException", "KeySpec RSA_2048 is not supported in a custom key store."},
		"multi-Region": {awskms.CreateKeyInput{MultiRegion: aws.Bool(true), Origin: "AWS_CLOUDHSM", CustomKeyStoreId: aws.String(storeID)},
			"UnsupportedOperationException", "A multi-Region key cannot be created in a custom key store."},
		"reserved tag": {awskms.CreateKeyInput{Tags: []types.Tag{{TagKey: aws.String("AWS:x")}}}, "TagException", "Tags beginning with aws: are reserved"},
		"tag twice": {awskms.CreateKeyInput{Tags: []types.Tag{{TagKey: aws.String("x")}, {TagKey: aws.String("x")}}}, "TagException",
			"Duplicate tag keys"},
		"tags": {awskms.CreateKeyInput{Tags: many}, "TagException", "Too many tags"},
	} {
		t.Run(name, func(t *testing.T) { w.refused("CreateKey", &c.in, c.code, c.message) })
	}
	w.stores.connect(false)
	w.refused("CreateKey", &awskms.CreateKeyInput{Origin: "AWS_CLOUDHSM", CustomKeyStoreId: aws.String(storeID)}, "CustomKeyStoreInvalidStateException", "not connected")
	w.stores.connect(true)
	w.createKey()
	w.refused("CreateKey", &awskms.CreateKeyInput{Origin: "AWS_CLOUDHSM", CustomKeyStoreId: aws.String(storeID)}, "LimitExceededException",
		"Key quota for this account in this region is 1, current usage is 1.")
	if n := w.stores.made(); n != 0 {
		t.Errorf("material was made for %d refused keys", n)
	}
}

func TestListKeysPagesThroughAll(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	var want, got []string
	for range 7 {
		want = append(want, *w.createKey().Arn)
	}
	var marker *string
	for pages := 1; ; pages++ {
		out := do[awskms.ListKeysOutput](w, "ListKeys", &awskms.ListKeysInput{Limit: aws.Int32(3), Marker: marker})
		for _, k := range out.Keys {
			if home.Key(*k.KeyId) != *k.KeyArn {
				t.Errorf("%s is not the id of %s", *k.KeyId, *k.KeyArn)
			}
			got = append(got, *k.KeyArn)
		}
		if out.Truncated != (out.NextMarker != nil) || out.Truncated != (pages < 3) {
			t.Fatalf("page %d: truncated %v, marker %v", pages, out.Truncated, out.NextMarker)
		}
		if marker = out.NextMarker; marker == nil {
			break
		}
		w.refused("ListAliases", &awskms.ListAliasesInput{Marker: marker}, "InvalidMarkerException", // another listing's
			"The request was rejected because the marker that specifies where pagination should next begin is not valid.")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	empty := w.call("ListKeys")
	empty.Scope.Region = "eu-west-1"
	out, err := w.invoke(empty, "ListKeys", &awskms.ListKeysInput{})
	if keys := out.(*awskms.ListKeysOutput).Keys; err != nil || keys == nil || len(keys) != 0 {
		t.Errorf("another Region has %v, %v; want an empty list that is not nil", keys, err)
	}
}

func TestLimitsAboveTheEffectiveMaximum(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := w.createKey().KeyId
	const text = "1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value less than or equal to %d"
	w.refused("ListAliases", &awskms.ListAliasesInput{Limit: aws.Int32(101)}, "ValidationException", fmt.Sprintf(text, 101, 100))
	w.refused("ListResourceTags", &awskms.ListResourceTagsInput{KeyId: id, Limit: aws.Int32(51)}, "ValidationException", fmt.Sprintf(text, 51, 50))
	for _, marker := range []string{"", "!", "AAAA"} {
		_, err := w.invoke(w.call("ListKeys"), "ListKeys", &awskms.ListKeysInput{Marker: &marker})
		if !fault.Is(err, "InvalidMarkerException") {
			t.Errorf("marker %q: %v", marker, err)
		}
	}
}

func TestDescription(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createKey().KeyId
	for _, text := range []string{"new", ""} {
		w.must("UpdateKeyDescription", &awskms.UpdateKeyDescriptionInput{KeyId: &id, Description: &text})
		if got := *w.describe(id).Description; got != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
}

func TestScheduledDeletion(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	blob := w.encrypt(*k.KeyId, "x", nil)
	w.must("CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: k.KeyId})
	for _, days := range []int32{1, 6, 31} {
		w.refused("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: &days}, "ValidationException",
			"PendingWindowInDays must be between 7 and 30")
	}
	out := do[awskms.ScheduleKeyDeletionOutput](w, "ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(7)})
	due := start.AddDate(0, 0, 7)
	if *out.KeyId != *k.Arn || !out.DeletionDate.Equal(due) || out.KeyState != "PendingDeletion" || *out.PendingWindowInDays != 7 {
		t.Errorf("%+v", out)
	}
	if m := w.describe(*k.KeyId); !m.DeletionDate.Equal(due) || m.Enabled {
		t.Errorf("%+v", m)
	}
	w.advance(7*24*time.Hour - time.Millisecond)
	w.deleteDue()
	if got := w.describe("alias/a").KeyState; got != "PendingDeletion" {
		t.Errorf("before its time: %s", got)
	}
	w.advance(time.Millisecond)
	w.deleteDue()
	w.refused("DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}, "NotFoundException", "Key '"+*k.Arn+"' does not exist")
	w.refused("DescribeKey", &awskms.DescribeKeyInput{KeyId: aws.String("alias/a")}, "NotFoundException", "Alias "+home.Alias("alias/a")+" is not found.")
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: blob}, "AccessDeniedException", noKeyOfCiphertext)
	events := w.events("DeleteKey")
	if len(events) != 1 || !strings.Contains(events[0], `"responseElements":{"keyId":"`+*k.Arn+`"}`) || !strings.Contains(events[0], `"AWS Internal"`) {
		t.Errorf("events %q", events)
	}
}

func (w *world) deleteDue() {
	w.Helper()
	if err := w.service.CatchUp(context.Background()); err != nil {
		w.Fatal(err)
	}
}

func TestCancelledDeletion(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createKey().KeyId
	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: &id})
	out := do[awskms.CancelKeyDeletionOutput](w, "CancelKeyDeletion", &awskms.CancelKeyDeletionInput{KeyId: &id})
	if *out.KeyId != home.Key(id) {
		t.Error(*out.KeyId)
	}
	w.advance(40 * 24 * time.Hour)
	w.deleteDue()
	if m := w.describe(id); m.KeyState != "Disabled" || m.DeletionDate != nil {
		t.Errorf("%+v", m)
	}
}

func TestDeletionInAKeyStoreTellsWhatBecameOfTheMaterial(t *testing.T) {
	for name, c := range map[string]struct {
		failure error
		status  string
		left    int
	}{"discarded": {nil, "SUCCESS", 0}, "unreachable": {errors.New("unreachable"), "FAILURE", 1}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, kms.Limits{})
			w.stores.failDiscard = c.failure
			k := w.createStoreKey()
			w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId})
			w.advance(31 * 24 * time.Hour)
			w.deleteDue()
			w.deleteDue() // does not try again
			w.refused("DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}, "NotFoundException", "Key '"+*k.Arn+"' does not exist")
			if n := w.stores.count(); n != c.left {
				t.Errorf("%d keys in the cluster, want %d", n, c.left)
			}
			events := w.events("DeleteKey")
			want := `"additionalEventData":{"customKeyStoreId":"` + storeID + `","clusterId":"cluster-abcdefghijk",` +
				`"backingKeys":"[{\"backingKeyId\":\"00000000000000000000000000000001\"}]",` +
				`"backingKeysDeletionStatus":"[{\"backingKeyId\":\"00000000000000000000000000000001\",\"deletionStatus\":\"` + c.status + `\"}]"}`
			if len(events) != 1 || !strings.Contains(events[0], want) {
				t.Errorf("events %q", events)
			}
		})
	}
}

func TestRunDeletesWhenWoken(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId})
	w.running("DeleteKey", func() {
		w.advance(31 * 24 * time.Hour)
		w.service.Wake()
	})
}

// running has a new service do by itself, while act is under way or after it, what the event of this name tells of.
func (w *world) running(event string, act func()) {
	w.Helper()
	happened := make(chan struct{})
	w.store = &watchedStore{Store: w.store, event: event, happened: happened}
	w.restart(kms.Limits{})
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.service.Run(ctx)
	}()
	act()
	select {
	case <-happened:
	case <-time.After(time.Minute): // for a machine with much else to do
		w.Errorf("there was no %s", event)
	}
	cancel()
	<-ended
}

// watchedStore tells of the first change with an event of this name that was committed.
type watchedStore struct {
	kms.Store
	event    string
	once     sync.Once
	happened chan struct{}
}

func (s *watchedStore) Change(ctx context.Context, event *audit.Event, fn func(kms.Tx) error) error {
	err := s.Store.Change(ctx, event, fn)
	if err == nil && event != nil && event.Name == s.event {
		s.once.Do(func() { close(s.happened) })
	}
	return err
}
