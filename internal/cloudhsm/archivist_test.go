package cloudhsm

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	"pgregory.net/rapid"
)

// aged is a READY backup made that many days before origin.
func aged(cluster string, days int) *Backup {
	return &Backup{
		ID: fmt.Sprintf("backup-%s-%d", cluster, days), ClusterID: cluster, State: types.BackupStateReady,
		Created: origin.AddDate(0, 0, -days),
	}
}

// Statements 34 and 35.
func TestExpiredBackups(t *testing.T) {
	week := []*Cluster{{ID: "c", State: types.ClusterStateActive, RetentionDays: "7"}}
	forever := aged("c", 300)
	forever.NeverExpires = true
	pending := aged("c", 20)
	pending.State = types.BackupStatePendingDeletion
	for name, test := range map[string]struct {
		backups []*Backup
		want    []string
	}{
		"34: the newest stays":      {[]*Backup{aged("c", 9), aged("c", 8)}, []string{"backup-c-9"}},
		"35: NeverExpires":          {[]*Backup{forever, aged("c", 9), aged("c", 1)}, []string{"backup-c-9"}},
		"just in time":              {[]*Backup{aged("c", 7), aged("c", 1)}, nil},
		"pending already":           {[]*Backup{pending, aged("c", 1)}, nil},
		"of a cluster that is gone": {[]*Backup{aged("d", 400), aged("d", 399)}, nil},
		"copies":                    {[]*Backup{aged("", 400), aged("", 399)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, b := range expired(test.backups, week, origin) {
				got = append(got, b.ID)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("expired %v, want %v", got, test.want)
			}
		})
	}
}

// However old, a cluster that had a READY backup has one after the purge.
func TestPurgeSparesTheLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Cluster{ID: "c", State: types.ClusterStateActive, RetentionDays: fmt.Sprint(rapid.IntRange(7, 379).Draw(t, "days"))}
		var all []*Backup
		age := 1000
		for range rapid.IntRange(1, 6).Draw(t, "backups") {
			age -= rapid.IntRange(0, 200).Draw(t, "later")
			b := aged("c", age)
			b.State = rapid.SampledFrom([]types.BackupState{types.BackupStateReady, types.BackupStatePendingDeletion, types.BackupStateCreateInProgress}).Draw(t, "state")
			all = append(all, b)
		}
		ready := func() (n int) {
			for _, b := range all {
				if b.State == types.BackupStateReady {
					n++
				}
			}
			return n
		}
		before := ready()
		for _, b := range expired(all, []*Cluster{c}, origin) {
			if err := b.enter(types.BackupStatePendingDeletion, origin.Add(pendingDeletion)); err != nil {
				t.Fatal(err)
			}
		}
		if before > 0 && ready() == 0 {
			t.Fatal("no READY backup is left")
		}
	})
}

// A cluster goes on from its own newest READY backup, or else from the one it was created from.
func TestLatestBackup(t *testing.T) {
	source := aged("other", 3)
	c := &Cluster{ID: "c", SourceBackupID: source.ID}
	own, gone := aged("c", 5), aged("c", 1)
	gone.State = types.BackupStatePendingDeletion
	if got := c.latest([]*Backup{own, source, gone}); got != own {
		t.Errorf("latest is %v", got)
	}
	if got := c.latest([]*Backup{source, gone}); got != source {
		t.Errorf("without own ones it is %v", got)
	}
	if got := c.latest([]*Backup{aged("another", 1), gone}); got != nil {
		t.Errorf("without any it is %v", got)
	}
}

func TestBackupStates(t *testing.T) {
	for from, next := range backupTransitions {
		for _, to := range types.BackupState("").Values() {
			b := &Backup{State: from}
			if err := b.enter(to, time.Time{}); (err == nil) != slices.Contains(next, to) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
}
