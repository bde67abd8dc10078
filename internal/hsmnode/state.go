package hsmnode

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

// maxSnapshot bounds a snapshot's size in bytes: 16,666 keys with the longest labels and ids, with room to spare.
const maxSnapshot = 64 << 20

// state is the machine as Raft drives it, with what this HSM prepares from it. Raft calls Apply, StoreConfiguration
// and Restore from one goroutine.
type state struct {
	keys    *keyring
	applied *signal // fires after every change
	// opened, if set, hears of every session that the cluster opened, outside the lock.
	opened  func(*hsm.OpenSession)
	witness *witness // nil: nothing is recorded

	mu      sync.RWMutex // guards what follows
	machine *hsm.Machine
	index   uint64   // of the newest entry applied
	voters  []string // nodes, by the newest configuration agreed on
	ciphers *cipherCache
	refusal error // why the newest snapshot could not be restored; nil if it could
}

func newState(keys *keyring) *state {
	return &state{keys: keys, applied: new(signal), machine: hsm.New(), ciphers: newCipherCache()}
}

// Apply carries out a sealed command. An entry that does not open means that this HSM can no longer agree with the
// others, so the process ends.
func (s *state) Apply(entry *raft.Log) any {
	command, err := openCommand(s.keys, entry)
	if err != nil {
		panic(err)
	}
	result := s.apply(entry.Index, command)
	s.applied.fire()
	if open, ok := command.(*hsm.OpenSession); ok && result.Refusal == nil && s.opened != nil {
		s.opened(open)
	}
	return result
}

// openCommand unseals and decodes an entry of the log.
func openCommand(keys *keyring, entry *raft.Log) (hsm.Command, error) {
	plain, err := keys.log.open(entry.Data, nil)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: entry %d of the log: %w", entry.Index, err)
	}
	command, err := hsm.DecodeCommand(plain)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: entry %d of the log: %w", entry.Index, err)
	}
	return command, nil
}

func (s *state) apply(index uint64, command hsm.Command) hsm.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = index
	before := s.witness.before(s.machine, command)
	result := s.machine.Apply(command)
	s.witness.applied(index, s.machine, command, result, before)
	if c, ok := command.(*hsm.DeleteKey); ok && result.Refusal == nil {
		s.ciphers.drop(c.Reference)
	}
	return result
}

// StoreConfiguration implements raft.ConfigurationStore: it comes in order with the commands, so that an HSM that sees
// itself among the voters has applied everything agreed on before it became one.
func (s *state) StoreConfiguration(index uint64, configuration raft.Configuration) {
	s.mu.Lock()
	s.index = index
	s.voters = votersOf(configuration)
	s.witness.configured(index, s.voters, s.machine)
	s.mu.Unlock()
	s.applied.fire()
}

func votersOf(c raft.Configuration) []string {
	voters := []string{}
	for _, server := range c.Servers {
		if server.Suffrage == raft.Voter {
			voters = append(voters, string(server.ID))
		}
	}
	slices.Sort(voters)
	return voters
}

// image is what a snapshot holds.
type image struct {
	Index   uint64   `cbor:"1,keyasint"`
	Voters  []string `cbor:"2,keyasint"`
	Machine []byte   `cbor:"3,keyasint"`
}

// Snapshot copies the state at once: the machine encodes in milliseconds. What it makes unnecessary to replay is in the
// audit log first.
func (s *state) Snapshot() (raft.FSMSnapshot, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.witness.complete(s.index); err != nil {
		return nil, err
	}
	machine, err := s.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	plain, err := hsmproto.Marshal(image{s.index, s.voters, machine})
	if err != nil {
		return nil, fmt.Errorf("hsmnode: encoding a snapshot: %w", err)
	}
	return sealedSnapshot(s.keys.snapshot.seal(plain, nil)), nil
}

type sealedSnapshot []byte

// Persist implements raft.FSMSnapshot.
func (s sealedSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s sealedSnapshot) Release() {}

// Restore replaces everything by a snapshot's contents.
func (s *state) Restore(source io.ReadCloser) error {
	err := s.restore(source)
	s.mu.Lock()
	s.refusal = err
	s.mu.Unlock()
	if err == nil {
		s.applied.fire()
	}
	return err
}

func (s *state) restore(source io.ReadCloser) error {
	sealed, err := io.ReadAll(io.LimitReader(source, maxSnapshot+1))
	if err := errors.Join(err, source.Close()); err != nil {
		return err
	}
	if len(sealed) > maxSnapshot {
		return errors.New("hsmnode: snapshot too large")
	}
	plain, err := s.keys.snapshot.open(sealed, nil)
	if err != nil {
		return err
	}
	var i image
	if err := hsmproto.Unmarshal(plain, &i); err != nil {
		return fmt.Errorf("hsmnode: decoding a snapshot: %w", err)
	}
	machine, err := hsm.Restore(i.Machine)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.machine, s.index, s.voters, s.ciphers = machine, i.Index, i.Voters, newCipherCache()
	s.witness.restored(i.Index, i.Voters, machine)
	s.mu.Unlock()
	return nil
}

// refused is why the newest snapshot could not be restored. Raft keeps the reason to itself.
func (s *state) refused() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.refusal
}

// read lets f look at the machine. f must not keep anything of it.
func (s *state) read(f func(*hsm.Machine)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(s.machine)
}

// identity is what InitializeCluster gave the cluster; empty before.
func (s *state) identity() (q hsmproto.InitializeRequest) {
	s.read(func(m *hsm.Machine) { q.ClusterCertificate, q.TrustAnchor = m.ClusterCertificate() })
	return q
}

// epoch is that of the newest membership that a leader acted on.
func (s *state) epoch() (epoch uint64) {
	s.read(func(m *hsm.Machine) { epoch = m.Epoch() })
	return epoch
}

// agreed returns the newest index applied and the voters agreed on.
func (s *state) agreed() (uint64, []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index, s.voters
}
