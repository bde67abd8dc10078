package sqlite

import (
	"path/filepath"
	"testing"

	"keyward/internal/storage/storagetest"
)

func TestKMSConformance(t *testing.T) {
	storagetest.KMS(t, func(t *testing.T) storagetest.KMSEngine {
		db := open(t, filepath.Join(t.TempDir(), "keyward.db"), true)
		return storagetest.KMSEngine{Store: db.KMS(), Recorder: db, Events: func() []string { return ids(t, db) }}
	})
}
