package identity

import (
	"context"
	"time"

	"keyward/internal/audit"
)

// Records read from a Store are the reader's own. Version counts a record's changes; Update… compares and swaps on it.
// Names are unique in their account and kind without regard to case, and found without regard to it. The JSON names
// are the stored form.

// Account is an account of the installation.
type Account struct {
	ID      string // 12 digits
	Name    string // for people; may be empty
	Created time.Time
}

// Kind of an entity.
type Kind string

// The kinds.
const (
	User  Kind = "user"
	Group Kind = "group"
	Role  Kind = "role"
)

var kinds = []Kind{User, Group, Role}

// Entity is a user, a group or a role: what policies are attached to.
type Entity struct {
	Account string
	Kind    Kind
	Name    string
	ID      string // "AIDA…", "AGPA…" or "AROA…"; never reused
	Version int64
	Path    string // "/", or "/division/team/"
	Created time.Time
	// Boundary is the ARN of the managed policy that is the permissions boundary; empty for none, and for groups.
	Boundary string
	Attached []string // ARNs of managed policies, in the order in which they were attached
	Inline   []Inline // in the order of names
	Groups   []string // a user's: names, in the order of joining
	Tags     []Tag
	Role     RoleFacts // a role's
}

// Inline is a policy that is part of an entity.
type Inline struct {
	Name     string `json:"name"`
	Document string `json:"document"`
}

// RoleFacts are what only roles have.
type RoleFacts struct {
	Description string `json:"description,omitempty"`
	// Trust is the policy that says who may assume the role.
	Trust string `json:"trust,omitempty"`
	// Bound are the ids of the users and roles that Trust names, by ARN: it means these, and not later ones of the name.
	Bound map[string]string `json:"bound,omitempty"`
	// MaxSession is the longest session, in seconds.
	MaxSession int32 `json:"maxSession,omitempty"`
}

// Tag of an entity, a policy or a session.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// ManagedPolicy is a policy that can be attached to many entities.
type ManagedPolicy struct {
	Account     string // empty for AWS's own
	Name        string
	ID          string // "ANPA…"
	Version     int64
	Path        string
	Description string
	Created     time.Time
	Updated     time.Time       // when the newest version was made
	Default     string          // the id of the version in effect
	Versions    []PolicyVersion // oldest first
	Next        int             // the number of the next version
	Tags        []Tag
}

// PolicyVersion is one text of a managed policy.
type PolicyVersion struct {
	ID       string    `json:"id"` // "v1"
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

// Provider is an OpenID Connect provider whose tokens roles may trust.
type Provider struct {
	Account     string
	URL         string // without the scheme
	Version     int64
	Plain       bool     // the scheme is http: the issuer is on this machine
	Clients     []string // the audiences that its tokens may be for
	Thumbprints []string // kept for those who set them: its certificate is verified against the system's roots
	Created     time.Time
	Tags        []Tag
}

// Status of an access key.
type Status string

// The statuses, in IAM's words.
const (
	Active   Status = "Active"
	Inactive Status = "Inactive"
)

// AccessKey is a long-term access key and the principal it speaks for.
type AccessKey struct {
	AccessKeyID  string // "AKIA" and 16 characters of [A-Z2-7]
	Account      string
	PrincipalID  string // the user's id; the account's for its root user
	Status       Status
	SealedSecret []byte // by Sealer, for the purpose that names AccessKeyID
	Created      time.Time
	LastUsed     Use
}

// Use is the newest use of an access key, as far as it was noted.
type Use struct {
	Time            time.Time
	Service, Region string
}

// Session is what temporary credentials are worth.
type Session struct {
	AccessKeyID  string // "ASIA" and 16 characters
	Account      string
	PrincipalID  string // of the role or user whose session it is; the account's for its root user
	SealedSecret []byte
	TokenHash    []byte // SHA-256 of the session token
	Created      time.Time
	Expires      time.Time
	SessionFacts
}

// SessionFacts are what a session was made with.
type SessionFacts struct {
	// Kind is the operation's: AssumeRole, GetSessionToken or GetFederationToken.
	Kind SessionKind `json:"kind"`
	// Name of a role's session or of a federated user.
	Name string `json:"name,omitempty"`
	// Scoped sessions may do only what one of Inline (documents) and Managed (ARNs) allows as well.
	Scoped  bool     `json:"scoped,omitempty"`
	Inline  []string `json:"inline,omitempty"`
	Managed []string `json:"managed,omitempty"`
	// Tags of the session; the keys in Transitive go on to the sessions that are made with it.
	Tags           []Tag    `json:"tags,omitempty"`
	Transitive     []string `json:"transitive,omitempty"`
	SourceIdentity string   `json:"sourceIdentity,omitempty"`
	// Provider is the identity provider's URL, without scheme, for a session that a web identity token opened.
	Provider string `json:"provider,omitempty"`
	// Claims are the provider's condition keys, such as "issuer:sub", that the session keeps.
	Claims map[string][]string `json:"claims,omitempty"`
}

// SessionKind says how a session came about.
type SessionKind string

// The kinds of sessions.
const (
	RoleSession      SessionKind = "role"
	UserSession      SessionKind = "user"
	FederatedSession SessionKind = "federated"
)

// Deletion is what is remembered of a service-linked role that was deleted, for who asks how its deletion went.
type Deletion struct {
	Account string
	ID      string // "task/aws-service-role/<service>/<role>/<UUID>"
	Ended   time.Time
}

// Store keeps identities. Reads see everything that was acknowledged before. Absent records are fault.ErrNotFound.
// Lists are in the order of names, access keys in that of their creation.
type Store interface {
	Reader
	// Change runs fn in one transaction together with the call's event (nil for work of the installation's own): all or
	// nothing is durable when it returns.
	Change(ctx context.Context, event *audit.Event, fn func(Tx) error) error
	// NoteUses writes down the newest uses of access keys, by id. Keys that are gone are passed over.
	NoteUses(ctx context.Context, uses map[string]Use) error
	// Purge removes what ended before then: sessions and deletions.
	Purge(ctx context.Context, then time.Time) error
}

// Reader reads records.
type Reader interface {
	Account(ctx context.Context, id string) (*Account, error)
	Accounts(ctx context.Context) ([]*Account, error)
	Entity(ctx context.Context, account string, kind Kind, name string) (*Entity, error)
	EntityByID(ctx context.Context, id string) (*Entity, error)
	Entities(ctx context.Context, account string, kind Kind) ([]*Entity, error)
	Policy(ctx context.Context, account, name string) (*ManagedPolicy, error)
	Policies(ctx context.Context, account string) ([]*ManagedPolicy, error)
	Provider(ctx context.Context, account, url string) (*Provider, error)
	Providers(ctx context.Context, account string) ([]*Provider, error)
	AccessKey(ctx context.Context, id string) (*AccessKey, error)
	// AccessKeys lists those of one principal.
	AccessKeys(ctx context.Context, account, principalID string) ([]*AccessKey, error)
	Session(ctx context.Context, id string) (*Session, error)
	Deletion(ctx context.Context, account, id string) (*Deletion, error)
}

// Tx is the inside of a Change; its reads see its writes.
type Tx interface {
	Reader
	// Insert… add a record: fault.ErrExists if its id or name is taken.
	InsertAccount(*Account) error
	InsertEntity(*Entity) error
	InsertPolicy(*ManagedPolicy) error
	InsertProvider(*Provider) error
	InsertAccessKey(*AccessKey) error
	InsertSession(*Session) error
	InsertDeletion(*Deletion) error
	// Update… replace the record whose Version is the one given and count it up in the argument, or fail with
	// fault.ErrConflict. Account, kind and id never change.
	UpdateEntity(*Entity) error
	UpdatePolicy(*ManagedPolicy) error
	UpdateProvider(*Provider) error
	// UpdateAccessKey writes the key's status.
	UpdateAccessKey(*AccessKey) error
	// Delete… remove a record; fault.ErrConflict if it is no longer the one given.
	DeleteEntity(*Entity) error
	DeletePolicy(*ManagedPolicy) error
	DeleteProvider(*Provider) error
	DeleteAccessKey(*AccessKey) error
}

// Sealer protects secrets at rest; purpose is bound to what it sealed.
type Sealer interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}
