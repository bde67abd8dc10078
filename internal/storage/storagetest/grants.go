package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/kms"
)

const anybody = "arn:aws:iam::111122223333:user/anybody"

// newGrant of k; n makes its id, in the order of ids.
func newGrant(k *kms.Key, n int, grantee kms.Party) *kms.Grant {
	return &kms.Grant{
		Scope: k.Scope, KeyID: k.ID, ID: fmt.Sprintf("%064x", n), Grantee: grantee, Issuer: k.Scope.Account,
		Operations: []types.GrantOperation{types.GrantOperationEncrypt}, Created: instant,
	}
}

func insertGrants(t *testing.T, s kms.Store, grants ...*kms.Grant) {
	t.Helper()
	change(t, s, func(tx kms.Tx) error {
		for _, g := range grants {
			if err := tx.InsertGrant(g); err != nil {
				return err
			}
		}
		return nil
	})
}

func grantRoundTrip(t *testing.T, e KMSEngine) {
	k := newKey(here)
	insert(t, e.Store, k)
	plain := newGrant(k, 1, kms.Party{ARN: anybody})
	full := newGrant(k, 2, kms.Party{ARN: anybody, ID: "AIDAANYBODY"})
	full.Name, full.Fingerprint, full.Retiring, full.Issuer = "nämlich", "ff", kms.Party{ARN: "arn:aws:iam::111122223333:role/r", ID: "AROAR"}, "999988887777"
	full.Equals, full.Subset = map[string]string{"a": "ä", "": ""}, map[string]string{}
	full.Operations = append(full.Operations, types.GrantOperationCreateGrant)
	insertGrants(t, e.Store, plain, full)
	for _, want := range []*kms.Grant{plain, full} {
		got, err := e.Store.Grant(t.Context(), here, k.ID, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, want, got)
		if got.Equals == nil != (want.Equals == nil) || got.Subset == nil != (want.Subset == nil) {
			t.Errorf("an absent constraint is not an empty one: %v %v", got.Equals, got.Subset)
		}
	}
	for what, scope := range map[string]arn.Scope{"another Region": there, "another account": {Account: "999988887777", Region: here.Region}} {
		_, err := e.Store.Grant(t.Context(), scope, k.ID, plain.ID)
		is(t, "a grant in "+what, err, fault.ErrNotFound)
	}
	err := e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.InsertGrant(plain) })
	is(t, "inserting twice", err, fault.ErrExists)
	err = e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.InsertGrant(newGrant(newKey(here), 3, plain.Grantee)) })
	if err == nil {
		t.Error("a grant of a key that does not exist was kept")
	}
}

func grantListing(t *testing.T, e KMSEngine) {
	one, other := newKey(here), newKey(there)
	insert(t, e.Store, one, other)
	alice, bob := kms.Party{ARN: anybody, ID: "AIDAALICE"}, kms.Party{ARN: anybody}
	var all, ofAlice []kms.Grant
	for i := range 8 {
		g := newGrant(one, 8-i, []kms.Party{alice, bob}[i%2])
		insertGrants(t, e.Store, g, newGrant(other, i, alice))
		all = append(all, *g)
		if g.Grantee == alice {
			ofAlice = append(ofAlice, *g)
		}
	}
	byID := func(a, b kms.Grant) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(all, byID)
	slices.SortFunc(ofAlice, byID)
	for _, c := range []struct {
		filter kms.GrantFilter
		limit  int
		want   []kms.Grant
	}{
		{kms.GrantFilter{}, 100, all},
		{kms.GrantFilter{}, 3, all[:3]},
		{kms.GrantFilter{After: all[2].ID}, 3, all[3:6]},
		{kms.GrantFilter{After: all[7].ID}, 3, nil},
		{kms.GrantFilter{Grantee: "AIDAALICE"}, 100, ofAlice},
		{kms.GrantFilter{Grantee: "AIDAALICE", After: ofAlice[0].ID}, 2, ofAlice[1:3]},
		{kms.GrantFilter{Grantee: anybody, ID: ofAlice[0].ID}, 100, nil},
		{kms.GrantFilter{ID: all[4].ID}, 100, all[4:5]},
	} {
		got, err := e.Store.Grants(t.Context(), here, one.ID, c.filter, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		same(t, c.want, got)
	}
}

func retirableGrants(t *testing.T, e KMSEngine) {
	foreign := arn.Scope{Account: "999988887777", Region: here.Region}
	keys := []*kms.Key{newKey(here), newKey(foreign), newKey(there)}
	insert(t, e.Store, keys...)
	var want []kms.Grant
	for i := range 9 {
		g := newGrant(keys[i%3], i, kms.Party{ARN: anybody})
		if i != 4 {
			g.Retiring = kms.Party{ARN: "arn:aws:iam::111122223333:role/r", ID: "AROAR"}
		}
		insertGrants(t, e.Store, g)
		if i%3 != 2 && i != 4 {
			want = append(want, *g)
		}
	}
	got, err := e.Store.RetirableGrants(t.Context(), here.Region, "AROAR", "", 100)
	is(t, "listing", err, nil)
	same(t, want, got)
	got, err = e.Store.RetirableGrants(t.Context(), here.Region, "AROAR", want[0].ID, 2)
	is(t, "going on", err, nil)
	same(t, want[1:3], got)
	got, err = e.Store.RetirableGrants(t.Context(), here.Region, "", "", 100)
	is(t, "listing for nobody", err, nil)
	same(t, []kms.Grant(nil), got)
}

func grantLife(t *testing.T, e KMSEngine) {
	k, other := newKey(here), newKey(here)
	insert(t, e.Store, k, other)
	g := newGrant(k, 1, kms.Party{ARN: anybody})
	g.Name, g.Fingerprint = "n", "f"
	insertGrants(t, e.Store, g, newGrant(k, 2, g.Grantee), newGrant(k, 3, g.Grantee), newGrant(other, 1, g.Grantee))
	count := func(k *kms.Key, want int) {
		t.Helper()
		change(t, e.Store, func(tx kms.Tx) error {
			n, err := tx.CountGrants(here, k.ID)
			if n != want {
				t.Errorf("%d grants, want %d", n, want)
			}
			return err
		})
	}
	count(k, 3)
	change(t, e.Store, func(tx kms.Tx) error {
		id, err := tx.SameGrant(here, k.ID, "f")
		if id != g.ID {
			t.Errorf("found %q", id)
		}
		_, other := tx.SameGrant(here, other.ID, "f")
		_, nameless := tx.SameGrant(here, k.ID, "")
		is(t, "the fingerprint on another key", other, fault.ErrNotFound)
		is(t, "no fingerprint", nameless, fault.ErrNotFound)
		return err
	})
	again := newGrant(k, 4, g.Grantee)
	again.Fingerprint = "f"
	is(t, "a fingerprint twice", e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.InsertGrant(again) }), fault.ErrExists)
	change(t, e.Store, func(tx kms.Tx) error { return tx.DeleteGrant(here, k.ID, g.ID) })
	count(k, 2)
	is(t, "deleting again", e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.DeleteGrant(here, k.ID, g.ID) }), fault.ErrNotFound)
	change(t, e.Store, func(tx kms.Tx) error { return tx.DeleteKey(k) })
	_, err := e.Store.Grant(t.Context(), here, k.ID, newGrant(k, 2, g.Grantee).ID)
	is(t, "a grant of a deleted key", err, fault.ErrNotFound)
	count(k, 0)
	count(other, 1)
	insert(t, e.Store, k) // as a multi-Region key can come back
	count(k, 0)
	broken := errors.New("broken")
	err = e.Store.Change(t.Context(), nil, func(tx kms.Tx) error { return errors.Join(tx.InsertGrant(newGrant(k, 5, g.Grantee)), broken) })
	is(t, "a change that fails", err, broken)
	count(k, 0)
}
