package kms_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/kms"
)

const day = 24 * time.Hour

// catchUp does what is due.
func (w *world) catchUp() {
	w.Helper()
	if err := w.service.CatchUp(context.Background()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) rotateNow(id string) {
	w.Helper()
	w.must("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id})
	w.catchUp()
}

func (w *world) rotationStatus(id string) *awskms.GetKeyRotationStatusOutput {
	w.Helper()
	return do[awskms.GetKeyRotationStatusOutput](w, "GetKeyRotationStatus", &awskms.GetKeyRotationStatusInput{KeyId: &id})
}

func (w *world) rotations(id string, include types.IncludeKeyMaterial) []types.RotationsListEntry {
	w.Helper()
	return do[awskms.ListKeyRotationsOutput](w, "ListKeyRotations",
		&awskms.ListKeyRotationsInput{KeyId: &id, IncludeKeyMaterial: include}).Rotations
}

func TestAutomaticRotation(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	id, first := *k.KeyId, *k.CurrentKeyMaterialId
	before := w.encrypt(id, "before", nil)
	if s := w.rotationStatus(id); s.KeyRotationEnabled || s.NextRotationDate != nil || s.RotationPeriodInDays != nil || *s.KeyId != *k.Arn {
		t.Errorf("a new key: %+v", s)
	}
	w.must("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: aws.Int32(90)})
	if s := w.rotationStatus(id); !s.KeyRotationEnabled || *s.RotationPeriodInDays != 90 || !s.NextRotationDate.Equal(start.Add(90*day)) {
		t.Errorf("%+v", s)
	}
	w.advance(90*day - time.Millisecond)
	w.catchUp()
	if got := *w.describe(id).CurrentKeyMaterialId; got != first {
		t.Error("rotated before its time")
	}
	w.advance(time.Millisecond)
	w.catchUp()
	w.catchUp()
	second := *w.describe(id).CurrentKeyMaterialId
	after := w.encrypt(id, "after", nil)
	for blob, want := range map[string][2]string{string(before): {"before", first}, string(after): {"after", second}} {
		out := do[awskms.DecryptOutput](w, "Decrypt", &awskms.DecryptInput{CiphertextBlob: []byte(blob)})
		if string(out.Plaintext) != want[0] || *out.KeyMaterialId != want[1] {
			t.Errorf("%q under %s, want %v", out.Plaintext, *out.KeyMaterialId, want)
		}
	}
	if s := w.rotationStatus(id); !s.NextRotationDate.Equal(start.Add(180 * day)) {
		t.Errorf("next %v", s.NextRotationDate)
	}
	if text := w.eventOf("Decrypt", &awskms.DecryptInput{CiphertextBlob: before}); !strings.Contains(text, `"keyMaterialId":"`+first) {
		t.Errorf("the event names another material: %s", text)
	}
	events := w.events("RotateKey")
	want := `"serviceEventDetails":{"rotationType":"AUTOMATIC","keyOrigin":"AWS_KMS","previousKeyMaterialId":"` + first +
		`","currentKeyMaterialId":"` + second + `","keyId":"` + id + `"}`
	if len(events) != 1 || !strings.Contains(events[0], want) {
		t.Errorf("events %q", events)
	}
}

func TestRotationWaitsForADisabledKey(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	w.must("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: k.KeyId})
	w.must("DisableKey", &awskms.DisableKeyInput{KeyId: k.KeyId})
	w.advance(1000 * day)
	w.catchUp()
	if got := w.describe(*k.KeyId); *got.CurrentKeyMaterialId != *k.CurrentKeyMaterialId {
		t.Error("a disabled key was rotated")
	}
	if s := w.rotationStatus(*k.KeyId); !s.KeyRotationEnabled {
		t.Error("disabling a key changed its rotation status")
	}
	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId})
	if s := w.rotationStatus(*k.KeyId); s.KeyRotationEnabled || s.NextRotationDate != nil {
		t.Errorf("pending deletion: %+v", s)
	}
	w.must("CancelKeyDeletion", &awskms.CancelKeyDeletionInput{KeyId: k.KeyId})
	w.must("EnableKey", &awskms.EnableKeyInput{KeyId: k.KeyId})
	w.catchUp()
	if got := w.describe(*k.KeyId); *got.CurrentKeyMaterialId == *k.CurrentKeyMaterialId {
		t.Error("the late rotation did not come")
	}
	if s := w.rotationStatus(*k.KeyId); !s.KeyRotationEnabled || !s.NextRotationDate.Equal(start.Add(1365*day)) {
		t.Errorf("after the late rotation: %+v", s)
	}
	if n := len(w.rotations(*k.KeyId, "")); n != 1 {
		t.Errorf("%d rotations for the whole time", n)
	}
	w.must("DisableKeyRotation", &awskms.DisableKeyRotationInput{KeyId: k.KeyId})
	w.advance(1000 * day)
	w.catchUp()
	if n := len(w.rotations(*k.KeyId, "")); n != 1 {
		t.Errorf("rotated %d times after rotation was disabled", n-1)
	}
}

func TestRotationOnDemand(t *testing.T) {
	w := newWorld(t, kms.Limits{OnDemandRotations: 2})
	k := w.createKey()
	id := *k.KeyId
	w.must("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: aws.Int32(90)})
	out := do[awskms.RotateKeyOnDemandOutput](w, "RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id})
	if *out.KeyId != *k.Arn {
		t.Error(*out.KeyId)
	}
	if s := w.rotationStatus(id); !s.OnDemandRotationStartDate.Equal(start) {
		t.Errorf("in progress: %+v", s)
	}
	const conflict = "The request was rejected because an automatic rotation of this key is currently in progress or scheduled to begin within the next 20 minutes."
	w.refused("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id}, "ConflictException", conflict)
	w.catchUp()
	if s := w.rotationStatus(id); s.OnDemandRotationStartDate != nil || !s.NextRotationDate.Equal(start.Add(90*day)) {
		t.Errorf("afterwards: %+v", s)
	}
	w.advance(90*day - 20*time.Minute)
	w.refused("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id}, "ConflictException", conflict)
	w.advance(-time.Millisecond)
	w.rotateNow(id)
	w.refused("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id}, "LimitExceededException",
		"The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: "+*k.Arn)
	for _, e := range w.rotations(id, "") {
		if e.RotationType != types.RotationTypeOnDemand {
			t.Errorf("%+v", e)
		}
	}
}

// TestRunRotatesAtOnce: nobody has to wait for a minute to pass.
func TestRunRotatesAtOnce(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	w.running("RotateKey", func() { w.must("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: k.KeyId}) })
	if got := *w.describe(*k.KeyId).CurrentKeyMaterialId; got == *k.CurrentKeyMaterialId {
		t.Error("the material is the same")
	}
}

// TestOneKeyDoesNotKeepTheOthersWaiting: what cannot be done is told of, and the rest is done.
func TestOneKeyDoesNotKeepTheOthersWaiting(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	stuck, fine := w.createKey(), w.createKey()
	for _, k := range []*types.KeyMetadata{stuck, fine} {
		w.must("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: aws.Int32(90)})
		w.advance(time.Hour) // the first is the more overdue
	}
	w.store = &fullFor{Store: w.store, arn: *stuck.Arn}
	w.restart(kms.Limits{})
	w.advance(90 * day)
	if err := w.service.CatchUp(t.Context()); !errors.Is(err, errDisk) {
		t.Errorf("%v, want the failure", err)
	}
	if got := *w.describe(*fine.KeyId).CurrentKeyMaterialId; got == *fine.CurrentKeyMaterialId {
		t.Error("the other key was not rotated")
	}
	if got := *w.describe(*stuck.KeyId).CurrentKeyMaterialId; got != *stuck.CurrentKeyMaterialId {
		t.Error("the change that failed has happened")
	}
}

// TestClockThatIsSetBack: what was due and is no longer must not be tried for ever.
func TestClockThatIsSetBack(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	w.must("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: k.KeyId})
	w.store = &aheadStore{Store: w.store}
	w.restart(kms.Limits{})
	w.catchUp()
	if got := *w.describe(*k.KeyId).CurrentKeyMaterialId; got != *k.CurrentKeyMaterialId {
		t.Error("rotated before its time")
	}
}

// aheadStore believes that it is much later.
type aheadStore struct {
	kms.Store
	asked int
}

func (s *aheadStore) Due(ctx context.Context, now time.Time, limit int) ([]*kms.Key, error) {
	if s.asked++; s.asked > 100 {
		return nil, errors.New("asked again and again")
	}
	return s.Store.Due(ctx, now.Add(1000*day), limit)
}

// TestOvertakenRotation: a change of the key that comes between finding what is due and doing it does not put it off.
func TestOvertakenRotation(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	before := &beforeStore{Store: w.store, event: "RotateKey"}
	w.store = before
	w.restart(kms.Limits{})
	before.act = func() { w.must("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: k.KeyId}) }
	w.rotateNow(*k.KeyId)
	if got := *w.describe(*k.KeyId).CurrentKeyMaterialId; got == *k.CurrentKeyMaterialId {
		t.Error("the rotation did not happen")
	}
}

// beforeStore does something before the first change with an event of this name.
type beforeStore struct {
	kms.Store
	event string
	act   func()
}

func (s *beforeStore) Change(ctx context.Context, event *audit.Event, fn func(kms.Tx) error) error {
	if act := s.act; act != nil && event != nil && event.Name == s.event {
		s.act = nil
		act()
	}
	return s.Store.Change(ctx, event, fn)
}

// fullFor has no room for what is about one key.
type fullFor struct {
	kms.Store
	arn string
}

func (s *fullFor) Change(ctx context.Context, event *audit.Event, fn func(kms.Tx) error) error {
	return s.Store.Change(ctx, event, func(tx kms.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if event != nil && slices.Contains(event.Resources, audit.Resource{Type: "AWS::KMS::Key", ARN: s.arn}) {
			return errDisk
		}
		return nil
	})
}

func TestRotationRefusesOtherPeriods(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	for _, days := range []int32{0, 89, 2561} {
		w.refused("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: &days}, "ValidationException",
			"RotationPeriodInDays must be between 90 and 2560")
	}
}

func TestListKeyRotations(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	var want []string
	for range 3 {
		w.advance(day)
		w.rotateNow(*k.KeyId)
		want = append(want, *w.describe(*k.KeyId).CurrentKeyMaterialId)
	}
	w.restart(kms.Limits{}) // the history is kept
	var got []string
	in := &awskms.ListKeyRotationsInput{KeyId: k.KeyId, Limit: aws.Int32(2)}
	for page := 1; ; page++ {
		out := do[awskms.ListKeyRotationsOutput](w, "ListKeyRotations", in)
		for _, e := range out.Rotations {
			got = append(got, *e.KeyMaterialId)
			if *e.KeyId != *k.Arn || !e.RotationDate.Equal(start.Add(time.Duration(len(got))*day)) || e.ImportState != "" {
				t.Errorf("%+v", e)
			}
		}
		if in.Marker = out.NextMarker; in.Marker == nil {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v, want %v", got, want)
	}
	all := w.rotations(*k.KeyId, types.IncludeKeyMaterialAllKeyMaterial)
	if len(all) != 4 || *all[0].KeyMaterialId != *k.CurrentKeyMaterialId || all[0].RotationDate != nil || all[0].RotationType != "" {
		t.Errorf("%+v", all)
	}
	for i, e := range all {
		if current := i == 3; current != (e.KeyMaterialState == types.KeyMaterialStateCurrent) {
			t.Errorf("%d: %s", i, e.KeyMaterialState)
		}
	}
	marker := do[awskms.ListKeyRotationsOutput](w, "ListKeyRotations", &awskms.ListKeyRotationsInput{KeyId: k.KeyId, Limit: aws.Int32(1)}).NextMarker
	w.refused("ListKeyRotations", &awskms.ListKeyRotationsInput{KeyId: w.createKey().KeyId, Marker: marker}, "InvalidMarkerException",
		"The request was rejected because the marker that specifies where pagination should next begin is not valid.")
}

// TestEveryMaterialDecrypts: as many rotations as a key may have, each with a ciphertext that is still read afterwards,
// by a service that has just started too.
func TestEveryMaterialDecrypts(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createKey().KeyId
	var blobs [][]byte
	for range 25 {
		blobs = append(blobs, w.encrypt(id, "x", nil))
		w.rotateNow(id)
	}
	w.restart(kms.Limits{})
	for i, blob := range blobs {
		if got := w.decrypt(blob, nil); got != "x" {
			t.Errorf("ciphertext %d: %q", i, got)
		}
	}
}
