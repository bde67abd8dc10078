package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/operation"
	"keyward/internal/policy"
)

func (s *Service) userRows() []operation.Row {
	return []operation.Row{
		s.on(User, operation.Write("CreateUser", s.createUser, "UserName", "Path", "PermissionsBoundary", "Tags")),
		s.on(User, operation.Read("GetUser", s.getUser, "UserName")),
		within("user", operation.Read("ListUsers", s.listUsers, "PathPrefix", "Marker", "MaxItems")),
		s.renamed(User, operation.Write("UpdateUser", s.updateUser, "UserName", "NewUserName", "NewPath")),
		s.on(User, operation.Write("DeleteUser", s.deleteUser, "UserName")),
	}
}

func (s *Service) createUser(ctx context.Context, c *operation.Call, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	path, err := checkPath(in.Path)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tags, anyCase)
	if err != nil {
		return nil, err
	}
	user := &Entity{
		Account: c.Scope.Account, Kind: User, Name: *in.UserName, ID: newID(userID), Path: path, Created: s.config.Now(),
		Boundary: value(in.PermissionsBoundary), Tags: tags,
	}
	about(c, user)
	c.Event.Response.Add("user", user.logged())
	err = s.change(ctx, c.Event, func(tx Tx) error { return insertEntity(ctx, tx, user) })
	return &iam.CreateUserOutput{User: user.user()}, err
}

// own finds the user that a request names, or the one that calls where it names none. It is nil for a root user.
func own(ctx context.Context, r Reader, c *operation.Call, name *string) (*Entity, error) {
	switch {
	case name != nil:
		return entity(ctx, r, c.Scope.Account, User, *name)
	case c.Caller.Type == policy.TypeUser:
		return entity(ctx, r, c.Scope.Account, User, c.Caller.UserName)
	case c.Caller.Type == policy.TypeRoot:
		return nil, nil
	default:
		return nil, validationError("Must specify userName when calling with non-User credentials")
	}
}

func (s *Service) getUser(ctx context.Context, c *operation.Call, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	user, err := own(ctx, s.config.Store, c, in.UserName)
	if err != nil {
		return nil, err
	}
	if user != nil {
		return &iam.GetUserOutput{User: user.user()}, nil
	}
	account, err := s.config.Store.Account(ctx, c.Scope.Account)
	if err != nil {
		return nil, err
	}
	return &iam.GetUserOutput{User: &types.User{
		Arn: aws.String(c.Caller.ARN), UserId: aws.String(account.ID), CreateDate: whole(account.Created),
	}}, nil
}

func (s *Service) listUsers(ctx context.Context, c *operation.Call, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
	p, err := s.list(ctx, c, User, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	users := each(p.items, func(e *Entity) types.User {
		u := *e.user()
		u.Tags, u.PermissionsBoundary = nil, nil // not in lists (IAM API Reference, ListUsers)
		return u
	})
	return &iam.ListUsersOutput{Users: users, IsTruncated: p.truncated, Marker: p.marker}, nil
}

func (s *Service) updateUser(ctx context.Context, c *operation.Call, in *iam.UpdateUserInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		user, err := entity(ctx, tx, c.Scope.Account, User, *in.UserName)
		if err != nil {
			return err
		}
		if err := rename(user, in.NewUserName, in.NewPath); err != nil {
			return err
		}
		return taken(tx.UpdateEntity(user), user)
	})
}

func rename(e *Entity, name, path *string) (err error) {
	e.Name = or(value(name), e.Name)
	if path != nil {
		e.Path, err = checkPath(path)
	}
	return err
}

func (s *Service) deleteUser(ctx context.Context, c *operation.Call, in *iam.DeleteUserInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		user, err := entity(ctx, tx, c.Scope.Account, User, *in.UserName)
		if err != nil {
			return err
		}
		keys, err := tx.AccessKeys(ctx, user.Account, user.ID)
		if err != nil {
			return err
		}
		switch {
		case len(keys) > 0:
			return deleteConflict("Cannot delete entity, must delete access keys first.")
		case len(user.Groups) > 0:
			return deleteConflict("Cannot delete entity, must remove users from group first.")
		}
		if err := checkUnused(user); err != nil {
			return err
		}
		return tx.DeleteEntity(user)
	})
}

// memberOf reports whether a user is in a group.
func (e *Entity) memberOf(group string) bool {
	return slices.ContainsFunc(e.Groups, func(name string) bool { return strings.EqualFold(name, group) })
}
