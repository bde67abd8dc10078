package hsmnode

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"keyward/internal/durable"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

const (
	deviceFile = "device.sealed"
	saltFile   = "device.salt"
	saltSize   = 32
)

// device is what this HSM is: everything it must remember that is not the cluster's agreed state.
type device struct {
	HsmID        string `cbor:"1,keyasint"`
	ClusterID    string `cbor:"2,keyasint"`
	Node         string `cbor:"3,keyasint"`
	Serial       string `cbor:"4,keyasint"`
	HardwareKey  []byte `cbor:"5,keyasint"` // PKCS #8
	Provider     []byte `cbor:"6,keyasint"` // DER certificates of the hardware key
	Manufacturer []byte `cbor:"7,keyasint"`
	// Secrets are the cluster's; nil in an HSM that was not taken in yet.
	Secrets *clusterSecrets `cbor:"8,keyasint"`
	// Attestation exists in the first HSM of a cluster.
	Attestation *attestation `cbor:"9,keyasint"`
	// Group numbers the replication group: a takeover makes a new one, numbered by its membership's epoch. RaftDir
	// holds its state.
	Group   uint64 `cbor:"10,keyasint"`
	RaftDir string `cbor:"11,keyasint"`
	// Start says what is still to be done before Raft may run; see the constants.
	Start   startMode         `cbor:"12,keyasint"`
	Epoch   uint64            `cbor:"13,keyasint"`
	Members []hsmproto.Member `cbor:"14,keyasint"`
	// Identity is the machine's, for clients who come before the log is replayed.
	Identity hsmproto.InitializeRequest `cbor:"15,keyasint"`
}

// startMode survives a crash between deciding on a step and completing it.
type startMode uint8

const (
	startNormal    startMode = iota
	startBootstrap           // make a group of one, unless done
	startRecover             // reduce the group to this HSM, then go on as its only voter
	startFresh               // empty state may be all there is: the leader will send it
)

// clusterSecrets are shared by the HSMs of a cluster and pass from HSM to HSM only.
type clusterSecrets struct {
	MaskingKey   []byte `cbor:"1,keyasint"`
	PartitionKey []byte `cbor:"2,keyasint"` // PKCS #8
}

// attestation is what a user checks before initialising a cluster, in PEM.
type attestation struct {
	CSR         string `cbor:"1,keyasint"`
	Certificate string `cbor:"2,keyasint"` // of the partition key, by the hardware key
}

// member finds the member with this node name.
func (d *device) member(node string) (hsmproto.Member, bool) {
	i := slices.IndexFunc(d.Members, func(m hsmproto.Member) bool { return m.Node == node })
	if i < 0 {
		return hsmproto.Member{}, false
	}
	return d.Members[i], true
}

// vault keeps the device in its sealed file. Readers get the current value, which nobody may change in place.
type vault struct {
	dir    string
	sealer sealer
	audit  sealer // of the audit log

	mu      sync.RWMutex
	current *device
}

var errNoDevice = errors.New("hsmnode: there is no HSM in this folder")

// openVault unseals the device under dir. A folder without one gives errNoDevice and a vault ready for the first set.
func openVault(dir string, platform secret.Bytes) (*vault, error) {
	if platform.Len() != masterSize {
		return nil, fmt.Errorf("hsmnode: the platform secret has %d bytes, not %d", platform.Len(), masterSize)
	}
	if err := durable.Mkdir(dir); err != nil {
		return nil, err
	}
	salt, err := loadSalt(dir)
	if err != nil {
		return nil, err
	}
	v := &vault{dir: dir}
	if v.sealer, err = newSealer(platform, salt, purposeDevice); err != nil {
		return nil, err
	}
	if v.audit, err = newSealer(platform, salt, purposeAudit); err != nil {
		return nil, err
	}
	sealed, err := os.ReadFile(filepath.Join(dir, deviceFile))
	if errors.Is(err, os.ErrNotExist) {
		return v, errNoDevice
	}
	if err != nil {
		return nil, err
	}
	return v, v.load(sealed)
}

// loadSalt makes the salt on first use. A folder with a device but without its salt is damaged beyond repair, which
// the fresh salt turns into errUnseal.
func loadSalt(dir string) ([]byte, error) {
	path := filepath.Join(dir, saltFile)
	salt, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		salt = random(saltSize)
		return salt, durable.WriteFile(path, salt)
	}
	return salt, err
}

func (v *vault) load(sealed []byte) error {
	plain, err := v.sealer.open(sealed, nil)
	if err != nil {
		return err
	}
	defer clear(plain)
	d := new(device)
	if err := hsmproto.Unmarshal(plain, d); err != nil {
		return fmt.Errorf("hsmnode: decoding the device file: %w", err)
	}
	v.current = d
	return nil
}

// get is the device as it was last set.
func (v *vault) get() *device {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.current
}

// update changes a copy and keeps it once it is durable. An error of change, or of writing, leaves things as they were.
func (v *vault) update(change func(*device) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := new(device)
	if v.current != nil {
		*next = *v.current
	}
	if err := change(next); err != nil {
		return err
	}
	plain, err := hsmproto.Marshal(next)
	if err != nil {
		return fmt.Errorf("hsmnode: encoding the device file: %w", err)
	}
	defer clear(plain)
	if err := durable.WriteFile(filepath.Join(v.dir, deviceFile), v.sealer.seal(plain, nil)); err != nil {
		return err
	}
	v.current = next
	return nil
}

// raftDir is where the replication group's state is.
func (v *vault) raftDir() string { return filepath.Join(v.dir, v.get().RaftDir) }

func raftDirOf(group uint64) string { return fmt.Sprintf("raft-%d", group) }

// sweep removes the state of groups that this HSM left.
func (v *vault) sweep() error {
	found, err := filepath.Glob(filepath.Join(v.dir, "raft-*"))
	if err != nil {
		return err
	}
	for _, path := range found {
		if path != v.raftDir() {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return errors.Join(err, durable.SyncDir(v.dir))
}
