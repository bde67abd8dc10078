package kms_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"

	"keyward/internal/fault"
	"keyward/internal/kms"
)

func (w *world) alias(name string, k *types.KeyMetadata) {
	w.Helper()
	w.must("CreateAlias", &awskms.CreateAliasInput{AliasName: &name, TargetKeyId: k.KeyId})
}

func TestAliasesMoveAndGo(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	one, two := w.createKey(), w.createKey()
	w.alias("alias/a", one)
	w.refused("CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: two.KeyId}, "AlreadyExistsException",
		"An alias with the name "+home.Alias("alias/a")+" already exists")
	if got := w.describe("alias/a"); *got.KeyId != *one.KeyId {
		t.Errorf("alias/a is %s", *got.KeyId)
	}
	w.advance(time.Hour)
	w.must("UpdateAlias", &awskms.UpdateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: two.Arn})
	if got := w.describe("alias/a"); *got.KeyId != *two.KeyId {
		t.Errorf("after UpdateAlias alias/a is %s", *got.KeyId)
	}
	entries := do[awskms.ListAliasesOutput](w, "ListAliases", &awskms.ListAliasesInput{KeyId: two.Arn}).Aliases
	if len(entries) != 1 || *entries[0].AliasArn != home.Alias("alias/a") || *entries[0].TargetKeyId != *two.KeyId ||
		!entries[0].CreationDate.Equal(start) || !entries[0].LastUpdatedDate.Equal(start.Add(time.Hour)) {
		t.Errorf("%+v", entries)
	}
	w.must("DeleteAlias", &awskms.DeleteAliasInput{AliasName: aws.String("alias/a")})
	gone := "Alias " + home.Alias("alias/a") + " is not found."
	w.refused("DescribeKey", &awskms.DescribeKeyInput{KeyId: aws.String("alias/a")}, "NotFoundException", gone)
	w.refused("DeleteAlias", &awskms.DeleteAliasInput{AliasName: aws.String("alias/a")}, "NotFoundException", gone)
	w.refused("UpdateAlias", &awskms.UpdateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: one.KeyId}, "NotFoundException", gone)
}

func TestAliasNames(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	for name, want := range map[string]struct{ code, message string }{
		"mine":         {"ValidationException", `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`},
		"alias/aws/s3": {"InvalidAliasNameException", "Alias names that begin with alias/aws/ are reserved."},
		"alias/a:b":    {"ValidationException", "alias/a:b contains invalid characters for an alias"},
		"alias/":       {"InvalidAliasNameException", "The request was rejected because the specified alias name is not valid."},
	} {
		w.refused("CreateAlias", &awskms.CreateAliasInput{AliasName: &name, TargetKeyId: k.KeyId}, want.code, want.message)
	}
	w.alias("alias/awsome", k)
	w.refused("CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/b"), TargetKeyId: aws.String("alias/awsome")},
		"ValidationException", "Aliases must refer to keys. Not aliases")
	w.refused("CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/b"), TargetKeyId: aws.String(home.Alias("alias/awsome"))},
		"ValidationException", "Aliases must refer to keys. Not aliases")
}

func TestAliasLimitHoldsForNewAndMovedOnes(t *testing.T) {
	w := newWorld(t, kms.Limits{AliasesPerKey: 2})
	full, other := w.createKey(), w.createKey()
	w.alias("alias/1", full)
	w.alias("alias/2", full)
	w.alias("alias/3", other)
	text := "Aliases per key quota for this account in this region is 2, current usage is 2."
	w.refused("CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/4"), TargetKeyId: full.KeyId}, "LimitExceededException", text)
	w.refused("UpdateAlias", &awskms.UpdateAliasInput{AliasName: aws.String("alias/3"), TargetKeyId: full.KeyId}, "LimitExceededException", text)
	w.must("UpdateAlias", &awskms.UpdateAliasInput{AliasName: aws.String("alias/1"), TargetKeyId: full.KeyId}) // stays where it is
}

func TestAliasLeavesAKeyThatIsPendingDeletion(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	leaving, staying := w.createKey(), w.createKey()
	w.alias("alias/a", leaving)
	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: leaving.KeyId})
	w.must("UpdateAlias", &awskms.UpdateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: staying.KeyId})
	if got := w.describe("alias/a"); *got.KeyId != *staying.KeyId {
		t.Error(*got.KeyId)
	}
}

func TestAliasMovesOnlyToAKeyOfItsKind(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	w.alias("alias/a", k)
	mac := kms.Key{Scope: home, ID: "11111111-2222-4333-8444-555555555555", Version: 1, Created: start, Spec: types.KeySpecHmac256,
		Usage: types.KeyUsageTypeGenerateVerifyMac, Origin: types.OriginTypeAwsKms, State: types.KeyStateEnabled, Policy: openPolicy}
	if err := w.store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.InsertKey(&mac) }); err != nil {
		t.Fatal(err)
	}
	_, err := w.invoke(w.call("UpdateAlias"), "UpdateAlias", &awskms.UpdateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: &mac.ID})
	if !fault.Is(err, "ValidationException") {
		t.Error(err)
	}
	w.refused("Encrypt", &awskms.EncryptInput{KeyId: &mac.ID, Plaintext: []byte("x")}, "InvalidKeyUsageException",
		mac.ARN()+" key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt.")
}

func TestListAliasesPages(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	one, two := w.createKey(), w.createKey()
	for i := range 5 {
		w.alias(fmt.Sprint("alias/one-", i), one)
		w.alias(fmt.Sprint("alias/two-", i), two)
	}
	names := func(key *string) (all []string) {
		var marker *string
		for {
			out := do[awskms.ListAliasesOutput](w, "ListAliases", &awskms.ListAliasesInput{KeyId: key, Limit: aws.Int32(2), Marker: marker})
			for _, a := range out.Aliases {
				all = append(all, strings.TrimPrefix(*a.AliasName, "alias/"))
			}
			if marker = out.NextMarker; marker == nil {
				return all
			}
		}
	}
	ones := []string{"one-0", "one-1", "one-2", "one-3", "one-4"}
	twos := []string{"two-0", "two-1", "two-2", "two-3", "two-4"}
	if diff := cmp.Diff(append(ones, twos...), names(nil)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(twos, names(two.KeyId)); diff != "" {
		t.Error(diff)
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t, kms.Limits{TagsPerKey: 3})
	id := do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{Tags: tags("b", "1", "a", "1")}).KeyMetadata.KeyId
	list := func() string {
		var text []string
		var marker *string
		for {
			out := do[awskms.ListResourceTagsOutput](w, "ListResourceTags", &awskms.ListResourceTagsInput{KeyId: id, Limit: aws.Int32(1), Marker: marker})
			for _, tag := range out.Tags {
				text = append(text, *tag.TagKey+"="+*tag.TagValue)
			}
			if marker = out.NextMarker; marker == nil {
				return strings.Join(text, " ")
			}
		}
	}
	expect := func(want string) {
		t.Helper()
		if got := list(); got != want {
			t.Errorf("tags %q, want %q", got, want)
		}
	}
	expect("a=1 b=1")
	w.must("TagResource", &awskms.TagResourceInput{KeyId: id, Tags: tags("b", "2", "A", "")})
	expect("A= a=1 b=2")
	w.refused("TagResource", &awskms.TagResourceInput{KeyId: id, Tags: tags("c", "", "b", "3")}, "LimitExceededException", "A KMS key can have at most 3 tags.")
	expect("A= a=1 b=2")
	w.must("UntagResource", &awskms.UntagResourceInput{KeyId: id, TagKeys: []string{"a", "not there"}})
	expect("A= b=2")
	w.refused("TagResource", &awskms.TagResourceInput{KeyId: id, Tags: tags("aws:x", "")}, "TagException",
		"Tags beginning with aws: are reserved")
	w.refused("TagResource", &awskms.TagResourceInput{KeyId: id, Tags: tags("a", "1", "a", "2")}, "TagException", "Duplicate tag keys")
	w.refused("TagResource", &awskms.TagResourceInput{KeyId: id, Tags: tags("c", "", "d", "", "e", "", "f", "")}, "TagException", "Too many tags")
	w.must("UntagResource", &awskms.UntagResourceInput{KeyId: id, TagKeys: []string{"A", "b"}})
	if out := do[awskms.ListResourceTagsOutput](w, "ListResourceTags", &awskms.ListResourceTagsInput{KeyId: id}); out.Tags == nil || len(out.Tags) != 0 || out.Truncated {
		t.Errorf("no tags: %+v; want an empty list that is not nil", out)
	}
}

func tags(pairs ...string) (all []types.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, types.Tag{TagKey: &pairs[i], TagValue: &pairs[i+1]})
	}
	return all
}

func TestConcurrentChangesAreAllKept(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := w.createKey().KeyId
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			w.must("TagResource", &awskms.TagResourceInput{KeyId: id, Tags: tags(fmt.Sprint("k", i), "v")})
		})
	}
	all.Wait()
	if out := do[awskms.ListResourceTagsOutput](w, "ListResourceTags", &awskms.ListResourceTagsInput{KeyId: id}); len(out.Tags) != 20 {
		t.Errorf("%d tags of 20", len(out.Tags))
	}
}
