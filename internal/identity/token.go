package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// claims are what a token says of its holder (OpenID Connect Core 1.0, section 2).
type claims struct {
	jwt.Claims
	AuthorizedParty string   `json:"azp"`
	AMR             []string `json:"amr"`
	audience        string   // the one of Audience that the provider's record has
	gives           assertions
}

// algorithms that tokens may be signed with. None takes a shared secret, so that a public key can never pass for one.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// maxToken is the longest token (AWS STS API Reference, AssumeRoleWithWebIdentity).
const maxToken = 20000

// parseToken takes a token apart. Nothing that it says is proven: it only tells whose keys to prove it with.
func parseToken(text string) (*claims, *jwt.JSONWebToken, error) {
	if len(text) > maxToken {
		return nil, nil, errors.New("the token is too long")
	}
	signed, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return nil, nil, err
	}
	if len(signed.Headers) != 1 {
		return nil, nil, errors.New("the token must have one signature")
	}
	c := &claims{}
	if err := signed.UnsafeClaimsWithoutVerification(c); err != nil {
		return nil, nil, err
	}
	return c, signed, nil
}

// Limits of what is fetched from identity providers.
const (
	maxDocument  = 256 << 10
	fetchTime    = 5 * time.Second
	maxRedirects = 3
	maxIssuers   = 256
	keysGood     = 10 * time.Minute
	// keysRest is how long a provider is not asked again after it was asked, whatever came of it: nobody can make
	// keyward ask for keys by sending it tokens.
	keysRest = 10 * time.Second
	// maxKeys is how many keys of a kind a provider may have (IAM User Guide, "Create an OpenID Connect (OIDC) identity
	// provider in IAM").
	maxKeys = 100
)

// errUnreachable: the provider does not answer, or not as OpenID Connect Discovery says.
var errUnreachable = errors.New("identity provider out of reach")

// keyring holds the public keys of identity providers.
type keyring struct {
	client *http.Client
	now    func() time.Time
	mu     sync.Mutex
	rings  map[string]*ring
}

// ring is one provider's keys. Its lock is held while they are fetched, so that many tokens cost one fetch.
type ring struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when keys came
	asked   time.Time // when the provider was asked last
	err     error     // what came of it
}

func newKeyring(client *http.Client, now func() time.Time) *keyring {
	if client == nil {
		client = &http.Client{}
	}
	careful := *client
	careful.Timeout = fetchTime
	careful.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		return checkWay(via[0].URL.String(), r.URL.String())
	}
	return &keyring{client: &careful, now: now, rings: map[string]*ring{}}
}

// checkWay takes the addresses that a provider may point at from one of its own: what is on this machine in clear is only
// for providers that are there as well.
func checkWay(from, to string) error {
	u, err := url.Parse(to)
	switch {
	case err != nil || u.User != nil || checkIssuer(u.Scheme+"://"+u.Host) != nil:
		return fmt.Errorf("%w: %q is no address to fetch from", errUnreachable, to)
	case strings.HasPrefix(from, "https:") && u.Scheme != "https":
		return fmt.Errorf("%w: it leads from TLS to %q", errUnreachable, to)
	default:
		return nil
	}
}

// verify proves a token with the keys of its issuer, which must be a provider's that is configured.
func (k *keyring) verify(ctx context.Context, issuer string, signed *jwt.JSONWebToken) (*claims, error) {
	keys, err := k.matching(ctx, issuer, signed.Headers[0].KeyID)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		c := &claims{}
		if err := signed.Claims(key.Key, c); err == nil {
			return c, nil
		}
	}
	return nil, errors.New("no key of the provider verifies the token")
}

// matching are an issuer's keys with an id, fetched anew when they have grown old or none matches. Where that fails, keys
// that are not old are still good: a token of an unknown key, which anybody can make, does not cost the others theirs.
func (k *keyring) matching(ctx context.Context, issuer, id string) ([]jose.JSONWebKey, error) {
	r := k.ring(issuer)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.matching(id, k.now())) == 0 && k.now().Sub(r.asked) >= keysRest {
		keys, err := k.fetch(ctx, issuer)
		r.asked, r.err = k.now(), err
		if err == nil {
			r.keys, r.fetched = keys, r.asked
		}
	}
	found := r.matching(id, k.now())
	if len(found) == 0 {
		return nil, r.err
	}
	return found, nil
}

// ring finds an issuer's keys. When there are too many it forgets any.
func (k *keyring) ring(issuer string) *ring {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.rings[issuer]; r != nil {
		return r
	}
	if len(k.rings) >= maxIssuers {
		for other := range k.rings {
			delete(k.rings, other)
			break
		}
	}
	r := &ring{}
	k.rings[issuer] = r
	return r
}

// matching are the signature keys with an id, or all of them for a token that names none; none when they are old.
func (r *ring) matching(id string, now time.Time) (keys []jose.JSONWebKey) {
	if now.Sub(r.fetched) >= keysGood {
		return nil
	}
	for _, key := range r.keys {
		if (id == "" || key.KeyID == id) && key.Use != "enc" {
			keys = append(keys, key)
		}
	}
	return keys
}

// fetch reads an issuer's configuration and the keys that it points to.
func (k *keyring) fetch(ctx context.Context, issuer string) ([]jose.JSONWebKey, error) {
	// One caller that hangs up does not fail the others that wait for the same keys.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
	defer cancel()
	var configuration struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	address, err := url.JoinPath(issuer, ".well-known", "openid-configuration")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if err := k.get(ctx, address, &configuration); err != nil {
		return nil, err
	}
	if configuration.Issuer != issuer {
		return nil, fmt.Errorf("%w: it calls itself %q", errUnreachable, configuration.Issuer)
	}
	if err := checkWay(issuer, configuration.JWKSURI); err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, configuration.JWKSURI, &set); err != nil {
		return nil, err
	}
	return readKeys(set.Keys)
}

// readKeys takes those of a provider's keys that tokens may be signed with. What it uses for other things, or what is not
// understood here, is passed over (RFC 7517, section 5).
func readKeys(set []json.RawMessage) (keys []jose.JSONWebKey, err error) {
	var ofRSA, ofEC int
	for _, text := range set {
		var key jose.JSONWebKey
		if json.Unmarshal(text, &key) != nil {
			continue
		}
		switch key.Key.(type) {
		case *rsa.PublicKey:
			ofRSA++
		case *ecdsa.PublicKey:
			ofEC++
		default:
			continue
		}
		if ofRSA > maxKeys || ofEC > maxKeys {
			return nil, fmt.Errorf("the provider has more than %d keys of a kind", maxKeys)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// get reads a JSON document.
func (k *keyring) get(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := k.client.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s answers %s", errUnreachable, address, response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err == nil && len(text) > maxDocument {
		err = errors.New("the document is too long")
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("%w: reading %s: %w", errUnreachable, address, err)
	}
	return nil
}
