package hsmclient

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var encrypting = hsmproto.CryptRequest{ID: []byte{1}, Mechanism: hsmproto.MechanismXAES256GCM, Data: []byte("text")}

func TestCallsTakeTurns(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	for range 10 {
		_, err := client.Encrypt(t.Context(), encrypting)
		must(t, err)
	}
	if a, b := hsms[0].count(hsmproto.OpEncrypt), hsms[1].count(hsmproto.OpEncrypt); a != 5 || b != 5 {
		t.Errorf("the HSMs got %d and %d of 10 calls", a, b)
	}
}

func TestConnectNeedsOneHsm(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	hsms[0].kill()
	client := fake.client(t, nil, hsms...)
	must(t, client.Connect(t.Context()))
	hsms[1].kill()
	other := fake.client(t, nil, hsms...)
	err := other.Connect(t.Context())
	if !errors.Is(err, ErrUnreachable) {
		t.Fatalf("without any HSM: %v", err)
	}
	for _, h := range hsms {
		if !strings.Contains(err.Error(), h.address) {
			t.Errorf("the error does not speak of %s: %v", h.address, err)
		}
	}
}

// cloudhsm-cli.md 12, statement 40, and hsm.md 12, statement 41.
func TestUntrustedHsmGetsNothing(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	other, _ := newFakeCluster(t, 1)
	tests := map[string]func(*Config){
		"another CA":             func(c *Config) { c.TrustAnchor = other.authority.pem() },
		"another cluster's leaf": func(c *Config) { c.ClusterCertificate = leafPEM(other) },
		"expired":                func(c *Config) { c.Now = func() time.Time { return time.Now().AddDate(1, 0, 0) } },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			err := fake.client(t, change, hsms...).Connect(t.Context())
			if !errors.Is(err, ErrUntrusted) || errors.Is(err, ErrUnreachable) {
				t.Fatalf("%v", err)
			}
			if len(hsms[0].asked) != 0 {
				t.Error("a request was sent")
			}
		})
	}
	exact := func(c *Config) { c.ClusterCertificate = leafPEM(fake) }
	must(t, fake.client(t, exact, hsms...).Connect(t.Context()))
}

func leafPEM(c *fakeCluster) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.identity.Certificate[0]})
}

func TestNewRefusesBadTrust(t *testing.T) {
	fake, _ := newFakeCluster(t, 1)
	key, err := x509.MarshalPKCS8PrivateKey(fake.authority.key)
	must(t, err)
	bad := map[string][]byte{
		"nothing": nil,
		"text":    []byte("hello"),
		"a key":   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"broken":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1, 2}}),
	}
	for name, anchor := range bad {
		_, err := New(Config{Addresses: func(context.Context) ([]string, error) { return nil, nil }, TrustAnchor: anchor})
		if err == nil {
			t.Errorf("%s was accepted as a trust anchor", name)
		}
	}
}

func TestFailoverWithinACall(t *testing.T) {
	for name, what := range map[string]fate{
		"lost before": cutBefore, "lost after": cutAfter, "hung": ignore,
		"unavailable": unavailing, "login forgotten": forgetting,
	} {
		t.Run(name, func(t *testing.T) {
			fake, hsms := newFakeCluster(t, 2)
			client := fake.connected(t, nil, hsms...)
			fake.decide(func(h *fakeHsm, op hsmproto.Op) fate {
				if h == hsms[0] && (op == hsmproto.OpEncrypt || what == ignore) {
					return what
				}
				return serve
			})
			for range 4 {
				text, err := client.Encrypt(t.Context(), encrypting)
				if err != nil || string(text) != "text" {
					t.Fatalf("%q, %v", text, err)
				}
			}
		})
	}
}

func TestKillUnderLoad(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	var done atomic.Bool
	var calls atomic.Int64
	errs := make(chan error, 64)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for !done.Load() {
				if _, err := client.Encrypt(t.Context(), encrypting); err != nil {
					errs <- err
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := range 6 { // one after the other: one is always alive
		h := hsms[i%2]
		h.kill()
		eventually(t, client, "loss noticed", func(s []HsmState) bool { return !s[i%2].Connected })
		h.start()
		eventually(t, client, "logged in again", allLoggedIn(2))
	}
	done.Store(true)
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if calls.Load() == 0 {
		t.Error("no call was made")
	}
}

func TestCallWaitsForARestart(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	hsms[0].kill()
	eventually(t, client, "loss noticed", func(s []HsmState) bool { return !s[0].Connected })
	result := make(chan error)
	go func() {
		_, err := client.Encrypt(t.Context(), encrypting)
		result <- err
	}()
	hsms[0].start()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestLongOutageFailsFast(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	client.timing.patience = 50 * time.Millisecond
	hsms[0].kill()
	if _, err := client.Encrypt(t.Context(), encrypting); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("first: %v", err)
	}
	began := time.Now()
	if _, err := client.Encrypt(t.Context(), encrypting); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("second: %v", err)
	}
	if took := time.Since(began); took > client.timing.patience {
		t.Errorf("the second call waited again: %v", took)
	}
}

func TestContextEndsWaiting(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	hsms[0].kill()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := client.Encrypt(ctx, encrypting)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestNewHsmJoins(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	var mu sync.Mutex
	addresses := []string{hsms[0].address}
	client := fake.connected(t, func(c *Config) {
		c.Refresh = 10 * time.Millisecond
		c.Addresses = func(context.Context) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(addresses), nil
		}
	})
	set := func(list ...string) {
		mu.Lock()
		defer mu.Unlock()
		addresses = list
	}
	set(hsms[1].address, hsms[0].address)
	eventually(t, client, "both logged in", allLoggedIn(2))
	set(hsms[1].address)
	eventually(t, client, "only the new one", func(s []HsmState) bool { return len(s) == 1 && s[0].Address == hsms[1].address })
	_, err := client.Encrypt(t.Context(), encrypting)
	must(t, err)
}

func TestSessionsAreLimited(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, func(c *Config) { c.MaxSessions = 2 }, hsms...)
	client.inFlight.Add(2)
	if _, err := client.Encrypt(t.Context(), encrypting); !errors.Is(err, ErrNoSession) {
		t.Fatalf("with all sessions in use: %v", err)
	}
	client.inFlight.Add(-1)
	if _, err := client.Encrypt(t.Context(), encrypting); err != nil {
		t.Fatalf("with one session free: %v", err)
	}
	if n := client.inFlight.Load(); n != 1 {
		t.Errorf("%d sessions in use afterwards instead of 1", n)
	}
}

func TestLostReplyOfGenerateKey(t *testing.T) {
	for name, what := range map[string]fate{"before": cutBefore, "after": cutAfter} {
		t.Run(name, func(t *testing.T) {
			fake, hsms := newFakeCluster(t, 2)
			client := fake.connected(t, nil, hsms...)
			fake.decide(func(h *fakeHsm, op hsmproto.Op) fate {
				if h == hsms[0] && op == hsmproto.OpGenerateKey {
					return what
				}
				return serve
			})
			key, err := client.GenerateKey(t.Context(), hsmproto.GenerateKeyRequest{Label: "l", ID: []byte{7}, Length: 32})
			if err != nil || key.Label != "l" {
				t.Fatalf("%+v, %v", key, err)
			}
			if len(fake.keys) != 1 {
				t.Errorf("%d keys were made", len(fake.keys))
			}
		})
	}
}

// Without an id nobody can tell whether the key was made.
func TestLostReplyOfGenerateKeyWithoutID(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	fake.decide(func(_ *fakeHsm, op hsmproto.Op) fate {
		if op == hsmproto.OpGenerateKey {
			return cutAfter
		}
		return serve
	})
	_, err := client.GenerateKey(t.Context(), hsmproto.GenerateKeyRequest{Label: "l", Length: 32})
	if !errors.Is(err, ErrAmbiguous) {
		t.Errorf("%v", err)
	}
	if len(fake.keys) != 1 {
		t.Errorf("%d keys were made", len(fake.keys))
	}
}

func TestUnavailableGenerateKeyIsAmbiguous(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	fake.decide(func(_ *fakeHsm, op hsmproto.Op) fate {
		if op == hsmproto.OpGenerateKey {
			return unavailing
		}
		return serve
	})
	_, err := client.GenerateKey(t.Context(), hsmproto.GenerateKeyRequest{Label: "l", ID: []byte{7}, Length: 32})
	if !errors.Is(err, ErrAmbiguous) || !errors.Is(err, errUnavailable) {
		t.Errorf("%v", err)
	}
}

// An HSM that cannot agree with the others does not keep a key from being made.
func TestGenerateKeyElsewhere(t *testing.T) {
	fake, hsms := newFakeCluster(t, 3)
	client := fake.connected(t, nil, hsms...)
	fake.decide(func(h *fakeHsm, op hsmproto.Op) fate {
		if h != hsms[2] && op == hsmproto.OpGenerateKey {
			return unavailing
		}
		return serve
	})
	_, err := client.GenerateKey(t.Context(), hsmproto.GenerateKeyRequest{Label: "l", ID: []byte{7}, Length: 32})
	must(t, err)
}

func TestInfoLeavesOutWhoHasNotJoined(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	fake.decide(func(h *fakeHsm, op hsmproto.Op) fate {
		if h == hsms[0] && op == hsmproto.OpInfo {
			return unavailing
		}
		return serve
	})
	infos, err := client.Info(t.Context())
	if err != nil || len(infos) != 1 || infos[0].HsmID != hsms[1].address {
		t.Errorf("%+v, %v", infos, err)
	}
}

func TestLostReplyOfDeleteKey(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	key, err := client.GenerateKey(t.Context(), hsmproto.GenerateKeyRequest{Label: "l", ID: []byte{7}, Length: 32})
	must(t, err)
	fake.decide(func(h *fakeHsm, op hsmproto.Op) fate {
		if h == hsms[0] && op == hsmproto.OpDeleteKey {
			return cutAfter
		}
		return serve
	})
	must(t, client.DeleteKey(t.Context(), key.Reference))
	if hsms[0].count(hsmproto.OpDeleteKey) == 0 {
		t.Fatal("no reply was lost")
	}
	fake.decide(nil)
	if err := client.DeleteKey(t.Context(), key.Reference); !errors.Is(err, errKeyNotFound) {
		t.Errorf("deleting a key that is not there: %v", err)
	}
}

func TestOperations(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	infos, err := client.Info(t.Context())
	if err != nil || len(infos) != 2 || infos[0].HsmID != hsms[0].address {
		t.Errorf("Info: %+v, %v", infos, err)
	}
	users, err := client.Users(t.Context())
	if err != nil || len(users.Users) != 1 {
		t.Errorf("Users: %+v, %v", users, err)
	}
	random, err := client.Random(t.Context(), 17)
	if err != nil || len(random) != 17 {
		t.Errorf("Random: %d bytes, %v", len(random), err)
	}
	text, err := client.Decrypt(t.Context(), encrypting)
	if err != nil || string(text) != "text" {
		t.Errorf("Decrypt: %q, %v", text, err)
	}
	if _, err := client.CreateUser(t.Context(), "u", hsmproto.RoleAdmin, secret.FromString("1234567")); !errors.Is(err, refuse(hsmproto.CodeBadRequest)) {
		t.Errorf("a refusal does not come through: %v", err)
	}
}

func TestClosedCluster(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	must(t, client.Close())
	must(t, client.Close())
	for name, err := range map[string]error{
		"Connect": client.Connect(t.Context()),
		"Logout":  client.Logout(t.Context()),
		"Encrypt": func() error { _, err := client.Encrypt(t.Context(), encrypting); return err }(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkEncrypt(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			fake, hsms := newFakeCluster(b, 2)
			client := fake.connected(b, nil, hsms...)
			client.timing = defaultTiming
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := client.Encrypt(b.Context(), encrypting); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
