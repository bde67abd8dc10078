package hsmnode

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// smallAudit rotates after a few records.
var smallAudit = auditLimits{size: 2000, segments: 3}

func auditSealer(t testing.TB) sealer {
	t.Helper()
	s, err := newSealer(secret.New(bytes.Repeat([]byte{7}, masterSize)), nil, purposeAudit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openTestAudit(t testing.TB, dir string, limits auditLimits) *auditLog {
	t.Helper()
	l, _, err := openAuditLog(dir, "hsm-a", auditSealer(t), limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.close() }) // some tests have closed it already
	return l
}

func (l *auditLog) mustNote(t testing.TB, users ...string) {
	t.Helper()
	for _, u := range users {
		if err := l.note(aboutUser(hsmproto.AuditLogin, "", u, hsmproto.RoleAdmin)); err != nil {
			t.Fatal(err)
		}
	}
}

// everything reads all pages and checks that numbers have no gaps.
func (l *auditLog) everything(t testing.TB) (all []hsmproto.AuditRecord) {
	t.Helper()
	from := uint64(0)
	for {
		page, err := l.read(from)
		if err != nil {
			t.Fatal(err)
		}
		if from < page.First {
			from = page.First
		}
		for _, r := range page.Records {
			if r.Sequence != from {
				t.Fatalf("record %d stands where %d should", r.Sequence, from)
			}
			from++
		}
		all = append(all, page.Records...)
		if len(page.Records) == 0 {
			if from != page.Next {
				t.Fatalf("the log ends at %d, not %d", from, page.Next)
			}
			return all
		}
	}
}

func userNames(records []hsmproto.AuditRecord) (names []string) {
	for _, r := range records {
		names = append(names, r.User)
	}
	return names
}

func TestAuditLogOutlivesItsProcess(t *testing.T) {
	dir := t.TempDir()
	l := openTestAudit(t, dir, defaultAudit)
	l.mustNote(t, "alice", "bob")
	l.queue(auditPosition{"raft-0", 9}, aboutUser(hsmproto.AuditLogin, "", "carol", hsmproto.RoleAdmin))
	if err := l.settle(); err != nil {
		t.Fatal(err)
	}
	again := openTestAudit(t, dir, defaultAudit) // the first one was never closed
	again.mustNote(t, "dave")
	all := again.everything(t)
	if got, want := userNames(all), []string{"alice", "bob", "carol", "dave"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if all[0].Reboot != 1 || all[3].Reboot != 2 {
		t.Errorf("starts %d and %d", all[0].Reboot, all[3].Reboot)
	}
	if again.misses(auditPosition{"raft-0", 9}) || !again.misses(auditPosition{"raft-0", 10}) || !again.misses(auditPosition{"raft-7", 1}) {
		t.Error("the place in the replication log is lost")
	}
}

// Wherever a write is cut off, what was there before stays, and the log goes on.
func TestAuditLogTornTail(t *testing.T) {
	dir := t.TempDir()
	l := openTestAudit(t, dir, defaultAudit)
	l.mustNote(t, "alice")
	whole := l.size
	l.mustNote(t, "bob")
	data, err := os.ReadFile(l.path(0))
	if err != nil {
		t.Fatal(err)
	}
	tear := func(t *testing.T, torn []byte) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(l.path(0))), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		again := openTestAudit(t, dir, defaultAudit)
		again.mustNote(t, "carol")
		if got := userNames(openTestAudit(t, dir, defaultAudit).everything(t)); !slices.Equal(got, []string{"alice", "carol"}) {
			t.Errorf("%q", got)
		}
	}
	for end := whole; end < int64(len(data)); end += 7 {
		tear(t, data[:end])
	}
	tear(t, append(slices.Clone(data[:whole]), make([]byte, 4096)...)) // the length came to the disk, the bytes did not
}

// Anything else than a torn tail is damage, and said.
func TestAuditLogDamage(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir()
		l := openTestAudit(t, dir, defaultAudit)
		l.mustNote(t, "alice", "bob")
		whole := l.size
		l.mustNote(t, "carol")
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(l.path(0))
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.Int64Range(0, whole-1).Draw(r, "at")
		data[at] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		if err := os.WriteFile(l.path(0), data, 0o600); err != nil {
			t.Fatal(err)
		}
		again, _, err := openAuditLog(dir, "hsm-a", auditSealer(t), defaultAudit)
		if err == nil {
			_ = again.close()
			r.Fatal("a flipped bit was not seen")
		}
	})
}

func TestAuditLogOfAnotherHsm(t *testing.T) {
	dir := t.TempDir()
	l := openTestAudit(t, dir, defaultAudit)
	l.mustNote(t, "alice")
	if _, _, err := openAuditLog(dir, "hsm-b", auditSealer(t), defaultAudit); !errors.Is(err, errAuditDamaged) {
		t.Errorf("another HSM reads it: %v", err)
	}
}

// Beyond its bound the log forgets the oldest records only, and the newest ones say so.
func TestAuditLogRotates(t *testing.T) {
	dir := t.TempDir()
	l := openTestAudit(t, dir, smallAudit)
	for range 200 {
		l.mustNote(t, "alice")
	}
	for _, l := range []*auditLog{l, openTestAudit(t, dir, smallAudit)} {
		all := l.everything(t)
		trimmed := slices.IndexFunc(all, func(r hsmproto.AuditRecord) bool { return r.Opcode == hsmproto.AuditTrimmed })
		if trimmed < 0 || len(all) > 100 || all[0].Sequence == 0 {
			t.Fatalf("%d records from %d, trimmed %d", len(all), all[0].Sequence, trimmed)
		}
		var newest uint64
		for _, r := range all {
			newest = max(newest, r.Through)
		}
		if newest != all[0].Sequence-1 {
			t.Errorf("the log begins at %d and says that it misses up to %d", all[0].Sequence, newest)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != smallAudit.segments {
			t.Errorf("%d segments, %v", len(files), err)
		}
	}
}

// A log that cannot be written refuses, keeps nothing of what it refused, and goes on when it can.
func TestAuditLogRefuses(t *testing.T) {
	dir := t.TempDir()
	l := openTestAudit(t, dir, defaultAudit)
	l.mustNote(t, "alice")
	good := l.file
	closed, err := os.Open(l.path(0)) // read only
	if err != nil {
		t.Fatal(err)
	}
	l.file, l.reserved = closed, 0
	if l.note(aboutUser(hsmproto.AuditLogin, "", "bob", hsmproto.RoleAdmin)) == nil || l.prepare() == nil {
		t.Fatal("it says that it wrote")
	}
	l.file = good
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	l.mustNote(t, "carol")
	if got := userNames(l.everything(t)); !slices.Equal(got, []string{"alice", "carol"}) {
		t.Errorf("%q", got)
	}
}

// More than a page, and more than a frame.
func TestAuditLogPages(t *testing.T) {
	l := openTestAudit(t, t.TempDir(), defaultAudit)
	records := make([]hsmproto.AuditRecord, 2*hsmproto.AuditPage+5)
	for i := range records {
		records[i] = aboutKey(hsmproto.AuditInsertMasked, "", uint64(i+1), bytes.Repeat([]byte{9}, 255))
	}
	if err := l.note(records...); err != nil {
		t.Fatal(err)
	}
	if all := l.everything(t); len(all) != len(records) || all[len(all)-1].Handle != uint64(len(records)) {
		t.Errorf("%d of %d records", len(all), len(records))
	}
	page, err := l.read(3)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := hsmproto.Marshal(page); err != nil || len(data) > hsmproto.MaxFrame {
		t.Errorf("a page of %d bytes, %v", len(data), err)
	}
}

func FuzzAuditSegment(f *testing.F) {
	l := openTestAudit(f, f.TempDir(), defaultAudit)
	l.mustNote(f, "alice")
	data, err := os.ReadFile(l.path(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add(make([]byte, 9))
	f.Fuzz(func(t *testing.T, data []byte) {
		next := uint64(0)
		_, good, err := l.parse(data, 0, func(a *auditFrame) bool { next = a.Next; return true })
		if good > len(data) || err == nil && good > 0 && next > 1 {
			t.Errorf("%d of %d bytes, next record %d, %v", good, len(data), next, err)
		}
	})
}
