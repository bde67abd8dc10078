package cloudhsmcli

import (
	"context"

	"keyward/internal/hsmproto"
)

// identity is how commands about one user name the user.
type identity struct {
	Username string `required:"" placeholder:"USERNAME" help:"Name of the user; upper and lower case are the same."`
	Role     string `required:"" enum:"admin,crypto-user" placeholder:"ROLE" help:"admin or crypto-user."`
}

func (i identity) role() hsmproto.Role { return hsmproto.Role(i.Role) }

// userAnswer echoes a user.
type userAnswer struct {
	Username string        `json:"username"`
	Role     hsmproto.Role `json:"role"`
}

// loginCommand is `login` (cloudhsm-cli.md section 4).
type loginCommand struct {
	identity
	Password *string `placeholder:"PASSWORD" help:"Asked for when left out."`
}

func (l *loginCommand) run(ctx context.Context, s *session) (any, error) {
	password, err := s.password(l.Password)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	user, err := s.login(ctx, l.Username, l.role(), password)
	if err != nil {
		return nil, err
	}
	return userAnswer{user.User, user.Role}, nil
}

// logoutCommand is `logout`.
type logoutCommand struct{}

func (*logoutCommand) needsLogin() {}

func (*logoutCommand) run(ctx context.Context, s *session) (any, error) {
	s.user = nil
	if err := s.cluster.Logout(ctx); err != nil {
		return nil, err
	}
	return "Logout successful", nil
}

// userListCommand is `user list` (section 6). It needs no login.
type userListCommand struct{}

type userList struct {
	Users []listedUser `json:"users"`
}

type listedUser struct {
	Username        string        `json:"username"`
	Role            hsmproto.Role `json:"role"`
	Locked          string        `json:"locked"`
	Mfa             []strategy    `json:"mfa"`
	Quorum          []strategy    `json:"quorum"`
	ClusterCoverage string        `json:"cluster-coverage"`
}

// strategy is a registered public key of a user; no HSM registers any yet, the lists are empty.
type strategy struct {
	Strategy string `json:"strategy"`
	Status   string `json:"status"`
}

func (*userListCommand) run(ctx context.Context, s *session) (any, error) {
	reply, err := s.cluster.Users(ctx)
	if err != nil {
		return nil, err
	}
	list := userList{Users: make([]listedUser, len(reply.Users))}
	for i, user := range reply.Users {
		list.Users[i] = listedUser{
			Username:        user.Name,
			Role:            user.Role,
			Locked:          locked(len(user.LockedOn), len(reply.Hsms)),
			Mfa:             []strategy{},
			Quorum:          []strategy{},
			ClusterCoverage: coverageFull, // users are replicated with every change
		}
	}
	return list, nil
}

// locked compares the HSMs on which a user is locked with all there are.
func locked(on, all int) string {
	switch {
	case on == 0:
		return "false"
	case on >= all:
		return "true"
	default:
		return "inconsistent"
	}
}

// userCreateCommand is `user create`.
type userCreateCommand struct {
	identity
	Password *string `placeholder:"PASSWORD" help:"Asked for twice when left out."`
}

func (*userCreateCommand) needsLogin() {}

func (u *userCreateCommand) run(ctx context.Context, s *session) (any, error) {
	password, err := s.newPassword(u.Password)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	return echo(s.cluster.CreateUser(ctx, u.Username, u.role(), password))
}

// userDeleteCommand is `user delete`.
type userDeleteCommand struct{ identity }

func (*userDeleteCommand) needsLogin() {}

func (u *userDeleteCommand) run(ctx context.Context, s *session) (any, error) {
	return echo(s.cluster.DeleteUser(ctx, u.Username, u.role()))
}

// changePasswordCommand is `user change-password`.
type changePasswordCommand struct {
	identity
	Password *string `placeholder:"PASSWORD" help:"Asked for twice when left out."`
}

func (*changePasswordCommand) needsLogin() {}

func (u *changePasswordCommand) run(ctx context.Context, s *session) (any, error) {
	password, err := s.newPassword(u.Password)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	return echo(s.cluster.ChangePassword(ctx, u.Username, u.role(), password))
}

func echo(reply hsmproto.UserReply, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return userAnswer{reply.User, reply.Role}, nil
}
