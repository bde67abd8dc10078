package hsmnode

import (
	"context"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

func (c *client) listUsers(g *group) (any, error) {
	var users []hsmproto.User
	g.state.read(func(m *hsm.Machine) { users = m.Users() })
	d := c.node.vault.get()
	for i := range users {
		users[i].LockedOn = d.hsmsOf(users[i].LockedOn)
	}
	return hsmproto.ListUsersReply{Users: users, Hsms: d.hsmIDs()}, nil
}

// activate needs an initialised cluster: before, no client can know whom it tells the password.
func (c *client) activate(ctx context.Context, q *hsmproto.ActivateRequest) (any, error) {
	defer clear(q.Password)
	if err := hsm.CheckPassword(q.Password); err != nil {
		return nil, err
	}
	var activated, initialized bool
	c.node.group.Load().state.read(func(m *hsm.Machine) {
		certificate, _ := m.ClusterCertificate()
		activated, initialized = m.Activated(), certificate != ""
	})
	switch {
	case activated:
		return nil, &hsmproto.Error{Code: hsmproto.CodeActivated}
	case !initialized:
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "the cluster is not initialized"}
	}
	record, err := c.node.hasher.hash(ctx, q.Password)
	if err != nil {
		return nil, err
	}
	_, err = c.agree(ctx, &hsm.Activate{Password: record})
	return hsmproto.Empty{}, err
}

func (c *client) createUser(ctx context.Context, q *hsmproto.UserRequest) (any, error) {
	record, err := c.newPassword(ctx, q)
	if err != nil {
		return nil, err
	}
	return c.userResult(c.agree(ctx, &hsm.CreateUser{Session: c.id(), User: q.User, Role: q.Role, Password: record}))
}

func (c *client) deleteUser(ctx context.Context, q *hsmproto.UserRequest) (any, error) {
	clear(q.Password)
	return c.userResult(c.agree(ctx, &hsm.DeleteUser{Session: c.id(), User: q.User, Role: q.Role}))
}

func (c *client) changePassword(ctx context.Context, q *hsmproto.UserRequest) (any, error) {
	record, err := c.newPassword(ctx, q)
	if err != nil {
		return nil, err
	}
	return c.userResult(c.agree(ctx, &hsm.ChangePassword{Session: c.id(), User: q.User, Role: q.Role, Password: record}))
}

func (c *client) userResult(r hsm.Result, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return r.User, nil
}

// newPassword hashes the password of a request, for those who are logged in: hashing is work.
func (c *client) newPassword(ctx context.Context, q *hsmproto.UserRequest) (hsm.PasswordHash, error) {
	defer clear(q.Password)
	if _, err := c.loggedIn(); err != nil {
		return hsm.PasswordHash{}, err
	}
	if err := hsm.CheckPassword(q.Password); err != nil {
		return hsm.PasswordHash{}, err
	}
	return c.node.hasher.hash(ctx, q.Password)
}

// loggedIn returns the role of the connection's session.
func (c *client) loggedIn() (hsmproto.Role, error) {
	var role hsmproto.Role
	var refusal *hsmproto.Error
	c.node.group.Load().state.read(func(m *hsm.Machine) {
		s, err := m.Session(c.id())
		if refusal = err; err == nil {
			role = s.Role
		}
	})
	if refusal != nil {
		return "", refusal
	}
	return role, nil
}
