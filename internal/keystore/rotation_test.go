package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyward/internal/connection"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/keystore"
)

// passwords opens what is kept of a store: the password, and the candidate or "".
func (w *world) passwords(id string) []string {
	w.t.Helper()
	r := w.record(id)
	var open []string
	for _, sealed := range [][]byte{r.Password, r.Candidate} {
		if len(sealed) == 0 {
			continue
		}
		plain, err := w.seal.Open(keystore.PurposePassword(id), sealed)
		w.must(err)
		open = append(open, string(plain))
	}
	return open
}

// holds checks what the rotation promises: kmsuser's password is one of those kept.
func (w *world) holds(id string) {
	w.t.Helper()
	h := w.plane.hsms(clusterA)
	for {
		before := h.password()
		kept := w.passwords(id)
		if before != h.password() {
			continue // it was changed while we looked
		}
		if !slices.Contains(kept, before) {
			w.t.Fatal("the password of kmsuser is known to nobody")
		}
		return
	}
}

func lost() error {
	return fmt.Errorf("%w: %w", hsmclient.ErrAmbiguous, &hsmproto.LostError{Cause: context.DeadlineExceeded})
}

// once makes the next operation of this name fail, after or before it takes effect.
func (h *hsms) once(name string, applied bool, err error) {
	var used sync.Once
	h.set(func(h *hsms) {
		h.hook = func(_ context.Context, op string, done bool) (failure error) {
			if op == name && done == applied {
				used.Do(func() { failure = err })
			}
			return failure
		}
	})
}

// A change of the password whose reply is lost is one of two: carried out or not. The same answer must be right for
// both.
func TestRotationInterrupted(t *testing.T) {
	tests := []struct {
		name    string
		applied bool
		err     error
		failed  int
	}{
		{"reply lost, carried out", true, lost(), 0},
		{"reply lost, not carried out", false, lost(), 1},
		{"no HSM reached", false, hsmclient.ErrUnreachable, 0},
		{"session gone", false, refuse(hsmproto.CodeNotLoggedIn), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.made()
			h := w.plane.hsms(clusterA)
			h.once("ChangePassword", test.applied, test.err)
			w.must(w.connect(id))
			w.await(id, connection.Connected)
			if h.failed() != test.failed {
				t.Errorf("%d failed logins, want %d", h.failed(), test.failed)
			}
			if kept := w.passwords(id); len(kept) != 1 || kept[0] != h.password() || kept[0] == password {
				t.Errorf("%d passwords are kept, or the wrong one", len(kept))
			}
		})
	}
}

// While no reply to a change ever comes, attempts fail and cost at most one failed login each; when replies come
// again, the store connects without anybody's help.
func TestRotationInterruptedAgainAndAgain(t *testing.T) {
	for _, applied := range []bool{true, false} {
		t.Run(fmt.Sprint("applied ", applied), func(t *testing.T) {
			w := newWorld(t)
			id := w.made()
			h := w.plane.hsms(clusterA)
			for range 3 {
				// After the lost reply nothing can be reached for the rest of the attempt.
				dead := false
				h.set(func(h *hsms) {
					h.hook = func(_ context.Context, op string, done bool) error {
						if op == "ChangePassword" && done == applied {
							dead = true
							return lost()
						}
						if dead {
							return hsmclient.ErrUnreachable
						}
						return nil
					}
				})
				if code := w.failing(id); code != "NETWORK_ERRORS" {
					t.Fatal(code)
				}
				w.holds(id)
				h.set(func(h *hsms) { h.hook = nil })
				w.must(w.disconnect(id))
				w.await(id, connection.Disconnected)
			}
			if h.failed() > 3 {
				t.Errorf("%d failed logins in three attempts", h.failed())
			}
			w.must(w.connect(id))
			w.await(id, connection.Connected)
		})
	}
}

func TestRefusedRotationForgetsItsCandidate(t *testing.T) {
	w := newWorld(t)
	id := w.made()
	w.plane.hsms(clusterA).once("ChangePassword", false, refuse(hsmproto.CodeBadPassword))
	if code := w.failing(id); code != "INTERNAL_ERROR" {
		t.Error(code)
	}
	if kept := w.passwords(id); len(kept) != 1 || kept[0] != password {
		t.Errorf("%d passwords are kept", len(kept))
	}
}

// A candidate that was never set, beside a password that somebody changed, costs its failed login once.
func TestStaleCandidateIsDropped(t *testing.T) {
	w := newWorld(t)
	id := w.made()
	h := w.plane.hsms(clusterA)
	arrived, _ := h.hold("ChangePassword")
	w.must(w.connect(id))
	<-arrived
	w.must(w.disconnect(id))
	w.await(id, connection.Disconnected)
	h.set(func(h *hsms) { h.hook = nil })
	if len(w.passwords(id)) != 2 {
		t.Fatal("the cancelled rotation's candidate is gone")
	}
	w.must(h.reset("ChangedByAdmin"))
	if code := w.failing(id); code != "INVALID_CREDENTIALS" || h.failed() != 2 {
		t.Errorf("%s after %d failed logins", code, h.failed())
	}
	w.must(w.disconnect(id))
	if code := w.failing(id); code != "INVALID_CREDENTIALS" || h.failed() != 3 {
		t.Errorf("%s after %d failed logins", code, h.failed())
	}
}

// errDead is what the dead process's last steps lead to; nothing that follows from it can be kept or sent.
var errDead = errors.New("the process is dead")

// killAt lets the process die at the n-th point that the attempt passes: before and after everything it asks of HSMs
// and of the store. The channel is closed when it has died.
func (w *world) killAt(n int) <-chan struct{} {
	dead := make(chan struct{})
	var mu sync.Mutex
	passed := 0
	gate := w.gate
	step := func() bool {
		mu.Lock()
		defer mu.Unlock()
		passed++
		if passed == n {
			gate.close()
			close(dead)
		}
		return passed >= n
	}
	gate.mu.Lock()
	gate.point = func(string) { step() }
	gate.mu.Unlock()
	w.plane.hsms(clusterA).set(func(h *hsms) {
		h.hook = func(context.Context, string, bool) error {
			if step() {
				return errDead
			}
			return nil
		}
	})
	return dead
}

// 64: the process dies at every point of an attempt in turn. The next start connects without an operator, and kmsuser
// is not locked out.
func TestCrashAtEveryPoint64(t *testing.T) {
	for point := 1; ; point++ {
		w := newWorld(t)
		id := w.made()
		h := w.plane.hsms(clusterA)
		dead := w.killAt(point)
		connected := make(chan struct{})
		go func() {
			defer close(connected)
			if w.connect(id) == nil {
				w.quietly(id, dead)
			}
		}()
		select {
		case <-dead:
		case <-connected:
		}
		<-connected
		finished := w.describe(id).ConnectionState == connection.Connected
		w.kill()
		h.set(func(h *hsms) { h.hook = nil })
		w.start()
		w.holds(id)
		if w.describe(id).ConnectionState == connection.Disconnected { // it died before the attempt was kept
			w.must(w.connect(id))
		}
		w.await(id, connection.Connected)
		w.holds(id)
		if h.failed() > 1 {
			t.Errorf("point %d: %d failed logins", point, h.failed())
		}
		w.kill()
		if finished {
			if point < 12 {
				t.Errorf("an attempt has only %d points", point)
			}
			return
		}
	}
}

// quietly waits until the store is CONNECTED or the process died.
func (w *world) quietly(id string, dead <-chan struct{}) {
	for {
		changed := w.gate.next()
		if w.describe(id).ConnectionState == connection.Connected {
			return
		}
		select {
		case <-changed:
		case <-dead:
			return
		}
	}
}

// Whatever is lost and whoever dies in whatever order: kmsuser's password is always one that is kept, and when the
// trouble is over the store connects by itself.
func TestAnyTroubleEndsConnected(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		defer w.kill()
		id := w.made()
		h := w.plane.hsms(clusterA)
		for range rapid.IntRange(1, 4).Draw(rt, "troubles") {
			if w.describe(id).ConnectionState == connection.Disconnected {
				w.must(w.connect(id))
			}
			switch rapid.SampledFrom([]string{"kill", "lost", "disconnect"}).Draw(rt, "trouble") {
			case "kill":
				w.quietly(id, w.killAt(rapid.IntRange(1, 20).Draw(rt, "point")))
				w.kill()
				h.set(func(h *hsms) { h.hook = nil })
				w.start()
			case "lost":
				h.once("ChangePassword", rapid.Bool().Draw(rt, "applied"), lost())
			case "disconnect":
				if err := w.disconnect(id); err != nil {
					rt.Fatal(err)
				}
			}
			w.holds(id)
		}
		h.set(func(h *hsms) { h.hook = nil })
		w.restart()
		if w.describe(id).ConnectionState == connection.Disconnected {
			w.must(w.connect(id))
		}
		w.await(id, connection.Connected)
		w.holds(id)
	})
}

func TestGeneratedPasswords(t *testing.T) {
	seen := make(map[string]bool)
	letters := make(map[rune]bool)
	for range 300 {
		p := string(keystore.NewPassword().Expose())
		if len(p) != 32 || seen[p] || strings.Trim(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Fatalf("%d characters, or seen before, or not alphanumeric", len(p))
		}
		seen[p] = true
		for _, c := range p {
			letters[c] = true
		}
	}
	if len(letters) != 62 {
		t.Errorf("only %d of 62 characters are used", len(letters))
	}
}

// The operator's word on the password ends the question which of two it is: the candidate is not offered any more.
func TestUpdateForgetsTheCandidate(t *testing.T) {
	w := newWorld(t)
	id := w.made()
	h := w.plane.hsms(clusterA)
	arrived, _ := h.hold("ChangePassword")
	w.must(w.connect(id))
	<-arrived
	w.must(w.disconnect(id))
	w.await(id, connection.Disconnected)
	h.set(func(h *hsms) { h.hook = nil })
	w.must(h.reset("ChangedByAdmin"))
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{KeyStorePassword: aws.String("ChangedByAdmin")}))
	w.must(w.connect(id))
	w.await(id, connection.Connected)
	if h.failed() != 0 {
		t.Errorf("%d failed logins", h.failed())
	}
}

// An attempt whose record was moved on by another API node writes nothing, neither a candidate nor its end.
func TestSupersededAttemptWritesNothing65(t *testing.T) {
	w := newWorld(t)
	id := w.made()
	arrived, release := w.plane.hsms(clusterA).hold("Users")
	w.must(w.connect(id))
	<-arrived
	moved := w.record(id)
	moved.Attempt += 2 // disconnected and connected again elsewhere
	w.must(w.gate.Store.Change(t.Context(), nil, func(tx keystore.Tx) error { return tx.Update(moved) }))
	done := make(chan struct{}, 100)
	w.gate.mu.Lock()
	w.gate.point = func(name string) {
		if name == "after a change" {
			done <- struct{}{}
		}
	}
	w.gate.mu.Unlock()
	release()
	<-done // the candidate
	<-done // the end
	if diff := cmp.Diff(moved, w.record(id)); diff != "" {
		t.Errorf("the record was changed:\n%s", diff)
	}
}
