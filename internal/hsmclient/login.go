package hsmclient

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// Credentials are presented to every HSM. Login keeps a copy of the password of its own.
type Credentials struct {
	User     string
	Role     hsmproto.Role
	Password secret.Bytes
	// Exclusive asks that no other client be logged in as this user (the key store connector's way).
	Exclusive bool
}

// login is who is, or is to be, logged in; guarded by Cluster.mu.
type login struct {
	Credentials
	// refused stands once the password turned out to be wrong, or it is not known whether it was changed. It is not
	// offered again, because HSMs count wrong passwords and lock the user out at the fifth (hsm.md section 3).
	refused error
}

func newLogin(credentials Credentials) *login {
	l := &login{Credentials: credentials}
	l.Password = secret.New(bytes.Clone(credentials.Password.Expose()))
	return l
}

// request holds a copy of the password, which the receiver wipes.
func (l *login) request(client []byte) *hsmproto.LoginRequest {
	return &hsmproto.LoginRequest{
		User:      l.User,
		Role:      l.Role,
		Password:  bytes.Clone(l.Password.Expose()),
		Client:    client,
		Exclusive: l.Exclusive,
	}
}

// is reports whether this is the login of the named user.
func (l *login) is(user string, role hsmproto.Role) bool {
	return l != nil && l.Role == role && strings.EqualFold(l.User, user)
}

// acquire takes the right to change who is logged in.
func (c *Cluster) acquire(ctx context.Context) (release func(), err error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.life.Done():
		return nil, ErrClosed
	case c.auth <- struct{}{}:
	}
	release = func() { <-c.auth }
	if c.life.Err() != nil {
		release()
		return nil, ErrClosed
	}
	return release, nil
}

// Login logs in on every connected HSM, in the order of their addresses, in place of an earlier login, which ends
// first. The first refusal ends it: nobody is logged in then. HSMs that just went missing or cannot agree with the
// others do not count, as long as one accepts; they are logged in to when they are back, as are new HSMs.
//
// Refusals: INCORRECT_CREDENTIALS (which the HSM counted), LOCKED, USER_EXCLUSIVE, USER_LOGGED_IN, NOT_ACTIVATED.
func (c *Cluster) Login(ctx context.Context, credentials Credentials) (hsmproto.LoginReply, error) {
	release, err := c.acquire(ctx)
	if err != nil {
		return hsmproto.LoginReply{}, err
	}
	defer release()
	c.endLogin(ctx)
	links, err := c.awaitLinks(ctx, anyone)
	if err != nil {
		return hsmproto.LoginReply{}, err
	}
	fresh := newLogin(credentials)
	reply, accepted, err := c.logInEverywhere(ctx, links, fresh)
	if err != nil {
		c.logOut(ctx, accepted)
		fresh.Password.Wipe()
		return hsmproto.LoginReply{}, err
	}
	c.establish(fresh, accepted)
	return reply, nil
}

// logInEverywhere returns the connections that accepted, also when another refused.
func (c *Cluster) logInEverywhere(ctx context.Context, links []*link, l *login) (hsmproto.LoginReply, []*link, error) {
	var (
		reply    hsmproto.LoginReply
		accepted []*link
		reasons  []reason
		last     error
	)
	for _, link := range links {
		answer, err := c.logInOn(ctx, link, l.request(c.cfg.Client))
		switch {
		case err == nil:
			reply, accepted = answer, append(accepted, link)
		case refused(err) || ctx.Err() != nil:
			return hsmproto.LoginReply{}, accepted, err
		default:
			last = err
			reasons = append(reasons, reason{link.member.address, err})
		}
	}
	if len(accepted) > 0 {
		return reply, accepted, nil
	}
	if errors.Is(last, errUnavailable) {
		return hsmproto.LoginReply{}, nil, last
	}
	return hsmproto.LoginReply{}, nil, unreachable(reasons)
}

// logInOn wipes the request. A connection whose answer was not waited for is closed, which ends a login that came about
// unseen.
func (c *Cluster) logInOn(ctx context.Context, l *link, request *hsmproto.LoginRequest) (hsmproto.LoginReply, error) {
	defer clear(request.Password)
	ctx, cancel := context.WithTimeout(ctx, c.timing.login)
	defer cancel()
	var reply hsmproto.LoginReply
	err := l.conn.Call(ctx, hsmproto.OpLogin, request, &reply)
	if err != nil && ctx.Err() != nil {
		l.conn.Close()
	}
	return reply, err
}

// establish makes accepted connections available to calls.
func (c *Cluster) establish(l *login, accepted []*link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLoginLocked(l)
	for _, link := range accepted {
		link.member.loggedIn = link.member.link == link
	}
	c.publishLocked()
}

// setLoginLocked forgets everything about the earlier login.
func (c *Cluster) setLoginLocked(l *login) {
	if c.login != nil {
		c.login.Password.Wipe()
	}
	c.login = l
	for _, m := range c.members {
		m.loggedIn, m.loginErr = false, nil
		nudge(m.poke)
	}
}

// Logout ends the login on every HSM and forgets the password. Without a login it fails with ErrNotLoggedIn.
func (c *Cluster) Logout(ctx context.Context) error {
	release, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if !c.endLogin(ctx) {
		return ErrNotLoggedIn
	}
	return nil
}

// endLogin reports whether there was one.
func (c *Cluster) endLogin(ctx context.Context) bool {
	c.mu.Lock()
	if c.login == nil {
		c.mu.Unlock()
		return false
	}
	links := c.view.Load().loggedIn.links
	c.setLoginLocked(nil)
	c.publishLocked()
	c.mu.Unlock()
	c.logOut(ctx, links)
	return true
}

// logOut ends logins, also after ctx has ended. Where that is not confirmed it closes the connection, which has the
// same effect.
func (c *Cluster) logOut(ctx context.Context, links []*link) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timing.silence)
	defer cancel()
	for _, l := range links {
		err := l.conn.Call(ctx, hsmproto.OpLogout, hsmproto.Empty{}, nil)
		if err != nil && !errors.Is(err, ErrNotLoggedIn) {
			l.conn.Close()
		}
	}
}

// SetPassword tells with which password to log in again, after it was found out otherwise than by ChangePassword which
// one the HSMs hold. It wipes the one kept so far and takes back a refusal of it. Without a login it does nothing.
func (c *Cluster) SetPassword(password secret.Bytes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.login != nil {
		c.setPasswordLocked(password)
	}
}

func (c *Cluster) setPasswordLocked(password secret.Bytes) {
	c.login.Password.Wipe()
	c.login.Password = secret.New(bytes.Clone(password.Expose()))
	c.login.refused = nil
	for _, m := range c.members {
		m.loginErr = nil
		nudge(m.poke)
	}
}

// logInAgain logs in on a connection that should be logged in and is not. It reports whether that has to be tried
// again.
func (c *Cluster) logInAgain(ctx context.Context, m *member, l *link) bool {
	if request := c.missingLogin(m, l); request == nil {
		return false
	} else {
		clear(request.Password)
	}
	release, err := c.acquire(ctx)
	if err != nil {
		return false
	}
	defer release()
	request := c.missingLogin(m, l)
	if request == nil {
		return false
	}
	_, err = c.logInOn(ctx, l, request)
	return c.noteLogin(m, l, err)
}

// missingLogin is what to log in with on l, nil if there is nothing to do or no sense in trying.
func (c *Cluster) missingLogin(m *member, l *link) *hsmproto.LoginRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	hopeless := c.login == nil || c.login.refused != nil || errors.Is(m.loginErr, errLocked)
	if hopeless || m.loggedIn || m.link != l {
		return nil
	}
	return c.login.request(c.cfg.Client)
}

// noteLogin keeps the outcome of a login in the background and reports whether to try again. A wrong password is wrong
// on every HSM; a lock is one HSM's own.
func (c *Cluster) noteLogin(m *member, l *link, err error) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.link != l || c.login == nil {
		return false
	}
	news := err != nil && (m.loginErr == nil || m.loginErr.Error() != err.Error())
	m.loginErr, m.loggedIn = err, err == nil
	if errors.Is(err, errIncorrect) {
		c.login.refused = err
	}
	c.publishLocked()
	if news {
		c.cfg.Log.Warn("logging in again on an HSM failed", "address", m.address, "user", c.login.User, "error", err)
	}
	return err != nil && !errors.Is(err, errLocked) && c.login.refused == nil
}
