package fleet

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// backups of a cluster that are READY, newest first.
func (w *world) backups(cluster string) []types.Backup {
	w.Helper()
	return mustCall[api.DescribeBackupsOutput](w, "DescribeBackups", &api.DescribeBackupsInput{
		Filters: map[string][]string{"clusterIds": {cluster}, "states": {"READY"}},
	}).Backups
}

// awaitBackups returns the READY backups once there are at least n.
func (w *world) awaitBackups(cluster string, n int) []types.Backup {
	w.Helper()
	var all []types.Backup
	w.eventually("there are backups", func(context.Context) error {
		if all = w.backups(cluster); len(all) < n {
			return errors.New("not yet")
		}
		return nil
	})
	return all
}

// createKey makes a key of crypto user alice and seals a text with it.
func (w *world) createKey(cluster, id string) (sealed []byte) {
	w.Helper()
	client := w.as(cluster, "alice", hsmproto.RoleCryptoUser)
	w.eventually("a key can be made", func(ctx context.Context) error {
		_, err := client.GenerateKey(ctx, hsmproto.GenerateKeyRequest{
			ID: []byte(id), Length: 32, MinHsms: 1, Set: map[string]bool{"encrypt": true, "decrypt": true, "extractable": false},
		})
		return err
	})
	sealed, err := client.Encrypt(context.Background(), hsmproto.CryptRequest{ID: []byte(id), Mechanism: hsmproto.MechanismXAES256GCM, Data: []byte("text")})
	w.must(err)
	return sealed
}

func (w *world) opens(cluster, id string, sealed []byte) {
	w.Helper()
	text, err := w.as(cluster, "alice", hsmproto.RoleCryptoUser).
		Decrypt(context.Background(), hsmproto.CryptRequest{ID: []byte(id), Mechanism: hsmproto.MechanismXAES256GCM, Data: sealed})
	if err != nil || string(text) != "text" {
		w.Errorf("key %s of %s opens %q, %v", id, cluster, text, err)
	}
}

// as logs in.
func (w *world) as(cluster, user string, role hsmproto.Role) *hsmclient.Cluster {
	w.Helper()
	client := w.client(cluster)
	w.eventually(user+" can log in", func(ctx context.Context) error {
		_, err := client.Login(ctx, hsmclient.Credentials{User: user, Role: role, Password: secret.FromString(password)})
		return err
	})
	return client
}

// Backups come by themselves, and a cluster made from one is the old cluster as it was then, in other subnets, and its
// own from then on (statements 19, 20, 21, 24, 25 and 27).
func TestClusterFromBackup(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a")
	w.awaitBackups(cluster, 1) // 19
	w.createUser(w.asAdmin(cluster), "alice")
	sealed := w.createKey(cluster, "key")
	hsms = append(hsms, w.createHsm(cluster, "b"))
	w.await(cluster, "has two HSMs", active(hsms...))
	backup := w.awaitBackups(cluster, 2)[0] // 20
	info, err := os.Stat(w.fleet.backupPath(*backup.BackupId))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup's file: %v, %v", info, err)
	}
	out := mustCall[api.CreateClusterOutput](w, "CreateCluster", &api.CreateClusterInput{
		HsmType: aws.String("hsm2m.medium"), Mode: types.ClusterModeFips, SubnetIds: w.subnets()[1:], SourceBackupId: backup.BackupArn,
	})
	restored := *out.Cluster.ClusterId
	c := w.await(restored, "is active without HSMs", inState(types.ClusterStateActive))
	if got, want := *c.Certificates.ClusterCertificate, *w.describe(cluster).Certificates.ClusterCertificate; len(c.Hsms) != 0 || got != want {
		t.Errorf("statements 25, 27: %d HSMs, certificate\n%s\nof the original\n%s", len(c.Hsms), got, want)
	}
	first := w.createHsm(restored, "b")
	w.await(restored, "has its HSM", active(first))
	second := w.createHsm(restored, "c")
	w.await(restored, "has two HSMs", active(first, second))
	w.opens(restored, "key", sealed)
	later := w.createKey(restored, "later")
	w.opens(restored, "later", later)
	w.createUser(w.asAdmin(cluster), "bob")
	if users, err := w.client(restored).Users(context.Background()); err != nil || len(users.Users) != 3 { // admin, alice, app_user
		t.Errorf("users of the restored cluster: %v, %v", users, err)
	}
	for _, id := range hsms {
		w.deleteHsm(cluster, id)
	}
	w.await(cluster, "has no HSMs", active())
	left := w.awaitBackups(cluster, 3) // 21
	mustCall[api.DeleteClusterOutput](w, "DeleteCluster", &api.DeleteClusterInput{ClusterId: &cluster})
	w.await(cluster, "is deleted", inState(types.ClusterStateDeleted))
	if now := w.backups(cluster); len(now) != len(left) {
		t.Errorf("statement 24: %d backups, then %d", len(left), len(now))
	}
}

// A backup whose file was touched is refused where it would be used, and nothing is left of the attempt.
func TestDamagedBackup(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a")
	w.deleteHsm(cluster, hsms[0])
	w.await(cluster, "has no HSMs", active())
	for _, b := range w.backups(cluster) {
		path := w.fleet.backupPath(*b.BackupId)
		data, err := os.ReadFile(path)
		w.must(err)
		data[len(data)/2] ^= 1
		w.must(os.WriteFile(path, data, 0o600))
		_, err = call[api.CreateClusterOutput](w, "CreateCluster", &api.CreateClusterInput{
			HsmType: aws.String("hsm2m.medium"), Mode: types.ClusterModeFips, SubnetIds: w.subnets(), SourceBackupId: b.BackupId,
		})
		if f, is := fault.As(err); !is || f.Message != "Backup "+*b.BackupId+" cannot be restored: its file is damaged" {
			t.Errorf("a cluster from a damaged backup: %v", err)
		}
	}
	_, err := call[api.CreateHsmOutput](w, "CreateHsm", &api.CreateHsmInput{ClusterId: &cluster, AvailabilityZone: aws.String("us-east-1a")})
	if !fault.Is(err, "CloudHsmInvalidRequestException") {
		t.Errorf("an HSM from a damaged backup: %v", err)
	}
}

// What only the HSM can find out makes the HSM DEGRADED with the reason; with another backup the next one works.
func TestHsmRefusesBackup(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a")
	w.deleteHsm(cluster, hsms[0])
	w.await(cluster, "has no HSMs", active())
	aside := w.fleet.area() + ".aside"
	w.must(os.Rename(w.fleet.area(), aside))
	refused := w.createHsm(cluster, "a")
	c := w.await(cluster, "has an HSM that failed", hsmInState(refused, types.HsmStateDegraded))
	if text := hsmsText(c); !strings.Contains(text, "cannot be restored") || !strings.Contains(text, "share of its key is gone") {
		t.Errorf("the HSM says %s", text)
	}
	w.deleteHsm(cluster, refused)
	w.await(cluster, "has no HSMs", active())
	w.must(os.Rename(aside, w.fleet.area()))
	w.await(cluster, "is whole", active(w.createHsm(cluster, "b")))
	w.asAdmin(cluster)
}

// A backup that was begun when everything died is made under its id after the next start, whatever it had left.
func TestBackupGoesOnAfterACrash(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a")
	before := len(w.awaitBackups(cluster, 1))
	w.stop()
	const id = "backup-aaaaaaaaaaa"
	w.must(os.WriteFile(w.fleet.backupPath(id), []byte("half"), 0o600))
	w.must(os.WriteFile(w.fleet.backupPath("backup-bbbbbbbbbbb"), []byte("given up"), 0o600))
	w.openDatabase(false)
	w.must(w.db.CloudHSM().Change(t.Context(), nil, func(tx cloudhsm.Tx) error {
		c, err := tx.Cluster(scope, cluster)
		if err != nil {
			return err
		}
		c.Backup = id
		b := &cloudhsm.Backup{Scope: scope, ID: id, Created: time.Now(), State: types.BackupStateCreateInProgress, ClusterID: cluster, Mode: c.Mode}
		return errors.Join(tx.Update(c), tx.InsertBackup(b))
	}))
	w.must(w.db.Close())
	w.start(false)
	if all := w.awaitBackups(cluster, before+1); *all[0].BackupId != id {
		t.Errorf("the newest backup is %s", *all[0].BackupId)
	}
	b, err := w.db.CloudHSM().Backup(t.Context(), scope, id)
	w.must(err)
	w.must(w.fleet.CheckBackup(id, b.Content))
	if isThere(w.fleet.backupPath("backup-bbbbbbbbbbb")) {
		t.Error("contents without a record are still there")
	}
	w.await(cluster, "is whole", active(hsms...))
}

// Killed or stopped at any point of a restore, the HSM is there in the end.
func TestRestoreIsTakenUpAgain(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a")
	w.createUser(w.asAdmin(cluster), "alice")
	w.deleteHsm(cluster, hsms[0])
	w.await(cluster, "has no HSMs", active())
	hsm := w.createHsm(cluster, "b")
	w.restart() // at once
	w.eventually("the HSM is being made", func(context.Context) error {
		if !w.fleet.HasFolder(hsm) {
			return errors.New("not yet")
		}
		return nil
	})
	w.restart()
	w.kill(hsm, syscall.SIGKILL)
	w.await(cluster, "is whole", active(hsm))
	w.asAdmin(cluster)
	w.hasUser(cluster, "alice")
}
