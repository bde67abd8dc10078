package scripts_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"keyward/internal/cloudhsmcli"
	"keyward/internal/hsmtest"
)

// terminal is a person at a terminal, with a program on the other side.
type terminal struct {
	t       *testing.T
	device  *os.File
	output  chan []byte
	pending string // what was shown and not yet expected
	all     strings.Builder
}

func openTerminal(t *testing.T, cmd *exec.Cmd, size *pty.Winsize) *terminal {
	t.Helper()
	device, err := pty.StartWithSize(cmd, size)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, device: device, output: make(chan []byte)}
	go func() {
		defer close(term.output)
		for {
			buffer := make([]byte, 4096)
			n, err := device.Read(buffer)
			if err != nil { // the program has ended
				return
			}
			term.output <- buffer[:n]
		}
	}()
	return term
}

// expect reads until text is shown.
func (m *terminal) expect(text string) {
	m.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		if _, rest, ok := strings.Cut(m.pending, text); ok {
			m.pending = rest
			return
		}
		select {
		case shown, ok := <-m.output:
			if !ok {
				m.t.Fatalf("the program ended before it showed %q; last was %q", text, m.pending)
			}
			shown = bytes.ReplaceAll(shown, []byte("\r\n"), []byte("\n"))
			m.pending += string(shown)
			m.all.Write(shown)
		case <-deadline:
			m.t.Fatalf("%q was not shown, but %q", text, m.pending)
		}
	}
}

func (m *terminal) send(keys string) {
	m.t.Helper()
	if _, err := m.device.WriteString(keys); err != nil {
		m.t.Fatal(err)
	}
}

var (
	ordinary = &pty.Winsize{Rows: 24, Cols: 80}
	sizeless = &pty.Winsize{} // as scripts that play a person open them
)

const (
	enter    = "\r"
	up       = "\x1b[A"
	tab      = "\t"
	controlC = "\x03"
)

func command(t *testing.T, clusters []*hsmtest.Cluster, args ...string) *exec.Cmd {
	t.Helper()
	data := t.TempDir()
	for _, cluster := range clusters {
		err := cloudhsmcli.SaveConfiguration(filepath.Join(data, "cloudhsm-cli"), cloudhsmcli.Configuration{
			ClusterID: cluster.ID, Addresses: cluster.Addresses(), TrustAnchor: string(cluster.CA),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("cloudhsm-cli", args...) // which testscript.Main put into PATH
	cmd.Env = append(os.Environ(), "KEYWARD_DATA="+data, "TERM=xterm")
	return cmd
}

// A login at a terminal: the password is not shown, completion and history work, and the history knows no password.
func TestShellAtATerminal(t *testing.T) {
	t.Parallel()
	cluster := hsmtest.Start(t, 1)
	cluster.Activate("alice")
	cmd := command(t, []*hsmtest.Cluster{cluster}, "interactive")
	m := openTerminal(t, cmd, ordinary)
	const login = "login --username alice --role crypto-user"
	m.expect("aws-cloudhsm > ")
	m.send(login + enter)
	m.expect("Enter password:")
	m.send(hsmtest.UserPassword + enter)
	m.expect(`"role": "crypto-user"`)
	m.expect("aws-cloudhsm > ")
	if strings.Contains(m.all.String(), hsmtest.UserPassword) {
		t.Error("the password was shown")
	}
	m.send("user cr" + tab)
	m.expect("user create ")
	m.send(controlC)
	m.expect("aws-cloudhsm > ")
	m.send("logout" + enter)
	m.expect("Logout successful")
	m.expect("aws-cloudhsm > ")
	m.send(login + " --pasword=" + hsmtest.UserPassword + enter) // mistyped
	m.expect("unknown flag --pasword")
	m.expect("aws-cloudhsm > ")
	m.send(hsmtest.UserPassword + enter) // at the wrong prompt
	m.expect("unexpected argument")
	m.expect("aws-cloudhsm > ")
	m.send(up)
	m.expect("aws-cloudhsm > logout")
	m.send(up)
	m.expect("aws-cloudhsm > " + login)
	m.send(controlC)
	m.expect("aws-cloudhsm > ")
	m.send("quit" + enter)
	if err := cmd.Wait(); err != nil {
		t.Errorf("quit: %v", err)
	}
}

// Where lines cannot be edited the shell works all the same, and shows passwords as little.
func TestShellAtAPlainTerminal(t *testing.T) {
	hsmtest.Sequential(t)
	t.Parallel()
	cluster := hsmtest.Start(t, 1)
	cluster.Activate("alice")
	cmd := command(t, []*hsmtest.Cluster{cluster}, "interactive")
	m := openTerminal(t, cmd, sizeless)
	m.expect("aws-cloudhsm > ")
	m.send("login --username alice --role crypto-user" + enter)
	m.expect("Enter password:")
	m.send(hsmtest.UserPassword + enter)
	m.expect(`"role": "crypto-user"`)
	if strings.Contains(m.all.String(), hsmtest.UserPassword) {
		t.Error("the password was shown")
	}
	m.expect("aws-cloudhsm > ")
	m.send("quit" + enter)
	if err := cmd.Wait(); err != nil {
		t.Errorf("quit: %v", err)
	}
}

// A single command asks at the terminal, too.
func TestPasswordAtATerminal(t *testing.T) {
	hsmtest.Sequential(t)
	t.Parallel()
	cluster := hsmtest.Start(t, 1)
	cluster.Activate("alice")
	cmd := command(t, []*hsmtest.Cluster{cluster}, "login", "--username", "alice", "--role", "crypto-user")
	m := openTerminal(t, cmd, ordinary)
	m.expect("Enter password:")
	m.send(hsmtest.UserPassword + enter)
	m.expect(`"username": "alice"`)
	if strings.Contains(m.all.String(), hsmtest.UserPassword) {
		t.Error("the password was shown")
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// Statement 39: what a connected key store holds, nobody else logs in as.
func TestExclusiveUser(t *testing.T) {
	hsmtest.Sequential(t)
	t.Parallel()
	cluster := hsmtest.Start(t, 1)
	cluster.Activate("kmsuser")
	connector := cluster.Client()
	credentials := hsmtest.User("kmsuser")
	credentials.Exclusive = true
	if _, err := connector.Login(t.Context(), credentials); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, []*hsmtest.Cluster{cluster}, "login", "--username", "kmsuser", "--role", "crypto-user", "--password", hsmtest.UserPassword)
	out, err := cmd.Output()
	want := "{\n  \"error_code\": 1,\n  \"data\": \"User is in exclusive use\"\n}\n"
	if err == nil || string(out) != want {
		t.Errorf("%s, %v", out, err)
	}
}

// A shell may be logged in on several clusters at once, and says on which (section 1).
func TestShellOnTwoClusters(t *testing.T) {
	hsmtest.Sequential(t)
	t.Parallel()
	one, two := hsmtest.Start(t, 1), hsmtest.Start(t, 1)
	one.Activate("alice")
	two.Activate("bob")
	cmd := command(t, []*hsmtest.Cluster{one, two}, "interactive")
	cmd.Stdin = strings.NewReader(`user list
login --cluster-id ` + one.ID + ` --username alice --role crypto-user --password ` + hsmtest.UserPassword + `
login --cluster-id ` + two.ID + ` --username bob --role crypto-user --password ` + hsmtest.UserPassword + `
logout --cluster-id ` + one.ID + `
logout --cluster-id ` + one.ID + `
key list --cluster-id ` + two.ID + `
`)
	var prompts strings.Builder
	cmd.Stderr = &prompts
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := dataOf(t, out); !slices.Equal(got, []string{
		`"Several clusters are configured: give --cluster-id ID"`,
		`{"username":"alice","role":"crypto-user"}`,
		`{"username":"bob","role":"crypto-user"}`,
		`"Logout successful"`,
		`"User is not logged in"`,
		`{"matched_keys":[],"total_key_count":0,"returned_key_count":0}`,
	}) {
		t.Errorf("answers: %s", got)
	}
	want := "aws-cloudhsm > aws-cloudhsm > alice@" + one.ID + " > bob@" + two.ID +
		" > aws-cloudhsm > aws-cloudhsm > bob@" + two.ID + " > "
	if prompts.String() != want {
		t.Errorf("prompts: %s", &prompts)
	}
}

// dataOf gives what stands under "data" in a sequence of answers.
func dataOf(t *testing.T, out []byte) []string {
	t.Helper()
	var list []string
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var answer struct{ Data json.RawMessage }
		if err := decoder.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, answer.Data); err != nil {
			t.Fatal(err)
		}
		list = append(list, compact.String())
	}
	return list
}
