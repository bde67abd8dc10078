package hsm

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keyward/internal/hsmproto"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestScenarios plays the files of testdata. A line that starts with "> " is a command or a question, what follows is
// the machine's answer; other lines are for the reader. After every command the machine is replaced by what its
// snapshot restores to, so that the transcripts hold for restarts anywhere.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("the transcript is now:\n%s", got)
			}
		})
	}
}

const answerMark = "    "

func play(t *testing.T, text string) string {
	t.Helper()
	m := New()
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, answerMark) {
			continue
		}
		out.WriteString(line)
		if !strings.HasPrefix(line, "> ") {
			continue
		}
		for answer := range strings.Lines(perform(t, m, strings.TrimSpace(line[2:]))) {
			out.WriteString(answerMark + answer)
		}
		m = restart(t, m)
	}
	return out.String()
}

func restart(t *testing.T, m *Machine) *Machine {
	t.Helper()
	before, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(before)
	if err != nil {
		t.Fatal(err)
	}
	after, err := restored.Snapshot()
	if err != nil || !bytes.Equal(before, after) {
		t.Fatalf("a snapshot restores to another: %v", err)
	}
	return restored
}

// arguments are name=value words.
type arguments map[string]string

func (a arguments) or(name, fallback string) string {
	if v, ok := a[name]; ok {
		return v
	}
	return fallback
}

func (a arguments) number(name string, fallback int) int {
	n, err := strconv.Atoi(a.or(name, strconv.Itoa(fallback)))
	if err != nil {
		return -1
	}
	return n
}

func (a arguments) role() hsmproto.Role {
	if a["user"] == "admin" {
		return hsmproto.Role(a.or("role", "admin"))
	}
	return hsmproto.Role(a.or("role", "crypto-user"))
}

func (a arguments) flags(name string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.SplitSeq(a[name], ",") {
		if word != "" {
			set[strings.TrimPrefix(word, "!")] = !strings.HasPrefix(word, "!")
		}
	}
	return set
}

func client(name string) []byte {
	id := make([]byte, ClientSize)
	copy(id, name)
	return id
}

func perform(t *testing.T, m *Machine, line string) string {
	t.Helper()
	words := strings.Fields(line)
	a := make(arguments)
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		a[name] = value
	}
	switch words[0] {
	case "users":
		return listUsers(m)
	case "sessions":
		return listSessions(m)
	case "epoch":
		return fmt.Sprintln(m.Epoch())
	case "keys":
		return listKeys(m, a)
	}
	c := command(m, words[0], a)
	if c == nil {
		t.Fatalf("cannot %q", line)
	}
	return tell(m.Apply(c))
}

func command(m *Machine, verb string, a arguments) Command {
	_, version, _ := m.Password(a["user"], a.role())
	version = uint64(a.number("version", int(version)))
	fresh := PasswordHash{Algorithm: "none", Hash: []byte("hash")}
	switch verb {
	case "activate":
		return &Activate{Password: fresh}
	case "login":
		return &OpenSession{
			Session: Session{
				ID: a["session"], Node: a.or("on", "hsm-1"), User: a["user"], Role: a.role(), Client: client(a.or("client", a["session"])),
				Exclusive: a["exclusive"] == "yes",
			},
			PasswordVersion: version, Replaces: a["replaces"],
		}
	case "wrong-password":
		return &LoginFailed{User: a["user"], Node: a.or("on", "hsm-1"), PasswordVersion: version}
	case "logout":
		return &CloseSession{Session: a["session"]}
	case "restarted":
		return &CloseSessionsOf{Node: a["on"]}
	case "forget":
		return &ForgetHsm{Node: a["on"]}
	case "create-user":
		return &CreateUser{Session: a["session"], User: a["user"], Role: a.role(), Password: fresh}
	case "delete-user":
		return &DeleteUser{Session: a["session"], User: a["user"], Role: a.role()}
	case "change-password":
		return &ChangePassword{Session: a["session"], User: a["user"], Role: a.role(), Password: fresh}
	case "generate":
		return &GenerateKey{
			Session: a["session"], Label: a["label"], ID: []byte(a["id"]), Length: a.number("length", 32), Set: a.flags("set"),
			CheckValue: []byte("chk"), Wrapped: []byte("wrapped"), MinHsms: a.number("min", 0), Hsms: a.number("hsms", 2),
			Imported: a["imported"] == "yes",
		}
	case "delete-key":
		return &DeleteKey{Session: a["session"], Reference: uint64(a.number("reference", 0))}
	case "follow":
		return &FollowMembership{Epoch: uint64(a.number("epoch", 0))}
	case "initialize":
		return &Initialize{Certificate: a["certificate"], TrustAnchor: "anchor"}
	default:
		return nil
	}
}

func tell(r Result) string {
	switch {
	case r.Refusal != nil && r.Refusal.Detail != "":
		return fmt.Sprintf("refused %s: %s\n", r.Refusal.Code, r.Refusal.Detail)
	case r.Refusal != nil:
		return fmt.Sprintf("refused %s\n", r.Refusal.Code)
	case r.User != nil:
		return fmt.Sprintf("ok %s (%s)\n", r.User.User, r.User.Role)
	case r.Key != nil:
		return "ok " + keyLine(*r.Key)
	default:
		return "ok\n"
	}
}

func keyLine(k hsmproto.Key) string {
	var on []string
	for name, value := range k.Attributes {
		if value {
			on = append(on, name)
		}
	}
	slices.Sort(on)
	return fmt.Sprintf("key %d owner=%s label=%q id=%q %d bytes: %s\n", k.Reference, k.Owner, k.Label, k.ID, k.Length,
		strings.Join(on, " "))
}

func listUsers(m *Machine) string {
	var out strings.Builder
	for _, u := range m.Users() {
		fmt.Fprintf(&out, "%s (%s) locked on %v\n", u.Name, u.Role, u.LockedOn)
	}
	return out.String()
}

func listSessions(m *Machine) string {
	var ids []string
	for _, node := range m.Nodes() {
		ids = append(ids, m.SessionsOf(node)...)
	}
	slices.Sort(ids)
	return fmt.Sprintf("%v\n", ids)
}

func listKeys(m *Machine, a arguments) string {
	q := &hsmproto.FindKeysRequest{Offset: a.number("offset", 0), Max: a.number("max", 0), Attributes: a.flags("where")}
	if label, ok := a["label"]; ok {
		q.Label = &label
	}
	if id, ok := a["id"]; ok {
		raw := []byte(id)
		q.ID = &raw
	}
	if length := a.number("length", 0); length != 0 {
		q.Length = &length
	}
	page, refusal := m.FindKeys(a["session"], q)
	if refusal != nil {
		return tell(Result{Refusal: refusal})
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%d of %d\n", len(page.Keys), page.Total)
	for _, k := range page.Keys {
		out.WriteString(keyLine(k))
	}
	return out.String()
}
