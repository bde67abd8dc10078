package storagetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/keystore"
	"keyward/internal/kms"
)

// KeyStoreEngine is one empty store of custom key stores, the keys kept beside it, and a look at the events.
type KeyStoreEngine struct {
	Store keystore.Store
	Keys  kms.Store
	// Events lists the ids of all kept events in order.
	Events func() []string
}

// KeyStores runs the conformance suite of keystore.Store; open makes a fresh engine.
func KeyStores(t *testing.T, open func(t *testing.T) KeyStoreEngine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, KeyStoreEngine)
	}{
		{"stores come back as they were put", keyStoreRoundTrip},
		{"compare and swap", keyStoreConflicts},
		{"ids and names are unique", keyStoreUniqueness},
		{"scopes are apart", keyStoreScopes},
		{"stores are listed by creation", keyStoreListing},
		{"keys of a store", keyStoreKeys},
		{"change and event are kept together", keyStoreEvent},
		{"concurrent changes", keyStoreConcurrency},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func newKeyStore(n int) *keystore.Record {
	return &keystore.Record{
		Scope: here, ID: fmt.Sprintf("cks-%017x", n), Name: fmt.Sprint("Störe ", n), Created: instant,
		ClusterID: "cluster-aaaaaaaaaaa", ClusterCertificate: []byte{0x30, 0, 255}, TrustAnchor: "-----BEGIN", State: connection.Initial,
		Password: []byte{1, 0, 2}, Client: []byte{3},
	}
}

func changeKeyStores(t *testing.T, s keystore.Store, fn func(keystore.Tx) error) {
	t.Helper()
	if err := s.Change(t.Context(), nil, fn); err != nil {
		t.Fatal(err)
	}
}

func insertKeyStores(t *testing.T, s keystore.Store, records ...*keystore.Record) {
	t.Helper()
	changeKeyStores(t, s, func(tx keystore.Tx) error {
		for _, r := range records {
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		return nil
	})
}

func wantKeyStore(t *testing.T, s keystore.Store, want *keystore.Record) {
	t.Helper()
	got, err := s.KeyStore(t.Context(), want.Scope, want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("kept otherwise (-want +got):\n%s", diff)
	}
}

func keyStoreRoundTrip(t *testing.T, e KeyStoreEngine) {
	r := newKeyStore(1)
	insertKeyStores(t, e.Store, r)
	wantKeyStore(t, e.Store, r)
	r.Name, r.ClusterID, r.State = "Renamed", "cluster-bbbbbbbbbbb", connection.Failed
	r.ErrorCode, r.LastErrorCode = types.ConnectionErrorCodeTypeNetworkErrors, types.ConnectionErrorCodeTypeNetworkErrors
	r.Attempt, r.Password, r.Candidate = 7, []byte{9}, []byte{8, 7}
	changeKeyStores(t, e.Store, func(tx keystore.Tx) error {
		if err := tx.Update(r); err != nil {
			return err
		}
		seen, err := tx.KeyStore(here, r.ID)
		if err == nil && seen.Attempt != 7 {
			t.Error("a transaction does not read what it wrote")
		}
		return err
	})
	wantKeyStore(t, e.Store, r)
	changeKeyStores(t, e.Store, func(tx keystore.Tx) error { return tx.Delete(r) })
	if _, err := e.Store.KeyStore(t.Context(), here, r.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
}

func keyStoreConflicts(t *testing.T, e KeyStoreEngine) {
	r := newKeyStore(1)
	insertKeyStores(t, e.Store, r)
	stale := *r
	changeKeyStores(t, e.Store, func(tx keystore.Tx) error { return tx.Update(r) })
	if r.Version != stale.Version+1 {
		t.Errorf("version %d after %d", r.Version, stale.Version)
	}
	for name, op := range map[string]func(keystore.Tx) error{
		"update":           func(tx keystore.Tx) error { return tx.Update(&stale) },
		"delete":           func(tx keystore.Tx) error { return tx.Delete(&stale) },
		"update of nobody": func(tx keystore.Tx) error { return tx.Update(newKeyStore(2)) },
	} {
		if err := e.Store.Change(t.Context(), nil, op); !errors.Is(err, fault.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantKeyStore(t, e.Store, r)
}

func keyStoreUniqueness(t *testing.T, e KeyStoreEngine) {
	a, b := newKeyStore(1), newKeyStore(2)
	insertKeyStores(t, e.Store, a, b)
	sameID, sameName := newKeyStore(1), newKeyStore(3)
	sameID.Name, sameName.Name = "Other", a.Name
	for _, r := range []*keystore.Record{sameID, sameName} {
		if err := e.Store.Change(t.Context(), nil, func(tx keystore.Tx) error { return tx.Insert(r) }); !errors.Is(err, fault.ErrExists) {
			t.Errorf("inserting %s %q: %v", r.ID, r.Name, err)
		}
	}
	renamed := *b
	renamed.Name = a.Name
	if err := e.Store.Change(t.Context(), nil, func(tx keystore.Tx) error { return tx.Update(&renamed) }); !errors.Is(err, fault.ErrExists) {
		t.Errorf("renaming to a name in use: %v", err)
	}
	elsewhere := newKeyStore(4)
	elsewhere.Scope, elsewhere.Name = there, a.Name
	insertKeyStores(t, e.Store, elsewhere)
}

func keyStoreScopes(t *testing.T, e KeyStoreEngine) {
	r := newKeyStore(1)
	insertKeyStores(t, e.Store, r)
	if _, err := e.Store.KeyStore(t.Context(), there, r.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("read from another scope: %v", err)
	}
	moved := *r
	moved.Scope = there
	err := e.Store.Change(t.Context(), nil, func(tx keystore.Tx) error { return tx.Delete(&moved) })
	if !errors.Is(err, fault.ErrConflict) {
		t.Errorf("deleted from another scope: %v", err)
	}
}

func keyStoreListing(t *testing.T, e KeyStoreEngine) {
	late, early, twin, elsewhere := newKeyStore(1), newKeyStore(3), newKeyStore(2), newKeyStore(4)
	late.Created = instant.Add(time.Millisecond)
	elsewhere.Scope = there
	insertKeyStores(t, e.Store, late, early, twin, elsewhere)
	check := func(what string, list []*keystore.Record, err error, want ...*keystore.Record) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, list, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	list, err := e.Store.KeyStores(t.Context(), here)
	check("a scope", list, err, twin, early, late)
	list, err = e.Store.KeyStores(t.Context(), arn.Scope{Account: "999999999999", Region: here.Region})
	check("an empty scope", list, err)
	list, err = e.Store.AllKeyStores(t.Context())
	check("all", list, err, twin, early, elsewhere, late)
	changeKeyStores(t, e.Store, func(tx keystore.Tx) error {
		list, err := tx.KeyStores(here)
		check("a scope in a transaction", list, err, twin, early, late)
		return nil
	})
}

func keyStoreKeys(t *testing.T, e KeyStoreEngine) {
	r := newKeyStore(1)
	insertKeyStores(t, e.Store, r)
	has := func(want bool) {
		t.Helper()
		changeKeyStores(t, e.Store, func(tx keystore.Tx) error {
			got, err := tx.HasKeys(here, r.ID)
			if err == nil && got != want {
				t.Errorf("has keys: %v", got)
			}
			return err
		})
	}
	has(false)
	k := newKey(here)
	k.StoreID, k.State, k.DeletionDate = r.ID, types.KeyStatePendingDeletion, instant
	change(t, e.Keys, func(tx kms.Tx) error { return tx.InsertKey(k) })
	has(true)
	change(t, e.Keys, func(tx kms.Tx) error { return tx.DeleteKey(k) })
	has(false)
}

func keyStoreEvent(t *testing.T, e KeyStoreEngine) {
	event := func(id string) *audit.Event { return &audit.Event{ID: id, Name: "Test", Time: instant} }
	kept, refused, alone := event("kept"), event("refused"), event("alone")
	r := newKeyStore(1)
	if err := e.Store.Change(t.Context(), kept, func(tx keystore.Tx) error { return tx.Insert(r) }); err != nil || !kept.Kept {
		t.Fatal(err, kept.Kept)
	}
	failure := errors.New("no")
	err := e.Store.Change(t.Context(), refused, func(tx keystore.Tx) error {
		if err := tx.Insert(newKeyStore(2)); err != nil {
			return err
		}
		return failure
	})
	if !errors.Is(err, failure) || refused.Kept {
		t.Fatal(err, refused.Kept)
	}
	if err := e.Store.Change(t.Context(), alone, func(keystore.Tx) error { return nil }); err != nil || !alone.Kept {
		t.Fatal(err, alone.Kept)
	}
	if got := fmt.Sprint(e.Events()); got != "[kept alone]" {
		t.Errorf("events %s", got)
	}
	if all, err := e.Store.AllKeyStores(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%d stores, %v", len(all), err)
	}
}

// Every change is seen by the next one: none is lost.
func keyStoreConcurrency(t *testing.T, e KeyStoreEngine) {
	r := newKeyStore(1)
	insertKeyStores(t, e.Store, r)
	const writers, rounds = 4, 10
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for done := 0; done < rounds; {
				err := e.Store.Change(t.Context(), nil, func(tx keystore.Tx) error {
					now, err := tx.KeyStore(here, r.ID)
					if err != nil {
						return err
					}
					now.Attempt++
					return tx.Update(now)
				})
				switch {
				case err == nil:
					done++
				case !errors.Is(err, fault.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	got, err := e.Store.KeyStore(t.Context(), here, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Attempt != writers*rounds {
		t.Errorf("%d of %d changes are there", got.Attempt, writers*rounds)
	}
}
