package hsm

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
}

var errBadSnapshot = errors.New("hsm: snapshot contradicts itself")

// Snapshot is the whole state in canonical CBOR. It holds wrapped keys and password hashes: seal it.
func (m *Machine) Snapshot() ([]byte, error) {
	s := state{
		Users: slices.SortedFunc(maps.Values(m.users), func(a, b *user) int { return cmp.Compare(a.Created, b.Created) }),
		Sessions: slices.SortedFunc(maps.Values(m.sessions),
			func(a, b *Session) int { return strings.Compare(a.ID, b.ID) }),
		Keys:    make([]*key, len(m.order)),
		Created: m.created, Reference: m.reference, Identity: m.identity, Version: m.version, Epoch: m.epoch,
	}
	for i, reference := range m.order {
		s.Keys[i] = m.keys[reference]
	}
	return encoder.Marshal(s)
}

// Restore makes the machine whose snapshot this is, strictly decoded and checked for what the machine relies on.
func Restore(snapshot []byte) (*Machine, error) {
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
