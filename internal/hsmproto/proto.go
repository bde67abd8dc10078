// Package hsmproto is the language between an HSM and those who talk to it: frames, messages, error codes, limits.
// It holds no behaviour beyond strict encoding.
//
// Three conversations use it:
//
//   - clients (operators' shell, key store connector), TLS 1.3 on ClientPort; the HSM presents the cluster certificate;
//   - the control plane, mutual TLS on ManagementPort (manage.go);
//   - the supervisor that starts an HSM process, over its standard input and output (boot.go).
//
// HSMs speak among themselves on PeerPort; that is the business of package hsmnode.
//
// Messages are CBOR maps with integer keys, in the core deterministic encoding; unknown and duplicate keys, indefinite
// lengths and trailing bytes are refused. A member may be added under a new number; numbers are never reused.
package hsmproto

// Ports of an HSM on its ENI address. All three lie in 2223–2225, the range that cluster security groups open.
const (
	ClientPort     = 2223
	ManagementPort = 2224
	PeerPort       = 2225
)

// Limits.
const (
	// MaxFrame bounds a frame's body, in bytes.
	MaxFrame = 1 << 20
	// MaxData bounds the plaintext of one Encrypt and the request of one Random, in bytes: the AES-GCM buffer of a
	// CloudHSM appliance (hsm.md section 7).
	MaxData = 16224
	// MaxConnections bounds the client connections of one HSM (hsm.md section 3).
	MaxConnections = 2048
	// MaxSessionsPerConnection bounds the calls in progress on one connection: PKCS #11 sessions of one application.
	MaxSessionsPerConnection = 1024
)

// Op says what a request asks for.
type Op uint8

// Client operations. Info and ListUsers need no login.
const (
	OpInfo Op = iota + 1
	OpListUsers
	OpActivate
	OpLogin
	OpLogout
	OpCreateUser
	OpDeleteUser
	OpChangePassword
	OpGenerateKey
	OpFindKeys
	OpDeleteKey
	OpEncrypt
	OpDecrypt
	OpRandom
)

// Role of a user, as the operators' shell writes it.
type Role string

// Roles (hsm.md section 2).
const (
	RoleUnactivatedAdmin Role = "unactivated-admin"
	RoleAdmin            Role = "admin"
	RoleCryptoUser       Role = "crypto-user"
	RoleAppliance        Role = "internal(APPLIANCE_USER)"
)

// Empty is the body of requests and replies that say nothing more.
type Empty struct{}

// InfoReply identifies the appliance and its cluster.
type InfoReply struct {
	HsmID         string `cbor:"1,keyasint"`
	ClusterID     string `cbor:"2,keyasint"`
	Vendor        string `cbor:"3,keyasint"`
	Model         string `cbor:"4,keyasint"`
	Serial        string `cbor:"5,keyasint"`
	HardwareMajor string `cbor:"6,keyasint"`
	HardwareMinor string `cbor:"7,keyasint"`
	FirmwareMajor string `cbor:"8,keyasint"`
	FirmwareMinor string `cbor:"9,keyasint"`
	FirmwareBuild string `cbor:"10,keyasint"`
	FirmwareID    string `cbor:"11,keyasint"`
	FIPSState     string `cbor:"12,keyasint"`
	// Members are the client addresses (IP, no port) of all HSMs of the cluster, this one included.
	Members []string `cbor:"13,keyasint"`
	// Activated is false until the first admin password is set.
	Activated bool `cbor:"14,keyasint"`
}

// User as ListUsers shows it; the answer is about the whole cluster.
type User struct {
	Name string `cbor:"1,keyasint"`
	Role Role   `cbor:"2,keyasint"`
	// LockedOn names the HSMs on which the user is locked out.
	LockedOn []string `cbor:"3,keyasint"`
}

// ListUsersReply lists users in order of creation, and the HSMs of the cluster, so that the reader can tell
// "locked" from "inconsistent".
type ListUsersReply struct {
	Users []User   `cbor:"1,keyasint"`
	Hsms  []string `cbor:"2,keyasint"`
}

// ActivateRequest sets the first password of user "admin".
type ActivateRequest struct {
	Password []byte `cbor:"1,keyasint"`
}

// LoginRequest opens the session of this connection, replacing an earlier one.
type LoginRequest struct {
	User     string `cbor:"1,keyasint"`
	Role     Role   `cbor:"2,keyasint"`
	Password []byte `cbor:"3,keyasint"`
	// Client is 32 random bytes that tie the logins of one client on several HSMs together, and a client's login to
	// the one it replaces after a reconnection.
	Client []byte `cbor:"4,keyasint"`
	// Exclusive asks that no other client be logged in as this user while the session lasts, and is refused with
	// CodeUserLoggedIn where one is.
	Exclusive bool `cbor:"5,keyasint"`
}

// LoginReply echoes the user as stored.
type LoginReply struct {
	User string `cbor:"1,keyasint"`
	Role Role   `cbor:"2,keyasint"`
}

// UserRequest creates a user, deletes one (no password) or changes a password.
type UserRequest struct {
	User     string `cbor:"1,keyasint"`
	Role     Role   `cbor:"2,keyasint"`
	Password []byte `cbor:"3,keyasint"`
}

// UserReply echoes the user as stored (lower case).
type UserReply struct {
	User string `cbor:"1,keyasint"`
	Role Role   `cbor:"2,keyasint"`
}

// GenerateKeyRequest makes a secret AES token key owned by the logged-in crypto user.
type GenerateKeyRequest struct {
	Label  string `cbor:"1,keyasint"`
	ID     []byte `cbor:"2,keyasint"`
	Length int    `cbor:"3,keyasint"` // bytes: 16, 24, 32
	// Set names boolean attributes with values other than their defaults (hsm.md 6.2), for example "extractable".
	Set map[string]bool `cbor:"4,keyasint"`
	// MinHsms is how many HSMs must hold the key: 2 by default (0), 1 where the client switched the availability
	// check off.
	MinHsms int `cbor:"5,keyasint"`
}

// Key is a key's public face.
type Key struct {
	Reference   uint64          `cbor:"1,keyasint"`
	Owner       string          `cbor:"2,keyasint"`
	SharedWith  []string        `cbor:"3,keyasint"`
	Class       string          `cbor:"4,keyasint"` // "secret-key"
	Type        string          `cbor:"5,keyasint"` // "aes"
	Label       string          `cbor:"6,keyasint"`
	ID          []byte          `cbor:"7,keyasint"`
	Length      int             `cbor:"8,keyasint"`
	CheckValue  []byte          `cbor:"9,keyasint"`
	Attributes  map[string]bool `cbor:"10,keyasint"` // every boolean attribute by name
	CoveredHsms []string        `cbor:"11,keyasint"` // HSMs that hold it
}

// FindKeysRequest selects keys visible to the session. All terms must hold; zero members do not restrict.
type FindKeysRequest struct {
	Reference  *uint64         `cbor:"1,keyasint"`
	Label      *string         `cbor:"2,keyasint"`
	ID         *[]byte         `cbor:"3,keyasint"`
	Class      *string         `cbor:"4,keyasint"`
	Type       *string         `cbor:"5,keyasint"`
	Length     *int            `cbor:"6,keyasint"`
	CheckValue *[]byte         `cbor:"7,keyasint"`
	Attributes map[string]bool `cbor:"8,keyasint"`
	Offset     int             `cbor:"9,keyasint"`
	Max        int             `cbor:"10,keyasint"` // at most 1000; 0 means 1000
}

// FindKeysReply holds one page, ordered by reference, and the count of all matches.
type FindKeysReply struct {
	Keys  []Key `cbor:"1,keyasint"`
	Total int   `cbor:"2,keyasint"`
}

// GenerateKeyReply shows the new key.
type GenerateKeyReply struct {
	Key Key `cbor:"1,keyasint"`
}

// DeleteKeyRequest deletes one key of the session's user.
type DeleteKeyRequest struct {
	Reference uint64 `cbor:"1,keyasint"`
}

// Mechanism of Encrypt and Decrypt.
type Mechanism uint8

// Mechanisms. In both the IV is made in the HSM and stands before the ciphertext, the tag of 16 bytes behind it.
const (
	// MechanismAESGCM is CloudHSM's AES-GCM: a 12-byte IV.
	MechanismAESGCM Mechanism = iota + 1
	// MechanismXAES256GCM is XAES-256-GCM (C2SP): a 24-byte IV, half of which derives a key for this message, so that
	// any number of messages can be encrypted under one key. Needs a 32-byte key.
	MechanismXAES256GCM
)

// CryptRequest encrypts or decrypts Data under the key with this id, or, where ID is empty, this reference.
type CryptRequest struct {
	ID        []byte    `cbor:"1,keyasint,omitempty"`
	Reference uint64    `cbor:"2,keyasint,omitempty"`
	Mechanism Mechanism `cbor:"3,keyasint"`
	AAD       []byte    `cbor:"4,keyasint"`
	Data      []byte    `cbor:"5,keyasint"`
}

// CryptReply holds IV‖ciphertext‖tag, or the plaintext.
type CryptReply struct {
	Data []byte `cbor:"1,keyasint"`
}

// RandomRequest asks for bytes of the HSM's generator; at most MaxData.
type RandomRequest struct {
	Length int `cbor:"1,keyasint"`
}

// RandomReply holds them.
type RandomReply struct {
	Data []byte `cbor:"1,keyasint"`
}
