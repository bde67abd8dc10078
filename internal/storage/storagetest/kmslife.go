package storagetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/kms"
)

// dueAgain: whatever a key is due for, it is found then and not before, and no longer once that was done.
func dueAgain(t *testing.T, e KMSEngine) {
	soon := instant.Add(time.Hour)
	for name, change := range map[string]func(k *kms.Key, at time.Time){
		"rotation":           func(k *kms.Key, at time.Time) { k.Rotation.Next = at },
		"rotation on demand": func(k *kms.Key, at time.Time) { k.Rotation.Started = at },
		"current material":   func(k *kms.Key, at time.Time) { k.Material.ValidTo = at },
		"other material":     func(k *kms.Key, at time.Time) { k.Others = []kms.MaterialRecord{{ID: "cd", ValidTo: at}} },
		"transient state":    func(k *kms.Key, at time.Time) { k.Settles = at },
	} {
		k := newKey(here)
		change(k, soon)
		insert(t, e.Store, k)
		for _, c := range []struct {
			at    time.Time
			found bool
		}{{soon.Add(-time.Millisecond), false}, {soon, true}} {
			keys, err := e.Store.Due(t.Context(), c.at, 100)
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(keys, func(d *kms.Key) bool { return d.ID == k.ID }) != c.found {
				t.Errorf("%s at %v: found %v, want %v", name, c.at, !c.found, c.found)
			}
		}
		change(k, time.Time{})
		changed(t, e.Store, k)
		if keys, err := e.Store.Due(t.Context(), soon.AddDate(1, 0, 0), 100); err != nil || len(keys) != 0 {
			t.Errorf("%s: still due for %v, %v", name, keys, err)
		}
	}
}

func changed(t *testing.T, s kms.Store, k *kms.Key) {
	t.Helper()
	change(t, s, func(tx kms.Tx) error { return tx.UpdateKey(k) })
}

func materialRemoval(t *testing.T, e KMSEngine) {
	k := newKey(here)
	k.Others = []kms.MaterialRecord{{ID: "cd", Wrapped: []byte{7}, State: types.KeyMaterialStateNonCurrent, ValidTo: instant}}
	insert(t, e.Store, k)
	k.Material.Wrapped, k.Others[0].Wrapped, k.Others[0].ValidTo = nil, nil, time.Time{}
	changed(t, e.Store, k)
	got, err := e.Store.Key(t.Context(), here, k.ID)
	if err != nil || len(got.Material.Wrapped) != 0 || len(got.Others) != 1 || len(got.Others[0].Wrapped) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Material.ID != "ab" || got.Others[0].ID != "cd" || !got.Others[0].ValidTo.IsZero() {
		t.Errorf("what the material was is not what it was: %+v", got)
	}
}

func furtherEvents(t *testing.T, e KMSEngine) {
	event := func(id string) *audit.Event { return &audit.Event{ID: id, Name: "UpdatePrimaryRegion", Time: instant} }
	main := event("main")
	err := e.Store.Change(t.Context(), main, func(tx kms.Tx) error {
		return errors.Join(tx.InsertKey(newKey(here)), tx.AddEvent(event("further")))
	})
	is(t, "a change with two events", err, nil)
	err = e.Store.Change(t.Context(), event("lost"), func(tx kms.Tx) error {
		return errors.Join(tx.AddEvent(event("lost too")), fault.ErrConflict)
	})
	is(t, "a change that fails", err, fault.ErrConflict)
	got := e.Events()
	slices.Sort(got)
	same(t, []string{"further", "main"}, got)
	if !main.Kept {
		t.Error("the event is not said to be kept")
	}
}
