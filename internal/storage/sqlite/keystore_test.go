package sqlite

import (
	"path/filepath"
	"testing"

	"keyward/internal/storage/storagetest"
)

func TestKeyStores(t *testing.T) {
	storagetest.KeyStores(t, func(t *testing.T) storagetest.KeyStoreEngine {
		db := open(t, filepath.Join(t.TempDir(), "keyward.db"), true)
		return storagetest.KeyStoreEngine{Store: db.KeyStores(), Keys: db.KMS(), Events: func() []string { return ids(t, db) }}
	})
}
