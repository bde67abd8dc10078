package hsmnode

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"keyward/internal/durable"
	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// A backup is, in order: backupMagic, backupVersion (1 byte), the header's length (4 bytes, big endian), the header in
// CBOR, the sealed content. The content is sealed under a key of its own, bound to everything before it; that key is
// in the header, sealed under the backup key, which two shares derive: the provider's, which the control plane hands
// to every HSM, and the manufacturer's, which HSMs alone have. (User guide, "Security of backups": an ephemeral
// 256-bit key wrapped by a key derived from a provider key and a manufacturer key.)
const (
	backupMagic     = "KWHSMBK"
	backupVersion   = 1
	backupPrefix    = len(backupMagic) + 1 + 4
	maxBackupHeader = 4096 // bytes

	shareFile       = "manufacturer.sealed"
	fingerprintSize = 8 // bytes
)

// backupHeader can be read by anybody who has the file.
type backupHeader struct {
	ClusterID string `cbor:"1,keyasint"`
	HsmID     string `cbor:"2,keyasint"` // that made it
	HsmType   string `cbor:"3,keyasint"`
	Mode      string `cbor:"4,keyasint"`
	// Shares tells backup keys apart: a keyed digest of nothing.
	Shares []byte `cbor:"5,keyasint"`
	Key    []byte `cbor:"6,keyasint"` // the content's, sealed under the backup key
	Size   int    `cbor:"7,keyasint"` // of the sealed content, in bytes
}

// backupContent is all that another HSM needs to be this cluster.
type backupContent struct {
	Secrets clusterSecrets `cbor:"1,keyasint"`
	Machine []byte         `cbor:"2,keyasint"` // hsm.Machine.Backup
}

// badBackup says why a backup cannot be restored, now or ever. The reason is for people and holds no secret.
type badBackup struct{ reason string }

func (e *badBackup) Error() string { return "the backup " + e.reason }

func refuseBackup(format string, args ...any) error { return &badBackup{fmt.Sprintf(format, args...)} }

// backupKeys opens and seals backups.
type backupKeys struct {
	sealer      sealer
	fingerprint []byte
}

// errNoShares is the answer where the supervisor gave neither share nor folder.
var errNoShares = &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "this HSM has no part in backups"}

// loadBackupKeys derives the backup key. With found set the manufacturer's share is made when there is none.
func loadBackupKeys(provider secret.Bytes, area string, found bool) (*backupKeys, error) {
	if provider.Len() != masterSize || area == "" {
		return nil, errNoShares
	}
	manufacturer, err := loadShare(provider, area)
	if errors.Is(err, os.ErrNotExist) && found {
		manufacturer, err = foundShare(provider, area)
	}
	if err != nil {
		return nil, err
	}
	defer manufacturer.Wipe()
	k := new(backupKeys)
	if k.sealer, err = newSealer(manufacturer, provider.Expose(), purposeBackup); err != nil {
		return nil, err
	}
	// A tag over nothing under a key for this alone says nothing about the backup key.
	mark, err := newSealer(manufacturer, provider.Expose(), purposeBackup+" fingerprint")
	if err != nil {
		return nil, err
	}
	var zero [24]byte
	k.fingerprint = mark.aead.Seal(nil, zero[:], nil, nil)[:fingerprintSize]
	return k, nil
}

func loadShare(provider secret.Bytes, area string) (secret.Bytes, error) {
	sealed, err := os.ReadFile(filepath.Join(area, shareFile))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("hsmnode: reading the manufacturer's share: %w", err)
	}
	s, err := newSealer(provider, nil, purposeShare)
	if err != nil {
		return secret.Bytes{}, err
	}
	share, err := s.open(sealed, nil)
	if err != nil || len(share) != masterSize {
		return secret.Bytes{}, errors.New("hsmnode: the manufacturer's share does not open: damaged, or of another installation")
	}
	return secret.New(share), nil
}

// foundShare makes the share, unless another HSM was quicker: then that one's counts.
func foundShare(provider secret.Bytes, area string) (secret.Bytes, error) {
	if err := durable.Mkdir(area); err != nil {
		return secret.Bytes{}, err
	}
	s, err := newSealer(provider, nil, purposeShare)
	if err != nil {
		return secret.Bytes{}, err
	}
	mine := filepath.Join(area, "."+shareFile+fmt.Sprintf(".%x", random(8)))
	if err := durable.WriteFile(mine, s.seal(random(masterSize), nil)); err != nil {
		return secret.Bytes{}, err
	}
	err = os.Link(mine, filepath.Join(area, shareFile)) // refuses to replace
	if errors.Is(err, os.ErrExist) {
		err = nil
	}
	if err := errors.Join(err, os.Remove(mine), durable.SyncDir(area)); err != nil {
		return secret.Bytes{}, err
	}
	return loadShare(provider, area)
}

// seal writes a backup.
func (k *backupKeys) seal(h backupHeader, content *backupContent) ([]byte, error) {
	plain, err := hsmproto.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: encoding a backup: %w", err)
	}
	defer clear(plain)
	key := random(masterSize)
	defer clear(key)
	s, err := newSealer(secret.New(key), nil, purposeBackup)
	if err != nil {
		return nil, err
	}
	h.Shares, h.Key = k.fingerprint, k.sealer.seal(key, []byte(h.ClusterID))
	h.Size = len(plain) + sealedOverhead
	header, err := hsmproto.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: encoding a backup's header: %w", err)
	}
	out := append([]byte(backupMagic), backupVersion)
	out = binary.BigEndian.AppendUint32(out, uint32(len(header)))
	out = append(out, header...)
	return append(out, s.seal(plain, out)...), nil
}

// parseBackup reads a header, strictly, and checks that the file is whole. What it says is not yet proven.
func parseBackup(data []byte) (h *backupHeader, prefix, sealed []byte, err error) {
	switch {
	case !bytes.HasPrefix(data, []byte(backupMagic)):
		return nil, nil, nil, refuseBackup("is not one of an HSM")
	case len(data) < backupPrefix:
		return nil, nil, nil, refuseBackup("is cut short")
	case data[len(backupMagic)] != backupVersion:
		return nil, nil, nil, refuseBackup("has version %d, while this HSM knows version %d", data[len(backupMagic)], backupVersion)
	}
	size := int(binary.BigEndian.Uint32(data[backupPrefix-4:]))
	if size > maxBackupHeader {
		return nil, nil, nil, refuseBackup("is damaged: its header is too long")
	}
	if len(data) < backupPrefix+size {
		return nil, nil, nil, refuseBackup("is cut short")
	}
	prefix, sealed = data[:backupPrefix+size], data[backupPrefix+size:]
	h = new(backupHeader)
	if err := hsmproto.Unmarshal(prefix[backupPrefix:], h); err != nil {
		return nil, nil, nil, refuseBackup("is damaged: its header cannot be read")
	}
	if len(sealed) < h.Size {
		return nil, nil, nil, refuseBackup("is cut short: %d of %d bytes are there", len(sealed), h.Size)
	}
	return h, prefix, sealed, nil
}

// open reads a backup for an HSM of this mode.
func (k *backupKeys) open(data []byte, mode string) (*backupContent, error) {
	h, prefix, sealed, err := parseBackup(data)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(h.Shares, k.fingerprint) {
		return nil, refuseBackup("was made by HSMs of another installation")
	}
	if h.Mode != mode {
		return nil, refuseBackup("is of a cluster in mode %s and cannot be restored in mode %s", h.Mode, mode)
	}
	key, err := k.sealer.open(h.Key, []byte(h.ClusterID))
	if err != nil {
		return nil, refuseBackup("is damaged: its key does not open")
	}
	s, err := newSealer(secret.New(key), nil, purposeBackup)
	clear(key)
	if err != nil {
		return nil, err
	}
	plain, err := s.open(sealed, prefix)
	if err != nil {
		return nil, refuseBackup("is damaged: its content does not open")
	}
	defer clear(plain)
	content := new(backupContent)
	if err := hsmproto.Unmarshal(plain, content); err != nil {
		return nil, refuseBackup("cannot be read: %v", err)
	}
	return content, nil
}

// readBackup answers a piece of a backup, which the first piece makes.
func (m *manager) readBackup(_ context.Context, q *hsmproto.BackupRequest) (any, error) {
	backup := m.kept()
	if q.Offset == 0 {
		var err error
		if backup, err = m.node.recordBackup(); err != nil {
			return nil, err
		}
		m.keep(backup)
	}
	if q.Offset < 0 || q.Offset >= len(backup) {
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "no backup is being read there"}
	}
	end := min(q.Offset+hsmproto.BackupChunk, len(backup))
	if end == len(backup) {
		m.keep(nil)
	}
	return hsmproto.BackupReply{Data: backup[q.Offset:end], Size: len(backup)}, nil
}

func (m *manager) keep(backup []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.backup = backup
}

func (m *manager) kept() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.backup
}

// makeBackup seals what the cluster agreed on up to now. Whatever was acknowledged is in it: every HSM that has joined
// had applied it by then.
func (n *node) makeBackup() ([]byte, error) {
	g := n.group.Load()
	if g == nil || !g.joined() {
		return nil, unavailable("the HSM has not joined its cluster yet")
	}
	keys, err := loadBackupKeys(n.provider, n.config.Area, true)
	if err != nil {
		return nil, err
	}
	content := backupContent{Secrets: *n.vault.get().Secrets}
	var initialized bool
	g.state.read(func(m *hsm.Machine) {
		certificate, _ := m.ClusterCertificate()
		initialized = certificate != ""
		content.Machine, err = m.Backup()
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("hsmnode: making a backup: %w", err)
	case !initialized:
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "the cluster is not initialized"}
	}
	c := n.config
	backup, err := keys.seal(backupHeader{ClusterID: c.ClusterID, HsmID: c.HsmID, HsmType: c.HsmType, Mode: c.Mode}, &content)
	if err == nil && len(backup) > hsmproto.MaxBackup {
		err = errors.New("hsmnode: the backup is too large")
	}
	return backup, err
}

// readBackupFile reads a backup, if its size is possible.
func readBackupFile(path string) (data []byte, err error) {
	in, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, refuseBackup("is gone")
	}
	if err != nil {
		return nil, fmt.Errorf("hsmnode: opening a backup: %w", err)
	}
	data, err = io.ReadAll(io.LimitReader(in, hsmproto.MaxBackup+1))
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, fmt.Errorf("hsmnode: reading a backup: %w", err)
	}
	if len(data) > hsmproto.MaxBackup {
		return nil, refuseBackup("is larger than any can be")
	}
	return data, nil
}
