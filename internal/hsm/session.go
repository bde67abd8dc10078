package hsm

import (
	"bytes"
	"maps"
	"slices"

	"keyward/internal/hsmproto"
)

// Session is a user logged in on one connection of one HSM. All HSMs know all sessions.
type Session struct {
	ID   string        `cbor:"1,keyasint"` // chosen by the HSM, unique in all time
	Node string        `cbor:"2,keyasint"`
	User string        `cbor:"3,keyasint"`
	Role hsmproto.Role `cbor:"4,keyasint"`
	// Client is the identity that ties a client's sessions together (hsmproto.LoginRequest).
	Client    []byte `cbor:"5,keyasint"`
	Exclusive bool   `cbor:"6,keyasint"`
}

// Session looks an open session up. The caller must not change it.
func (m *Machine) Session(id string) (*Session, *hsmproto.Error) { return m.session(id) }

func (m *Machine) session(id string) (*Session, *hsmproto.Error) {
	s, ok := m.sessions[id]
	if !ok {
		return nil, refusal(hsmproto.CodeNotLoggedIn, "User is not logged in")
	}
	return s, nil
}

// SessionsOf returns the ids of an HSM's sessions.
func (m *Machine) SessionsOf(node string) []string {
	var ids []string
	for id, s := range m.sessions {
		if s.Node == node {
			ids = append(ids, id)
		}
	}
	return ids
}

// Nodes returns the HSMs that have sessions or that count wrong passwords, sorted.
func (m *Machine) Nodes() []string {
	nodes := make(map[string]bool)
	for _, s := range m.sessions {
		nodes[s.Node] = true
	}
	for _, u := range m.users {
		for node := range u.Failures {
			nodes[node] = true
		}
	}
	return slices.Sorted(maps.Keys(nodes))
}

func (m *Machine) authorize(id string, role hsmproto.Role) *hsmproto.Error {
	s, err := m.session(id)
	if err != nil {
		return err
	}
	if s.Role != role {
		return refusal(hsmproto.CodePermission, "Operation not permitted for the current user role")
	}
	return nil
}

func (m *Machine) loggedIn(name string) bool {
	for _, s := range m.sessions {
		if s.User == name {
			return true
		}
	}
	return false
}

// others refuses if a client other than this one is logged in as the user.
func (m *Machine) others(name string, client []byte) *hsmproto.Error {
	var found *hsmproto.Error
	for _, s := range m.sessions {
		if s.User != name || bytes.Equal(s.Client, client) {
			continue
		}
		if s.Exclusive {
			return refusal(hsmproto.CodeUserExclusive, "User is in exclusive use")
		}
		found = refusal(hsmproto.CodeUserLoggedIn, "User is currently logged in")
	}
	return found
}

// CheckLogin tells what stands against a login, whatever its password. An HSM asks before it verifies the password,
// so that a user in use elsewhere or locked costs no attempt; OpenSession asks again.
//
// The order is that of connecting a key store: someone logged in elsewhere is seen before the password is looked at
// (USER_LOGGED_IN even if the store's password is wrong, spec key-stores 5.2).
func (m *Machine) CheckLogin(c *OpenSession) *hsmproto.Error {
	if !m.Activated() {
		return refusal(hsmproto.CodeNotActivated, "")
	}
	u := m.userOf(c.User, c.Role)
	if u == nil || !mayLogIn(c.Role) {
		return refusal(hsmproto.CodeIncorrectCredentials, "")
	}
	if err := m.others(u.Name, c.Client); err != nil && (c.Exclusive || err.Code == hsmproto.CodeUserExclusive) {
		return err
	}
	if u.lockedOn(c.Node) {
		return refusal(hsmproto.CodeLocked, "")
	}
	return nil
}

func (c *OpenSession) apply(m *Machine) Result {
	if len(c.Client) != ClientSize || c.ID == "" || c.Node == "" {
		return refuse(hsmproto.CodeBadRequest, "a client's identity has 32 bytes")
	}
	if err := m.CheckLogin(c); err != nil {
		return Result{Refusal: err}
	}
	u := m.userOf(c.User, c.Role)
	if u.Version != c.PasswordVersion {
		return refuse(CodeStale, "")
	}
	if len(m.sessions) >= MaxSessions {
		return refuse(hsmproto.CodeNoSession, "")
	}
	m.replace(c)
	delete(u.Failures, c.Node)
	s := c.Session
	s.User = u.Name
	m.sessions[s.ID] = &s
	return echo(u)
}

// replace ends the connection's earlier session, and the one that the same client lost with an earlier connection.
func (m *Machine) replace(c *OpenSession) {
	delete(m.sessions, c.Replaces)
	for id, s := range m.sessions {
		if s.Node == c.Node && bytes.Equal(s.Client, c.Client) {
			delete(m.sessions, id)
		}
	}
}

func (c *LoginFailed) apply(m *Machine) Result {
	u := m.users[NormalName(c.User)]
	switch {
	case u == nil || u.Version != c.PasswordVersion:
		return refuse(CodeStale, "")
	case u.lockedOn(c.Node):
		return refuse(hsmproto.CodeLocked, "")
	}
	if u.Failures == nil {
		u.Failures = make(map[string]int)
	}
	u.Failures[c.Node]++
	return Result{}
}

func (c *CloseSession) apply(m *Machine) Result {
	delete(m.sessions, c.Session)
	return Result{}
}

func (c *CloseSessionsOf) apply(m *Machine) Result {
	m.closeSessionsOf(c.Node)
	return Result{}
}

func (m *Machine) closeSessionsOf(node string) {
	for id, s := range m.sessions {
		if s.Node == node {
			delete(m.sessions, id)
		}
	}
}

func (c *ForgetHsm) apply(m *Machine) Result {
	m.closeSessionsOf(c.Node)
	for _, u := range m.users {
		delete(u.Failures, c.Node)
	}
	return Result{}
}
