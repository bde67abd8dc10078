package hsm

import (
	"errors"
	"testing"

	"keyward/internal/hsmproto"
)

// What was written under other rules is refused by its format, whatever else it holds.
func TestOtherFormats(t *testing.T) {
	for _, format := range []uint64{0, Format + 1} {
		body, err := encoder.Marshal(&CloseSession{Session: "s"})
		if err != nil {
			t.Fatal(err)
		}
		command, err := encoder.Marshal(envelope{kindCloseSession, body, format})
		if err != nil {
			t.Fatal(err)
		}
		var other *FormatError
		if _, err := DecodeCommand(command); !errors.As(err, &other) || other.Format != format {
			t.Errorf("a command of format %d: %v", format, err)
		}
		snapshot, err := encoder.Marshal(map[uint64]any{9: format, 77: "a member of the future"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(snapshot); !errors.As(err, &other) || other.Format != format {
			t.Errorf("a snapshot of format %d: %v", format, err)
		}
	}
}

// A backup holds users, passwords and keys, and nothing of the HSMs and sessions of its moment.
func TestBackupLeavesTheMomentBehind(t *testing.T) {
	m := New()
	must := func(c Command) {
		t.Helper()
		if r := m.Apply(c); r.Refusal != nil {
			t.Fatal(r.Refusal)
		}
	}
	hash := PasswordHash{Algorithm: "a", Hash: []byte{1}}
	must(&Initialize{Certificate: "certificate", TrustAnchor: "anchor"})
	must(&Activate{Password: hash})
	must(&FollowMembership{Epoch: 7})
	_, version, _ := m.Password("admin", hsmproto.RoleAdmin)
	must(&LoginFailed{User: "admin", Node: "other", PasswordVersion: version})
	must(&OpenSession{Session: Session{ID: "s", Node: "n", User: "admin", Role: hsmproto.RoleAdmin, Client: make([]byte, ClientSize)}, PasswordVersion: version})
	backup, err := m.Backup()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Restore(backup)
	if err != nil {
		t.Fatal(err)
	}
	if _, sessions, _ := r.Counts(); sessions != 0 || r.Epoch() != 0 || len(r.Nodes()) != 0 {
		t.Errorf("restored: %d sessions, epoch %d, nodes %v", sessions, r.Epoch(), r.Nodes())
	}
	kept, again, _ := r.Password("admin", hsmproto.RoleAdmin)
	if certificate, _ := r.ClusterCertificate(); certificate != "certificate" || again != version || string(kept.Hash) != string(hash.Hash) {
		t.Errorf("restored: certificate %q, password %v of version %d", certificate, kept, again)
	}
	if _, sessions, _ := m.Counts(); sessions != 1 || len(m.Nodes()) != 2 {
		t.Error("making a backup changes the machine")
	}
}
