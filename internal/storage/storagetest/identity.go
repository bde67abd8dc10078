package storagetest

import (
	"context"
	"errors"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"keyward/internal/fault"
	"keyward/internal/identity"
)

// Identities runs the conformance suite of identity.Store; open makes a fresh engine.
func Identities(t *testing.T, open func(t *testing.T) identity.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, identity.Store)
	}{
		{"records come back as they were put", identityRoundTrip},
		{"names and ids are unique", identityUniqueness},
		{"changes compare and swap", identityConflicts},
		{"deletions", identityDeletions},
		{"absent records", identityAbsence},
		{"uses are noted", identityUses},
		{"what is over is purged", identityPurge},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

const tenant = "111122223333"

// moment has milliseconds, as stores keep them.
var moment = time.UnixMilli(1_700_000_000_123).UTC()

// household is one of everything.
type household struct {
	account  *identity.Account
	user     *identity.Entity
	role     *identity.Entity
	policy   *identity.ManagedPolicy
	provider *identity.Provider
	key      *identity.AccessKey
	session  *identity.Session
	deletion *identity.Deletion
}

func newHousehold() household {
	return household{
		&identity.Account{ID: tenant, Name: "n", Created: moment},
		&identity.Entity{
			Account: tenant, Kind: identity.User, Name: "Alice", ID: "AIDA1", Path: "/a/", Created: moment, Boundary: "arn:b",
			Attached: []string{"arn:p"}, Inline: []identity.Inline{{Name: "i", Document: "{}"}}, Groups: []string{"g"},
			Tags: []identity.Tag{{Key: "k", Value: "v"}},
		},
		&identity.Entity{
			Account: tenant, Kind: identity.Role, Name: "Alice", ID: "AROA1", Path: "/", Created: moment,
			Role: identity.RoleFacts{Description: "d", Trust: "{}", MaxSession: 3600},
		},
		&identity.ManagedPolicy{
			Account: tenant, Name: "P", ID: "ANPA1", Path: "/", Description: "d", Created: moment, Updated: moment, Default: "v1", Next: 2,
			Versions: []identity.PolicyVersion{{ID: "v1", Document: "{}", Created: moment}}, Tags: []identity.Tag{{Key: "k"}},
		},
		&identity.Provider{
			Account: tenant, URL: "issuer.example/a", Plain: true, Clients: []string{"c"}, Thumbprints: []string{"t"}, Created: moment,
			Tags: []identity.Tag{{Key: "k"}},
		},
		&identity.AccessKey{
			AccessKeyID: "AKIA1", Account: tenant, PrincipalID: "AIDA1", Status: identity.Active, SealedSecret: []byte{1}, Created: moment,
		},
		&identity.Session{
			AccessKeyID: "ASIA1", Account: tenant, PrincipalID: "AROA1", SealedSecret: []byte{1}, TokenHash: []byte{2}, Created: moment,
			Expires: moment.Add(time.Hour), SessionFacts: identity.SessionFacts{
				Kind: identity.RoleSession, Name: "s", Scoped: true, Inline: []string{"{}"}, Managed: []string{"arn:p"},
				Tags: []identity.Tag{{Key: "k", Value: "v"}}, Transitive: []string{"k"}, SourceIdentity: "x", Provider: "arn:i",
				Claims: map[string][]string{"i:sub": {"s"}},
			},
		},
		&identity.Deletion{Account: tenant, ID: "task/1", Ended: moment},
	}
}

func (h household) insert(tx identity.Tx) error {
	return errors.Join(tx.InsertAccount(h.account), tx.InsertEntity(h.user), tx.InsertEntity(h.role), tx.InsertPolicy(h.policy),
		tx.InsertProvider(h.provider), tx.InsertAccessKey(h.key), tx.InsertSession(h.session), tx.InsertDeletion(h.deletion))
}

func (h household) move(t *testing.T, s identity.Store) {
	t.Helper()
	if err := s.Change(t.Context(), nil, h.insert); err != nil {
		t.Fatal(err)
	}
}

// read reads everything of h back, or joins the reasons why not.
func (h household) read(ctx context.Context, r identity.Reader) (got household, err error) {
	var errs [8]error
	got.account, errs[0] = r.Account(ctx, tenant)
	got.user, errs[1] = r.Entity(ctx, tenant, identity.User, h.user.Name)
	got.role, errs[2] = r.EntityByID(ctx, h.role.ID)
	got.policy, errs[3] = r.Policy(ctx, tenant, h.policy.Name)
	got.provider, errs[4] = r.Provider(ctx, tenant, h.provider.URL)
	got.key, errs[5] = r.AccessKey(ctx, h.key.AccessKeyID)
	got.session, errs[6] = r.Session(ctx, h.session.AccessKeyID)
	got.deletion, errs[7] = r.Deletion(ctx, tenant, h.deletion.ID)
	return got, errors.Join(errs[:]...)
}

func identityRoundTrip(t *testing.T, s identity.Store) {
	h := newHousehold()
	h.move(t, s)
	compare := func() {
		t.Helper()
		got, err := h.read(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(h, got, gocmp.AllowUnexported(household{})); diff != "" {
			t.Error(diff)
		}
	}
	compare()
	h.user.Name, h.user.Path, h.user.Boundary, h.user.Attached, h.user.Groups = "Bob", "/b/", "", nil, []string{"h"}
	h.role.Role, h.role.Inline = identity.RoleFacts{Trust: "{ }", MaxSession: 7200}, []identity.Inline{{Name: "j"}}
	h.policy.Default, h.policy.Next, h.policy.Updated = "v2", 3, moment.Add(time.Minute)
	h.provider.Clients, h.provider.Tags = []string{"c", "d"}, nil
	h.key.Status = identity.Inactive
	err := s.Change(t.Context(), nil, func(tx identity.Tx) error {
		return errors.Join(tx.UpdateEntity(h.user), tx.UpdateEntity(h.role), tx.UpdatePolicy(h.policy), tx.UpdateProvider(h.provider),
			tx.UpdateAccessKey(h.key))
	})
	if err != nil {
		t.Fatal(err)
	}
	compare()
	users, err := s.Entities(t.Context(), tenant, identity.User)
	if err != nil || len(users) != 1 || users[0].Name != "Bob" {
		t.Errorf("users: %v, %v", users, err)
	}
}

func identityUniqueness(t *testing.T, s identity.Store) {
	newHousehold().move(t, s)
	for what, change := range map[string]func(identity.Tx, household) error{
		"account": func(tx identity.Tx, h household) error { return tx.InsertAccount(h.account) },
		"user in capitals": func(tx identity.Tx, h household) error {
			h.user.Name, h.user.ID = "ALICE", "AIDA2"
			return tx.InsertEntity(h.user)
		},
		"id": func(tx identity.Tx, h household) error {
			h.user.Name = "Bob"
			return tx.InsertEntity(h.user)
		},
		"new name": func(tx identity.Tx, h household) error {
			h.user.Name, h.user.ID = "Bob", "AIDA2"
			if err := tx.InsertEntity(h.user); err != nil {
				return err
			}
			h.user.Name = "alice"
			return tx.UpdateEntity(h.user)
		},
		"policy":   func(tx identity.Tx, h household) error { h.policy.ID = "ANPA2"; return tx.InsertPolicy(h.policy) },
		"provider": func(tx identity.Tx, h household) error { return tx.InsertProvider(h.provider) },
		"key":      func(tx identity.Tx, h household) error { return tx.InsertAccessKey(h.key) },
		"session":  func(tx identity.Tx, h household) error { return tx.InsertSession(h.session) },
		"deletion": func(tx identity.Tx, h household) error { return tx.InsertDeletion(h.deletion) },
	} {
		err := s.Change(t.Context(), nil, func(tx identity.Tx) error { return change(tx, newHousehold()) })
		if !errors.Is(err, fault.ErrExists) {
			t.Errorf("%s twice: %v", what, err)
		}
	}
	if e, err := s.Entity(t.Context(), tenant, identity.User, "aLICE"); err != nil || e.Name != "Alice" {
		t.Errorf("by another spelling: %v, %v", e, err)
	}
}

func identityConflicts(t *testing.T, s identity.Store) {
	h := newHousehold()
	h.move(t, s)
	stale := newHousehold()
	stale.user.Version, stale.policy.Version, stale.provider.Version = 9, 9, 9
	for what, change := range map[string]func(identity.Tx) error{
		"entity":            func(tx identity.Tx) error { return tx.UpdateEntity(stale.user) },
		"policy":            func(tx identity.Tx) error { return tx.UpdatePolicy(stale.policy) },
		"provider":          func(tx identity.Tx) error { return tx.UpdateProvider(stale.provider) },
		"deleting entity":   func(tx identity.Tx) error { return tx.DeleteEntity(stale.user) },
		"deleting policy":   func(tx identity.Tx) error { return tx.DeletePolicy(stale.policy) },
		"deleting provider": func(tx identity.Tx) error { return tx.DeleteProvider(stale.provider) },
	} {
		if err := s.Change(t.Context(), nil, change); !errors.Is(err, fault.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func identityDeletions(t *testing.T, s identity.Store) {
	h := newHousehold()
	h.move(t, s)
	err := s.Change(t.Context(), nil, func(tx identity.Tx) error {
		return errors.Join(tx.DeleteEntity(h.user), tx.DeletePolicy(h.policy), tx.DeleteProvider(h.provider), tx.DeleteAccessKey(h.key))
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.AccessKeys(t.Context(), tenant, "AIDA1")
	if err != nil || len(keys) != 0 {
		t.Errorf("keys: %v, %v", keys, err)
	}
	if _, err := s.Entity(t.Context(), tenant, identity.User, "Alice"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the user: %v", err)
	}
	if _, err := s.EntityByID(t.Context(), "AROA1"); err != nil {
		t.Errorf("the role: %v", err)
	}
}

func identityAbsence(t *testing.T, s identity.Store) {
	h := newHousehold()
	var errs [8]error
	_, errs[0] = s.Account(t.Context(), tenant)
	_, errs[1] = s.Entity(t.Context(), tenant, identity.User, h.user.Name)
	_, errs[2] = s.EntityByID(t.Context(), h.role.ID)
	_, errs[3] = s.Policy(t.Context(), tenant, h.policy.Name)
	_, errs[4] = s.Provider(t.Context(), tenant, h.provider.URL)
	_, errs[5] = s.AccessKey(t.Context(), h.key.AccessKeyID)
	_, errs[6] = s.Session(t.Context(), h.session.AccessKeyID)
	_, errs[7] = s.Deletion(t.Context(), tenant, h.deletion.ID)
	for i, err := range errs {
		if !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

func identityUses(t *testing.T, s identity.Store) {
	newHousehold().move(t, s)
	use := identity.Use{Time: moment, Service: "kms", Region: "us-east-1"}
	if err := s.NoteUses(t.Context(), map[string]identity.Use{"AKIA1": use, "AKIAGONE": use}); err != nil {
		t.Fatal(err)
	}
	if k, err := s.AccessKey(t.Context(), "AKIA1"); err != nil || k.LastUsed != use {
		t.Errorf("got %+v, %v", k, err)
	}
}

func identityPurge(t *testing.T, s identity.Store) {
	h := newHousehold()
	h.move(t, s)
	for _, c := range []struct {
		what string
		ends time.Time
		read func() error
	}{
		{"deletion", h.deletion.Ended, func() error { _, err := s.Deletion(t.Context(), tenant, h.deletion.ID); return err }},
		{"session", h.session.Expires, func() error { _, err := s.Session(t.Context(), h.session.AccessKeyID); return err }},
	} {
		if err := s.Purge(t.Context(), c.ends); err != nil {
			t.Fatal(err)
		}
		if err := c.read(); err != nil {
			t.Errorf("a %s that has just ended: %v", c.what, err)
		}
		if err := s.Purge(t.Context(), c.ends.Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if err := c.read(); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("a %s that is over: %v", c.what, err)
		}
	}
	if _, err := s.Deletion(t.Context(), "999988887777", h.deletion.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("another account's deletion: %v", err)
	}
}
