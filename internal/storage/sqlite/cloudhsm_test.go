package sqlite

import (
	"path/filepath"
	"testing"

	"keyward/internal/network"
	"keyward/internal/storage/storagetest"
)

func TestClusters(t *testing.T) {
	storagetest.Clusters(t, func(t *testing.T) storagetest.ClusterEngine {
		db := open(t, filepath.Join(t.TempDir(), "keyward.db"), true)
		return storagetest.ClusterEngine{Store: db.CloudHSM(), Events: func() []string { return ids(t, db) }}
	})
}

func TestNetworks(t *testing.T) {
	storagetest.Networks(t, func(t *testing.T) network.Store {
		return open(t, filepath.Join(t.TempDir(), "keyward.db"), true).Network()
	})
}
