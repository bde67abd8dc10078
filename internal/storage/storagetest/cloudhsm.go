package storagetest

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
)

// ClusterEngine is one empty store of clusters and a look at the events.
type ClusterEngine struct {
	Store cloudhsm.Store
	// Events lists the ids of all kept events in order.
	Events func() []string
}

// Clusters runs the conformance suite of cloudhsm.Store; open makes a fresh engine.
func Clusters(t *testing.T, open func(t *testing.T) ClusterEngine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, ClusterEngine)
	}{
		{"clusters come back as they were put", clusterRoundTrip},
		{"compare and swap", clusterConflicts},
		{"ids are unique", clusterUniqueness},
		{"clusters are listed by creation, scopes apart", clusterListing},
		{"change and event are kept together", clusterEvent},
		{"backups come back as they were put", backupRoundTrip},
		{"backups conflict", backupConflicts},
		{"backups are listed by creation, scopes apart", backupListing},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func newCluster(id string) *cloudhsm.Cluster {
	return &cloudhsm.Cluster{
		Scope: here, ID: "cluster-" + id, Created: instant, State: types.ClusterStateActive, StateMessage: "messäge",
		Expires: instant.Add(time.Hour), HsmType: "hsm2m.medium", Mode: types.ClusterModeFips, RetentionDays: "90",
		VpcID: "vpc-1", SubnetMapping: map[string]string{"us-east-1a": "subnet-1"}, SecurityGroup: "sg-1",
		Tags:       []types.Tag{{Key: aws.String("k"), Value: aws.String("")}},
		ClusterCSR: "csr", HsmCertificate: "hsm", ProviderHardware: "provider", ManufacturerHardware: "manufacturer",
		ClusterCertificate: "cluster", TrustAnchor: "anchor", Epoch: 9, TakeOver: "node",
		SourceBackupID: "backup-s", BackupDue: true, Backup: "backup-b", LastBackup: instant.Add(-time.Minute),
		Hsms: []cloudhsm.Hsm{{
			ID: "hsm-a", Zone: "us-east-1a", SubnetID: "subnet-1", EniID: "eni-1", EniIP: "10.0.0.4", State: types.HsmStateActive,
			StateMessage: "m", Incarnation: cloudhsm.Incarnation{Node: "node", Hardware: []byte{0, 255}},
			Member: true, InStep: true,
		}},
	}
}

func changeClusters(t *testing.T, s cloudhsm.Store, fn func(cloudhsm.Tx) error) {
	t.Helper()
	if err := s.Change(t.Context(), nil, fn); err != nil {
		t.Fatal(err)
	}
}

func putCluster(t *testing.T, s cloudhsm.Store, c *cloudhsm.Cluster) {
	t.Helper()
	changeClusters(t, s, func(tx cloudhsm.Tx) error { return tx.Insert(c) })
}

func clusterRoundTrip(t *testing.T, e ClusterEngine) {
	want := newCluster("aaaaaaaaaaa")
	putCluster(t, e.Store, want)
	check := func(what string) {
		t.Helper()
		got, err := e.Store.Cluster(t.Context(), here, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got, cmpopts.IgnoreUnexported(types.Tag{})); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("inserted")
	want.State, want.Hsms, want.LastBackup, want.Expires = types.ClusterStateDeleted, nil, time.Time{}, time.Time{}
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error {
		if err := tx.Update(want); err != nil {
			return err
		}
		got, err := tx.Cluster(here, want.ID)
		if err == nil && got.State != want.State {
			t.Error("a transaction does not see its own write")
		}
		return err
	})
	if want.Version != 1 {
		t.Errorf("version %d after one change", want.Version)
	}
	check("updated")
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error { return tx.Delete(want) })
	if _, err := e.Store.Cluster(t.Context(), here, want.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func clusterConflicts(t *testing.T, e ClusterEngine) {
	c := newCluster("aaaaaaaaaaa")
	putCluster(t, e.Store, c)
	stale := *c
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error { return tx.Update(c) })
	for name, fn := range map[string]func(cloudhsm.Tx) error{
		"update": func(tx cloudhsm.Tx) error { return tx.Update(&stale) },
		"delete": func(tx cloudhsm.Tx) error { return tx.Delete(&stale) },
	} {
		if err := e.Store.Change(t.Context(), nil, fn); !errors.Is(err, fault.ErrConflict) {
			t.Errorf("%s of a stale record: %v", name, err)
		}
	}
	if stale.Version != 0 {
		t.Errorf("a refused update counts the version up to %d", stale.Version)
	}
}

func clusterUniqueness(t *testing.T, e ClusterEngine) {
	putCluster(t, e.Store, newCluster("aaaaaaaaaaa"))
	for _, scope := range []arn.Scope{here, {Account: "999999999999", Region: "eu-west-1"}} {
		again := newCluster("aaaaaaaaaaa")
		again.Scope = scope
		err := e.Store.Change(t.Context(), nil, func(tx cloudhsm.Tx) error { return tx.Insert(again) })
		if !errors.Is(err, fault.ErrExists) {
			t.Errorf("the same id in %v: %v", scope, err)
		}
	}
}

func clusterListing(t *testing.T, e ClusterEngine) {
	for i, id := range []string{"ccccccccccc", "aaaaaaaaaaa", "bbbbbbbbbbb"} {
		c := newCluster(id)
		c.Created = instant.Add(time.Duration(i/2) * time.Second) // the first two are of the same instant
		putCluster(t, e.Store, c)
	}
	foreign := newCluster("ddddddddddd")
	foreign.Scope.Region = "eu-west-1"
	putCluster(t, e.Store, foreign)
	list := func(all []*cloudhsm.Cluster, err error) (ids string) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			ids += c.ID[len("cluster-"):][:1]
		}
		return ids
	}
	if got := list(e.Store.Clusters(t.Context(), here)); got != "acb" {
		t.Errorf("clusters %s", got)
	}
	if got := list(e.Store.AllClusters(t.Context())); got != "acdb" {
		t.Errorf("all clusters %s", got)
	}
	changeClusters(t, e.Store, func(tx cloudhsm.Tx) error {
		if got := list(tx.Clusters(foreign.Scope)); got != "d" {
			t.Errorf("clusters of another Region %s", got)
		}
		return nil
	})
	if _, err := e.Store.Cluster(t.Context(), here, foreign.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a cluster of another Region: %v", err)
	}
}

func clusterEvent(t *testing.T, e ClusterEngine) {
	refusal := errors.New("no")
	c := newCluster("aaaaaaaaaaa")
	err := e.Store.Change(t.Context(), &audit.Event{ID: "refused", Time: instant}, func(tx cloudhsm.Tx) error {
		return errors.Join(tx.Insert(c), refusal)
	})
	if !errors.Is(err, refusal) {
		t.Fatal(err)
	}
	kept := &audit.Event{ID: "kept", Time: instant}
	if err := e.Store.Change(t.Context(), kept, func(tx cloudhsm.Tx) error { return tx.Insert(c) }); err != nil || !kept.Kept {
		t.Fatal(err, kept.Kept)
	}
	if events := e.Events(); len(events) != 1 || events[0] != "kept" {
		t.Errorf("events %v", events)
	}
}
