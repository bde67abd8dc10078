// Package identity knows accounts' users and their access keys: it says who signed a request, makes the first
// administrator, and answers STS. Secret access keys leave the store sealed and are opened only here.
package identity

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/policy"
	"keyward/internal/secret"
	"keyward/internal/sigv4"
)

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
	Account      string // 12 digits
	UserName     string // empty for the account's root user
	PrincipalID  string // "AIDA" and 16 characters; the account for its root user
	ARN          string
	Status       Status
	SealedSecret []byte // by Sealer, for the purpose that names AccessKeyID
	Created      time.Time
}

// Caller is the principal as a request signed with k presents it.
func (k *AccessKey) Caller() policy.Caller {
	kind := "IAMUser"
	if k.ARN == arn.Root(k.Account) {
		kind = "Root"
	}
	return policy.Caller{
		Type: kind, PrincipalID: k.PrincipalID, ARN: k.ARN, Account: k.Account,
		AccessKeyID: k.AccessKeyID, UserName: k.UserName,
	}
}

// Store keeps access keys.
type Store interface {
	// AccessKey returns the key with this id, or fault.ErrNotFound.
	AccessKey(ctx context.Context, id string) (*AccessKey, error)
	// InsertAccessKey adds a key, or answers fault.ErrExists.
	InsertAccessKey(ctx context.Context, k *AccessKey) error
}

// Sealer protects secrets at rest; purpose is bound to what it sealed.
type Sealer interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// Limits of what is kept in memory.
const (
	maxAccounts    = 1024 // access keys with their secrets opened
	maxSigningKeys = 4096
	// freshness bounds how long a key that was deactivated behind our back still works.
	freshness = time.Minute
)

// Config is what a Service needs.
type Config struct {
	Store  Store
	Sealer Sealer
	Now    func() time.Time
}

// Service answers who signed a request. It may be used concurrently.
type Service struct {
	config  Config
	known   *cache
	signing *sigv4.KeyCache
}

// New makes a Service.
func New(c Config) *Service {
	return &Service{config: c, known: newCache(maxAccounts), signing: sigv4.NewKeyCache(maxSigningKeys)}
}

// Authenticate verifies that r was signed for service by an active access key and says whose it is and which Region
// the signature names. A refusal is a *sigv4.Error; any other error is an internal failure.
func (s *Service) Authenticate(ctx context.Context, r *sigv4.Request, service string) (policy.Caller, arn.Scope, error) {
	signature, err := sigv4.Parse(r)
	if err != nil {
		return policy.Caller{}, arn.Scope{}, err
	}
	if err := signature.CheckScope(r, service); err != nil {
		return policy.Caller{}, arn.Scope{}, err
	}
	// No session tokens are issued, so none can be valid.
	if signature.SessionToken {
		return policy.Caller{}, arn.Scope{}, sigv4.ErrUnknownKey
	}
	now := s.config.Now()
	key, err := s.lookup(ctx, signature.AccessKeyID, now)
	if err != nil {
		return policy.Caller{}, arn.Scope{}, err
	}
	if err := signature.CheckTime(now); err != nil {
		return policy.Caller{}, arn.Scope{}, err
	}
	if err := signature.Verify(r, s.signing.Key(key.secret, signature.Credential)); err != nil {
		return policy.Caller{}, arn.Scope{}, err
	}
	return key.caller, arn.Scope{Account: key.caller.Account, Region: signature.Region}, nil
}

// lookup returns the active access key id with its secret opened.
func (s *Service) lookup(ctx context.Context, id string, now time.Time) (*entry, error) {
	if e := s.known.get(id, now); e != nil {
		return e, nil
	}
	k, err := s.config.Store.AccessKey(ctx, id)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, sigv4.ErrUnknownKey
	}
	if err != nil {
		return nil, fmt.Errorf("looking up an access key: %w", err)
	}
	if k.Status != Active {
		return nil, sigv4.ErrUnknownKey
	}
	opened, err := s.config.Sealer.Open(purpose(id), k.SealedSecret)
	if err != nil {
		return nil, fmt.Errorf("opening the secret of access key %s: %w", id, err)
	}
	e := &entry{caller: k.Caller(), secret: secret.New(opened), expires: now.Add(freshness)}
	s.known.put(id, e)
	return e, nil
}

// purpose binds a sealed secret to its access key, so that two of them cannot be exchanged in the store.
func purpose(accessKeyID string) string { return "identity/secret-access-key/" + accessKeyID }

// administrator is the name of the user made on first start.
const administrator = "admin"

// CreateAdministrator makes the user "admin" of account with a new access key and returns both halves of the key. The
// secret is shown this once; it is stored sealed.
func (s *Service) CreateAdministrator(ctx context.Context, account string) (AccessKey, secret.Bytes, error) {
	plain := secret.New(newSecret())
	k := AccessKey{
		AccessKeyID: newID("AKIA"), Account: account, UserName: administrator, PrincipalID: newID("AIDA"),
		ARN: arn.User(account, administrator), Status: Active, Created: s.config.Now(),
	}
	sealed, err := s.config.Sealer.Seal(purpose(k.AccessKeyID), plain.Expose())
	if err != nil {
		return AccessKey{}, secret.Bytes{}, fmt.Errorf("sealing a secret access key: %w", err)
	}
	k.SealedSecret = sealed
	if err := s.config.Store.InsertAccessKey(ctx, &k); err != nil {
		return AccessKey{}, secret.Bytes{}, fmt.Errorf("keeping the administrator's access key: %w", err)
	}
	return k, plain, nil
}

// newID makes one of IAM's unique ids: a prefix that tells its kind and 16 characters of base 32.
func newID(prefix string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails; the program would have ended
	return prefix + base32.StdEncoding.EncodeToString(b[:])
}

// newSecret makes a secret access key of IAM's form: 40 characters of base 64.
func newSecret() []byte {
	var b [30]byte
	_, _ = rand.Read(b[:])
	defer clear(b[:])
	return base64.StdEncoding.AppendEncode(make([]byte, 0, 40), b[:])
}
