package hsmnode

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"keyward/internal/hsmproto"
)

// audit reads the HSM's whole log, which must have no gaps.
func (p *process) audit() (all []hsmproto.AuditRecord) {
	p.fleet.t.Helper()
	for {
		var page hsmproto.AuditLogReply
		if err := p.manage(hsmproto.OpAuditLog, hsmproto.AuditLogRequest{From: uint64(len(all))}, &page); err != nil {
			p.fleet.t.Fatal(err)
		}
		if len(page.Records) == 0 {
			return all
		}
		for _, r := range page.Records {
			if r.Sequence != uint64(len(all)) {
				p.fleet.t.Fatalf("%s: record %d stands where %d should", p.config.HsmID, r.Sequence, len(all))
			}
			all = append(all, r)
		}
	}
}

// inShort gives the records in short: opcode, response if not 0, user or key id.
func inShort(records []hsmproto.AuditRecord) (all []string) {
	for _, r := range records {
		line := strings.TrimPrefix(string(r.Opcode), "CN_")
		if r.Response != 0 {
			line += " " + strings.SplitN(r.Response.String(), ":", 2)[0]
		}
		if r.User != "" {
			line += " " + r.User
		}
		if len(r.KeyID) > 0 {
			line += " " + string(r.KeyID)
		}
		all = append(all, line)
	}
	return all
}

// since returns what p recorded after its first n records.
func (p *process) since(n int) []string { return inShort(p.audit()[n:]) }

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s recorded\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAuditOfFirstStarts(t *testing.T) {
	f := newCluster(t, 2, "alice")
	same(t, "the first HSM", f.hsms[0].since(0), "INIT_TOKEN", "GEN_PSWD_ENC_KEY", "CREATE_APPLIANCE_USER app_user",
		"INIT_DONE", "CHANGE_PSWD admin", "LOGIN admin", "CREATE_USER alice", "LOGOUT admin")
	same(t, "the second", f.hsms[1].since(0), "INIT_TOKEN", "INIT_DONE")
	if role := f.hsms[0].audit()[4].Role; role != hsmproto.RoleUnactivatedAdmin {
		t.Errorf("activation is by %q", role)
	}
}

func TestAuditOfUsers(t *testing.T) {
	f := newCluster(t, 2, "alice")
	here, there := len(f.hsms[0].audit()), len(f.hsms[1].audit())
	u := f.hsms[0].client()
	refused(t, u.tryLogin("admin", hsmproto.RoleAdmin, "wrong-password", false), hsmproto.CodeIncorrectCredentials)
	refused(t, u.tryLogin("nobody\nOpcode", hsmproto.RoleAdmin, adminPassword, false), hsmproto.CodeIncorrectCredentials)
	u.login("admin", hsmproto.RoleAdmin, adminPassword)
	bob := hsmproto.UserRequest{User: "bob", Role: hsmproto.RoleCryptoUser, Password: []byte(userPassword)}
	carol := hsmproto.UserRequest{User: "carol", Role: hsmproto.RoleAdmin, Password: []byte(userPassword)}
	u.must(hsmproto.OpCreateUser, bob, nil)
	u.must(hsmproto.OpCreateUser, carol, nil)
	u.must(hsmproto.OpChangePassword, bob, nil)
	u.must(hsmproto.OpDeleteUser, bob, nil)
	refused(t, u.call(hsmproto.OpDeleteUser, bob, nil), hsmproto.CodeUserNotFound)
	u.must(hsmproto.OpLogout, hsmproto.Empty{}, nil)
	changes := []string{"CREATE_USER bob", "CREATE_CO carol", "CHANGE_PSWD bob", "DELETE_USER bob"}
	same(t, "the HSM that was asked", f.hsms[0].since(here), slices.Concat(
		[]string{"LOGIN 163 admin", "LOGIN 157 nobody\nOpcode", "LOGIN admin"}, changes,
		[]string{"DELETE_USER 157 bob", "LOGOUT admin"})...)
	same(t, "the other one", f.hsms[1].since(there), changes...)
	for _, r := range f.hsms[0].audit() {
		if text := r.String(); strings.Count(text, "\nOpcode") != 1 {
			t.Errorf("a name passes for a line:\n%s", text)
		}
	}
}

func TestAuditOfKeys(t *testing.T) {
	f := newCluster(t, 2, "alice")
	u := f.hsms[1].client().login("alice", hsmproto.RoleCryptoUser, userPassword)
	here, there := len(f.hsms[1].audit()), len(f.hsms[0].audit())
	key := u.generate("label", []byte("k1"), 2)
	sealed, err := u.encrypt([]byte("k1"), "text")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.decrypt([]byte("k1"), sealed); err != nil {
		t.Fatal(err)
	}
	u.must(hsmproto.OpDeleteKey, hsmproto.DeleteKeyRequest{Reference: key.Reference}, nil)
	same(t, "the HSM that was asked", f.hsms[1].since(here), "GENERATE_KEY k1", "DESTROY_OBJECT k1")
	same(t, "the other one", f.hsms[0].since(there), "INSERT_MASKED_OBJECT_USER k1", "DESTROY_OBJECT k1")
	if r := f.hsms[0].audit()[there]; r.Handle != key.Reference || r.Session == 0 {
		t.Errorf("%+v", r)
	}
}

// An HSM that comes later records the keys that it is given, not what others did before.
func TestAuditOfLateMember(t *testing.T) {
	f := newCluster(t, 1, "alice")
	u := f.hsms[0].client().login("alice", hsmproto.RoleCryptoUser, userPassword)
	u.generate("label", []byte("k1"), 1)
	late := f.add(hsmproto.CreateJoin)
	f.tell(f.hsms...)
	late.until("joined", voters(2))
	same(t, "the late HSM", late.since(0), "INIT_TOKEN", "INIT_DONE", "INSERT_MASKED_OBJECT_USER k1")
	late.kill()
	late.start()
	late.until("joined", voters(2))
	late.serves()
	same(t, "started again, it", late.since(0), "INIT_TOKEN", "INIT_DONE", "INSERT_MASKED_OBJECT_USER k1")
}

func TestAuditOfLostConnection(t *testing.T) {
	f := newCluster(t, 1, "alice")
	before := len(f.hsms[0].audit())
	u := f.hsms[0].client().login("alice", hsmproto.RoleCryptoUser, userPassword)
	u.login("alice", hsmproto.RoleCryptoUser, userPassword)
	u.conn.Close()
	f.hsms[0].until("no session any longer", func(s hsmproto.StatusReply) bool { return s.Sessions == 0 })
	same(t, "the HSM", f.hsms[0].since(before), "LOGIN alice", "CLOSE_SESSION alice", "LOGIN alice", "APP_FINALIZE alice")
}

// generateSurely makes a key whatever becomes of leaders that were just elected.
func (u *user) generateSurely(id []byte) {
	u.t.Helper()
	for {
		err := u.call(hsmproto.OpGenerateKey, hsmproto.GenerateKeyRequest{ID: id, Length: 32}, nil)
		if err == nil || errors.Is(err, &hsmproto.Error{Code: hsmproto.CodeKeyExists}) {
			return
		}
		if !errors.Is(err, &hsmproto.Error{Code: hsmproto.CodeUnavailable}) {
			u.t.Fatal(err)
		}
	}
}

// What was answered is on record after kill -9, once, and the numbers go on.
func TestAuditAcrossKills(t *testing.T) {
	f := newCluster(t, 2, "alice")
	var want []string
	for i, name := range []string{"k1", "k2", "k3"} {
		u := f.hsms[0].client().login("alice", hsmproto.RoleCryptoUser, userPassword)
		u.generateSurely([]byte(name))
		want = append(want, name)
		for _, p := range f.hsms {
			p.kill()
		}
		for _, p := range f.hsms {
			p.start()
		}
		for n, p := range f.hsms {
			p.serves()
			p.until("records of what was before", func(hsmproto.StatusReply) bool {
				all := p.audit()
				return len(keysIn(all)) >= len(want) && (n != 0 || endedIn(all, uint32(i+2)))
			})
			same(t, p.config.HsmID, keysIn(p.audit()), want...)
		}
	}
}

// keysIn are the ids of keys that were made or received.
func keysIn(records []hsmproto.AuditRecord) (ids []string) {
	for _, r := range records {
		if len(r.KeyID) > 0 {
			ids = append(ids, string(r.KeyID))
		}
	}
	return ids
}

// endedIn reports whether a session without a logout was ended after the HSM had started so often.
func endedIn(records []hsmproto.AuditRecord, reboot uint32) bool {
	return slices.ContainsFunc(records, func(r hsmproto.AuditRecord) bool {
		return r.Opcode == hsmproto.AuditFinalize && r.Reboot == reboot
	})
}

// The folder shows nothing of what the log says.
func TestAuditIsSealed(t *testing.T) {
	f := newCluster(t, 1, "alice")
	files := 0
	err := filepath.WalkDir(filepath.Join(f.hsms[0].config.Dir, "audit"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		for _, name := range []string{"alice", "admin", "CN_LOGIN", adminPassword, userPassword} {
			if bytes.Contains(data, []byte(name)) {
				t.Errorf("%s holds %q", path, name)
			}
		}
		if info, statErr := e.Info(); statErr != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), statErr)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// fill writes until the file system of dir is full, and returns what makes it empty again.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, ".filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	_ = f.Close() // it is full on purpose
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// While its log cannot be written, an HSM refuses management commands before anything is done, and goes on encrypting.
func TestAuditOnFullDisk(t *testing.T) {
	f := newFleet(t)
	p := f.plan(hsmproto.CreateFirst)
	dir := filepath.Join(p.config.Dir, "audit")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	p.start()
	t.Cleanup(p.end)
	f.tell(p)
	p.until("leader", joined)
	p.initialize()
	p.activate([]string{"alice"})
	alice := p.client().login("alice", hsmproto.RoleCryptoUser, userPassword)
	alice.generate("label", []byte("k1"), 1)
	admin := p.client().login("admin", hsmproto.RoleAdmin, adminPassword)

	empty := fill(t, dir)
	long := strings.Repeat("\U0001F511", 64)
	var err error
	const enough = 2000 // commands, for the room that was promised before
	for n := 0; n < enough && !errors.Is(err, &hsmproto.Error{Code: hsmproto.CodeUnavailable}); n++ {
		err = admin.call(hsmproto.OpDeleteUser, hsmproto.UserRequest{User: long, Role: hsmproto.RoleCryptoUser}, nil)
	}
	refused(t, err, hsmproto.CodeUnavailable)
	bob := hsmproto.UserRequest{User: "bob", Role: hsmproto.RoleCryptoUser, Password: []byte(userPassword)}
	refused(t, admin.call(hsmproto.OpCreateUser, bob, nil), hsmproto.CodeUnavailable)
	if _, err := alice.encrypt([]byte("k1"), "text"); err != nil {
		t.Errorf("the log is on the path of encryption: %v", err)
	}
	empty()
	admin.must(hsmproto.OpCreateUser, bob, nil) // refused means: not done
	all := p.since(0)
	if got := all[len(all)-1]; got != "CREATE_USER bob" {
		t.Errorf("the last record is %q", got)
	}
}

// A takeover makes new files of what the survivor has, which is nothing new to its log; a replacement receives it.
func TestAuditAcrossTakeOver(t *testing.T) {
	f := newCluster(t, 2, "alice")
	survivor, dead := f.hsms[0], f.hsms[1]
	u := survivor.client().login("alice", hsmproto.RoleCryptoUser, userPassword)
	u.generate("label", []byte("k1"), 2)
	before := len(survivor.audit())
	dead.kill()
	f.epoch++
	if err := survivor.manage(hsmproto.OpTakeOver, f.membership(survivor), nil); err != nil {
		t.Fatal(err)
	}
	survivor.until("alone", voters(1))
	replacement := f.add(hsmproto.CreateJoin)
	f.tell(survivor, replacement)
	replacement.until("joined", voters(2))
	u.generateSurely([]byte("k2"))
	same(t, "the survivor", survivor.since(before), "GENERATE_KEY k2")
	same(t, "the replacement", replacement.since(0), "INIT_TOKEN", "INIT_DONE", "INSERT_MASKED_OBJECT_USER k1",
		"INSERT_MASKED_OBJECT_USER k2")
}

func TestAuditOfBackups(t *testing.T) {
	f := newCluster(t, 2, "alice")
	u := f.hsms[0].client().login("alice", hsmproto.RoleCryptoUser, userPassword)
	u.generate("label", []byte("k1"), 2)
	before := len(f.hsms[0].audit())
	again := f.from(f.hsms[0].takeBackup())
	same(t, "the HSM that was backed up", f.hsms[0].since(before), "BACKUP_BEGIN", "BACKUP_END")
	p := again.add(hsmproto.CreateRestore)
	again.tell(p)
	p.until("leader", joined)
	same(t, "the restored HSM", p.since(0), "INIT_TOKEN", "RESTORE_BEGIN", "RESTORE_END", "INIT_DONE",
		"INSERT_MASKED_OBJECT_USER k1")
}
