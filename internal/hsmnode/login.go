package hsmnode

import (
	"context"
	"encoding/hex"
	"errors"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

const (
	sessionIDSize = 16 // bytes
	// staleRetries bounds how often a login starts over because the password changed under it.
	staleRetries = 3
	maxPassword  = 1024 // bytes looked at; a longer one is wrong anyway
)

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
	c.node.audit.leave(*id)
	c.session.Store(nil)
	c.node.sessions.end(*id)
	_, err := c.agree(ctx, &hsm.CloseSession{Session: *id})
	return hsmproto.Empty{}, err
}
