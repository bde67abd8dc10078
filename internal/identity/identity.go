// Package identity knows accounts, their users, groups and roles, what these may do, and the credentials that speak
// for them: it says who signed a request, and answers IAM and STS.
//
// Secrets leave the store sealed and are opened only here. Temporary credentials are kept in the store as users' access
// keys are, instead of in their token: so they end at once when their role or user is deleted. Everything about a
// principal is gathered when it is first seen and cached; every change empties the cache before it is answered, and
// what changed behind our back is noticed within a second.
package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/policy"
	"keyward/internal/secret"
	"keyward/internal/sigv4"
)

// Limits of what is kept in memory.
const (
	maxCredentials = 4096
	maxSigningKeys = 4096
	// freshness bounds how long credentials that were changed behind our back still work.
	freshness = time.Second
)

// Config is what a Service needs.
type Config struct {
	Store  Store
	Sealer Sealer
	Now    func() time.Time
	// Client fetches the keys of identity providers; nil is one that trusts the system's certificate authorities.
	Client *http.Client
}

// Service answers who signed a request, and the APIs of IAM and STS. It may be used concurrently.
type Service struct {
	config  Config
	known   *cache
	signing *sigv4.KeyCache
	uses    uses
	names   directory
	keys    *keyring // of identity providers
}

// New makes a Service.
func New(c Config) *Service {
	return &Service{
		config: c, known: newCache(maxCredentials), signing: sigv4.NewKeyCache(maxSigningKeys), keys: newKeyring(c.Client, c.Now),
	}
}

// Authenticate verifies that r was signed for service with credentials that are good now, and says whose they are and
// which Region the signature names. A refusal is a *sigv4.Error; any other error is an internal failure.
func (s *Service) Authenticate(ctx context.Context, r *sigv4.Request, service string) (*policy.Principal, arn.Scope, error) {
	signature, err := sigv4.Parse(r)
	if err != nil {
		return nil, arn.Scope{}, err
	}
	if err := signature.CheckScope(r, service); err != nil {
		return nil, arn.Scope{}, err
	}
	now := s.config.Now()
	e, err := s.lookup(ctx, signature.AccessKeyID, now)
	if err != nil {
		return nil, arn.Scope{}, err
	}
	if err := e.check(signature.SessionToken, now); err != nil {
		return nil, arn.Scope{}, err
	}
	if err := signature.CheckTime(now); err != nil {
		return nil, arn.Scope{}, err
	}
	if err := signature.Verify(r, s.signing.Key(e.secret, signature.Credential)); err != nil {
		return nil, arn.Scope{}, err
	}
	if e.tokenHash == nil && e.noted.CompareAndSwap(false, true) {
		s.uses.note(signature.AccessKeyID, Use{now, service, signature.Region})
	}
	return e.principal, arn.Scope{Account: e.principal.Account, Region: signature.Region}, nil
}

// lookup returns the credentials with this id, opened. Those that are unknown, inactive or without a principal are
// refused alike.
func (s *Service) lookup(ctx context.Context, id string, now time.Time) (*entry, error) {
	if e := s.known.get(id, now); e != nil {
		return e, nil
	}
	seen := s.known.seen()
	e, err := s.load(ctx, id)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, sigv4.ErrUnknownKey
	}
	if err != nil {
		return nil, fmt.Errorf("looking up access key %s: %w", id, err)
	}
	e.fresh = now.Add(freshness)
	s.known.put(id, e, seen)
	return e, nil
}

// load reads credentials and their principal; fault.ErrNotFound if they are not good.
func (s *Service) load(ctx context.Context, id string) (*entry, error) {
	if kindOf(id) == temporary {
		return s.loadSession(ctx, id)
	}
	k, err := s.config.Store.AccessKey(ctx, id)
	if err != nil {
		return nil, err
	}
	if k.Status != Active {
		return nil, fault.ErrNotFound
	}
	p, err := s.userPrincipal(ctx, k.Account, k.PrincipalID)
	if err != nil {
		return nil, err
	}
	p.AccessKeyID = id
	opened, err := s.config.Sealer.Open(purpose(id), k.SealedSecret)
	if err != nil {
		return nil, fmt.Errorf("opening its secret: %w", err)
	}
	return &entry{principal: p, secret: secret.New(opened)}, nil
}

func (s *Service) loadSession(ctx context.Context, id string) (*entry, error) {
	session, err := s.config.Store.Session(ctx, id)
	if err != nil {
		return nil, err
	}
	p, err := s.sessionPrincipal(ctx, session)
	if err != nil {
		return nil, err
	}
	opened, err := s.config.Sealer.Open(purpose(id), session.SealedSecret)
	if err != nil {
		return nil, fmt.Errorf("opening its secret: %w", err)
	}
	return &entry{principal: p, secret: secret.New(opened), tokenHash: session.TokenHash, ends: session.Expires}, nil
}

// Principal is whom the credentials with this access key id speak for, with all that decides what they may do;
// fault.ErrNotFound if they are not good.
func (s *Service) Principal(ctx context.Context, accessKeyID string) (*policy.Principal, error) {
	e, err := s.lookup(ctx, accessKeyID, s.config.Now())
	if errors.Is(err, sigv4.ErrUnknownKey) {
		return nil, fault.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return e.principal, nil
}

// change runs fn in one transaction with the call's event, and lets no principal live on that was read before. fn may
// run more than once.
func (s *Service) change(ctx context.Context, event *audit.Event, fn func(Tx) error) error {
	defer s.known.forget()
	for conflicts := 0; ; conflicts++ {
		err := s.config.Store.Change(ctx, event, fn)
		if !errors.Is(err, fault.ErrConflict) || conflicts == maxConflicts {
			return err
		}
	}
}

// maxConflicts bounds how often a change is tried again because another node changed a record meanwhile.
const maxConflicts = 5

// purpose binds a sealed secret to its access key, so that two of them cannot be exchanged in the store.
func purpose(accessKeyID string) string { return "identity/secret-access-key/" + accessKeyID }

// The kinds of unique ids (IAM guide, "Unique identifiers").
const (
	permanent = "AKIA"
	temporary = "ASIA"
	userID    = "AIDA"
	groupID   = "AGPA"
	roleID    = "AROA"
	policyID  = "ANPA"
)

func kindOf(id string) string { return id[:min(len(id), len(permanent))] }

// newID makes one of IAM's unique ids: a prefix that tells its kind and 16 characters of base 32.
func newID(prefix string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails; the program would have ended
	return prefix + base32.StdEncoding.EncodeToString(b[:])
}

// newSecret makes a secret access key of IAM's form: 40 characters of base 64.
func newSecret() secret.Bytes {
	var b [30]byte
	_, _ = rand.Read(b[:])
	defer clear(b[:])
	return secret.New(base64.StdEncoding.AppendEncode(make([]byte, 0, 40), b[:]))
}

// newToken makes a session token. It carries nothing: it is long so that no client takes a short one for granted.
func newToken() secret.Bytes {
	var b [192]byte
	_, _ = rand.Read(b[:])
	defer clear(b[:])
	return secret.New(base64.StdEncoding.AppendEncode(nil, b[:]))
}

func tokenHash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

func sameToken(token string, hash []byte) bool {
	return subtle.ConstantTimeCompare(tokenHash(token), hash) == 1
}
