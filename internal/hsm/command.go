package hsm

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"keyward/internal/hsmproto"
)

// Command changes the machine. The types below are all there are.
type Command interface {
	apply(*Machine) Result
}

// Activate sets the first password of admin.
type Activate struct {
	Password PasswordHash `cbor:"1,keyasint"`
}

// LoginFailed counts a wrong password against the user on one HSM.
type LoginFailed struct {
	User            string `cbor:"1,keyasint"`
	Node            string `cbor:"2,keyasint"`
	PasswordVersion uint64 `cbor:"3,keyasint"`
}

// OpenSession logs a user in whose password the HSM has verified.
type OpenSession struct {
	Session
	PasswordVersion uint64 `cbor:"16,keyasint"`
	// Replaces names the session that the connection had before, if any.
	Replaces string `cbor:"17,keyasint,omitempty"`
}

// CloseSession logs out. Closing what is not open is no error.
type CloseSession struct {
	Session string `cbor:"1,keyasint"`
}

// CloseSessionsOf ends every session of an HSM that started anew.
type CloseSessionsOf struct {
	Node string `cbor:"1,keyasint"`
}

// ForgetHsm ends every session of an HSM that left the cluster, and its lock-outs with it.
type ForgetHsm struct {
	Node string `cbor:"1,keyasint"`
}

// CreateUser adds a user; Session is an admin's.
type CreateUser struct {
	Session  string        `cbor:"1,keyasint"`
	User     string        `cbor:"2,keyasint"`
	Role     hsmproto.Role `cbor:"3,keyasint"`
	Password PasswordHash  `cbor:"4,keyasint"`
}

// DeleteUser removes a user; Session is an admin's.
type DeleteUser struct {
	Session string        `cbor:"1,keyasint"`
	User    string        `cbor:"2,keyasint"`
	Role    hsmproto.Role `cbor:"3,keyasint"`
}

// ChangePassword sets a password, the session's own user's or, by an admin, anyone's. It unlocks everywhere.
type ChangePassword struct {
	Session  string        `cbor:"1,keyasint"`
	User     string        `cbor:"2,keyasint"`
	Role     hsmproto.Role `cbor:"3,keyasint"`
	Password PasswordHash  `cbor:"4,keyasint"`
}

// GenerateKey adds a key whose material the HSM has made and wrapped.
type GenerateKey struct {
	Session    string          `cbor:"1,keyasint"`
	Label      string          `cbor:"2,keyasint"`
	ID         []byte          `cbor:"3,keyasint"`
	Length     int             `cbor:"4,keyasint"`
	Set        map[string]bool `cbor:"5,keyasint"`
	CheckValue []byte          `cbor:"6,keyasint"`
	Wrapped    []byte          `cbor:"7,keyasint"`
	// MinHsms is how many HSMs must hold the key, zero for 2; Hsms is how many will: the voters of the replication
	// group, filled in by its leader.
	MinHsms int `cbor:"8,keyasint"`
	Hsms    int `cbor:"9,keyasint"`
	// Imported marks material that came from outside: the key is not local and its history is not vouched for.
	Imported bool `cbor:"10,keyasint,omitempty"`
}

// DeleteKey removes a key of the session's user.
type DeleteKey struct {
	Session   string `cbor:"1,keyasint"`
	Reference uint64 `cbor:"2,keyasint"`
}

// Initialize records the certificate that the customer's CA gave the cluster, in PEM, once.
type Initialize struct {
	Certificate string `cbor:"1,keyasint"`
	TrustAnchor string `cbor:"2,keyasint"`
}

// FollowMembership says that the leader acts on the control plane's membership of this epoch. A later leader that was
// told of an older one only must not undo that.
type FollowMembership struct {
	Epoch uint64 `cbor:"1,keyasint"`
}

// kind stands for a command's type in its encoding. Numbers are never reused.
type kind uint8

const (
	kindActivate kind = iota + 1
	kindLoginFailed
	kindOpenSession
	kindCloseSession
	kindCloseSessionsOf
	kindForgetHsm
	kindCreateUser
	kindDeleteUser
	kindChangePassword
	kindGenerateKey
	kindDeleteKey
	kindInitialize
	kindFollowMembership
)

type envelope struct {
	Kind kind            `cbor:"1,keyasint"`
	Body cbor.RawMessage `cbor:"2,keyasint"`
	// Format is the writer's; zero in what was written before formats were numbered.
	Format uint64 `cbor:"3,keyasint"`
}

var errUnknownCommand = errors.New("hsm: unknown command")

func kindOf(c Command) kind {
	switch c.(type) {
	case *Activate:
		return kindActivate
	case *LoginFailed:
		return kindLoginFailed
	case *OpenSession:
		return kindOpenSession
	case *CloseSession:
		return kindCloseSession
	case *CloseSessionsOf:
		return kindCloseSessionsOf
	case *ForgetHsm:
		return kindForgetHsm
	case *CreateUser:
		return kindCreateUser
	case *DeleteUser:
		return kindDeleteUser
	case *ChangePassword:
		return kindChangePassword
	case *GenerateKey:
		return kindGenerateKey
	case *DeleteKey:
		return kindDeleteKey
	case *Initialize:
		return kindInitialize
	case *FollowMembership:
		return kindFollowMembership
	default:
		return 0
	}
}

func blank(k kind) Command {
	switch k {
	case kindActivate:
		return new(Activate)
	case kindLoginFailed:
		return new(LoginFailed)
	case kindOpenSession:
		return new(OpenSession)
	case kindCloseSession:
		return new(CloseSession)
	case kindCloseSessionsOf:
		return new(CloseSessionsOf)
	case kindForgetHsm:
		return new(ForgetHsm)
	case kindCreateUser:
		return new(CreateUser)
	case kindDeleteUser:
		return new(DeleteUser)
	case kindChangePassword:
		return new(ChangePassword)
	case kindGenerateKey:
		return new(GenerateKey)
	case kindDeleteKey:
		return new(DeleteKey)
	case kindInitialize:
		return new(Initialize)
	case kindFollowMembership:
		return new(FollowMembership)
	default:
		return nil
	}
}

// EncodeCommand writes a command, a pointer to one of the types of this file.
func EncodeCommand(c Command) ([]byte, error) {
	k := kindOf(c)
	if k == 0 {
		return nil, errUnknownCommand
	}
	body, err := encoder.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("hsm: encoding a command: %w", err)
	}
	return encoder.Marshal(envelope{k, body, Format})
}

// DecodeCommand reads what EncodeCommand wrote, strictly; *FormatError for a command of other rules.
func DecodeCommand(data []byte) (Command, error) {
	var e envelope
	if err := decoder.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("hsm: decoding a command: %w", err)
	}
	if e.Format != Format {
		return nil, &FormatError{e.Format}
	}
	c := blank(e.Kind)
	if c == nil {
		return nil, errUnknownCommand
	}
	if err := decoder.Unmarshal(e.Body, c); err != nil {
		return nil, fmt.Errorf("hsm: decoding a command: %w", err)
	}
	return c, nil
}

// The encoding is canonical, so that equal states have equal snapshots.
var (
	encoder = must(cbor.CoreDetEncOptions().EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   8,
		MaxArrayElements:  MaxSessions, // above MaxKeys and MaxUsers
		MaxMapPairs:       MaxUsers,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options are constants: this is a mistake in this file
	}
	return v
}

func (c *Initialize) apply(m *Machine) Result {
	given := identity{c.Certificate, c.TrustAnchor}
	switch m.identity {
	case identity{}:
		m.identity = given
	case given: // told again
	default:
		return refuse(hsmproto.CodeBadRequest, "the cluster has another certificate")
	}
	return Result{}
}

func (c *FollowMembership) apply(m *Machine) Result {
	m.epoch = max(m.epoch, c.Epoch)
	return Result{}
}
