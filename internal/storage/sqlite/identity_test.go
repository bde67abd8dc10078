package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyward/internal/identity"
	"keyward/internal/storage/storagetest"
)

func TestIdentityStore(t *testing.T) {
	storagetest.Identities(t, func(t *testing.T) identity.Store {
		return open(t, filepath.Join(t.TempDir(), "keyward.db"), true).Identity()
	})
}

// TestAccessKeysBecomeUsers takes the administrator of an older installation over, and leaves behind one whose key was
// never handed out.
func TestAccessKeysBecomeUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	old := openOld(t, path, 6)
	_, err := old.Exec(`INSERT INTO access_key (id, account, user_name, principal_id, arn, status, sealed_secret, created_ms) VALUES
		('AKIALOST', '111122223333', 'admin', 'AIDALOST', 'arn:aws:iam::111122223333:user/admin', 'Active', x'00', 1000000000000),
		('AKIAKEPT', '111122223333', 'admin', 'AIDAKEPT', 'arn:aws:iam::111122223333:user/admin', 'Active', x'01', 1000000000001),
		('AKIAROOT', '444455556666', '', '444455556666', 'arn:aws:iam::444455556666:root', 'Inactive', x'02', 1000000000002)`)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, false).Identity()
	user, err := s.Entity(t.Context(), "111122223333", identity.User, "admin")
	if err != nil {
		t.Fatal(err)
	}
	want := &identity.Entity{
		Account: "111122223333", Kind: identity.User, Name: "admin", ID: "AIDAKEPT", Version: 1, Path: "/",
		Created: time.UnixMilli(1000000000001).UTC(), Attached: []string{identity.AdministratorAccess},
	}
	if diff := cmp.Diff(want, user); diff != "" {
		t.Error(diff)
	}
	kept, err := s.AccessKeys(t.Context(), "111122223333", "AIDAKEPT")
	if err != nil || len(kept) != 1 || kept[0].AccessKeyID != "AKIAKEPT" || kept[0].SealedSecret[0] != 1 || kept[0].Status != identity.Active {
		t.Errorf("keys of the administrator: %+v, %v", kept, err)
	}
	root, err := s.AccessKey(t.Context(), "AKIAROOT")
	if err != nil || root.PrincipalID != "444455556666" || root.Status != identity.Inactive {
		t.Errorf("the root user's key: %+v, %v", root, err)
	}
	accounts, err := s.Accounts(t.Context())
	if err != nil || len(accounts) != 2 {
		t.Errorf("accounts: %v, %v", accounts, err)
	}
}
