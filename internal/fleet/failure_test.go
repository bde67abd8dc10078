package fleet

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/cloudhsm"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// pid is the process of an HSM that runs.
func (w *world) pid(hsm string) int {
	w.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if u := w.fleet.unit(hsm); u != nil {
			if p := u.running.Load(); p != nil {
				return p.cmd.Process.Pid
			}
		}
		<-w.fleet.Changed()
	}
	w.Fatalf("HSM %s does not run", hsm)
	return 0
}

func (w *world) kill(hsm string, s syscall.Signal) {
	w.Helper()
	w.must(syscall.Kill(w.pid(hsm), s))
}

// lose kills an HSM for good: its process and its storage.
func (w *world) lose(hsm string) {
	w.Helper()
	w.must(os.RemoveAll(w.fleet.folder(hsm)))
	w.kill(hsm, syscall.SIGKILL)
}

// asAdmin logs in as the admin, waiting for the cluster to accept it.
func (w *world) asAdmin(cluster string) *hsmclient.Cluster {
	w.Helper()
	client := w.client(cluster)
	w.eventually("the admin can log in", func(ctx context.Context) error {
		_, err := client.Login(ctx, hsmclient.Credentials{User: "admin", Role: hsmproto.RoleAdmin, Password: secret.FromString(password)})
		return err
	})
	return client
}

// eventually tries what an operator would try again.
func (w *world) eventually(what string, try func(context.Context) error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			w.Fatalf("%s: %v", what, err)
		}
	}
}

func (w *world) createUser(client *hsmclient.Cluster, name string) {
	w.Helper()
	w.eventually("a user can be created", func(ctx context.Context) error {
		_, err := client.CreateUser(ctx, name, hsmproto.RoleCryptoUser, secret.FromString(password))
		if hsm, ok := err.(*hsmproto.Error); ok && hsm.Code == hsmproto.CodeUserExists {
			return nil // the reply of an earlier try was lost
		}
		return err
	})
}

// hasUser checks that the cluster knows a user.
func (w *world) hasUser(cluster, name string) {
	w.Helper()
	users, err := w.client(cluster).Users(context.Background())
	w.must(err)
	for _, u := range users.Users {
		if u.Name == name {
			return
		}
	}
	w.Errorf("user %s is lost: %v", name, users.Users)
}

func (w *world) record(cluster string) *cloudhsm.Cluster {
	w.Helper()
	c, err := w.service.Cluster(context.Background(), scope, cluster)
	w.must(err)
	return c
}

func TestKilledHSMComesBackUnfenced(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a", "b")
	before := w.record(cluster).Epoch
	old := w.pid(hsms[1])
	w.kill(hsms[1], syscall.SIGKILL)
	w.eventually("another process runs", func(context.Context) error {
		if h := w.fleet.Health(hsms[1]); !h.Live || !h.Status.Joined || w.pid(hsms[1]) == old {
			return os.ErrNotExist
		}
		return nil
	})
	w.await(cluster, "is whole", active(hsms...))
	w.createUser(w.asAdmin(cluster), "alice")
	if after := w.record(cluster).Epoch; after != before {
		t.Errorf("the membership changed: epoch %d, then %d", before, after)
	}
}

// The survivor of two carries on, and a replacement makes the cluster whole (fixed point "one live HSM is enough").
func TestHSMDeadForGood(t *testing.T) {
	for _, lost := range []int{0, 1} { // the one that leads, and the other
		w := newWorld(t)
		cluster, hsms := w.activeCluster("a", "b")
		w.createUser(w.asAdmin(cluster), "before")
		dead, survivor := hsms[lost], hsms[1-lost]
		began := time.Now()
		w.lose(dead)
		w.await(cluster, "shows the loss", hsmInState(dead, types.HsmStateDegraded))
		client := w.asAdmin(cluster)
		w.createUser(client, "after")
		t.Logf("writes go on after %v", time.Since(began).Round(time.Millisecond))
		c := w.await(cluster, "tells the loss", hsmInState(dead, types.HsmStateDegraded))
		if !strings.Contains(hsmsText(c), "storage is gone") || c.State != types.ClusterStateActive {
			t.Errorf("cluster %s, HSMs %s", c.State, hsmsText(c))
		}
		if w.fleet.HasFolder(dead) {
			t.Error("the lost folder was made again")
		}
		w.deleteHsm(cluster, dead)
		w.await(cluster, "forgets the dead HSM", active(survivor))
		replacement := w.createHsm(cluster, "c")
		w.await(cluster, "is whole again", active(survivor, replacement))
		w.deleteHsm(cluster, survivor)
		w.await(cluster, "lives on the replacement", active(replacement))
		w.hasUser(cluster, "before")
		w.hasUser(cluster, "after")
		w.stop()
	}
}

// A frozen HSM is fenced; since its storage is there, it comes back, as a new member.
func TestFrozenHSMIsFencedAndMadeAnew(t *testing.T) {
	w := newWorld(t, cloudhsm.Timing{Grace: time.Millisecond})
	cluster, hsms := w.activeCluster("a", "b")
	before := w.record(cluster)
	frozen := w.pid(hsms[0])
	w.kill(hsms[0], syscall.SIGSTOP)
	w.await(cluster, "fences the frozen HSM", hsmInState(hsms[0], types.HsmStateDegraded))
	w.createUser(w.asAdmin(cluster), "alice")
	w.await(cluster, "is whole", active(hsms...))
	if err := syscall.Kill(frozen, 0); err != syscall.ESRCH {
		t.Errorf("the frozen process is still there: %v", err)
	}
	after := w.record(cluster)
	if after.Hsms[0].Node == before.Hsms[0].Node || after.Epoch <= before.Epoch {
		t.Errorf("node %s, epoch %d; before %s, %d", after.Hsms[0].Node, after.Epoch, before.Hsms[0].Node, before.Epoch)
	}
	w.lose(hsms[1])
	w.await(cluster, "shows the loss", hsmInState(hsms[1], types.HsmStateDegraded))
	w.asAdmin(cluster)
	w.hasUser(cluster, "alice")
}

func TestEverythingKilledAndRestarted(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a", "b", "c")
	w.createUser(w.asAdmin(cluster), "alice")
	for _, id := range hsms {
		w.kill(id, syscall.SIGKILL)
	}
	w.restart()
	w.await(cluster, "is whole", active(hsms...))
	w.asAdmin(cluster)
	w.hasUser(cluster, "alice")
}

// The installation starts without the storage of one of two HSMs.
func TestRestartWithoutOneOfTwo(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a", "b")
	w.createUser(w.asAdmin(cluster), "alice")
	w.stop()
	w.must(os.RemoveAll(w.fleet.folder(hsms[0])))
	w.start(false)
	w.await(cluster, "shows the loss", hsmInState(hsms[0], types.HsmStateDegraded))
	w.createUser(w.asAdmin(cluster), "bob")
	w.hasUser(cluster, "alice")
}

// The last HSM is backed up before it goes, and the next HSM has its users and keys (statements 21 and 22).
func TestLastHSMIsRestored(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a", "b")
	w.createUser(w.asAdmin(cluster), "alice")
	for _, id := range hsms {
		w.deleteHsm(cluster, id)
	}
	c := w.await(cluster, "is empty", active())
	if c.State != types.ClusterStateActive || aws.ToString(c.Certificates.ClusterCertificate) == "" {
		t.Errorf("the empty cluster is %s with certificate %q", c.State, aws.ToString(c.Certificates.ClusterCertificate))
	}
	w.restart()
	first := w.createHsm(cluster, "c")
	w.await(cluster, "has an HSM again", active(first))
	w.createUser(w.asAdmin(cluster), "bob")
	second := w.createHsm(cluster, "a")
	w.await(cluster, "has two HSMs", active(first, second))
	w.restart()
	w.await(cluster, "has two HSMs", active(first, second))
	w.asAdmin(cluster)
	w.hasUser(cluster, "alice")
	w.hasUser(cluster, "bob")
}

// Work that was under way goes on at the next start.
func TestCreationSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	cluster := w.createCluster()
	hsm := w.createHsm(cluster, "a")
	w.restart()
	w.await(cluster, "has its HSM", active(hsm))
	w.initialize(cluster)
	w.deleteHsm(cluster, hsm)
	w.restart()
	w.await(cluster, "has no HSM", active())
}
