package keystore_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/arn"
	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/hsmproto"
	"keyward/internal/kms"
)

const keyID = "1234abcd-12ab-34cd-56ef-1234567890ab"

func TestGenerate42(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	w.must(w.m.Admit(t.Context(), scope, id))
	k := w.key(keyID, id)
	h := w.plane.hsms(clusterA)
	held := h.keys[k.Material.BackingKeyID]
	if held == nil || held.Label != k.ARN() || held.Length != 32 || held.Owner != "kmsuser" ||
		held.Attributes["extractable"] || !held.Attributes["encrypt"] || !held.Attributes["decrypt"] {
		t.Fatalf("%+v", held)
	}
	if len(k.Material.BackingKeyID) != 64 || k.Material.ID != "" || k.Material.Wrapped != nil {
		t.Errorf("%+v", k.Material)
	}
	sealed, err := w.m.Seal(t.Context(), k, []byte("context"), []byte("plaintext"))
	w.must(err)
	if got, err := w.m.Open(t.Context(), k, &k.Material, []byte("context"), sealed); err != nil || string(got) != "plaintext" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := w.m.Open(t.Context(), k, &k.Material, []byte("another"), sealed); err != kms.ErrBadCiphertext {
		t.Errorf("another context: %v", err)
	}
	if random, err := w.m.Random(t.Context(), k, 40); err != nil || len(random) != 40 {
		t.Errorf("%d bytes, %v", len(random), err)
	}
}

func TestGenerateRefused43and44(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	k := w.key(keyID, id)
	h := w.plane.hsms(clusterA)
	// 43
	w.plane.alter(clusterA, func(c *planeCluster) { c.Hsms = c.Hsms[:1] })
	h.set(func(h *hsms) { h.size = 1 })
	w.wants(w.m.Admit(t.Context(), scope, id), "CloudHsmClusterInvalidConfigurationException")
	_, err := w.m.Generate(t.Context(), &kms.Key{Scope: scope, ID: "x", StoreID: id})
	w.wants(err, "CloudHsmClusterInvalidConfigurationException")
	if _, err := w.m.Seal(t.Context(), k, nil, nil); err != nil {
		t.Errorf("43: an existing key: %v", err)
	}
	w.plane.alter(clusterA, nil)
	w.wants(w.m.Admit(t.Context(), scope, id), "CloudHsmClusterInvalidConfigurationException")
	// 44
	w.must(w.disconnect(id))
	w.wants(w.m.Admit(t.Context(), scope, id), "CustomKeyStoreInvalidStateException")
	_, err = w.m.Generate(t.Context(), &kms.Key{Scope: scope, ID: "x", StoreID: id})
	w.wants(err, "CustomKeyStoreInvalidStateException")
	w.wants(w.m.Admit(t.Context(), scope, "cks-00000000000000000"), "CustomKeyStoreNotFoundException")
	w.wants(w.m.Admit(t.Context(), arn.Scope{Account: "999999999999", Region: "us-east-1"}, id), "CustomKeyStoreNotFoundException")
}

// A generation whose reply is lost leaves no key behind, whether it was carried out or not.
func TestGenerateInterrupted(t *testing.T) {
	for _, applied := range []bool{true, false} {
		w := newWorld(t)
		id := w.connected()
		h := w.plane.hsms(clusterA)
		h.once("GenerateKey", applied, lost())
		_, err := w.m.Generate(t.Context(), &kms.Key{Scope: scope, ID: "x", StoreID: id})
		w.wants(err, "KMSInvalidStateException")
		if len(h.keys) != 0 {
			t.Errorf("applied %v: %d keys are left", applied, len(h.keys))
		}
	}
}

func TestUnavailable48and52(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	k := w.key(keyID, id)
	if !w.m.Available(k) {
		t.Fatal("a key of a connected store is unavailable")
	}
	w.must(w.disconnect(id))
	for range 2 { // 48, 52: at once and after the teardown
		if w.m.Available(k) {
			t.Error("a key of a disconnected store is available")
		}
		_, err := w.m.Seal(t.Context(), k, nil, nil)
		w.wants(err, "KMSInvalidStateException")
		if got, want := text(err), k.ARN()+" is unavailable."; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		w.await(id, connection.Disconnected)
	}
	w.must(w.connect(id))
	w.await(id, connection.Connected)
	if !w.m.Available(k) {
		t.Error("still unavailable after reconnecting")
	}
	if w.m.Available(&kms.Key{Scope: scope, ID: keyID, StoreID: "cks-00000000000000000"}) {
		t.Error("a key of an unknown store is available")
	}
}

func TestUseRefused53to56(t *testing.T) {
	const (
		m1 = "KMS cannot communicate with your CloudHSM cluster. This might be a transient network issue."
		m2 = "because the kmsuser is locked out."
	)
	tests := []struct {
		name    string
		prepare func(*world, *hsms, *kms.Key)
		code    string
		text    string
		status  int
	}{
		{"53 backing key deleted", func(_ *world, h *hsms, k *kms.Key) {
			h.set(func(h *hsms) { delete(h.keys, k.Material.BackingKeyID) })
		}, "KMSInvalidStateException", "KMS cannot find the key material for arn:aws:kms:us-east-1:111122223333:key/" + keyID, 400},
		{"54 all HSMs removed", func(w *world, _ *hsms, _ *kms.Key) {
			w.plane.alter(clusterA, func(c *planeCluster) { c.Hsms = nil })
		}, "KMSInvalidStateException", m1, 400},
		{"54 cluster deleted", func(w *world, _ *hsms, _ *kms.Key) { w.plane.alter(clusterA, nil) },
			"KMSInvalidStateException", m1, 400},
		{"no HSM answers", func(_ *world, h *hsms, _ *kms.Key) { h.set(func(h *hsms) { h.down = true }) },
			"KMSInvalidStateException", m1, 400},
		{"55 kmsuser locked and a new login needed", func(_ *world, h *hsms, _ *kms.Key) {
			h.set(func(h *hsms) { h.users["kmsuser"].failures = lockAt; clear(h.sessions) })
		}, "KMSInvalidStateException", m2, 400},
		{"56 all sessions busy", func(_ *world, h *hsms, _ *kms.Key) { h.set(func(h *hsms) { h.busy = true }) },
			"KMSInternalException", "PKCS #11 session", 500},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.connected()
			k := w.key(keyID, id)
			sealed, err := w.m.Seal(t.Context(), k, nil, []byte("x"))
			w.must(err)
			test.prepare(w, w.plane.hsms(clusterA), k)
			for range 2 {
				_, err = w.m.Open(t.Context(), k, &k.Material, nil, sealed)
				w.wants(err, test.code)
				contains(t, text(err), test.text)
				if f, ok := fault.As(err); ok && f.HTTPStatus() != test.status {
					t.Errorf("status %d", f.HTTPStatus())
				}
			}
			if e := w.describe(id); e.ConnectionState != connection.Connected {
				t.Errorf("the store left CONNECTED by itself: %s", e.ConnectionState)
			}
			w.plane.relieve(clusterA, func(h *hsms) { h.busy = false })
			if test.status == 500 {
				if _, err := w.m.Open(t.Context(), k, &k.Material, nil, sealed); err != nil {
					t.Errorf("56: a retry after release: %v", err)
				}
			}
		})
	}
}

// relieve changes the condition of a cluster's HSMs, if the cluster is still there.
func (p *plane) relieve(id string, f func(*hsms)) {
	if c, err := p.find(id); err == nil {
		c.hsms.set(f)
	}
}

// 53, later: an inventory makes a key without material read Unavailable, and finds it again.
func TestInventory53(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	h := w.plane.hsms(clusterA)
	const many = 2100 // more than two pages
	h.set(func(h *hsms) {
		for i := range many {
			h.next++
			raw := fmt.Appendf(nil, "%032d", i)
			h.keys[hex.EncodeToString(raw)] = &fakeKey{Key: hsmproto.Key{Reference: h.next, Owner: "kmsuser", ID: raw}}
		}
	})
	k := w.key(keyID, id)
	w.m.TakeInventory(t.Context())
	if !w.m.Available(k) {
		t.Fatal("the key is there")
	}
	held := h.keys[k.Material.BackingKeyID]
	h.set(func(h *hsms) { delete(h.keys, k.Material.BackingKeyID) })
	if !w.m.Available(k) {
		t.Error("Available looked at the cluster")
	}
	w.m.TakeInventory(t.Context())
	if w.m.Available(k) {
		t.Error("the key has no material and is available")
	}
	young := *k
	young.Created = epoch.Add(time.Second)
	if !w.m.Available(&young) {
		t.Error("a key made after the inventory began was judged")
	}
	h.set(func(h *hsms) { h.down = true })
	w.m.TakeInventory(t.Context())
	if w.m.Available(k) {
		t.Error("an inventory that could not be taken changed something")
	}
	h.set(func(h *hsms) { h.down = false; h.keys[k.Material.BackingKeyID] = held })
	w.m.TakeInventory(t.Context())
	if !w.m.Available(k) {
		t.Error("the material came back and the key is unavailable")
	}
}

func TestDiscard57to59(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	h := w.plane.hsms(clusterA)
	k := w.key(keyID, id)
	other := w.key("00000000-12ab-34cd-56ef-1234567890ab", id)
	foreign := []byte("a human's key")
	h.set(func(h *hsms) {
		h.keys[hex.EncodeToString(foreign)] = &fakeKey{Key: hsmproto.Key{Reference: 999, Owner: "alice", ID: foreign, Label: k.ARN()}}
	})
	notOurs := *k
	notOurs.Material.BackingKeyID = hex.EncodeToString(foreign)
	w.must(w.m.Discard(t.Context(), &notOurs))
	w.must(w.m.Discard(t.Context(), k)) // 57
	w.must(w.m.Discard(t.Context(), k)) // it is gone already
	if len(h.keys) != 2 || h.keys[other.Material.BackingKeyID] == nil || h.keys[hex.EncodeToString(foreign)] == nil {
		t.Errorf("59: %d keys are left", len(h.keys))
	}
	w.must(w.disconnect(id))
	w.wants(w.m.Discard(t.Context(), other), "KMSInvalidStateException") // 58
	if h.keys[other.Material.BackingKeyID] == nil {
		t.Error("58: the backing key is gone")
	}
}

func TestMoveToRestoredCluster60(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	k := w.key(keyID, id)
	sealed, err := w.m.Seal(t.Context(), k, nil, []byte("x"))
	w.must(err)
	restored := w.plane.hsms(clusterA).restored() // a backup taken while the key existed
	w.must(w.m.Discard(t.Context(), k))
	w.must(w.disconnect(id))
	w.await(id, connection.Disconnected)
	w.plane.add("cluster-restored234", "family A", restored)
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{CloudHsmClusterId: aws.String("cluster-restored234")}))
	w.must(w.connect(id))
	w.await(id, connection.Connected)
	if got, err := w.m.Open(t.Context(), k, &k.Material, nil, sealed); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRandomOf61(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	a, err := w.m.RandomOf(t.Context(), scope, id, 32)
	w.must(err)
	b, err := w.m.RandomOf(t.Context(), scope, id, 32)
	w.must(err)
	if len(a) != 32 || bytes.Equal(a, b) {
		t.Error("not random")
	}
	w.must(w.disconnect(id))
	_, err = w.m.RandomOf(t.Context(), scope, id, 32)
	w.wants(err, "CustomKeyStoreInvalidStateException")
	_, err = w.m.RandomOf(t.Context(), scope, "cks-00000000000000000", 32)
	w.wants(err, "CustomKeyStoreNotFoundException")
}

func TestStoresAreApart66and67(t *testing.T) {
	w := newWorld(t)
	w.kill()
	w.rate = 3
	w.start()
	a := w.connected()
	b, err := w.create(createInput("Other", clusterB, password))
	w.must(err)
	w.must(w.connect(b))
	w.await(b, connection.Connected)
	inA, inB := w.key(keyID, a), w.key(keyID, b)
	for range 3 { // 67: the clock stands still
		_, err := w.m.Seal(t.Context(), inA, nil, nil)
		w.must(err)
	}
	_, err = w.m.Seal(t.Context(), inA, nil, nil)
	w.wants(err, "ThrottlingException")
	_, err = w.m.RandomOf(t.Context(), scope, a, 1)
	w.wants(err, "ThrottlingException")
	w.must(w.m.Discard(t.Context(), inA)) // management does not count
	w.must(w.disconnect(a))
	if _, err := w.m.Seal(t.Context(), inB, nil, nil); err != nil { // 66
		t.Errorf("the other store is affected: %v", err)
	}
	if w.m.Available(inA) || !w.m.Available(inB) {
		t.Error("availability is not by store")
	}
}

// Use and disconnect in parallel: every answer is a success or one of the documented refusals, and none comes from a
// store that was DISCONNECTED before it was asked.
func TestUseWhileDisconnecting(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	k := w.key(keyID, id)
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := w.m.Seal(t.Context(), k, nil, nil); err != nil && !fault.Is(err, "KMSInvalidStateException") {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		w.must(w.disconnect(id))
		w.await(id, connection.Disconnected)
		_, err := w.m.Seal(t.Context(), k, nil, nil)
		w.wants(err, "KMSInvalidStateException")
		w.must(w.connect(id))
		w.await(id, connection.Connected)
	}
	close(stop)
	users.Wait()
}

func BenchmarkAvailable(b *testing.B) {
	w := newWorld(b)
	id := w.connected()
	k := w.key(keyID, id)
	b.ReportAllocs()
	for b.Loop() {
		if !w.m.Available(k) {
			b.Fatal("unavailable")
		}
	}
}
