package keystore_test

import (
	"flag"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/connection"
	"keyward/internal/hsmproto"
	"keyward/internal/hsmtest"
	"keyward/internal/keystore"
	"keyward/internal/kms"
	"keyward/internal/secret"
)

func TestMain(m *testing.M) {
	hsmtest.RunHsm()
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked { // each check opens databases; -rapid.checks=1000 takes the time
		if err := flag.Set("rapid.checks", "25"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// realWorld is a world whose one cluster are two HSM processes with a crypto user kmsuser.
func realWorld(t *testing.T) (*world, *hsmtest.Cluster, *awskms.CreateCustomKeyStoreInput) {
	c := hsmtest.Start(t, 2)
	c.Activate("kmsuser")
	w := &world{t: t, plane: newPlane(), now: time.Now}
	w.timing.Arrival = time.Minute // under the race detector each login takes seconds
	seen := keystore.Cluster{
		ID: c.ID, Active: true, Serving: true, Certificate: c.Certificate, Zones: []string{"us-east-1a", "us-east-1b"},
	}
	for i, h := range c.Hsms {
		seen.Hsms = append(seen.Hsms, keystore.Hsm{ID: h.ID, Address: h.Address, Zone: seen.Zones[i]})
	}
	w.plane.clusters[c.ID] = &planeCluster{Cluster: seen, open: true}
	w.begin()
	in := createInput("Store", c.ID, hsmtest.UserPassword)
	in.TrustAnchorCertificate = aws.String(string(c.CA))
	return w, c, in
}

// The life of a store on real HSMs: connect, rotation, exclusive use, the loss of an HSM under load, a restart, the
// failures that a person at the shell causes, and the repair.
func TestRealHSMs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts HSM processes")
	}
	w, c, in := realWorld(t)
	id, err := w.create(in)
	w.must(err)
	w.must(w.connect(id))
	w.await(id, connection.Connected)
	k := w.key(keyID, id)
	sealed, err := w.m.Seal(t.Context(), k, []byte("context"), []byte("plaintext"))
	w.must(err)
	opens := func() {
		t.Helper()
		if got, err := w.m.Open(t.Context(), k, &k.Material, []byte("context"), sealed); err != nil || string(got) != "plaintext" {
			t.Fatalf("%q, %v\n%s", got, err, w.log.String())
		}
	}
	opens()
	if _, err := w.m.Open(t.Context(), k, &k.Material, []byte("another"), sealed); err != kms.ErrBadCiphertext {
		t.Errorf("another context: %v", err)
	}
	w.m.TakeInventory(t.Context())
	if !w.m.Available(k) {
		t.Error("the inventory does not find the key")
	}
	shell := c.Client()
	if _, err := shell.Login(t.Context(), hsmtest.User("kmsuser")); !isCode(err, hsmproto.CodeUserExclusive) {
		t.Errorf("a person beside the store: %v", err)
	}

	t.Run("an HSM is killed under load", func(t *testing.T) {
		stop := make(chan struct{})
		var users sync.WaitGroup
		var calls atomic.Int64
		running := make(chan struct{})
		var once sync.Once
		for range 4 {
			users.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := w.m.Seal(t.Context(), k, nil, []byte("x")); err != nil {
						t.Error(err)
						return
					}
					if calls.Add(1) == 100 {
						once.Do(func() { close(running) })
					}
				}
			})
		}
		<-running
		c.Hsms[0].Kill()
		opens()
		c.Hsms[0].Start()
		close(stop)
		users.Wait()
	})
	t.Run("the process is killed and started again", func(t *testing.T) {
		w.restart()
		opens()
	})
	t.Run("somebody is logged in", func(t *testing.T) {
		w.must(w.disconnect(id))
		w.await(id, connection.Disconnected)
		if _, err := shell.Login(t.Context(), hsmtest.User("kmsuser")); !isCode(err, hsmproto.CodeIncorrectCredentials) {
			t.Errorf("the first password: %v", err)
		}
		admin := c.Client()
		_, err := admin.Login(t.Context(), hsmtest.Admin())
		w.must(err)
		_, err = admin.ChangePassword(t.Context(), "kmsuser", hsmproto.RoleCryptoUser, secret.FromString(hsmtest.UserPassword))
		w.must(err)
		_, err = shell.Login(t.Context(), hsmtest.User("kmsuser"))
		w.must(err)
		if code := w.failing(id); code != "USER_LOGGED_IN" {
			t.Error(code)
		}
		w.must(shell.Logout(t.Context()))
	})
	t.Run("the stored password is stale", func(t *testing.T) {
		w.must(w.disconnect(id))
		w.await(id, connection.Disconnected)
		if code := w.failing(id); code != "INVALID_CREDENTIALS" {
			t.Error(code)
		}
		w.must(w.disconnect(id))
		w.await(id, connection.Disconnected)
		w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{KeyStorePassword: aws.String(hsmtest.UserPassword)}))
		w.must(w.connect(id))
		w.await(id, connection.Connected)
		opens()
	})
	w.must(w.m.Discard(t.Context(), k))
	_, err = w.m.Open(t.Context(), k, &k.Material, nil, sealed)
	w.wants(err, "KMSInvalidStateException")
	contains(t, text(err), "KMS cannot find the key material for")
}
