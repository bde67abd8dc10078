package storagetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
)

func newBackup(id string) *cloudhsm.Backup {
	return &cloudhsm.Backup{
		Scope: here, ID: "backup-" + id, Created: instant, State: types.BackupStatePendingDeletion, ClusterID: "cluster-a",
		HsmType: "hsm2m.medium", Mode: types.ClusterModeFips, ClusterCertificate: "certificate", TrustAnchor: "anchor",
		NeverExpires: true, Removal: instant.Add(time.Hour), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("")}},
		Content: cloudhsm.Content{Size: 7, SHA256: []byte{0, 255}},
		Copied:  instant.Add(time.Minute), SourceRegion: "eu-west-1", SourceBackup: "backup-s", SourceCluster: "cluster-s",
	}
}

func backupRoundTrip(t *testing.T, e ClusterEngine) {
	want := newBackup("aaaaaaaaaaa")
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error { return tx.InsertBackup(want) })
	check := func(what string) {
		t.Helper()
		got, err := e.Store.Backup(t.Context(), here, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got, cmpopts.IgnoreUnexported(types.Tag{})); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("inserted")
	want.State, want.Removal, want.Tags, want.ClusterID = types.BackupStateReady, time.Time{}, nil, ""
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error {
		if err := tx.UpdateBackup(want); err != nil {
			return err
		}
		got, err := tx.Backup(here, want.ID)
		if err == nil && got.State != want.State {
			t.Error("a transaction does not see its own write")
		}
		return err
	})
	check("updated")
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error { return tx.DeleteBackup(want) })
	if _, err := e.Store.Backup(t.Context(), here, want.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func backupConflicts(t *testing.T, e ClusterEngine) {
	b := newBackup("aaaaaaaaaaa")
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error { return tx.InsertBackup(b) })
	stale := *b
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error { return tx.UpdateBackup(b) })
	abroad := *b
	abroad.Scope.Region = "eu-west-1"
	for name, test := range map[string]struct {
		fn   func(cloudhsm.Tx) error
		want error
	}{
		"update of a stale record":     {func(tx cloudhsm.Tx) error { return tx.UpdateBackup(&stale) }, fault.ErrConflict},
		"delete of a stale record":     {func(tx cloudhsm.Tx) error { return tx.DeleteBackup(&stale) }, fault.ErrConflict},
		"the same id":                  {func(tx cloudhsm.Tx) error { return tx.InsertBackup(b) }, fault.ErrExists},
		"the same id in another scope": {func(tx cloudhsm.Tx) error { return tx.InsertBackup(&abroad) }, fault.ErrExists},
	} {
		if err := e.Store.Change(t.Context(), nil, test.fn); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func backupListing(t *testing.T, e ClusterEngine) {
	for i, id := range []string{"ccccccccccc", "aaaaaaaaaaa", "bbbbbbbbbbb", "ddddddddddd"} {
		b := newBackup(id)
		b.Created = instant.Add(time.Duration(i/2) * time.Second) // two of an instant each
		if id[0] == 'd' {
			b.Scope.Region = "eu-west-1"
		}
		changeClusters(t, e.Store, func(tx cloudhsm.Tx) error { return tx.InsertBackup(b) })
	}
	list := func(all []*cloudhsm.Backup, err error) (ids []string) {
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range all {
			ids = append(ids, b.ID[len("backup-"):][:1])
		}
		return ids
	}
	if got := list(e.Store.Backups(t.Context(), here)); !slices.Equal(got, []string{"a", "c", "b"}) {
		t.Errorf("backups %v", got)
	}
	if got := list(e.Store.AllBackups(t.Context())); !slices.Equal(got, []string{"a", "c", "b", "d"}) {
		t.Errorf("all backups %v", got)
	}
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error {
		if got := list(tx.Backups(here)); len(got) != 3 {
			t.Errorf("backups in a transaction %v", got)
		}
		return nil
	})
}
