package hsmnode

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

// A log that another version of the state machine wrote is refused before anything of it is replayed, and so is one of
// another cluster.
func TestLogOfAnotherFormat(t *testing.T) {
	keys, err := newKeyring(newTestSecret())
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStorage(t.TempDir(), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	ours, err := hsm.EncodeCommand(&hsm.CloseSession{Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	store := func(index uint64, command []byte) {
		t.Helper()
		entry := &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: keys.log.seal(command, nil)}
		if err := s.log.StoreLog(entry); err != nil {
			t.Fatal(err)
		}
	}
	store(1, ours)
	if err := s.readable(keys); err != nil {
		t.Fatal(err)
	}
	foreign, err := newKeyring(newTestSecret())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.readable(foreign); !errors.Is(err, errUnseal) {
		t.Errorf("with another cluster's keys: %v", err)
	}
	theirs, err := hsmproto.Marshal(map[int]any{1: 4, 2: map[int]any{1: "s"}, 3: hsm.Format + 1})
	if err != nil {
		t.Fatal(err)
	}
	store(2, theirs)
	if err := s.readable(keys); !errors.As(err, new(*hsm.FormatError)) || !strings.Contains(err.Error(), "entry 2") {
		t.Errorf("got %v", err)
	}
}

// Raft keeps to itself why a snapshot could not be restored; the state remembers it for the supervisor.
func TestSnapshotOfAnotherFormat(t *testing.T) {
	keys, err := newKeyring(newTestSecret())
	if err != nil {
		t.Fatal(err)
	}
	machine, err := hsmproto.Marshal(map[int]any{9: hsm.Format + 1})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealMachine(keys, machine, "node")
	if err != nil {
		t.Fatal(err)
	}
	s := newState(keys)
	if err := s.Restore(io.NopCloser(bytes.NewReader(sealed))); err == nil || !errors.As(s.refused(), new(*hsm.FormatError)) {
		t.Errorf("got %v, remembered %v", err, s.refused())
	}
}
