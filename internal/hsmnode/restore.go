package hsmnode

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"keyward/internal/durable"
	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// restore gives a new HSM the contents of a backup: the cluster's secrets go into the device file, which the caller
// writes, the machine into a snapshot from which replication starts, with this HSM as its only voter. Without its
// device file the folder holds no HSM, so a crash in between leaves nothing but a folder to be emptied.
func (d *device) restore(c *hsmproto.BootConfig) error {
	content, machine, err := openBackup(c)
	if err != nil {
		return err
	}
	d.Secrets = &content.Secrets
	d.Identity.ClusterCertificate, d.Identity.TrustAnchor = machine.ClusterCertificate()
	keys, err := newKeyring(secret.New(bytes.Clone(d.Secrets.MaskingKey)))
	if err != nil {
		return err
	}
	snapshot, err := sealMachine(keys, content.Machine, d.Node)
	if err != nil {
		return err
	}
	return plant(filepath.Join(c.Dir, d.RaftDir), d.Node, c.Address, snapshot)
}

// openBackup reads the backup that the supervisor named and checks all that an HSM started from it relies on.
func openBackup(c *hsmproto.BootConfig) (*backupContent, *hsm.Machine, error) {
	data, err := readBackupFile(c.Backup)
	if err != nil {
		return nil, nil, err
	}
	provider := secret.New(bytes.Clone(c.ProviderShare))
	defer provider.Wipe()
	keys, err := loadBackupKeys(provider, c.Area, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, refuseBackup("does not open: the HSMs' share of its key is gone")
	}
	if err != nil {
		return nil, nil, err
	}
	content, err := keys.open(data, c.Mode)
	if err != nil {
		return nil, nil, err
	}
	machine, err := hsm.Restore(content.Machine)
	if err != nil {
		return nil, nil, refuseBackup("cannot be restored: %v", err)
	}
	return content, machine, content.check(machine)
}

// check makes sure that the HSM can present itself as the cluster.
func (b *backupContent) check(m *hsm.Machine) error {
	key, err := parseKey(b.Secrets.PartitionKey)
	if err != nil || len(b.Secrets.MaskingKey) != masterSize {
		return refuseBackup("cannot be restored: it lacks the cluster's secrets")
	}
	var q hsmproto.InitializeRequest
	q.ClusterCertificate, q.TrustAnchor = m.ClusterCertificate()
	if refusal := checkClusterCertificate(&q, key); refusal != nil {
		return refuseBackup("cannot be restored: %s", refusal.Detail)
	}
	return nil
}

// firstEntry is the place in the log that a restored machine takes.
const firstEntry = 1

func sealMachine(keys *keyring, machine []byte, node string) (sealedSnapshot, error) {
	plain, err := hsmproto.Marshal(image{firstEntry, []string{node}, machine})
	if err != nil {
		return nil, fmt.Errorf("hsmnode: encoding a snapshot: %w", err)
	}
	return sealedSnapshot(keys.snapshot.seal(plain, nil)), nil
}

// addresses encodes peers as every transport over TCP does; a snapshot store asks for nothing else.
type addresses struct{ raft.Transport }

func (addresses) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }

// plant makes a replication folder whose only content is a snapshot and whose only voter is this node.
func plant(dir, node, ip string, snapshot sealedSnapshot) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := durable.Mkdir(dir); err != nil {
		return err
	}
	store, err := raft.NewFileSnapshotStoreWithLogger(dir, keptSnapshots, hclog.NewNullLogger())
	if err != nil {
		return fmt.Errorf("hsmnode: opening the snapshots: %w", err)
	}
	alone := raft.Configuration{Servers: []raft.Server{{
		ID: raft.ServerID(node), Address: raft.ServerAddress(peerAddress(ip)),
	}}}
	sink, err := store.Create(raft.SnapshotVersionMax, firstEntry, firstEntry, alone, firstEntry, addresses{})
	if err != nil {
		return fmt.Errorf("hsmnode: writing a snapshot: %w", err)
	}
	if err := snapshot.Persist(sink); err != nil {
		return fmt.Errorf("hsmnode: writing a snapshot: %w", err)
	}
	return durable.SyncDir(dir)
}
