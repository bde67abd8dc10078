package hsmnode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// takeBackup reads a backup from an HSM as the control plane does and keeps it in a file.
func (p *process) takeBackup() string {
	p.fleet.t.Helper()
	var data []byte
	for size := 1; len(data) < size; {
		var piece hsmproto.BackupReply
		if err := p.manage(hsmproto.OpBackup, hsmproto.BackupRequest{Offset: len(data)}, &piece); err != nil {
			p.fleet.t.Fatal(err)
		}
		if len(piece.Data) == 0 || len(piece.Data) > hsmproto.BackupChunk {
			p.fleet.t.Fatalf("a piece of %d bytes", len(piece.Data))
		}
		data, size = append(data, piece.Data...), piece.Size
	}
	return p.fleet.write(data)
}

func (f *fleet) write(data []byte) string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "backup")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// from is another cluster of the same installation, to be restored from a backup.
func (f *fleet) from(backup string) *fleet {
	g := *f
	g.prefix, g.cluster, g.backup, g.epoch, g.hsms = newFleet(f.t).prefix, "cluster-restored", backup, 0, nil
	return &g
}

// A cluster restored from a backup has the users with their passwords of then, and the keys under their ids, deleted
// ones too; what one cluster does afterwards does not touch the other (statements 37 and 44 of spec hsm 12).
func TestRestore(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 2, "cu")
	c := f.hsms[0].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	id := []byte("key")
	key := c.generate("label", id, 0)
	sealed, err := c.encrypt(id, "text")
	if err != nil {
		t.Fatal(err)
	}
	backup := f.hsms[1].takeBackup()
	c.must(hsmproto.OpDeleteKey, hsmproto.DeleteKeyRequest{Reference: key.Reference}, nil)
	c.must(hsmproto.OpChangePassword, hsmproto.UserRequest{User: "cu", Role: hsmproto.RoleCryptoUser, Password: []byte("anotherPassword")}, nil)

	r := f.from(backup)
	first := r.add(hsmproto.CreateRestore)
	r.tell(first)
	first.until("leader", voters(1))
	second := r.add(hsmproto.CreateJoin)
	r.tell(first, second)
	second.until("joined", voters(2))
	for _, p := range r.hsms {
		u := p.client() // its certificate is the cluster's: the client trusts the same CA
		refused(t, u.tryLogin("cu", hsmproto.RoleCryptoUser, "anotherPassword", false), hsmproto.CodeIncorrectCredentials)
		u.login("cu", hsmproto.RoleCryptoUser, userPassword)
		if text, err := u.decrypt(id, sealed); err != nil || text != "text" {
			t.Errorf("on %s: %q, %v", p.config.HsmID, text, err)
		}
	}
	_, err = c.decrypt(id, sealed)
	refused(t, err, hsmproto.CodeKeyNotFound)
	again := second.client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	if next := again.generate("", []byte("next"), 0); next.Reference <= key.Reference {
		t.Errorf("reference %d comes after %d", next.Reference, key.Reference)
	}
	// Killed and started again, everything is there: the restored state is on the disk.
	first.kill()
	second.kill()
	first.config.Create, second.config.Create = "", ""
	first.start()
	second.start()
	first.serves()
	second.serves()
	u := first.client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	if text, err := u.decrypt(id, sealed); err != nil || text != "text" {
		t.Errorf("after a restart: %q, %v", text, err)
	}
}

// A backup that cannot be restored is refused with its reason, and no HSM comes of it.
func TestBackupsRefused(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 1, "cu")
	path := f.hsms[0].takeBackup()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := backupPrefix + int(binary.BigEndian.Uint32(good[backupPrefix-4:]))
	flip := func(at int) []byte {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		return bad
	}
	for _, c := range []struct {
		name, reason string
		data         []byte
		change       func(*hsmproto.BootConfig)
	}{
		{"something else", "is not one of an HSM", []byte("a text"), nil},
		{"empty", "is not one of an HSM", nil, nil},
		{"another version", "has version 0", flip(len(backupMagic)), nil},
		{"cut short", "is cut short", good[:len(good)-1], nil},
		{"cut in the header", "is cut short", good[:header-1], nil},
		{"longer", "is damaged", append(bytes.Clone(good), 0), nil},
		{"content damaged", "is damaged: its content does not open", flip(len(good) - 1), nil},
		{"header damaged", "is damaged", flip(backupPrefix + 5), nil},
		{"gone", "is gone", good, func(c *hsmproto.BootConfig) { c.Backup += "x" }},
		{"another mode", "of a cluster in mode FIPS", good, func(c *hsmproto.BootConfig) { c.Mode = "NON_FIPS" }},
		{"share gone", "share of its key is gone", good, func(c *hsmproto.BootConfig) { c.Area = t.TempDir() }},
		{"another installation", "another installation", good, func(c *hsmproto.BootConfig) {
			c.Area, c.ProviderShare = t.TempDir(), random(masterSize)
			if _, err := loadBackupKeys(secret.New(c.ProviderShare), c.Area, true); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := f.hsms[0].config
			config.Dir, config.Create, config.Backup = t.TempDir(), hsmproto.CreateRestore, f.write(c.data)
			if c.change != nil {
				c.change(&config)
			}
			d := &device{Node: config.Node, RaftDir: raftDirOf(0)}
			err := d.restore(&config)
			if !errors.As(err, new(*badBackup)) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("got %v, want …%s…", err, c.reason)
			}
		})
	}
}

// The supervisor hears the reason, and that the backup is at fault.
func TestBadBackupEndsTheBoot(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.backup = f.write([]byte("a text"))
	if _, err := loadBackupKeys(secret.New(f.share), f.area, true); err != nil {
		t.Fatal(err)
	}
	p := f.plan(hsmproto.CreateRestore)
	if err := p.tryStart(); err == nil || !strings.Contains(err.Error(), "is not one of an HSM") {
		t.Errorf("the boot ends with %v", err)
	}
	p.kill()
}

// Who holds the provider's share and the file, as the control plane does, still lacks the manufacturer's share.
func TestBackupNeedsBothShares(t *testing.T) {
	provider, area := random(masterSize), t.TempDir()
	keys, err := loadBackupKeys(secret.New(provider), area, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadBackupKeys(secret.New(random(masterSize)), area, true); err == nil {
		t.Error("another provider share opens the manufacturer's")
	}
	again, err := loadBackupKeys(secret.New(provider), area, false)
	if err != nil || !bytes.Equal(again.fingerprint, keys.fingerprint) {
		t.Errorf("loaded again: %v", err)
	}
	other, err := loadBackupKeys(secret.New(provider), t.TempDir(), true)
	if err != nil || bytes.Equal(other.fingerprint, keys.fingerprint) {
		t.Errorf("another manufacturer's share gives the same key: %v", err)
	}
}

// An HSM that is not initialised has nothing to back up; pieces are read in order.
func TestBackupRequests(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := f.add(hsmproto.CreateFirst)
	var err error
	p.until("sure of its state", func(hsmproto.StatusReply) bool { // until then it is UNAVAILABLE
		err = p.manage(hsmproto.OpBackup, hsmproto.BackupRequest{}, nil)
		return !errors.Is(err, &hsmproto.Error{Code: hsmproto.CodeUnavailable})
	})
	refused(t, err, hsmproto.CodeBadRequest)
	refused(t, p.manage(hsmproto.OpBackup, hsmproto.BackupRequest{Offset: 7}, nil), hsmproto.CodeBadRequest)
	refused(t, p.manage(hsmproto.OpBackup, hsmproto.BackupRequest{Offset: -1}, nil), hsmproto.CodeBadRequest)
}

func FuzzParseBackup(f *testing.F) {
	keys, err := loadBackupKeys(secret.New(random(masterSize)), f.TempDir(), true)
	if err != nil {
		f.Fatal(err)
	}
	good, err := keys.seal(backupHeader{ClusterID: "cluster", Mode: "FIPS"}, &backupContent{Machine: []byte("machine")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:20])
	f.Add([]byte(backupMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		content, err := keys.open(data, "FIPS")
		if err == nil && (!bytes.Equal(data, good) || string(content.Machine) != "machine") {
			t.Error("opens what was not sealed")
		}
		if err != nil && !errors.As(err, new(*badBackup)) {
			t.Errorf("refused without a reason for people: %v", err)
		}
	})
}
