package hsm

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// state is a whole machine as a snapshot holds it: every list is sorted, so that equal machines have equal snapshots.
type state struct {
	Users     []*user    `cbor:"1,keyasint"`
	Created   uint64     `cbor:"2,keyasint"`
	Sessions  []*Session `cbor:"3,keyasint"`
	Keys      []*key     `cbor:"4,keyasint"`
	Reference uint64     `cbor:"5,keyasint"`
	Identity  identity   `cbor:"6,keyasint"`
	Version   uint64     `cbor:"7,keyasint"`
	Epoch     uint64     `cbor:"8,keyasint"`
	Format    uint64     `cbor:"9,keyasint"`
}

// Format numbers the rules by which commands are carried out and snapshots read. HSMs of one cluster must agree on it:
// the same log under other rules is another state. It counts up with every change of a command's meaning.
const Format = 1

// FormatError says that a command or snapshot was written under other rules than ours.
type FormatError struct{ Format uint64 }

func (e *FormatError) Error() string {
	return fmt.Sprintf("hsm: written by state machine format %d, while this HSM has format %d", e.Format, Format)
}

var errBadSnapshot = errors.New("hsm: snapshot contradicts itself")

// Snapshot is the whole state in canonical CBOR. It holds wrapped keys and password hashes: seal it.
func (m *Machine) Snapshot() ([]byte, error) { return encoder.Marshal(m.state()) }

// Backup is Snapshot with what outlives the HSMs alone: users with their passwords, keys and the cluster's certificate.
// Sessions, lock-outs and memberships are those of HSMs that will not be there when it is restored.
func (m *Machine) Backup() ([]byte, error) {
	s := m.state()
	s.Sessions, s.Epoch = nil, 0
	for i, u := range s.Users {
		unlocked := *u
		unlocked.Failures = nil
		s.Users[i] = &unlocked
	}
	return encoder.Marshal(s)
}

func (m *Machine) state() state {
	s := state{
		Format: Format,
		Users:  slices.SortedFunc(maps.Values(m.users), func(a, b *user) int { return cmp.Compare(a.Created, b.Created) }),
		Sessions: slices.SortedFunc(maps.Values(m.sessions),
			func(a, b *Session) int { return strings.Compare(a.ID, b.ID) }),
		Keys:    make([]*key, len(m.order)),
		Created: m.created, Reference: m.reference, Identity: m.identity, Version: m.version, Epoch: m.epoch,
	}
	for i, reference := range m.order {
		s.Keys[i] = m.keys[reference]
	}
	return s
}

// Restore makes the machine whose Snapshot or Backup this is, strictly decoded and checked for what the machine relies
// on; *FormatError for one of other rules.
func Restore(snapshot []byte) (*Machine, error) {
	if err := checkFormat(snapshot, 9); err != nil {
		return nil, err
	}
	var s state
	if err := decoder.Unmarshal(snapshot, &s); err != nil {
		return nil, fmt.Errorf("hsm: decoding a snapshot: %w", err)
	}
	m := empty()
	m.created, m.reference, m.identity, m.version, m.epoch = s.Created, s.Reference, s.Identity, s.Version, s.Epoch
	if !m.takeUsers(s.Users) || !m.takeSessions(s.Sessions) || !m.takeKeys(s.Keys) {
		return nil, errBadSnapshot
	}
	return m, nil
}

// checkFormat looks for the format, the member of this number, before anything else is decoded: what other rules wrote
// may hold members that these do not know.
func checkFormat(data []byte, number uint64) error {
	var members map[uint64]cbor.RawMessage
	if err := decoder.Unmarshal(data, &members); err != nil {
		return fmt.Errorf("hsm: looking for the format: %w", err)
	}
	var format uint64 // zero: written before formats were numbered
	if raw, ok := members[number]; ok {
		if err := decoder.Unmarshal(raw, &format); err != nil {
			return fmt.Errorf("hsm: reading the format: %w", err)
		}
	}
	if format != Format {
		return &FormatError{format}
	}
	return nil
}

func (m *Machine) takeUsers(users []*user) bool {
	var last uint64
	for _, u := range users {
		if u == nil || m.users[u.Name] != nil || u.Created <= last || u.Created > m.created || u.Version > m.version || len(m.users) == MaxUsers {
			return false
		}
		last = u.Created
		m.users[u.Name] = u
	}
	return true
}

func (m *Machine) takeSessions(sessions []*Session) bool {
	last := ""
	for _, s := range sessions {
		if s == nil || s.ID <= last || len(s.Client) != ClientSize || m.users[s.User] == nil {
			return false
		}
		last = s.ID
		m.sessions[s.ID] = s
	}
	return true
}

func (m *Machine) takeKeys(keys []*key) bool {
	var last uint64
	for _, k := range keys {
		if k == nil || k.Reference <= last || k.Reference > m.reference || m.users[k.Owner] == nil ||
			m.ids[string(k.ID)] != 0 || k.Attributes&^allAttributes != 0 || len(m.keys) == MaxKeys {
			return false
		}
		last = k.Reference
		m.addKey(k)
	}
	return true
}
