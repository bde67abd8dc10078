// Package hsm is what the HSMs of one cluster agree on: users, lock-outs, sessions and keys, as a deterministic machine.
//
// The same commands in the same order give the same state and the same results on every HSM. So there is no clock, no
// randomness and no I/O here: session names, password hashes and wrapped key material come in with the command. The
// machine never sees a password or a key in the clear. Package hsmnode replicates the commands and owns the lock:
// a Machine is not safe for concurrent use, except that its queries may run side by side.
//
// The rules are those of the CloudHSM User Guide (understanding users, key attributes, quotas) and of the KMS Developer
// Guide where it describes kmsuser; spec hsm 2, 3, 6 and 8.
package hsm

import (
	"keyward/internal/hsmproto"
)

// Limits of an hsm2m.medium cluster (spec hsm 2, 3, 6).
const (
	// MaxUsers counts every user, the appliance user included.
	MaxUsers = 1024
	// MaxKeys counts every key of the cluster.
	MaxKeys = 16666
	// MaxFailures is the number of consecutive wrong passwords on one HSM that locks a user there.
	MaxFailures = 5
	// MaxLabel bounds a key's label, in characters.
	MaxLabel = 127
	// MaxID bounds a key's id, in bytes.
	MaxID = 255
	// MaxSessions bounds the sessions of a cluster: every connection of 28 HSMs, CloudHSM's most.
	MaxSessions = 28 * hsmproto.MaxConnections
	// ClientSize is the length of a client's identity, in bytes.
	ClientSize = 32
)

const (
	adminName     = "admin"
	applianceName = "app_user"
)

// Machine is the agreed state. The zero value is not usable; New makes one.
type Machine struct {
	users     map[string]*user
	created   uint64 // number of users ever made, which orders them
	version   uint64 // the newest password's
	sessions  map[string]*Session
	keys      map[uint64]*key
	order     []uint64          // references in ascending order
	ids       map[string]uint64 // references of keys with an id
	reference uint64            // the newest key's
	identity  identity
	epoch     uint64 // of the newest membership that a leader acted on
}

// identity is what InitializeCluster gave the cluster, in PEM.
type identity struct {
	Certificate string `cbor:"1,keyasint"`
	TrustAnchor string `cbor:"2,keyasint"`
}

// New is a cluster that nobody has activated: its users are admin, waiting for a password, and app_user.
func New() *Machine {
	m := empty()
	m.addUser(adminName, hsmproto.RoleUnactivatedAdmin, PasswordHash{})
	m.addUser(applianceName, hsmproto.RoleAppliance, PasswordHash{})
	return m
}

func empty() *Machine {
	return &Machine{
		users:    make(map[string]*user),
		sessions: make(map[string]*Session),
		keys:     make(map[uint64]*key),
		ids:      make(map[string]uint64),
	}
}

// Result is what a command came to. A refusal changed nothing, except that LoginFailed counts.
type Result struct {
	Refusal *hsmproto.Error     `cbor:"1,keyasint,omitempty"`
	User    *hsmproto.UserReply `cbor:"2,keyasint,omitempty"`
	Key     *hsmproto.Key       `cbor:"3,keyasint,omitempty"`
}

// CodeStale refuses LoginFailed and OpenSession whose password was verified against a hash that is no longer the
// user's: verify again. It never leaves an HSM.
const CodeStale hsmproto.Code = "STALE"

func refuse(code hsmproto.Code, detail string) Result {
	return Result{Refusal: refusal(code, detail)}
}

func refusal(code hsmproto.Code, detail string) *hsmproto.Error {
	return &hsmproto.Error{Code: code, Detail: detail}
}

// Apply carries a command out.
func (m *Machine) Apply(c Command) Result { return c.apply(m) }

// Activated reports whether the first admin has a password.
func (m *Machine) Activated() bool {
	return m.users[adminName] == nil || m.users[adminName].Role != hsmproto.RoleUnactivatedAdmin
}

// ClusterCertificate returns the PEM texts given by Initialize, empty before.
func (m *Machine) ClusterCertificate() (certificate, trustAnchor string) {
	return m.identity.Certificate, m.identity.TrustAnchor
}

// Epoch is that of the newest membership that a leader acted on.
func (m *Machine) Epoch() uint64 { return m.epoch }

// Counts returns the numbers of users, sessions and keys.
func (m *Machine) Counts() (users, sessions, keys int) {
	return len(m.users), len(m.sessions), len(m.keys)
}
