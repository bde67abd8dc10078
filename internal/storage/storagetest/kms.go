package storagetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/kms"
)

// KMSEngine is one empty store and a look at the events kept beside it.
type KMSEngine struct {
	Store    kms.Store
	Recorder audit.Recorder
	// Events lists the ids of all kept events in order.
	Events func() []string
}

var (
	here  = arn.Scope{Account: "111122223333", Region: "us-east-1"}
	there = arn.Scope{Account: "111122223333", Region: "eu-west-1"}
	// instant is kept to the millisecond.
	instant = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
)

// KMS runs the conformance suite of kms.Store; open makes a fresh engine.
func KMS(t *testing.T, open func(t *testing.T) KMSEngine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, KMSEngine)
	}{
		{"keys come back as they were put", keyRoundTrip},
		{"compare and swap", keyConflicts},
		{"key ids are unique in their scope", keyUniqueness},
		{"deletion", keyDeletion},
		{"keys are listed by id", keyListing},
		{"what is due", due},
		{"keys are found by id and family", related},
		{"due for other reasons", dueAgain},
		{"material is taken out of its key", materialRemoval},
		{"further events are kept with the change", furtherEvents},
		{"aliases", aliases},
		{"aliases are listed by name", aliasListing},
		{"grants come back as they were put", grantRoundTrip},
		{"grants are listed by id", grantListing},
		{"grants are listed for who may retire them", retirableGrants},
		{"grants are counted, found again and deleted", grantLife},
		{"a transaction reads what it wrote", readYourWrites},
		{"change and event are kept together", changeAndEvent},
		{"concurrent writers", concurrentWriters},
		{"material to discard", discards},
		{"last uses", lastUses},
		{"concurrent uses", concurrentUses},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func newKey(scope arn.Scope) *kms.Key {
	return &kms.Key{
		Scope: scope, ID: uuid.NewString(), Version: 1, Created: instant, Description: "wörd", Spec: types.KeySpecSymmetricDefault,
		Usage: types.KeyUsageTypeEncryptDecrypt, Origin: types.OriginTypeAwsKms, State: types.KeyStateEnabled, Policy: `{"Statement":[]}`,
		Tags:     []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("")}, {TagKey: aws.String("ключ"), TagValue: aws.String(`"`)}},
		Material: kms.MaterialRecord{ID: "ab", Wrapped: []byte{0, 1, 255}},
	}
}

func change(t *testing.T, s kms.Store, fn func(kms.Tx) error) {
	t.Helper()
	if err := s.Change(t.Context(), nil, fn); err != nil {
		t.Fatal(err)
	}
}

func insert(t *testing.T, s kms.Store, keys ...*kms.Key) {
	t.Helper()
	change(t, s, func(tx kms.Tx) error {
		for _, k := range keys {
			if err := tx.InsertKey(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// same compares records; nil and empty are the same.
func same(t *testing.T, want, got any) {
	t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(types.Tag{})); diff != "" {
		t.Error(diff)
	}
}

// is checks an error against one of the stores' words, or nil.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func keyRoundTrip(t *testing.T, e KMSEngine) {
	plain, full := newKey(here), newKey(here)
	plain.Tags, plain.Material.Wrapped, plain.Description = nil, nil, ""
	full.Origin, full.StoreID, full.Material = types.OriginTypeAwsCloudhsm, "cks-1", kms.MaterialRecord{BackingKeyID: "ff00"}
	full.State, full.DeletionDate = types.KeyStatePendingDeletion, instant.AddDate(0, 0, 7)
	eventful := newKey(here)
	eventful.PendingWindow, eventful.Settles, eventful.Settled = 9, instant, types.KeyStateDisabled
	eventful.PrimaryRegion, eventful.Bound = "eu-west-1", map[string]string{"arn:aws:iam::111122223333:user/a": "AIDAA"}
	eventful.Rotation = kms.Rotation{Enabled: true, Period: 90, Next: instant.AddDate(0, 0, 90), Started: instant, OnDemand: 3}
	eventful.Material.State, eventful.Material.Description = types.KeyMaterialStateCurrent, "der Schlüssel"
	eventful.Others = []kms.MaterialRecord{
		{ID: "cd", Wrapped: []byte{1}, State: types.KeyMaterialStateNonCurrent, Rotated: instant, RotationType: types.RotationTypeOnDemand},
		{ID: "ef", State: types.KeyMaterialStatePendingRotation, ValidTo: instant},
	}
	insert(t, e.Store, plain, full, eventful)
	for _, want := range []*kms.Key{plain, full, eventful} {
		got, err := e.Store.Key(t.Context(), here, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, want, got)
	}
	_, err := e.Store.Key(t.Context(), there, plain.ID)
	is(t, "a key of another Region", err, fault.ErrNotFound)
	_, err = e.Store.Key(t.Context(), arn.Scope{Account: "999988887777", Region: here.Region}, plain.ID)
	is(t, "a key of another account", err, fault.ErrNotFound)
}

func keyConflicts(t *testing.T, e KMSEngine) {
	k := newKey(here)
	insert(t, e.Store, k)
	first, second := *k, *k
	first.Description, first.State, first.DeletionDate = "first", types.KeyStatePendingDeletion, instant
	first.Policy, first.Tags = "{}", nil
	change(t, e.Store, func(tx kms.Tx) error { return tx.UpdateKey(&first) })
	if first.Version != 2 {
		t.Errorf("version %d after one change", first.Version)
	}
	second.Description = "second"
	err := e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.UpdateKey(&second) })
	is(t, "updating from an old version", err, fault.ErrConflict)
	err = e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.DeleteKey(&second) })
	is(t, "deleting an old version", err, fault.ErrConflict)
	if second.Version != 1 {
		t.Errorf("a failed update counted the version up to %d", second.Version)
	}
	got, err := e.Store.Key(t.Context(), here, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, &first, got)
}

func keyUniqueness(t *testing.T, e KMSEngine) {
	k := newKey(here)
	insert(t, e.Store, k)
	elsewhere := *k
	elsewhere.Scope = there
	insert(t, e.Store, &elsewhere)
	err := e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.InsertKey(k) })
	is(t, "inserting twice", err, fault.ErrExists)
	for scope, want := range map[arn.Scope]int{here: 1, there: 1, {Account: "999988887777", Region: here.Region}: 0} {
		if got := countKeys(t, e.Store, scope); got != want {
			t.Errorf("%v has %d keys, want %d", scope, got, want)
		}
	}
}

// countKeys counts inside of a change and outside of it.
func countKeys(t *testing.T, s kms.Store, scope arn.Scope) (n int) {
	t.Helper()
	change(t, s, func(tx kms.Tx) (err error) {
		n, err = tx.CountKeys(scope)
		return err
	})
	if outside, err := s.CountKeys(t.Context(), scope); err != nil || outside != n {
		t.Errorf("%d keys, and %d outside of a change, %v", n, outside, err)
	}
	return n
}

func keyDeletion(t *testing.T, e KMSEngine) {
	k, other := newKey(here), newKey(here)
	insert(t, e.Store, k, other)
	change(t, e.Store, func(tx kms.Tx) error {
		return errors.Join(
			tx.InsertAlias(&kms.Alias{Scope: here, Name: "alias/a", KeyID: k.ID, Created: instant, Updated: instant}),
			tx.InsertAlias(&kms.Alias{Scope: here, Name: "alias/b", KeyID: other.ID, Created: instant, Updated: instant}))
	})
	change(t, e.Store, func(tx kms.Tx) error { return tx.DeleteKey(k) })
	_, err := e.Store.Key(t.Context(), here, k.ID)
	is(t, "the deleted key", err, fault.ErrNotFound)
	_, err = e.Store.Alias(t.Context(), here, "alias/a")
	is(t, "its alias", err, fault.ErrNotFound)
	_, err = e.Store.Alias(t.Context(), here, "alias/b")
	is(t, "another key's alias", err, nil)
	if n := countKeys(t, e.Store, here); n != 1 {
		t.Errorf("%d keys are left, want 1", n)
	}
	err = e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.DeleteKey(k) })
	is(t, "deleting again", err, fault.ErrConflict)
}

func keyListing(t *testing.T, e KMSEngine) {
	var want []string
	for range 10 {
		k := newKey(here)
		insert(t, e.Store, k, newKey(there))
		want = append(want, k.ID)
	}
	slices.Sort(want)
	var got []string
	for after := ""; ; {
		ids, err := e.Store.Keys(t.Context(), here, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			break
		}
		got = append(got, ids...)
		after = ids[len(ids)-1]
	}
	same(t, want, got)
}

func due(t *testing.T, e KMSEngine) {
	var due []string
	for i, at := range []time.Time{{}, instant.Add(2), instant.Add(-time.Hour), instant, instant.Add(time.Millisecond)} {
		k := newKey([]arn.Scope{here, there}[i%2])
		if k.DeletionDate = at; !at.IsZero() {
			k.State = types.KeyStatePendingDeletion
			k.DeletionDate = at.Truncate(time.Millisecond)
		}
		insert(t, e.Store, k)
		if !at.IsZero() && !k.DeletionDate.After(instant) {
			due = append(due, k.ID)
		}
	}
	keys, err := e.Store.Due(t.Context(), instant, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range keys {
		got = append(got, k.ID)
		stored, err := e.Store.Key(t.Context(), k.Scope, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, stored, k)
	}
	slices.Sort(due)
	slices.Sort(got)
	same(t, due, got)
	if keys, err := e.Store.Due(t.Context(), instant, 2); err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v; want no more than the limit of 2", len(keys), err)
	}
}

func related(t *testing.T, e KMSEngine) {
	alone, primary := newKey(here), newKey(there)
	primary.ID, primary.PrimaryRegion = "mrk-00112233445566778899aabbccddeeff", there.Region
	replica := newKey(here)
	replica.ID, replica.PrimaryRegion = primary.ID, there.Region
	foreign := newKey(arn.Scope{Account: "444455556666", Region: "ap-south-1"})
	foreign.ID, foreign.PrimaryRegion = primary.ID, foreign.Scope.Region
	insert(t, e.Store, alone, replica, primary, foreign)
	want := []*kms.Key{primary, replica} // eu-west-1, us-east-1
	got, err := e.Store.Related(t.Context(), here.Account, primary.ID)
	is(t, "listing a family", err, nil)
	same(t, want, got)
	change(t, e.Store, func(tx kms.Tx) error {
		got, err := tx.Related(here.Account, primary.ID)
		same(t, want, got)
		return err
	})
	if got, err := e.Store.Related(t.Context(), here.Account, alone.ID); err != nil || len(got) != 0 {
		t.Errorf("a single-Region key is related to %v, %v", got, err)
	}
	got1, err := e.Store.Find(t.Context(), here.Region, alone.ID)
	is(t, "finding a key", err, nil)
	same(t, alone, got1)
	_, err = e.Store.Find(t.Context(), there.Region, alone.ID)
	is(t, "finding a key in another Region", err, fault.ErrNotFound)
}

func aliases(t *testing.T, e KMSEngine) {
	k, other := newKey(here), newKey(here)
	insert(t, e.Store, k, other)
	a := &kms.Alias{Scope: here, Name: "alias/a", KeyID: k.ID, Created: instant, Updated: instant}
	change(t, e.Store, func(tx kms.Tx) error { return tx.InsertAlias(a) })
	err := e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.InsertAlias(a) })
	is(t, "inserting twice", err, fault.ErrExists)
	a.KeyID, a.Updated = other.ID, instant.Add(time.Hour)
	change(t, e.Store, func(tx kms.Tx) error { return tx.UpdateAlias(a) })
	got, err := e.Store.Alias(t.Context(), here, "alias/a")
	if err != nil {
		t.Fatal(err)
	}
	same(t, a, got)
	change(t, e.Store, func(tx kms.Tx) error { return tx.DeleteAlias(here, "alias/a") })
	for what, fn := range map[string]func(kms.Tx) error{
		"updating a deleted alias": func(tx kms.Tx) error { return tx.UpdateAlias(a) },
		"deleting it again":        func(tx kms.Tx) error { return tx.DeleteAlias(here, "alias/a") },
		"reading it":               func(tx kms.Tx) error { _, err := tx.Alias(here, "alias/a"); return err },
	} {
		is(t, what, e.Store.Change(t.Context(), nil, fn), fault.ErrNotFound)
	}
	orphan := &kms.Alias{Scope: here, Name: "alias/orphan", KeyID: uuid.NewString(), Created: instant, Updated: instant}
	if err := e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.InsertAlias(orphan) }); err == nil {
		t.Error("an alias of a key that does not exist was kept")
	}
}

func aliasListing(t *testing.T, e KMSEngine) {
	one, two, far := newKey(here), newKey(here), newKey(there)
	insert(t, e.Store, one, two, far)
	var all, ofTwo []kms.Alias
	for i := range 8 {
		k := []*kms.Key{one, two}[i%2]
		a := kms.Alias{Scope: here, Name: fmt.Sprint("alias/", 7-i), KeyID: k.ID, Created: instant, Updated: instant}
		distant := kms.Alias{Scope: there, Name: a.Name, KeyID: far.ID, Created: instant, Updated: instant}
		change(t, e.Store, func(tx kms.Tx) error { return errors.Join(tx.InsertAlias(&a), tx.InsertAlias(&distant)) })
		all = append(all, a)
		if k == two {
			ofTwo = append(ofTwo, a)
		}
	}
	byName := func(a, b kms.Alias) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(all, byName)
	slices.SortFunc(ofTwo, byName)
	for _, c := range []struct {
		key, after string
		limit      int
		want       []kms.Alias
	}{
		{"", "", 100, all}, {"", "", 3, all[:3]}, {"", all[2].Name, 3, all[3:6]}, {"", all[7].Name, 3, nil},
		{two.ID, "", 100, ofTwo}, {two.ID, ofTwo[0].Name, 2, ofTwo[1:3]}, {far.ID, "", 100, nil},
	} {
		got, err := e.Store.Aliases(t.Context(), here, c.key, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		same(t, c.want, got)
	}
}

func readYourWrites(t *testing.T, e KMSEngine) {
	k := newKey(here)
	change(t, e.Store, func(tx kms.Tx) error {
		before, err := tx.CountKeys(here)
		if err != nil {
			return err
		}
		a := &kms.Alias{Scope: here, Name: "alias/a", KeyID: k.ID, Created: instant, Updated: instant}
		if err := errors.Join(tx.InsertKey(k), tx.InsertAlias(a)); err != nil {
			return err
		}
		got, err := tx.Key(here, k.ID)
		if err != nil {
			return err
		}
		same(t, k, got)
		alias, err := tx.Alias(here, "alias/a")
		if err != nil {
			return err
		}
		same(t, a, alias)
		aliases, err := tx.CountAliases(here, k.ID)
		if err != nil {
			return err
		}
		after, err := tx.CountKeys(here)
		if aliases != 1 || after != before+1 {
			t.Errorf("%d aliases, %d keys after %d", aliases, after, before)
		}
		return err
	})
}

func changeAndEvent(t *testing.T, e KMSEngine) {
	k := newKey(here)
	event := func(id string) *audit.Event { return &audit.Event{ID: id, Name: "Test", Time: instant} }
	refusal := errors.New("refused")
	refused := event("refused")
	err := e.Store.Change(t.Context(), refused, func(tx kms.Tx) error { return errors.Join(tx.InsertKey(k), refusal) })
	is(t, "a refused change", err, refusal)
	unkeepable := event("unkeepable")
	unkeepable.Request.Add("plaintext", []byte("x"))
	if err := e.Store.Change(t.Context(), unkeepable, func(tx kms.Tx) error { return tx.InsertKey(k) }); err == nil {
		t.Error("a change was kept without its event")
	}
	_, err = e.Store.Key(t.Context(), here, k.ID)
	is(t, "the key of refused changes", err, fault.ErrNotFound)
	kept := event("kept")
	if err := e.Store.Change(t.Context(), kept, func(tx kms.Tx) error {
		kept.Response.Add("keyId", k.ARN()) // inside, as operations do
		return tx.InsertKey(k)
	}); err != nil {
		t.Fatal(err)
	}
	if !kept.Kept || refused.Kept || unkeepable.Kept {
		t.Errorf("kept %v, refused %v, unkeepable %v", kept.Kept, refused.Kept, unkeepable.Kept)
	}
	same(t, []string{"kept"}, e.Events())
	if n := countKeys(t, e.Store, here); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
}

// concurrentWriters each add a tag by compare and swap; none of the additions may be lost.
func concurrentWriters(t *testing.T, e KMSEngine) {
	k := newKey(here)
	k.Tags = nil
	insert(t, e.Store, k)
	const writers, additions = 8, 5
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range additions {
				if err := addTag(ctx, e.Store, k, fmt.Sprint(w, "-", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, err := e.Store.Key(t.Context(), here, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Tags) != writers*additions || got.Version != 1+writers*additions {
		t.Errorf("%d tags in version %d, want %d in %d", len(got.Tags), got.Version, writers*additions, 1+writers*additions)
	}
}

func addTag(ctx context.Context, s kms.Store, k *kms.Key, tag string) error {
	for {
		current, err := s.Key(ctx, k.Scope, k.ID)
		if err != nil {
			return err
		}
		current.Tags = append(current.Tags, types.Tag{TagKey: &tag, TagValue: &tag})
		err = s.Change(ctx, nil, func(tx kms.Tx) error { return tx.UpdateKey(current) })
		if !errors.Is(err, fault.ErrConflict) {
			return err
		}
	}
}

func discards(t *testing.T, e KMSEngine) {
	var want []*kms.Key
	for range 3 {
		k := newKey(here)
		k.Origin, k.StoreID, k.Material = types.OriginTypeAwsCloudhsm, "cks-1", kms.MaterialRecord{BackingKeyID: uuid.NewString()}
		insert(t, e.Store, k)
		change(t, e.Store, func(tx kms.Tx) error { return errors.Join(tx.DeleteKey(k), tx.InsertDiscard(k)) })
		want = append(want, &kms.Key{Scope: k.Scope, ID: k.ID, Origin: k.Origin, StoreID: k.StoreID, Material: k.Material})
	}
	list := func(limit int) []*kms.Key {
		t.Helper()
		got, err := e.Store.Discards(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same(t, want, list(10))
	same(t, want[:2], list(2))
	change(t, e.Store, func(tx kms.Tx) error { return tx.DeleteDiscard(here, want[1].ID) })
	same(t, []*kms.Key{want[0], want[2]}, list(10))
	err := e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.DeleteDiscard(here, want[1].ID) })
	is(t, "forgetting twice", err, fault.ErrNotFound)
}
