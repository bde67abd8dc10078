package hsmnode

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"time"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

const (
	hashAlgorithm  = "pbkdf2-sha512"
	hashIterations = 210_000 // OWASP's number for PBKDF2 with SHA-512
	hashSize       = 64      // bytes
	hashSaltSize   = 16      // bytes
	hashWait       = 20 * time.Second
	sessionIDSize  = 16 // bytes
	loginStripes   = 64
	// staleRetries bounds how often a login starts over because the password changed under it.
	staleRetries  = 3
	maxPassword   = 1024 // bytes looked at; a longer one is wrong anyway
	sweepInterval = 2 * time.Second
)

// hasher makes password hashes, as many at a time as there are processors: logins need no login, and must not starve
// those who have one.
type hasher struct {
	slots   chan struct{}
	decoy   hsm.PasswordHash // stands in for a user who does not exist
	stripes [loginStripes]chan struct{}
	seed    maphash.Seed
}

func newHasher() *hasher {
	h := &hasher{
		slots: make(chan struct{}, runtime.NumCPU()),
		decoy: hsm.PasswordHash{
			Algorithm: hashAlgorithm, Iterations: hashIterations, Salt: random(hashSaltSize), Hash: random(hashSize),
		},
		seed: maphash.MakeSeed(),
	}
	for i := range h.stripes {
		h.stripes[i] = make(chan struct{}, 1)
	}
	return h
}

// exclude lets one login of a user be verified and recorded at a time, so that guesses side by side cannot exceed the
// limit. The caller calls the returned function when done.
func (h *hasher) exclude(ctx context.Context, user string) (func(), error) {
	stripe := h.stripes[maphash.String(h.seed, user)%loginStripes]
	return enter(ctx, stripe)
}

func enter(ctx context.Context, room chan struct{}) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case room <- struct{}{}:
		return func() { <-room }, nil
	case <-ctx.Done():
		return nil, &hsmproto.Error{Code: hsmproto.CodeNoSession, Detail: "too many logins at once"}
	}
}

// derive computes a hash; password is overwritten only by its owner.
func (h *hasher) derive(ctx context.Context, password, salt []byte, iterations, size int) ([]byte, error) {
	leave, err := enter(ctx, h.slots)
	if err != nil {
		return nil, err
	}
	defer leave()
	return pbkdf2.Key(sha512.New, string(password), salt, iterations, size)
}

// hash makes the record of a new password.
func (h *hasher) hash(ctx context.Context, password []byte) (hsm.PasswordHash, error) {
	record := hsm.PasswordHash{Algorithm: hashAlgorithm, Iterations: hashIterations, Salt: random(hashSaltSize)}
	var err error
	record.Hash, err = h.derive(ctx, password, record.Salt, record.Iterations, hashSize)
	return record, err
}

// verify tells in constant time whether the password is the one recorded.
func (h *hasher) verify(ctx context.Context, password []byte, record hsm.PasswordHash) (bool, error) {
	if record.Algorithm != hashAlgorithm {
		return false, fmt.Errorf("hsmnode: password hash of unknown algorithm %q", record.Algorithm)
	}
	hash, err := h.derive(ctx, password, record.Salt, record.Iterations, len(record.Hash))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(hash, record.Hash) == 1, nil
}

// login opens the connection's session. A wrong password is on record before the client hears of it.
func (c *client) login(ctx context.Context, q *hsmproto.LoginRequest) (any, error) {
	defer clear(q.Password)
	if len(q.Client) != hsm.ClientSize || len(q.Password) > maxPassword || len(q.User) > maxPassword {
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "a login names a client of 32 bytes"}
	}
	c.change.Lock()
	defer c.change.Unlock()
	if err := c.node.sessions.wait(ctx); err != nil {
		return nil, err
	}
	leave, err := c.node.hasher.exclude(ctx, hsm.NormalName(q.User))
	if err != nil {
		return nil, err
	}
	defer leave()
	for range staleRetries {
		reply, err := c.attempt(ctx, q)
		if !errors.Is(err, &hsmproto.Error{Code: hsm.CodeStale}) {
			return reply, err
		}
	}
	return nil, unavailable("the password is being changed")
}

// attempt is one try against the password as it is recorded now.
func (c *client) attempt(ctx context.Context, q *hsmproto.LoginRequest) (any, error) {
	n := c.node
	open := &hsm.OpenSession{Session: hsm.Session{
		ID: hex.EncodeToString(random(sessionIDSize)), Node: n.config.Node, User: q.User, Role: q.Role, Client: q.Client,
		Exclusive: q.Exclusive,
	}, Replaces: c.id()}
	var refusal *hsmproto.Error
	record := n.hasher.decoy
	n.group.Load().state.read(func(m *hsm.Machine) {
		if refusal = m.CheckLogin(open); refusal == nil {
			record, open.PasswordVersion, _ = m.Password(q.User, q.Role)
		}
	})
	if refusal != nil && refusal.Code != hsmproto.CodeIncorrectCredentials {
		return nil, refusal
	}
	right, err := n.hasher.verify(ctx, q.Password, record)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil: // no such user: it took as long, and counts nowhere
		return nil, refusal
	case !right:
		return nil, c.count(ctx, open)
	}
	return c.open(ctx, open)
}

// count records a wrong password.
func (c *client) count(ctx context.Context, open *hsm.OpenSession) error {
	_, err := c.agree(ctx, &hsm.LoginFailed{User: open.User, Node: open.Node, PasswordVersion: open.PasswordVersion})
	if err != nil {
		return err
	}
	return &hsmproto.Error{Code: hsmproto.CodeIncorrectCredentials}
}

func (c *client) open(ctx context.Context, open *hsm.OpenSession) (any, error) {
	sessions := c.node.sessions
	sessions.begin(open.ID)
	result, err := c.agree(ctx, open)
	if err != nil {
		sessions.end(open.ID) // it may still be agreed on later: then it is closed again
		return nil, err
	}
	if old := c.session.Swap(&open.ID); old != nil {
		sessions.end(*old)
	}
	return hsmproto.LoginReply{User: result.User.User, Role: result.User.Role}, nil
}

// logout ends the session everywhere before it answers.
func (c *client) logout(ctx context.Context, _ *hsmproto.Empty) (any, error) {
	c.change.Lock()
	defer c.change.Unlock()
	id := c.session.Load()
	if id == nil {
		return nil, &hsmproto.Error{Code: hsmproto.CodeNotLoggedIn, Detail: "User is not logged in"}
	}
	c.session.Store(nil)
	c.node.sessions.end(*id)
	_, err := c.agree(ctx, &hsm.CloseSession{Session: *id})
	return hsmproto.Empty{}, err
}

// sessions keeps what the cluster believes of this HSM's sessions equal to the connections that there are.
type sessions struct {
	node    *node
	orphans signal        // there may be sessions without a connection
	started chan struct{} // closed when sessions of an earlier run are over

	mu   sync.Mutex
	live map[string]bool
}

func newSessions(n *node) *sessions {
	return &sessions{node: n, started: make(chan struct{}), live: make(map[string]bool)}
}

func (s *sessions) begin(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[id] = true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	delete(s.live, id)
	s.mu.Unlock()
	s.orphans.fire()
}

func (s *sessions) alive(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[id]
}

// opened hears of a session that was agreed on, perhaps long after its connection was lost.
func (s *sessions) opened(open *hsm.OpenSession) {
	if open.Node == s.node.config.Node && !s.alive(open.ID) {
		s.orphans.fire()
	}
}

// wait returns when logins may be served.
func (s *sessions) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	select {
	case <-s.started:
		return nil
	case <-ctx.Done():
		return unavailable("the HSM has just started")
	}
}

// run ends the sessions of an earlier run of this HSM, then, as long as the HSM lives, those that lost their
// connection.
func (s *sessions) run(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := s.node.propose(ctx, &hsm.CloseSessionsOf{Node: s.node.config.Node}); err == nil {
			close(s.started)
			break
		}
	}
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		orphans := s.orphans.wait()
		s.sweep(ctx)
		select {
		case <-orphans:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *sessions) sweep(ctx context.Context) {
	g := s.node.group.Load()
	if g == nil {
		return
	}
	var ids []string
	g.state.read(func(m *hsm.Machine) { ids = m.SessionsOf(s.node.config.Node) })
	for _, id := range ids {
		if s.alive(id) {
			continue
		}
		if _, err := s.node.propose(ctx, &hsm.CloseSession{Session: id}); err != nil {
			return // the ticker brings the next attempt
		}
	}
}
