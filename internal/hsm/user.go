package hsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"keyward/internal/hsmproto"
)

// PasswordHash is what is kept of a password. The machine only carries it.
type PasswordHash struct {
	Algorithm  string `cbor:"1,keyasint"` // "pbkdf2-sha512"
	Iterations int    `cbor:"2,keyasint"`
	Salt       []byte `cbor:"3,keyasint"`
	Hash       []byte `cbor:"4,keyasint"`
}

type user struct {
	Name     string        `cbor:"1,keyasint"`
	Role     hsmproto.Role `cbor:"2,keyasint"`
	Created  uint64        `cbor:"3,keyasint"`
	Password PasswordHash  `cbor:"4,keyasint"`
	// Version is Password's, unique in the machine: a user made again under an old name is another one.
	Version uint64 `cbor:"5,keyasint"`
	// Failures counts consecutive wrong passwords by HSM; MaxFailures means locked there.
	Failures map[string]int `cbor:"6,keyasint"`
}

func (u *user) lockedOn(node string) bool { return u.Failures[node] >= MaxFailures }

// NormalName is the name as it is stored: names are case-insensitive.
func NormalName(name string) string { return strings.ToLower(name) }

// CheckName tells whether a user may have this name: 1 to 31 letters, digits and underscores.
func CheckName(name string) *hsmproto.Error {
	for _, r := range name {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (r < '0' || r > '9') && r != '_' {
			return refusal(hsmproto.CodeBadName, fmt.Sprintf("Username contains an invalid character: '%c'", r))
		}
	}
	if n := len(name); n < 1 || n > 31 {
		return refusal(hsmproto.CodeBadName, "Username must be 1 to 31 characters")
	}
	return nil
}

// CheckPassword tells whether a user may have this password: 7 to 32 printable ASCII characters without the colon,
// which separates user and password in PKCS #11 pins.
func CheckPassword(password []byte) *hsmproto.Error {
	if n := utf8.RuneCount(password); n < 7 || n > 32 {
		return refusal(hsmproto.CodeBadPassword, "Password must be 7 to 32 characters")
	}
	for _, c := range password {
		if c == ':' {
			return refusal(hsmproto.CodeBadPassword, "Password contains an invalid character: ':'")
		}
		if c < ' ' || c > '~' { // the character itself stays unsaid: it is part of a secret
			return refusal(hsmproto.CodeBadPassword, "Password contains an invalid character")
		}
	}
	return nil
}

func (m *Machine) addUser(name string, role hsmproto.Role, password PasswordHash) *user {
	m.created++
	u := &user{Name: name, Role: role, Created: m.created}
	m.setPassword(u, password)
	m.users[name] = u
	return u
}

// userOf finds a user of that name and role.
func (m *Machine) userOf(name string, role hsmproto.Role) *user {
	if u := m.users[NormalName(name)]; u != nil && u.Role == role {
		return u
	}
	return nil
}

func echo(u *user) Result {
	return Result{User: &hsmproto.UserReply{User: u.Name, Role: u.Role}}
}

// Users lists all users in order of creation, the appliance user last. LockedOn holds node names.
func (m *Machine) Users() []hsmproto.User {
	sorted := make([]*user, 0, len(m.users))
	for _, u := range m.users {
		sorted = append(sorted, u)
	}
	slices.SortFunc(sorted, func(a, b *user) int {
		if a.Role == hsmproto.RoleAppliance || b.Role == hsmproto.RoleAppliance {
			return cmp.Compare(rank(a), rank(b))
		}
		return cmp.Compare(a.Created, b.Created)
	})
	list := make([]hsmproto.User, len(sorted))
	for i, u := range sorted {
		list[i] = hsmproto.User{Name: u.Name, Role: u.Role, LockedOn: u.lockedNodes()}
	}
	return list
}

func rank(u *user) int {
	if u.Role == hsmproto.RoleAppliance {
		return 1
	}
	return 0
}

func (u *user) lockedNodes() []string {
	nodes := []string{}
	for node := range u.Failures {
		if u.lockedOn(node) {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// Password returns the hash to verify a login against, and its version; false if there is no such user of that role
// that can log in.
func (m *Machine) Password(name string, role hsmproto.Role) (PasswordHash, uint64, bool) {
	u := m.userOf(name, role)
	if u == nil || !mayLogIn(role) {
		return PasswordHash{}, 0, false
	}
	return u.Password, u.Version, true
}

func mayLogIn(role hsmproto.Role) bool {
	return role == hsmproto.RoleAdmin || role == hsmproto.RoleCryptoUser
}

func (c *Activate) apply(m *Machine) Result {
	if m.Activated() {
		return refuse(hsmproto.CodeActivated, "")
	}
	u := m.users[adminName]
	u.Role = hsmproto.RoleAdmin
	m.setPassword(u, c.Password)
	return echo(u)
}

// setPassword unlocks, too.
func (m *Machine) setPassword(u *user, p PasswordHash) {
	m.version++
	u.Password, u.Version, u.Failures = p, m.version, nil
}

func (c *CreateUser) apply(m *Machine) Result {
	if err := m.authorize(c.Session, hsmproto.RoleAdmin); err != nil {
		return Result{Refusal: err}
	}
	if err := CheckName(c.User); err != nil {
		return Result{Refusal: err}
	}
	name := NormalName(c.User)
	switch {
	case !mayLogIn(c.Role):
		return refuse(hsmproto.CodeBadRequest, "users are made with role admin or crypto-user")
	case m.users[name] != nil:
		return refuse(hsmproto.CodeUserExists, "User already exists")
	case len(m.users) >= MaxUsers:
		return refuse(hsmproto.CodeTooManyUsers, fmt.Sprintf("The cluster has %d users already", MaxUsers))
	}
	return echo(m.addUser(name, c.Role, c.Password))
}

func (c *DeleteUser) apply(m *Machine) Result {
	if err := m.authorize(c.Session, hsmproto.RoleAdmin); err != nil {
		return Result{Refusal: err}
	}
	u := m.userOf(c.User, c.Role)
	switch {
	case u == nil:
		return refuse(hsmproto.CodeUserNotFound, "User does not exist")
	case !mayLogIn(u.Role):
		return refuse(hsmproto.CodePermission, "")
	case u.Role == hsmproto.RoleAdmin && m.admins() == 1:
		return refuse(hsmproto.CodeLastAdmin, "The last admin cannot be deleted")
	case m.owns(u.Name):
		return refuse(hsmproto.CodeUserOwnsKeys, "User owns keys and cannot be deleted")
	case m.loggedIn(u.Name):
		return refuse(hsmproto.CodeUserLoggedIn, "User is currently logged in")
	}
	delete(m.users, u.Name)
	return echo(u)
}

func (m *Machine) admins() int {
	n := 0
	for _, u := range m.users {
		if u.Role == hsmproto.RoleAdmin {
			n++
		}
	}
	return n
}

func (m *Machine) owns(name string) bool {
	for _, k := range m.keys {
		if k.Owner == name {
			return true
		}
	}
	return false
}

func (c *ChangePassword) apply(m *Machine) Result {
	s, err := m.session(c.Session)
	if err != nil {
		return Result{Refusal: err}
	}
	self := NormalName(c.User) == s.User && c.Role == s.Role
	if !self && s.Role != hsmproto.RoleAdmin {
		return refuse(hsmproto.CodePermission, "")
	}
	u := m.userOf(c.User, c.Role)
	switch {
	case u == nil:
		return refuse(hsmproto.CodeUserNotFound, "User does not exist")
	case !mayLogIn(u.Role):
		return refuse(hsmproto.CodePermission, "")
	}
	if err := m.others(u.Name, s.Client); err != nil {
		return Result{Refusal: err}
	}
	m.setPassword(u, c.Password)
	return echo(u)
}
