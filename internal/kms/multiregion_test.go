package kms_test

import (
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

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/kms"
)

func (w *world) createPrimary() *types.KeyMetadata {
	w.Helper()
	return do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{MultiRegion: aws.Bool(true)}).KeyMetadata
}

// replicate makes a replica and lets it settle.
func (w *world) replicate(id, region string) *types.KeyMetadata {
	w.Helper()
	out := do[awskms.ReplicateKeyOutput](w, "ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &region})
	w.settleAll()
	return out.ReplicaKeyMetadata
}

// slow is a world whose transient states last a second.
func slow(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, kms.Limits{})
	w.settle = time.Second
	w.restart(kms.Limits{})
	return w
}

// settleAll lets all transient states end.
func (w *world) settleAll() {
	w.Helper()
	w.advance(w.settle)
	w.catchUp()
}

func in(region string) arn.Scope { return arn.Scope{Account: home.Account, Region: region} }

// family is what DescribeKey tells of related keys: primary, then replicas, as Regions.
func family(m *types.KeyMetadata) string {
	regions := []string{*m.MultiRegionConfiguration.PrimaryKey.Region}
	for _, r := range m.MultiRegionConfiguration.ReplicaKeys {
		regions = append(regions, *r.Region)
	}
	return string(m.MultiRegionConfiguration.MultiRegionKeyType) + " of " + strings.Join(regions, " ")
}

func TestReplicas(t *testing.T) {
	w := slow(t)
	k := w.createPrimary()
	id := *k.KeyId
	if !strings.HasPrefix(id, "mrk-") || len(id) != 36 || !*k.MultiRegion || family(k) != "PRIMARY of us-east-1" {
		t.Errorf("%+v", k)
	}
	blob := w.encrypt(id, "everywhere", nil)
	out := do[awskms.ReplicateKeyOutput](w, "ReplicateKey", &awskms.ReplicateKeyInput{
		KeyId: &id, ReplicaRegion: aws.String("eu-west-1"), Description: aws.String("mine"), Tags: tags("a", "1"), Policy: &openPolicy,
	})
	m := out.ReplicaKeyMetadata
	if m.KeyState != "Creating" || m.Enabled || *m.Arn != in("eu-west-1").Key(id) || *m.Description != "mine" ||
		*out.ReplicaPolicy != openPolicy || len(out.ReplicaTags) != 1 || family(m) != "REPLICA of us-east-1 eu-west-1" ||
		m.CurrentKeyMaterialId != nil {
		t.Errorf("%+v", out)
	}
	w.in("eu-west-1", func() {
		w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: blob}, "KMSInvalidStateException", *m.Arn+" is creating.")
		w.settleAll()
		if got := w.describe(id); got.KeyState != "Enabled" || family(got) != "REPLICA of us-east-1 eu-west-1" ||
			*got.CurrentKeyMaterialId != *k.CurrentKeyMaterialId {
			t.Errorf("%+v", got)
		}
		if got := w.decrypt(blob, nil); got != "everywhere" {
			t.Errorf("%q", got)
		}
		blob = w.encrypt(id, "there", map[string]string{"a": "b"})
		w.refused("ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: aws.String("eu-west-2")}, "UnsupportedOperationException",
			*m.Arn+" is not a multi-region primary key.")
	})
	if got := w.decrypt(blob, map[string]string{"a": "b"}); got != "there" {
		t.Errorf("%q", got)
	}
	if got := family(w.describe(id)); got != "PRIMARY of us-east-1 eu-west-1" {
		t.Error(got)
	}
	w.refused("ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: aws.String("eu-west-1")}, "AlreadyExistsException",
		"Key "+*m.Arn+" already exists")
	w.refused("ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: aws.String("nowhere")}, "ValidationException",
		"ReplicaRegion nowhere is not a Region.")
	w.refused("ReplicateKey", &awskms.ReplicateKeyInput{KeyId: w.createKey().KeyId, ReplicaRegion: aws.String("eu-west-1")},
		"UnsupportedOperationException", home.Key(newest(w))+" is not a multi-region primary key.")
}

// newest is the id of the single-Region key of a world.
func newest(w *world) string {
	for _, k := range do[awskms.ListKeysOutput](w, "ListKeys", &awskms.ListKeysInput{}).Keys {
		if !strings.HasPrefix(*k.KeyId, "mrk-") {
			return *k.KeyId
		}
	}
	return ""
}

func TestEventsOfReplication(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createPrimary().KeyId
	w.replicate(id, "eu-west-1")
	replicated, created := w.events("ReplicateKey"), w.events("CreateKey")
	if len(replicated) != 1 || len(created) != 2 {
		t.Fatalf("%d and %d events", len(replicated), len(created))
	}
	replica := in("eu-west-1").Key(id)
	for _, want := range []string{
		`"awsRegion":"us-east-1"`, `"replicaKeyMetadata":{"aWSAccountId":"111122223333","keyId":"` + id + `","arn":"` + replica,
		`"keyState":"Creating"`, `"multiRegionConfiguration":{"multiRegionKeyType":"REPLICA","primaryKey":{"arn":"` + home.Key(id) + `","region":"us-east-1"}`,
		`"resources":[{"type":"AWS::KMS::Key","ARN":"` + home.Key(id) + `"}]`,
	} {
		if !strings.Contains(replicated[0], want) {
			t.Errorf("no %s in %s", want, replicated[0])
		}
	}
	there := slices.IndexFunc(created, func(e string) bool { return strings.Contains(e, `"awsRegion":"eu-west-1"`) })
	if there < 0 || !strings.Contains(created[there], `"resources":[{"type":"AWS::KMS::Key","ARN":"`+replica+`"}]`) ||
		!strings.Contains(created[there], `"multiRegion":true`) {
		t.Errorf("%q", created)
	}
}

func TestRotationIsShared(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createPrimary().KeyId
	w.replicate(id, "eu-west-1")
	first := w.encrypt(id, "first", nil)
	w.must("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: aws.Int32(100)})
	w.in("eu-west-1", func() {
		if s := w.rotationStatus(id); !s.KeyRotationEnabled || *s.RotationPeriodInDays != 100 {
			t.Errorf("%+v", s)
		}
		w.refused("DisableKeyRotation", &awskms.DisableKeyRotationInput{KeyId: &id}, "UnsupportedOperationException",
			in("eu-west-1").Key(id)+" is not a multi-region primary key.")
		w.describe(id) // into the cache
	})
	w.advance(100 * day)
	w.catchUp()
	current := *w.describe(id).CurrentKeyMaterialId
	second := w.encrypt(id, "second", nil)
	w.in("eu-west-1", func() {
		if got := w.describe(id); *got.CurrentKeyMaterialId != current {
			t.Error("the replica has other material")
		}
		if w.decrypt(first, nil) != "first" || w.decrypt(second, nil) != "second" {
			t.Error("the replica cannot read what the primary wrote")
		}
		if n := len(w.rotations(id, "ALL_KEY_MATERIAL")); n != 2 {
			t.Errorf("%d materials", n)
		}
	})
	if n := len(w.events("RotateKey")); n != 1 {
		t.Errorf("%d rotations", n)
	}
	events := w.events("SynchronizeMultiRegionKey")
	if len(events) != 2 || !strings.Contains(events[1], `"resources":[{"type":"AWS::KMS::Key","ARN":"`+home.Key(id)+`"}]`) ||
		!strings.Contains(events[1], `"requestID":"`) || strings.Contains(events[1], "eu-west-1") {
		t.Errorf("%q", events)
	}
}

func TestUpdatePrimaryRegion(t *testing.T) {
	w := slow(t)
	id := *w.createPrimary().KeyId
	w.replicate(id, "eu-west-1")
	w.replicate(id, "eu-west-2")
	move := func(to string) any { return &awskms.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: &to} }
	w.refused("UpdatePrimaryRegion", move("ap-south-1"), "NotFoundException", "Key '"+in("ap-south-1").Key(id)+"' does not exist")
	w.refused("UpdatePrimaryRegion", move("us-east-1"), "UnsupportedOperationException", home.Key(id)+" is the primary key already.")
	w.must("UpdatePrimaryRegion", move("eu-west-1"))
	if m := w.describe(id); m.KeyState != "Updating" || family(m) != "REPLICA of eu-west-1 eu-west-2 us-east-1" {
		t.Errorf("%s, %s", m.KeyState, family(m))
	}
	w.encrypt(id, "meanwhile", nil)
	w.refused("DisableKey", &awskms.DisableKeyInput{KeyId: &id}, "KMSInvalidStateException", home.Key(id)+" is updating.")
	w.in("eu-west-2", func() {
		if m := w.describe(id); m.KeyState != "Enabled" || family(m) != "REPLICA of eu-west-1 eu-west-2 us-east-1" {
			t.Errorf("%s, %s", m.KeyState, family(m))
		}
	})
	w.settleAll()
	w.in("eu-west-1", func() {
		if m := w.describe(id); m.KeyState != "Enabled" || family(m) != "PRIMARY of eu-west-1 eu-west-2 us-east-1" {
			t.Errorf("%s, %s", m.KeyState, family(m))
		}
		w.rotateNow(id)
		w.must("UpdatePrimaryRegion", move("us-east-1"))
		w.settleAll()
	})
	if m := w.describe(id); m.KeyState != "Enabled" || family(m) != "PRIMARY of us-east-1 eu-west-1 eu-west-2" {
		t.Errorf("%s, %s", m.KeyState, family(m))
	}
	events := w.events("UpdatePrimaryRegion")
	if len(events) != 4 || !strings.Contains(events[0]+events[1], `"awsRegion":"eu-west-1"`) ||
		strings.Count(events[0]+events[1], `"invokedBy":"kms.amazonaws.com"`) != 1 {
		t.Errorf("%q", events)
	}
}

func TestDeletionOfAPrimaryWaitsForItsReplicas(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createPrimary().KeyId
	w.replicate(id, "eu-west-1")
	w.replicate(id, "eu-west-2")
	schedule := &awskms.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: aws.Int32(7)}
	out := do[awskms.ScheduleKeyDeletionOutput](w, "ScheduleKeyDeletion", schedule)
	if out.KeyState != "PendingReplicaDeletion" || out.DeletionDate != nil || *out.PendingWindowInDays != 7 {
		t.Errorf("%+v", out)
	}
	if m := w.describe(id); m.KeyState != "PendingReplicaDeletion" || m.DeletionDate != nil || *m.PendingDeletionWindowInDays != 7 {
		t.Errorf("%+v", m)
	}
	w.must("CancelKeyDeletion", &awskms.CancelKeyDeletionInput{KeyId: &id})
	if m := w.describe(id); m.KeyState != "Disabled" || m.PendingDeletionWindowInDays != nil {
		t.Errorf("%+v", m)
	}
	w.must("ScheduleKeyDeletion", schedule)
	for _, region := range []string{"eu-west-1", "eu-west-2"} {
		if m := w.describe(id); m.KeyState != "PendingReplicaDeletion" {
			t.Errorf("before the last replica: %s", m.KeyState)
		}
		w.in(region, func() { w.must("ScheduleKeyDeletion", schedule) })
		w.advance(7 * day)
		w.catchUp()
	}
	if m := w.describe(id); m.KeyState != "PendingDeletion" || !m.DeletionDate.Equal(w.clock().Add(7*day)) ||
		family(m) != "PRIMARY of us-east-1" {
		t.Errorf("%+v", m)
	}
	w.advance(7 * day)
	w.catchUp()
	w.refused("DescribeKey", &awskms.DescribeKeyInput{KeyId: &id}, "NotFoundException", "Key '"+home.Key(id)+"' does not exist")
}

func TestReplicaThatIsScheduledForDeletionStillExists(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createPrimary().KeyId
	replica := w.replicate(id, "eu-west-1")
	w.in("eu-west-1", func() { w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: &id}) })
	w.refused("ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: aws.String("eu-west-1")}, "AlreadyExistsException",
		"Key "+*replica.Arn+" already exists")
	w.advance(30 * day)
	w.catchUp()
	w.replicate(id, "eu-west-1")
}

// TestTwoThingsDueAtOnce: what is due besides does not wait until somebody looks again.
func TestTwoThingsDueAtOnce(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createPrimary()
	w.replicate(*k.KeyId, "eu-west-1")
	w.must("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: k.KeyId})
	w.must("UpdatePrimaryRegion", &awskms.UpdatePrimaryRegionInput{KeyId: k.KeyId, PrimaryRegion: aws.String("eu-west-1")})
	w.catchUp()
	if m := w.describe(*k.KeyId); m.KeyState != "Enabled" || *m.CurrentKeyMaterialId == *k.CurrentKeyMaterialId {
		t.Errorf("%s, %s", m.KeyState, *m.CurrentKeyMaterialId)
	}
}

func TestReplicasCountAgainstTheirRegionsLimit(t *testing.T) {
	w := newWorld(t, kms.Limits{Keys: 1})
	id := *w.createPrimary().KeyId
	w.in("eu-west-1", func() { w.createKey() })
	w.refused("ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: aws.String("eu-west-1")}, "LimitExceededException",
		"Key quota for this account in this region is 1, current usage is 1.")
	if got := family(w.describe(id)); got != "PRIMARY of us-east-1" {
		t.Error(got)
	}
}

// TestNoSettleTime: without one the next call finds transient states over, whatever else there is to do.
func TestNoSettleTime(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createPrimary().KeyId
	out := do[awskms.ReplicateKeyOutput](w, "ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: aws.String("eu-west-1")})
	if got := out.ReplicaKeyMetadata.KeyState; got != "Creating" {
		t.Errorf("the answer says %s", got)
	}
	enabled := func(region, want string) {
		t.Helper()
		w.in(region, func() {
			if m := w.describe(id); m.KeyState != "Enabled" || family(m) != want {
				t.Errorf("%s: %s, %s", region, m.KeyState, family(m))
			}
		})
	}
	enabled("eu-west-1", "REPLICA of us-east-1 eu-west-1")
	w.must("UpdatePrimaryRegion", &awskms.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: aws.String("eu-west-1")})
	enabled("us-east-1", "REPLICA of eu-west-1 us-east-1")
	enabled("eu-west-1", "PRIMARY of eu-west-1 us-east-1")
}

// TestSettleTime: transient states last as long as they were told to, across a restart too.
func TestSettleTime(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	w.settle = time.Hour
	w.restart(kms.Limits{})
	id := *w.createPrimary().KeyId
	w.must("ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: aws.String("eu-west-1")})
	reads := func(want types.KeyState) {
		t.Helper()
		w.catchUp()
		w.in("eu-west-1", func() {
			if got := w.describe(id).KeyState; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	w.advance(time.Hour - time.Millisecond)
	w.restart(kms.Limits{})
	reads("Creating")
	w.advance(time.Millisecond)
	reads("Enabled")
	w.must("UpdatePrimaryRegion", &awskms.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: aws.String("eu-west-1")})
	reads("Updating")
	w.advance(30 * time.Minute)
	w.in("eu-west-1", func() { // back at once: what it was before is not forgotten
		w.must("UpdatePrimaryRegion", &awskms.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: aws.String("us-east-1")})
	})
	w.advance(30 * time.Minute)
	reads("Updating")
	w.advance(30 * time.Minute)
	reads("Enabled")
}

// TestRelatedKeysOfOtherSpecs: what one signs another verifies.
func TestRelatedKeysOfOtherSpecs(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{
		MultiRegion: aws.Bool(true), KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify,
	}).KeyMetadata
	w.replicate(*k.KeyId, "eu-west-1")
	out := do[awskms.SignOutput](w, "Sign", &awskms.SignInput{KeyId: k.KeyId, Message: []byte("x"), SigningAlgorithm: "ECDSA_SHA_256"})
	w.in("eu-west-1", func() {
		w.must("Verify", &awskms.VerifyInput{KeyId: k.KeyId, Message: []byte("x"), Signature: out.Signature, SigningAlgorithm: "ECDSA_SHA_256"})
	})
	w.refused("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: k.KeyId}, "UnsupportedOperationException", "")
}

// TestConcurrentChangesOfAFamily: while keys join a family others of it change; in the end no cached copy is older than
// what is stored.
func TestConcurrentChangesOfAFamily(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createPrimary().KeyId
	regions := []string{"eu-west-1", "eu-west-2", "eu-west-3", "ap-south-1"}
	call := func(region, name string, in any) {
		c := w.call(name)
		c.Scope.Region = region
		if _, err := w.rows[name].Invoke(t.Context(), c, in); err != nil {
			if _, refused := fault.As(err); !refused {
				t.Errorf("%s in %s: %v", name, region, err)
			}
		}
	}
	var all sync.WaitGroup
	for _, region := range regions {
		all.Go(func() {
			call("us-east-1", "ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &region})
			for range 5 {
				call(region, "DescribeKey", &awskms.DescribeKeyInput{KeyId: &id})
				call(region, "UpdateKeyDescription", &awskms.UpdateKeyDescriptionInput{KeyId: &id, Description: &region})
			}
		})
		all.Go(func() {
			for range 5 {
				call("us-east-1", "EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: &id})
				call("us-east-1", "RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id})
				if err := w.service.CatchUp(t.Context()); err != nil {
					t.Error(err)
				}
				call("us-east-1", "DescribeKey", &awskms.DescribeKeyInput{KeyId: &id})
			}
		})
	}
	all.Wait()
	w.catchUp()
	look := func() (seen []*types.KeyMetadata) {
		for _, region := range append(regions, "us-east-1") {
			w.in(region, func() { seen = append(seen, w.describe(id)) })
		}
		return seen
	}
	cached := look()
	w.restart(kms.Limits{})
	ignore := cmpopts.IgnoreUnexported(types.KeyMetadata{}, types.MultiRegionConfiguration{}, types.MultiRegionKey{})
	if diff := cmp.Diff(look(), cached, ignore); diff != "" {
		t.Error(diff)
	}
	for _, m := range cached {
		if *m.CurrentKeyMaterialId != *cached[0].CurrentKeyMaterialId || len(m.MultiRegionConfiguration.ReplicaKeys) != len(regions) {
			t.Errorf("%+v", m)
		}
	}
}
