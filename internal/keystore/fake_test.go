package keystore_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
	"keyward/internal/xaes"
)

// hsms is a cluster as its clients see it: users, lock-out, exclusive sessions, keys. It answers what HSMs answer, in
// the order in which they check, and can be made to lose requests and replies.
type hsms struct {
	mu       sync.Mutex // guards what follows
	users    map[string]*fakeUser
	sessions map[string]session // by client identity
	keys     map[string]*fakeKey
	next     uint64
	size     int  // HSMs that hold keys
	down     bool // nothing answers
	disagree bool // nothing that needs agreement is carried out
	busy     bool // all sessions are in use

	failedLogins int
	passwords    []string // every password kmsuser ever had

	// hook, when set, is called before (applied false) and after (applied true) each operation. An error takes the
	// place of the answer.
	hook func(ctx context.Context, op string, applied bool) error
}

type fakeUser struct {
	role     hsmproto.Role
	password string
	failures int
}

type session struct {
	user      string
	exclusive bool
}

type fakeKey struct {
	hsmproto.Key
	aead cipher.AEAD
}

const lockAt = 5

func newHSMs(password string) *hsms {
	return &hsms{
		users:     map[string]*fakeUser{"kmsuser": {role: hsmproto.RoleCryptoUser, password: password}},
		sessions:  make(map[string]session),
		keys:      make(map[string]*fakeKey),
		size:      2,
		passwords: []string{password},
	}
}

// restored is what a backup taken now brings to life.
func (h *hsms) restored() *hsms {
	h.mu.Lock()
	defer h.mu.Unlock()
	again := newHSMs(h.users["kmsuser"].password)
	for id, key := range h.keys {
		again.keys[id] = key
	}
	again.next = h.next
	return again
}

func refuse(code hsmproto.Code) error { return &hsmproto.Error{Code: code} }

// set changes the cluster's condition.
func (h *hsms) set(f func(*hsms)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
}

func (h *hsms) password() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.users["kmsuser"].password
}

func (h *hsms) failed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failedLogins
}

// reset is what an administrator does: a new password, which unlocks.
func (h *hsms) reset(password string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inUse("kmsuser", "") != nil {
		return refuse(hsmproto.CodeUserLoggedIn)
	}
	u := h.users["kmsuser"]
	u.password, u.failures = password, 0
	h.passwords = append(h.passwords, password)
	return nil
}

// inUse says who else is logged in as the user.
func (h *hsms) inUse(user, client string) error {
	for other, s := range h.sessions {
		if other != client && s.user == user {
			if s.exclusive {
				return refuse(hsmproto.CodeUserExclusive)
			}
			return refuse(hsmproto.CodeUserLoggedIn)
		}
	}
	return nil
}

// login is also a person's at the operators' shell.
func (h *hsms) login(client, user, password string, exclusive bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, client)
	if h.disagree {
		return refuse(hsmproto.CodeUnavailable)
	}
	u := h.users[user]
	if u == nil || u.role != hsmproto.RoleCryptoUser {
		return refuse(hsmproto.CodeIncorrectCredentials)
	}
	if err := h.inUse(user, client); err != nil && (exclusive || isCode(err, hsmproto.CodeUserExclusive)) {
		return err
	}
	if u.failures >= lockAt {
		return refuse(hsmproto.CodeLocked)
	}
	if u.password != password {
		u.failures++
		h.failedLogins++
		return refuse(hsmproto.CodeIncorrectCredentials)
	}
	u.failures = 0
	h.sessions[client] = session{user, exclusive}
	return nil
}

func (h *hsms) logout(client string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, client)
}

func isCode(err error, code hsmproto.Code) bool { return errors.Is(err, &hsmproto.Error{Code: code}) }

// pool is one client of the cluster that its addresses lead to; a keystore.Pool.
type pool struct {
	cfg   hsmclient.Config
	route func(addresses []string) *hsms

	mu     sync.Mutex // guards what follows
	h      *hsms
	closed bool
	login  *hsmclient.Credentials
	hidden error // a refusal of the kept password
}

func (p *pool) client() string { return hex.EncodeToString(p.cfg.Client) }

// do surrounds an operation with the checks and the faults that all have.
func (p *pool) do(ctx context.Context, op string, f func(*hsms) error) error {
	h, err := p.cluster(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	hook := h.hook
	h.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, op, false); err != nil {
			return err
		}
	}
	err = f(h)
	if hook != nil {
		if lost := hook(ctx, op, true); lost != nil {
			return lost
		}
	}
	return err
}

func (p *pool) cluster(ctx context.Context) (*hsms, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, hsmclient.ErrClosed
	}
	addresses, err := p.cfg.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	h := p.route(addresses)
	if h == nil {
		return nil, hsmclient.ErrUnreachable
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return nil, hsmclient.ErrUnreachable
	}
	p.h = h
	return h, nil
}

func (p *pool) Connect(ctx context.Context) error {
	return p.do(ctx, "Connect", func(*hsms) error { return nil })
}

func (p *pool) Users(ctx context.Context) (reply hsmproto.ListUsersReply, err error) {
	err = p.do(ctx, "Users", func(h *hsms) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		for name, u := range h.users {
			reply.Users = append(reply.Users, hsmproto.User{Name: name, Role: u.role})
		}
		return nil
	})
	return reply, err
}

func (p *pool) Login(ctx context.Context, c hsmclient.Credentials) (hsmproto.LoginReply, error) {
	c.Password = secret.New(bytes.Clone(c.Password.Expose()))
	err := p.do(ctx, "Login", func(h *hsms) error {
		return h.login(p.client(), c.User, string(c.Password.Expose()), c.Exclusive)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.login, p.hidden = nil, nil
	if err != nil {
		return hsmproto.LoginReply{}, err
	}
	p.login = &c
	return hsmproto.LoginReply{User: c.User, Role: c.Role}, nil
}

func (p *pool) Logout(ctx context.Context) error {
	return p.do(ctx, "Logout", func(h *hsms) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.login == nil {
			return hsmclient.ErrNotLoggedIn
		}
		p.login = nil
		h.logout(p.client())
		return nil
	})
}

func (p *pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.h != nil {
		p.h.logout(p.client())
	}
	return nil
}

// again logs in again after an HSM forgot the session, as hsmclient does, and never offers a refused password twice.
func (p *pool) again(h *hsms) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.login == nil {
		return hsmclient.ErrNotLoggedIn
	}
	if p.hidden != nil {
		return p.hidden
	}
	h.mu.Lock()
	_, open := h.sessions[p.client()]
	busy := h.busy
	h.mu.Unlock()
	if busy {
		return hsmclient.ErrNoSession
	}
	if open {
		return nil
	}
	p.hidden = h.login(p.client(), p.login.User, string(p.login.Password.Expose()), p.login.Exclusive)
	return p.hidden
}

// work is an operation that needs a session.
func (p *pool) work(ctx context.Context, op string, f func(*hsms) error) error {
	return p.do(ctx, op, func(h *hsms) error {
		if err := p.again(h); err != nil {
			return err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return f(h)
	})
}

func (p *pool) ChangePassword(ctx context.Context, user string, role hsmproto.Role, password secret.Bytes) (hsmproto.UserReply, error) {
	text := string(password.Expose())
	err := p.work(ctx, "ChangePassword", func(h *hsms) error {
		if h.disagree {
			return fmt.Errorf("%w: %w", hsmclient.ErrAmbiguous, refuse(hsmproto.CodeUnavailable))
		}
		if err := h.inUse(user, p.client()); err != nil {
			return err
		}
		u := h.users[user]
		u.password, u.failures = text, 0
		h.passwords = append(h.passwords, text)
		return nil
	})
	if err == nil {
		p.mu.Lock()
		p.login.Password = secret.FromString(text)
		p.mu.Unlock()
	}
	return hsmproto.UserReply{User: user, Role: role}, err
}

func (p *pool) GenerateKey(ctx context.Context, r hsmproto.GenerateKeyRequest) (key hsmproto.Key, err error) {
	err = p.work(ctx, "GenerateKey", func(h *hsms) error {
		if h.size < r.MinHsms {
			return refuse(hsmproto.CodeKeyAvailability)
		}
		id := hex.EncodeToString(r.ID)
		if h.keys[id] != nil {
			return refuse(hsmproto.CodeKeyExists)
		}
		material := make([]byte, r.Length)
		_, _ = rand.Read(material)
		aead, err := xaes.New(material)
		if err != nil {
			return err
		}
		h.next++
		key = hsmproto.Key{Reference: h.next, Owner: "kmsuser", Label: r.Label, ID: r.ID, Length: r.Length, Attributes: r.Set}
		h.keys[id] = &fakeKey{key, aead}
		return nil
	})
	return key, err
}

func (p *pool) FindKeys(ctx context.Context, r hsmproto.FindKeysRequest) (reply hsmproto.FindKeysReply, err error) {
	err = p.work(ctx, "FindKeys", func(h *hsms) error {
		var found []hsmproto.Key
		for _, k := range h.keys {
			if r.ID == nil || bytes.Equal(*r.ID, k.ID) {
				found = append(found, k.Key)
			}
		}
		slices.SortFunc(found, func(a, b hsmproto.Key) int { return int(a.Reference) - int(b.Reference) })
		reply.Total = len(found)
		found = found[min(r.Offset, len(found)):]
		if r.Max > 0 {
			found = found[:min(r.Max, len(found))]
		}
		reply.Keys = found
		return nil
	})
	return reply, err
}

func (p *pool) DeleteKey(ctx context.Context, reference uint64) error {
	return p.work(ctx, "DeleteKey", func(h *hsms) error {
		for id, k := range h.keys {
			if k.Reference != reference {
				continue
			}
			if k.Owner != "kmsuser" {
				return refuse(hsmproto.CodeKeyAccess)
			}
			delete(h.keys, id)
			return nil
		}
		return refuse(hsmproto.CodeKeyNotFound)
	})
}

func (p *pool) Encrypt(ctx context.Context, r hsmproto.CryptRequest) (out []byte, err error) {
	err = p.work(ctx, "Encrypt", func(h *hsms) error {
		k := h.keys[hex.EncodeToString(r.ID)]
		if k == nil {
			return refuse(hsmproto.CodeKeyNotFound)
		}
		nonce := make([]byte, k.aead.NonceSize())
		_, _ = rand.Read(nonce)
		out = k.aead.Seal(nonce, nonce, r.Data, r.AAD)
		return nil
	})
	return out, err
}

func (p *pool) Decrypt(ctx context.Context, r hsmproto.CryptRequest) (out []byte, err error) {
	err = p.work(ctx, "Decrypt", func(h *hsms) (err error) {
		k := h.keys[hex.EncodeToString(r.ID)]
		if k == nil {
			return refuse(hsmproto.CodeKeyNotFound)
		}
		n := k.aead.NonceSize()
		if len(r.Data) < n {
			return refuse(hsmproto.CodeBadCiphertext)
		}
		if out, err = k.aead.Open(nil, r.Data[:n], r.Data[n:], r.AAD); err != nil {
			return refuse(hsmproto.CodeBadCiphertext)
		}
		return nil
	})
	return out, err
}

func (p *pool) Random(ctx context.Context, n int) (out []byte, err error) {
	err = p.work(ctx, "Random", func(*hsms) error {
		out = make([]byte, n)
		_, _ = rand.Read(out)
		return nil
	})
	return out, err
}
