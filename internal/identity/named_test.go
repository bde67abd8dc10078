package identity_test

import (
	"errors"
	"testing"

	"keyward/internal/fault"
	"keyward/internal/identity"
)

// entities puts a user and a role with a path into the store.
func (w *world) entities() {
	w.Helper()
	err := w.db.Identity().Change(w.Context(), nil, func(tx identity.Tx) error {
		return errors.Join(
			tx.InsertEntity(&identity.Entity{Account: account, Kind: identity.User, Name: "alice", ID: "AIDAALICE", Version: 1, Path: "/team/", Created: w.now()}),
			tx.InsertEntity(&identity.Entity{Account: account, Kind: identity.Role, Name: "ops", ID: "AROAOPS", Version: 1, Path: "/", Created: w.now()}))
	})
	if err != nil {
		w.Fatal(err)
	}
}

func TestPrincipalNamed(t *testing.T) {
	w := newWorld(t)
	w.entities()
	for name, want := range map[string]struct{ arn, id string }{
		"arn:aws:iam::111122223333:user/team/alice":         {"arn:aws:iam::111122223333:user/team/alice", "AIDAALICE"},
		"arn:aws:iam::111122223333:root":                    {"arn:aws:iam::111122223333:root", account},
		"arn:aws:iam::111122223333:role/ops":                {"arn:aws:sts::111122223333:assumed-role/ops/explain", "AROAOPS:explain"},
		"arn:aws:sts::111122223333:assumed-role/ops/monday": {"arn:aws:sts::111122223333:assumed-role/ops/monday", "AROAOPS:monday"},
	} {
		p, err := w.identity.PrincipalNamed(t.Context(), name)
		if err != nil || p.ARN != want.arn || p.PrincipalID != want.id {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := w.identity.PrincipalNamed(t.Context(), "arn:aws:sts::111122223333:federated-user/kim"); !errors.Is(err, fault.ErrNotFound) {
		t.Error(err)
	}
}
