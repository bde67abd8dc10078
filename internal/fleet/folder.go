package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"keyward/internal/durable"
)

// HasFolder implements cloudhsm.Fleet.
func (f *Fleet) HasFolder(hsmID string) bool { return isThere(f.folder(hsmID)) }

// isThere reports whether a folder exists. What cannot be looked at is not taken for gone.
func isThere(dir string) bool {
	_, err := os.Stat(dir)
	return !errors.Is(err, os.ErrNotExist)
}

// wipe makes dir an empty folder. The folder itself stays in place throughout, so that a crash cannot make it look
// as if it had been lost.
func wipe(dir string) error {
	if err := durable.Mkdir(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return durable.SyncDir(dir)
}

// Discard implements cloudhsm.Fleet.
func (f *Fleet) Discard(_ context.Context, hsmID string) error {
	defer f.order(hsmID)()
	f.dismiss(f.unit(hsmID), false)
	return remove(f.folder(hsmID))
}

func remove(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return durable.SyncDir(filepath.Dir(dir))
}
