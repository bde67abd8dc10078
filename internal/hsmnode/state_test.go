package hsmnode

import (
	"bytes"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

func newTestSecret() secret.Bytes { return secret.New(random(masterSize)) }

// loggedInClient is a client of a state without a network: user cu is logged in and owns a key with id "key".
func loggedInClient(t testing.TB, keys *keyring) (*client, *group) {
	t.Helper()
	s := newState(keys)
	wrapped := keys.wrap.seal(random(32), []byte("key"))
	session := func(id, user string, role hsmproto.Role, version uint64) *hsm.OpenSession {
		return &hsm.OpenSession{
			Session:         hsm.Session{ID: id, Node: "n", User: user, Role: role, Client: random(hsm.ClientSize)},
			PasswordVersion: version,
		}
	}
	for i, command := range []hsm.Command{
		&hsm.Activate{},
		session("admin", "admin", hsmproto.RoleAdmin, 3),
		&hsm.CreateUser{Session: "admin", User: "cu", Role: hsmproto.RoleCryptoUser},
		session("cu", "cu", hsmproto.RoleCryptoUser, 4),
		&hsm.GenerateKey{
			Session: "cu", ID: []byte("key"), Length: 32, Set: map[string]bool{"encrypt": true, "decrypt": true},
			CheckValue: make([]byte, checkSize), Wrapped: wrapped, MinHsms: 1, Hsms: 1,
		},
	} {
		if r := s.Apply(entry(t, keys, uint64(i+1), command)).(hsm.Result); r.Refusal != nil {
			t.Fatalf("%T: %v", command, r.Refusal)
		}
	}
	g := &group{state: s, keys: keys}
	n := &node{}
	n.group.Store(g)
	c := &client{node: n}
	id := "cu"
	c.session.Store(&id)
	return c, g
}

func entry(t testing.TB, keys *keyring, index uint64, command hsm.Command) *raft.Log {
	t.Helper()
	data, err := hsm.EncodeCommand(command)
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Data: keys.log.seal(data, nil)}
}

// A snapshot carries everything to another HSM with the same keyring, and opens under no other.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	keys, err := newKeyring(newTestSecret())
	if err != nil {
		t.Fatal(err)
	}
	c, g := loggedInClient(t, keys)
	g.state.StoreConfiguration(9, raft.Configuration{Servers: []raft.Server{{ID: "b"}, {ID: "a"}, {ID: "c", Suffrage: raft.Nonvoter}}})
	snapshot, err := g.state.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sealed := snapshot.(sealedSnapshot)
	other := newState(keys)
	if err := other.Restore(io.NopCloser(bytes.NewReader(sealed))); err != nil {
		t.Fatal(err)
	}
	index, voters := other.agreed()
	if index != 9 || len(voters) != 2 || voters[0] != "a" {
		t.Errorf("restored index %d, voters %v", index, voters)
	}
	sealedText := mustEncrypt(t, c, g)
	opened, err := c.decrypt(&group{state: other}, sealedText)
	if err != nil || string(opened.(*hsmproto.CryptReply).Data) != "text" {
		t.Errorf("the restored HSM decrypts %v, %v", opened, err)
	}
	stranger, err := newKeyring(newTestSecret())
	if err != nil {
		t.Fatal(err)
	}
	if err := newState(stranger).Restore(io.NopCloser(bytes.NewReader(sealed))); err == nil {
		t.Error("a snapshot opens under another masking key")
	}
	sealed[len(sealed)/2] ^= 1
	if err := newState(keys).Restore(io.NopCloser(bytes.NewReader(sealed))); err == nil {
		t.Error("a damaged snapshot opens")
	}
}

// mustEncrypt returns the body of a request that decrypts what it encrypted.
func mustEncrypt(t *testing.T, c *client, g *group) []byte {
	t.Helper()
	q := hsmproto.CryptRequest{ID: []byte("key"), Mechanism: hsmproto.MechanismAESGCM, Data: []byte("text")}
	body, err := hsmproto.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := c.encrypt(g, body)
	if err != nil {
		t.Fatal(err)
	}
	q.Data = reply.(*hsmproto.CryptReply).Data
	if body, err = hsmproto.Marshal(q); err != nil {
		t.Fatal(err)
	}
	return body
}

// A deleted key leaves no prepared cipher behind.
func TestDeletedKeyIsForgotten(t *testing.T) {
	t.Parallel()
	keys, err := newKeyring(newTestSecret())
	if err != nil {
		t.Fatal(err)
	}
	c, g := loggedInClient(t, keys)
	mustEncrypt(t, c, g)
	if g.state.ciphers.lookup(1) == nil {
		t.Fatal("a used key is not prepared")
	}
	g.state.Apply(entry(t, keys, 20, &hsm.DeleteKey{Session: "cu", Reference: 1}))
	if g.state.ciphers.lookup(1) != nil {
		t.Error("a deleted key stays prepared")
	}
}

// An entry that another cluster sealed ends the process rather than diverge.
func TestForeignEntry(t *testing.T) {
	t.Parallel()
	keys, err := newKeyring(newTestSecret())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a foreign entry is passed over")
		}
	}()
	newState(keys).Apply(&raft.Log{Index: 1, Data: random(64)})
}

func TestSealer(t *testing.T) {
	t.Parallel()
	s, err := newSealer(newTestSecret(), nil, purposeWrap)
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.seal([]byte("text"), []byte("context"))
	if plain, err := s.open(sealed, []byte("context")); err != nil || string(plain) != "text" {
		t.Errorf("open = %q, %v", plain, err)
	}
	for name, bad := range map[string][]byte{"short": sealed[:10], "empty": nil, "cut": sealed[:len(sealed)-1]} {
		if _, err := s.open(bad, []byte("context")); err == nil {
			t.Errorf("%s data opens", name)
		}
	}
	if _, err := s.open(sealed, []byte("other")); err == nil {
		t.Error("sealed data opens in another context")
	}
}
