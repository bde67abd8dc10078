package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"keyward/internal/cloudhsm"
	"keyward/internal/durable"
	"keyward/internal/hsmproto"
)

// backupSuffix of the files under DIR/backups, each named by its backup's id.
const backupSuffix = ".sealed"

// backupsShare names, among platform secrets, the share of the key that seals backups.
const backupsShare = "backups"

func (f *Fleet) backupPath(id string) string {
	return filepath.Join(f.config.Dir, "backups", id+backupSuffix)
}

// area is the folder that HSMs share among themselves.
func (f *Fleet) area() string { return filepath.Join(f.config.Dir, "manufacturer") }

// Backup implements cloudhsm.Fleet.
func (f *Fleet) Backup(ctx context.Context, hsmID, backupID string) (cloudhsm.Content, error) {
	data, err := f.fetchBackup(ctx, hsmID)
	if err != nil {
		return cloudhsm.Content{}, fmt.Errorf("reading a backup from %s: %w", hsmID, err)
	}
	if err := durable.WriteFile(f.backupPath(backupID), data); err != nil {
		return cloudhsm.Content{}, err
	}
	sum := sha256.Sum256(data)
	return cloudhsm.Content{Size: int64(len(data)), SHA256: sum[:]}, nil
}

// errDisorderly says that an HSM does not hold to the protocol.
var errDisorderly = errors.New("fleet: the HSM answers out of order")

// fetchBackup reads a backup piece by piece. All pieces come over one connection, or the HSM refuses.
func (f *Fleet) fetchBackup(ctx context.Context, hsmID string) ([]byte, error) {
	u := f.unit(hsmID)
	if u == nil {
		return nil, errNotRunning
	}
	c := u.connection()
	if c == nil {
		return nil, errNotRunning
	}
	var data []byte
	for size := 1; len(data) < size; {
		var piece hsmproto.BackupReply
		if err := c.Call(ctx, hsmproto.OpBackup, hsmproto.BackupRequest{Offset: len(data)}, &piece); err != nil {
			return nil, err
		}
		if len(piece.Data) == 0 || piece.Size > hsmproto.MaxBackup || len(data)+len(piece.Data) > piece.Size {
			return nil, errDisorderly
		}
		data, size = append(data, piece.Data...), piece.Size
	}
	return data, nil
}

// CheckBackup implements cloudhsm.Fleet.
func (f *Fleet) CheckBackup(backupID string, c cloudhsm.Content) error {
	_, err := f.readBackup(backupID, c)
	return err
}

// readBackup reads a kept backup and makes sure that it is what it was.
func (f *Fleet) readBackup(id string, c cloudhsm.Content) (data []byte, err error) {
	in, err := os.Open(f.backupPath(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &cloudhsm.BadBackup{Reason: "its file is gone"}
	}
	if err != nil {
		return nil, err
	}
	data, err = io.ReadAll(io.LimitReader(in, hsmproto.MaxBackup+1))
	if err := errors.Join(err, in.Close()); err != nil {
		return nil, fmt.Errorf("reading backup %s: %w", id, err)
	}
	if int64(len(data)) != c.Size {
		return nil, &cloudhsm.BadBackup{Reason: fmt.Sprintf("its file has %d bytes instead of %d", len(data), c.Size)}
	}
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], c.SHA256) {
		return nil, &cloudhsm.BadBackup{Reason: "its file is damaged"}
	}
	return data, nil
}

// CopyBackup implements cloudhsm.Fleet.
func (f *Fleet) CopyBackup(from, to string, c cloudhsm.Content) error {
	data, err := f.readBackup(from, c)
	if err != nil {
		return err
	}
	return durable.WriteFile(f.backupPath(to), data)
}

// DropBackup implements cloudhsm.Fleet.
func (f *Fleet) DropBackup(backupID string) error {
	path := f.backupPath(backupID)
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(err, durable.SyncDir(filepath.Dir(path)))
}

// KeptBackups implements cloudhsm.Fleet.
func (f *Fleet) KeptBackups() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(f.backupPath("")))
	if err != nil {
		return nil, fmt.Errorf("listing backups: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), backupSuffix); ok && strings.HasPrefix(id, "backup-") {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
