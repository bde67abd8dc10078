package sqlite

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyward/internal/fault"
	"keyward/internal/identity"
)

func TestAccessKeysSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	k := &identity.AccessKey{
		AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Account: "111122223333", UserName: "admin", PrincipalID: "AIDAAAAAAAAAAAAAAAAA",
		ARN: "arn:aws:iam::111122223333:user/admin", Status: identity.Active, SealedSecret: []byte{1, 2, 3}, Created: time.UnixMilli(1e12).UTC(),
	}
	db, err := Open(t.Context(), path, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Identity().InsertAccessKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if err := db.Identity().InsertAccessKey(t.Context(), k); !errors.Is(err, fault.ErrExists) {
		t.Errorf("inserting twice: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, false)
	got, err := again.Identity().AccessKey(t.Context(), k.AccessKeyID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(k, got); diff != "" {
		t.Error(diff)
	}
	if _, err := again.Identity().AccessKey(t.Context(), "AKIABBBBBBBBBBBBBBBB"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an unknown key: %v", err)
	}
}
