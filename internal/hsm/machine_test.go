package hsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"keyward/internal/hsmproto"
)

func TestCheckPassword(t *testing.T) {
	tests := []struct {
		password string
		detail   string
	}{
		{"abcdef", "Password must be 7 to 32 characters"},
		{"abcdefg", ""},
		{strings.Repeat("x", 32), ""},
		{strings.Repeat("x", 33), "Password must be 7 to 32 characters"},
		{"with:colon", "Password contains an invalid character: ':'"},
		{"with space ~!\"", ""},
		{"with\ttab", "Password contains an invalid character"},
		{"umlautäöü", "Password contains an invalid character"},
	}
	for _, test := range tests {
		err := CheckPassword([]byte(test.password))
		switch {
		case test.detail == "" && err != nil:
			t.Errorf("%q: %v", test.password, err)
		case test.detail != "" && (err == nil || err.Detail != test.detail):
			t.Errorf("%q: %v, want %s", test.password, err, test.detail)
		}
	}
}

// ready is a machine with an admin's session "a" and a crypto user's "c".
func ready(t testing.TB) *Machine {
	t.Helper()
	m := New()
	for _, c := range []Command{
		&Activate{},
		&OpenSession{Session: Session{ID: "a", Node: "n1", User: "admin", Role: hsmproto.RoleAdmin, Client: client("a")}, PasswordVersion: 3},
		&CreateUser{Session: "a", User: "cu", Role: hsmproto.RoleCryptoUser},
		&OpenSession{Session: Session{ID: "c", Node: "n1", User: "cu", Role: hsmproto.RoleCryptoUser, Client: client("c")}, PasswordVersion: 4},
	} {
		if r := m.Apply(c); r.Refusal != nil {
			t.Fatalf("%T: %v", c, r.Refusal)
		}
	}
	return m
}

func generate(id string) *GenerateKey {
	return &GenerateKey{Session: "c", ID: []byte(id), Length: 32, CheckValue: []byte("chk"), Wrapped: []byte("w"), MinHsms: 1, Hsms: 1}
}

func TestCapacity(t *testing.T) {
	m := ready(t)
	for i := range MaxKeys {
		if r := m.Apply(generate(fmt.Sprint(i))); r.Refusal != nil {
			t.Fatalf("key %d: %v", i, r.Refusal)
		}
	}
	if r := m.Apply(generate("more")); r.Refusal == nil || r.Refusal.Code != hsmproto.CodeCapacity {
		t.Errorf("one key too many: %v", r.Refusal)
	}
	for i := len(m.users); i < MaxUsers; i++ {
		if r := m.Apply(&CreateUser{Session: "a", User: fmt.Sprint("u", i), Role: hsmproto.RoleCryptoUser}); r.Refusal != nil {
			t.Fatalf("user %d: %v", i, r.Refusal)
		}
	}
	if r := m.Apply(&CreateUser{Session: "a", User: "more", Role: hsmproto.RoleAdmin}); r.Refusal == nil ||
		r.Refusal.Code != hsmproto.CodeTooManyUsers {
		t.Errorf("one user too many: %v", r.Refusal)
	}
	full := restart(t, m) // a full machine's snapshot is within the decoder's limits
	if users, sessions, keys := full.Counts(); users != MaxUsers || sessions != 2 || keys != MaxKeys {
		t.Errorf("restored %d users, %d sessions, %d keys", users, sessions, keys)
	}
}

func TestLimitsOfKeys(t *testing.T) {
	m := ready(t)
	tests := map[string]func(*GenerateKey){
		"label":          func(g *GenerateKey) { g.Label = strings.Repeat("ä", MaxLabel+1) },
		"id":             func(g *GenerateKey) { g.ID = make([]byte, MaxID+1) },
		"no material":    func(g *GenerateKey) { g.Wrapped = nil },
		"much material":  func(g *GenerateKey) { g.Wrapped = make([]byte, maxWrapped+1) },
		"no check value": func(g *GenerateKey) { g.CheckValue = nil },
	}
	for name, change := range tests {
		g := generate("")
		change(g)
		if r := m.Apply(g); r.Refusal == nil || r.Refusal.Code != hsmproto.CodeBadRequest {
			t.Errorf("%s: %v", name, r.Refusal)
		}
	}
	g := generate("")
	g.Label, g.ID = strings.Repeat("ä", MaxLabel), make([]byte, MaxID)
	if r := m.Apply(g); r.Refusal != nil {
		t.Errorf("the longest names: %v", r.Refusal)
	}
}

// A page of the largest keys fits a frame, and following Offset finds them all.
func TestPagesFitFrames(t *testing.T) {
	m := ready(t)
	const keys = 1500
	for i := range keys {
		g := generate(fmt.Sprintf("%0*d", MaxID, i))
		g.Label = strings.Repeat("\U0001F511", MaxLabel)
		if r := m.Apply(g); r.Refusal != nil {
			t.Fatal(r.Refusal)
		}
	}
	for seen := 0; seen < keys; {
		page, refusal := m.FindKeys("c", &hsmproto.FindKeysRequest{Offset: seen})
		if refusal != nil || page.Total != keys || len(page.Keys) == 0 {
			t.Fatalf("page at %d: %v", seen, refusal)
		}
		body, err := hsmproto.Marshal(page)
		if err != nil || len(body) > hsmproto.MaxFrame*7/8 { // the HSM adds which HSMs hold the keys
			t.Fatalf("a page has %d bytes, %v", len(body), err)
		}
		seen += len(page.Keys)
	}
}

func TestMaterial(t *testing.T) {
	m := ready(t)
	m.Apply(generate("id"))
	for _, test := range []struct {
		session   string
		id        string
		reference uint64
		code      hsmproto.Code
	}{
		{"c", "id", 0, ""},
		{"c", "", 1, ""},
		{"c", "other", 1, hsmproto.CodeKeyNotFound},
		{"c", "", 2, hsmproto.CodeKeyNotFound},
		{"a", "id", 0, hsmproto.CodePermission},
		{"x", "id", 0, hsmproto.CodeNotLoggedIn},
	} {
		material, refusal := m.Material(test.session, []byte(test.id), test.reference)
		switch {
		case test.code == "" && (refusal != nil || string(material.Wrapped) != "w"):
			t.Errorf("%+v: %+v, %v", test, material, refusal)
		case test.code != "" && (refusal == nil || refusal.Code != test.code):
			t.Errorf("%+v: %v", test, refusal)
		}
	}
}

// arbitrary draws a command from a small world, in which collisions are common.
func arbitrary(t *rapid.T, m *Machine) Command {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	verb := pick("verb", "activate", "login", "login", "login", "wrong-password", "wrong-password", "logout", "restarted",
		"forget", "create-user", "delete-user", "change-password", "generate", "generate", "delete-key", "initialize", "follow")
	return command(m, verb, arguments{
		"user": pick("user", "admin", "alice", "BOB"), "session": pick("session", "s1", "s2", "s3", "s4"),
		"role": pick("role", "admin", "crypto-user"), "client": pick("client", "x", "y"), "on": pick("on", "n1", "n2"),
		"exclusive": pick("exclusive", "yes", "no"), "id": pick("id", "", "k1", "k2"), "reference": pick("reference", "1", "2", "3"),
		"certificate": pick("certificate", "one", "two"), "hsms": pick("hsms", "1", "2"), "epoch": pick("epoch", "1", "2"),
	})
}

// Two machines that get the same commands stay equal, although one goes through its encoding and its snapshots; and no
// command breaks what must always hold.
func TestDeterminismAndInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := New(), New()
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			c := arbitrary(t, one)
			locked := lockedLogin(one, c)
			first := one.Apply(c)
			if locked && first.Refusal == nil {
				t.Fatalf("%+v succeeds though the user is locked", c)
			}
			second := two.Apply(encoded(t, c))
			if fmt.Sprint(first.Refusal) != fmt.Sprint(second.Refusal) {
				t.Fatalf("%T: %v and %v", c, first.Refusal, second.Refusal)
			}
			if rapid.Bool().Draw(t, "restart") {
				two = restored(t, two)
			}
			checkInvariants(t, one)
		}
		if !bytes.Equal(snapshot(t, one), snapshot(t, two)) {
			t.Fatal("the machines differ")
		}
	})
}

func encoded(t *rapid.T, c Command) Command {
	data, err := EncodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = DecodeCommand(data); err != nil {
		t.Fatal(err)
	}
	return c
}

func snapshot(t *rapid.T, m *Machine) []byte {
	data, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func restored(t *rapid.T, m *Machine) *Machine {
	m, err := Restore(snapshot(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lockedLogin reports whether c is a login of a user who is locked on that HSM.
func lockedLogin(m *Machine, c Command) bool {
	open, ok := c.(*OpenSession)
	if !ok {
		return false
	}
	u := m.users[NormalName(open.User)]
	return u != nil && u.Failures[open.Node] >= MaxFailures
}

func checkInvariants(t *rapid.T, m *Machine) {
	if m.Activated() && m.admins() == 0 {
		t.Fatal("no admin is left")
	}
	for _, u := range m.users {
		for node, n := range u.Failures {
			if n > MaxFailures {
				t.Fatalf("%s has %d failures on %s", u.Name, n, node)
			}
		}
	}
	for _, a := range m.sessions {
		for _, b := range m.sessions {
			if a.User == b.User && a.Exclusive && !bytes.Equal(a.Client, b.Client) {
				t.Fatalf("%s is not alone: %+v, %+v", a.User, a, b)
			}
			if a != b && a.Node == b.Node && bytes.Equal(a.Client, b.Client) {
				t.Fatalf("one client has two sessions on %s", a.Node)
			}
		}
	}
	for _, k := range m.keys {
		if m.users[k.Owner] == nil {
			t.Fatalf("key %d belongs to nobody", k.Reference)
		}
		if len(k.ID) > 0 && m.ids[string(k.ID)] != k.Reference {
			t.Fatalf("id %q does not lead to its key", k.ID)
		}
	}
	if len(m.order) != len(m.keys) {
		t.Fatal("the order of keys is not that of all keys")
	}
}

func FuzzRestore(f *testing.F) {
	m := ready(f)
	m.Apply(generate("id"))
	for _, m := range []*Machine{New(), m} {
		data, err := m.Snapshot()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Restore(data)
		if err != nil {
			return
		}
		for _, c := range every() {
			m.Apply(c) // whatever restores must bear commands
		}
		restart(t, m)
	})
}
