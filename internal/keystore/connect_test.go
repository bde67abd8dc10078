package keystore_test

import (
	"context"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/connection"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/keystore"
)

// human is somebody at the operators' shell.
const human = "a person"

func TestConnect15to17and33(t *testing.T) {
	w := newWorld(t)
	id := w.made()
	h := w.plane.hsms(clusterA)
	w.plane.alter(clusterA, func(c *planeCluster) { c.Hsms = c.Hsms[:1] }) // 15: one HSM is enough
	arrived, release := h.hold("Connect")
	w.must(w.connect(id))
	<-arrived
	w.await(id, connection.Connecting)
	w.must(w.connect(id)) // no second attempt
	release()
	if e := w.await(id, connection.Connected); e.ConnectionErrorCode != "" {
		t.Errorf("%+v", e)
	}
	rotated := h.password()
	if rotated == password || len(rotated) != 32 {
		t.Errorf("16: the password was not rotated: %d characters", len(rotated))
	}
	h.logout("nobody")
	if err := h.login(human, "kmsuser", password, false); !isCode(err, hsmproto.CodeUserExclusive) {
		t.Errorf("a person can log in beside the store: %v", err)
	}
	w.must(w.connect(id)) // 33
	if h.password() != rotated {
		t.Error("33: connecting a connected store rotated the password")
	}
	w.must(w.disconnect(id))
	w.await(id, connection.Disconnected)
	if err := h.login(human, "kmsuser", password, false); !isCode(err, hsmproto.CodeIncorrectCredentials) {
		t.Errorf("16: the old password: %v", err)
	}
	w.must(w.connect(id))
	w.await(id, connection.Connected)
	if h.password() == rotated {
		t.Error("17: the password did not change again")
	}
}

// hold makes the next operation of this name wait: arrived says that it is there, release lets it go on.
func (h *hsms) hold(name string) (arrived <-chan struct{}, release func()) {
	there, gone := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.set(func(h *hsms) {
		h.hook = func(ctx context.Context, op string, applied bool) error {
			if op != name || applied {
				return nil
			}
			once.Do(func() { close(there) })
			select {
			case <-gone:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return there, func() { close(gone) }
}

func TestFailures18to26(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*world, *hsms)
		want    types.ConnectionErrorCodeType
		failed  int // logins counted in all
	}{
		{"18 the cluster was deleted", func(w *world, _ *hsms) { w.plane.alter(clusterA, nil) },
			types.ConnectionErrorCodeTypeClusterNotFound, 0},
		{"19 no HSM", func(w *world, _ *hsms) {
			w.plane.alter(clusterA, func(c *planeCluster) { c.Hsms, c.Active = nil, false })
		},
			types.ConnectionErrorCodeTypeInsufficientCloudhsmHsms, 0},
		{"20 a full subnet", func(w *world, _ *hsms) {
			w.plane.alter(clusterA, func(c *planeCluster) { c.subnets = keystore.ErrSubnetFull })
		}, types.ConnectionErrorCodeTypeInsufficientFreeAddressesInSubnet, 0},
		{"21 a deleted subnet", func(w *world, _ *hsms) {
			w.plane.alter(clusterA, func(c *planeCluster) { c.subnets = keystore.ErrSubnetNotFound })
		}, types.ConnectionErrorCodeTypeSubnetNotFound, 0},
		{"22 HSMs that do not answer", func(_ *world, h *hsms) { h.set(func(h *hsms) { h.down = true }) },
			types.ConnectionErrorCodeTypeNetworkErrors, 0},
		{"22 HSMs that are not the cluster's", func(_ *world, h *hsms) {
			h.fault("Connect", false, hsmclient.ErrUntrusted)
		}, types.ConnectionErrorCodeTypeNetworkErrors, 0},
		{"HSMs that answer and cannot agree", func(_ *world, h *hsms) { h.set(func(h *hsms) { h.disagree = true }) },
			types.ConnectionErrorCodeTypeInternalError, 0},
		{"23 no kmsuser", func(_ *world, h *hsms) { h.set(func(h *hsms) { delete(h.users, "kmsuser") }) },
			types.ConnectionErrorCodeTypeUserNotFound, 0},
		{"23 kmsuser is an admin", func(_ *world, h *hsms) { h.set(func(h *hsms) { h.users["kmsuser"].role = hsmproto.RoleAdmin }) },
			types.ConnectionErrorCodeTypeUserNotFound, 0},
		{"24 somebody is logged in", func(w *world, h *hsms) { w.must(h.login(human, "kmsuser", password, false)) },
			types.ConnectionErrorCodeTypeUserLoggedIn, 0},
		{"25 a stale password", func(w *world, h *hsms) { w.must(h.reset("ChangedByAdmin")) },
			types.ConnectionErrorCodeTypeInvalidCredentials, 1},
		{"26 locked out", func(_ *world, h *hsms) {
			for range 5 {
				_ = h.login(human, "kmsuser", "wrong", false)
			}
		}, types.ConnectionErrorCodeTypeUserLockedOut, 5},
		{"an answer that has no code", func(_ *world, h *hsms) { h.fault("Users", false, refuse(hsmproto.CodeInternal)) },
			types.ConnectionErrorCodeTypeInternalError, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.made()
			h := w.plane.hsms(clusterA)
			test.prepare(w, h)
			if got := w.failing(id); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if h.failed() != test.failed {
				t.Errorf("%d failed logins, want %d", h.failed(), test.failed)
			}
			w.wants(w.connect(id), "CustomKeyStoreInvalidStateException") // 29
			w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{NewCustomKeyStoreName: aws.String("x")}),
				"CustomKeyStoreInvalidStateException") // 30
			if e := w.describe(id); e.ConnectionState != connection.Failed || e.ConnectionErrorCode != test.want {
				t.Errorf("29: %+v", e)
			}
			w.must(w.disconnect(id)) // 31
			if e := w.await(id, connection.Disconnected); e.ConnectionErrorCode != "" {
				t.Errorf("31: %s", e.ConnectionErrorCode)
			}
			if got := w.record(id).LastErrorCode; got != test.want {
				t.Errorf("operators see %s", got)
			}
			w.wants(w.disconnect(id), "CustomKeyStoreInvalidStateException") // 32
			if test.want == types.ConnectionErrorCodeTypeUserLoggedIn && h.sessions[human].user != "kmsuser" {
				t.Error("24: the session of the human did not survive")
			}
		})
	}
}

// fault makes operations of this name fail; applied says whether they take effect before.
func (h *hsms) fault(name string, applied bool, err error) {
	h.set(func(h *hsms) {
		h.hook = func(_ context.Context, op string, done bool) error {
			if op == name && done == applied {
				return err
			}
			return nil
		}
	})
}

func TestConnectRefusedAtOnce(t *testing.T) {
	tests := []struct {
		name   string
		change func(*planeCluster)
		want   string
	}{
		{"not active", func(c *planeCluster) { c.Active, c.Serving = false, false }, "CloudHsmClusterNotActiveException"},
		{"subnets in one zone", func(c *planeCluster) { c.Zones = c.Zones[:1] }, "CloudHsmClusterInvalidConfigurationException"},
		{"rules missing", func(c *planeCluster) { c.open = false }, "CloudHsmClusterInvalidConfigurationException"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.made()
			w.plane.alter(clusterA, test.change)
			w.wants(w.connect(id), test.want)
			if e := w.describe(id); e.ConnectionState != connection.Disconnected || e.ConnectionErrorCode != "" {
				t.Errorf("%+v", e)
			}
		})
	}
	w := newWorld(t)
	w.wants(w.connect("cks-00000000000000000"), "CustomKeyStoreNotFoundException")
	w.wants(w.disconnect("cks-00000000000000000"), "CustomKeyStoreNotFoundException")
}

func TestLockOutAndRepair25to27(t *testing.T) {
	w := newWorld(t)
	id, err := w.create(createInput("Store", clusterA, "WrongPassword"))
	w.must(err)
	h := w.plane.hsms(clusterA)
	for attempt := 1; attempt <= 5; attempt++ {
		if got := w.failing(id); got != types.ConnectionErrorCodeTypeInvalidCredentials {
			t.Fatalf("attempt %d: %s", attempt, got)
		}
		if h.failed() != attempt {
			t.Fatalf("attempt %d: %d failed logins", attempt, h.failed())
		}
		w.must(w.disconnect(id))
		w.await(id, connection.Disconnected)
	}
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{KeyStorePassword: aws.String(password)}))
	if got := w.failing(id); got != types.ConnectionErrorCodeTypeUserLockedOut {
		t.Fatalf("26: %s with the right password", got)
	}
	w.must(h.reset("RepairedByAdmin"))
	w.must(w.disconnect(id))
	w.await(id, connection.Disconnected)
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{KeyStorePassword: aws.String("RepairedByAdmin")}))
	w.must(w.connect(id))
	w.await(id, connection.Connected) // 27
}

func TestDisconnectCancels65(t *testing.T) {
	for _, step := range []string{"Connect", "Users", "Login", "ChangePassword"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			id := w.made()
			arrived, _ := w.plane.hsms(clusterA).hold(step)
			w.must(w.connect(id))
			<-arrived
			w.must(w.disconnect(id))
			w.await(id, connection.Disconnected)
			if e := w.describe(id); e.ConnectionState != connection.Disconnected || e.ConnectionErrorCode != "" {
				t.Errorf("%+v", e)
			}
			w.plane.hsms(clusterA).set(func(h *hsms) { h.hook = nil })
			w.must(w.connect(id))
			w.await(id, connection.Connected)
		})
	}
}

// An attempt that does not notice its cancellation, and finishes after the store was disconnected and connected again,
// writes nothing.
func TestLateAttemptWritesNothing65(t *testing.T) {
	w := newWorld(t)
	id := w.made()
	h := w.plane.hsms(clusterA)
	arrived, gone := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.set(func(h *hsms) {
		h.hook = func(_ context.Context, op string, applied bool) error {
			if op == "ChangePassword" && applied {
				once.Do(func() { close(arrived); <-gone })
			}
			return nil
		}
	})
	w.must(w.connect(id))
	<-arrived
	done := make(chan error, 1)
	go func() { done <- w.disconnect(id) }()
	w.await(id, connection.Disconnecting)
	close(gone)
	w.must(<-done)
	w.await(id, connection.Disconnected)
	w.must(w.connect(id)) // the candidate was kept, so this needs nobody
	w.await(id, connection.Connected)
	if h.failed() != 0 {
		t.Errorf("%d failed logins", h.failed())
	}
}

func TestRestart(t *testing.T) {
	t.Run("CONNECTED gets its sessions back without rotation", func(t *testing.T) {
		w := newWorld(t)
		id := w.connected()
		h := w.plane.hsms(clusterA)
		k := w.key("1234abcd-12ab-34cd-56ef-1234567890ab", id)
		sealed, err := w.m.Seal(t.Context(), k, nil, []byte("x"))
		w.must(err)
		rotated := h.password()
		h.set(func(h *hsms) { h.down = true })
		w.restart()
		if e := w.describe(id); e.ConnectionState != connection.Connected || !w.m.Available(k) {
			t.Fatalf("%+v", e)
		}
		_, err = w.m.Open(t.Context(), k, &k.Material, nil, sealed)
		w.wants(err, "KMSInvalidStateException")
		h.set(func(h *hsms) { h.down = false })
		w.eventually(func() bool {
			_, err = w.m.Open(t.Context(), k, &k.Material, nil, sealed)
			return err == nil
		})
		if h.password() != rotated || h.failed() != 0 {
			t.Error("the password was changed, or guessed at")
		}
	})
	t.Run("CONNECTED with a password changed meanwhile offers it once", func(t *testing.T) {
		w := newWorld(t)
		id := w.connected()
		h := w.plane.hsms(clusterA)
		k := w.key("1234abcd-12ab-34cd-56ef-1234567890ab", id)
		w.kill()
		w.must(h.reset("ChangedByAdmin"))
		w.start()
		for range 3 {
			_, err := w.m.Seal(t.Context(), k, nil, []byte("x"))
			w.wants(err, "KMSInvalidStateException")
		}
		if h.failed() != 1 {
			t.Errorf("%d failed logins", h.failed())
		}
		if e := w.describe(id); e.ConnectionState != connection.Connected {
			t.Errorf("it left CONNECTED by itself: %s", e.ConnectionState)
		}
	})
	t.Run("CONNECTING goes on", func(t *testing.T) {
		w := newWorld(t)
		id := w.made()
		h := w.plane.hsms(clusterA)
		arrived, _ := h.hold("Users")
		w.must(w.connect(id))
		<-arrived
		w.kill()
		h.set(func(h *hsms) { h.hook = nil })
		w.start()
		w.await(id, connection.Connected)
	})
	t.Run("CONNECTING fails cleanly", func(t *testing.T) {
		w := newWorld(t)
		id := w.made()
		h := w.plane.hsms(clusterA)
		arrived, _ := h.hold("Users")
		w.must(w.connect(id))
		<-arrived
		w.kill()
		h.set(func(h *hsms) { h.hook, h.users = nil, nil })
		w.start()
		if e := w.await(id, connection.Failed); e.ConnectionErrorCode != types.ConnectionErrorCodeTypeUserNotFound {
			t.Errorf("%s", e.ConnectionErrorCode)
		}
	})
	t.Run("DISCONNECTING is finished", func(t *testing.T) {
		w := newWorld(t)
		id := w.connected()
		h := w.plane.hsms(clusterA)
		arrived, release := h.hold("Logout")
		done := make(chan error, 1)
		go func() { done <- w.disconnect(id) }()
		<-arrived
		w.gate.close()
		release()
		w.restart()
		<-done // its answer reached nobody
		w.await(id, connection.Disconnected)
	})
	t.Run("FAILED stays", func(t *testing.T) {
		w := newWorld(t)
		id := w.made()
		w.plane.alter(clusterA, func(c *planeCluster) { c.Hsms = nil })
		code := w.failing(id)
		w.restart()
		if e := w.describe(id); e.ConnectionState != connection.Failed || e.ConnectionErrorCode != code {
			t.Errorf("%+v", e)
		}
	})
}
