package hsmtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/hsmtest"
	"keyward/internal/secret"
)

func TestMain(m *testing.M) {
	hsmtest.RunHsm()
	os.Exit(m.Run())
}

var (
	keyID  = []byte{0xab, 0x01}
	refuse = func(code hsmproto.Code) error { return &hsmproto.Error{Code: code} }
)

func generate(t *testing.T, client *hsmclient.Cluster) hsmproto.Key {
	t.Helper()
	key, err := client.GenerateKey(t.Context(), hsmproto.GenerateKeyRequest{
		Label: "label", ID: keyID, Length: 32, Set: map[string]bool{"encrypt": true, "decrypt": true},
	})
	must(t, err)
	return key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func crypt(data []byte) hsmproto.CryptRequest {
	return hsmproto.CryptRequest{ID: keyID, Mechanism: hsmproto.MechanismXAES256GCM, Data: data}
}

// One HSM of two is killed; calls go on; it comes back and is used again without anybody's help.
func TestKillAndReturn(t *testing.T) {
	cluster := hsmtest.Start(t, 2)
	cluster.Activate("alice")
	client := cluster.Client()
	_, err := client.Login(t.Context(), hsmtest.User("alice"))
	must(t, err)
	generate(t, client)
	sealed, err := client.Encrypt(t.Context(), crypt([]byte("text")))
	must(t, err)
	cluster.Hsms[0].Kill()
	for range 4 {
		text, err := client.Decrypt(t.Context(), crypt(sealed))
		if err != nil || string(text) != "text" {
			t.Fatalf("%q, %v", text, err)
		}
	}
	cluster.Hsms[0].Start()
	cluster.AwaitLogins(client)
	cluster.Hsms[1].Kill()
	text, err := client.Decrypt(t.Context(), crypt(sealed))
	if err != nil || string(text) != "text" {
		t.Errorf("on the HSM that came back: %q, %v", text, err)
	}
}

// Eight callers at work, HSMs killed one after the other: no call fails.
func TestKillsUnderLoad(t *testing.T) {
	cluster := hsmtest.Start(t, 2)
	cluster.Activate("alice")
	client := cluster.Client()
	_, err := client.Login(t.Context(), hsmtest.User("alice"))
	must(t, err)
	generate(t, client)
	stop := load(t, client)
	for i := range 2 {
		h := cluster.Hsms[i]
		h.Kill()
		h.Start()
		cluster.AwaitLogins(client)
	}
	stop()
}

// An HSM that hangs instead of dying is found out: calls in progress on it go elsewhere.
func TestHungHsm(t *testing.T) {
	cluster := hsmtest.Start(t, 2)
	cluster.Activate("alice")
	client := cluster.Client()
	_, err := client.Login(t.Context(), hsmtest.User("alice"))
	must(t, err)
	generate(t, client)
	cluster.AwaitLogins(client) // the other HSM cannot log anybody in while the leader hangs
	stop := load(t, client)
	cluster.Hsms[0].Pause()
	cluster.AwaitLoss(client, cluster.Hsms[0])
	stop()
	cluster.Hsms[0].Resume()
	cluster.AwaitLogins(client)
}

// load keeps eight callers encrypting and decrypting until it is stopped.
func load(t *testing.T, client *hsmclient.Cluster) (stop func()) {
	var wg sync.WaitGroup
	var stopped atomic.Bool
	var calls atomic.Int64
	for range 8 {
		wg.Go(func() {
			for !stopped.Load() {
				if err := roundTrip(t.Context(), client); err != nil {
					t.Errorf("after %d calls: %v", calls.Load(), err)
					return
				}
				calls.Add(2)
			}
		})
	}
	return func() {
		stopped.Store(true)
		wg.Wait()
		if calls.Load() == 0 {
			t.Error("no call was made")
		}
	}
}

func roundTrip(ctx context.Context, client *hsmclient.Cluster) error {
	sealed, err := client.Encrypt(ctx, crypt([]byte("text")))
	if err != nil {
		return err
	}
	text, err := client.Decrypt(ctx, crypt(sealed))
	if err == nil && string(text) != "text" {
		err = fmt.Errorf("decrypted to %q", text)
	}
	return err
}

// spec hsm 12, statements 11 and 12: the fifth wrong password locks.
func TestLockOut(t *testing.T) {
	hsmtest.Sequential(t)
	cluster := hsmtest.Start(t, 1)
	cluster.Activate("alice")
	client := cluster.Client()
	wrong := hsmtest.User("alice")
	wrong.Password = secret.FromString("wrong-password")
	for i := range 5 {
		if _, err := client.Login(t.Context(), wrong); !errors.Is(err, refuse(hsmproto.CodeIncorrectCredentials)) {
			t.Fatalf("attempt %d: %v", i+1, err)
		}
	}
	if _, err := client.Login(t.Context(), hsmtest.User("alice")); !errors.Is(err, refuse(hsmproto.CodeLocked)) {
		t.Errorf("the right password after five wrong ones: %v", err)
	}
}

// spec hsm 12, statements 17 to 19: who may be logged in beside whom.
func TestSessionsOfSeveralClients(t *testing.T) {
	hsmtest.Sequential(t)
	cluster := hsmtest.Start(t, 1)
	cluster.Activate("kmsuser")
	person, connector, admin := cluster.Client(), cluster.Client(), cluster.Client()
	_, err := admin.Login(t.Context(), hsmtest.Admin())
	must(t, err)
	_, err = person.Login(t.Context(), hsmtest.User("kmsuser"))
	must(t, err)
	exclusive := hsmtest.User("kmsuser")
	exclusive.Exclusive = true
	if _, err := connector.Login(t.Context(), exclusive); !errors.Is(err, refuse(hsmproto.CodeUserLoggedIn)) {
		t.Errorf("an exclusive login beside another: %v", err)
	}
	fresh := secret.FromString("another-password")
	if _, err := admin.ChangePassword(t.Context(), "kmsuser", hsmproto.RoleCryptoUser, fresh); !errors.Is(err, refuse(hsmproto.CodeUserLoggedIn)) {
		t.Errorf("a password change while the user is logged in: %v", err)
	}
	must(t, person.Logout(t.Context()))
	_, err = connector.Login(t.Context(), exclusive)
	must(t, err)
	if _, err := person.Login(t.Context(), hsmtest.User("kmsuser")); !errors.Is(err, refuse(hsmproto.CodeUserExclusive)) {
		t.Errorf("a login beside an exclusive one: %v", err)
	}
	_, err = connector.ChangePassword(t.Context(), "kmsuser", hsmproto.RoleCryptoUser, fresh)
	must(t, err)
}

func BenchmarkEncrypt(b *testing.B) {
	cluster := hsmtest.Start(b, 2)
	cluster.Activate("alice")
	client := cluster.Client()
	if _, err := client.Login(b.Context(), hsmtest.User("alice")); err != nil {
		b.Fatal(err)
	}
	_, err := client.GenerateKey(b.Context(), hsmproto.GenerateKeyRequest{ID: keyID, Length: 32, Set: map[string]bool{"encrypt": true}})
	if err != nil {
		b.Fatal(err)
	}
	request := crypt(make([]byte, 64))
	b.SetParallelism(64)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Encrypt(b.Context(), request); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
