package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/operation"
)

func (s *Service) groupRows() []operation.Row {
	return []operation.Row{
		s.on(Group, operation.Write("CreateGroup", s.createGroup, "GroupName", "Path")),
		s.on(Group, operation.Read("GetGroup", s.getGroup, "GroupName", "Marker", "MaxItems")),
		within("group", operation.Read("ListGroups", s.listGroups, "PathPrefix", "Marker", "MaxItems")),
		s.renamed(Group, operation.Write("UpdateGroup", s.updateGroup, "GroupName", "NewGroupName", "NewPath")),
		s.on(Group, operation.Write("DeleteGroup", s.deleteGroup, "GroupName")),
		s.on(Group, operation.Write("AddUserToGroup", s.addUserToGroup, "GroupName", "UserName")),
		s.on(Group, operation.Write("RemoveUserFromGroup", s.removeUserFromGroup, "GroupName", "UserName")),
		s.on(User, operation.Read("ListGroupsForUser", s.listGroupsForUser, "UserName", "Marker", "MaxItems")),
	}
}

func (s *Service) createGroup(ctx context.Context, c *operation.Call, in *iam.CreateGroupInput) (*iam.CreateGroupOutput, error) {
	path, err := checkPath(in.Path)
	if err != nil {
		return nil, err
	}
	group := &Entity{
		Account: c.Scope.Account, Kind: Group, Name: *in.GroupName, ID: newID(groupID), Path: path, Created: s.config.Now(),
	}
	about(c, group)
	c.Event.Response.Add("group", group.logged())
	err = s.change(ctx, c.Event, func(tx Tx) error { return insertEntity(ctx, tx, group) })
	return &iam.CreateGroupOutput{Group: group.group()}, err
}

// members lists the users of a group.
func members(ctx context.Context, r Reader, group *Entity) ([]*Entity, error) {
	all, err := r.Entities(ctx, group.Account, User)
	return slices.DeleteFunc(all, func(u *Entity) bool { return !u.memberOf(group.Name) }), err
}

func (s *Service) getGroup(ctx context.Context, c *operation.Call, in *iam.GetGroupInput) (*iam.GetGroupOutput, error) {
	group, err := entity(ctx, s.config.Store, c.Scope.Account, Group, *in.GroupName)
	if err != nil {
		return nil, err
	}
	users, err := members(ctx, s.config.Store, group)
	if err != nil {
		return nil, err
	}
	p, err := paged(users, in.Marker, in.MaxItems, (*Entity).order)
	if err != nil {
		return nil, err
	}
	return &iam.GetGroupOutput{
		Group: group.group(), Users: each(p.items, func(e *Entity) types.User { return *e.user() }),
		IsTruncated: p.truncated, Marker: p.marker,
	}, nil
}

func renderGroup(e *Entity) types.Group { return *e.group() }

func (s *Service) listGroups(ctx context.Context, c *operation.Call, in *iam.ListGroupsInput) (*iam.ListGroupsOutput, error) {
	p, err := s.list(ctx, c, Group, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListGroupsOutput{Groups: each(p.items, renderGroup), IsTruncated: p.truncated, Marker: p.marker}, err
}

// updateGroup takes the new name to the group's users, who know it by its name.
func (s *Service) updateGroup(ctx context.Context, c *operation.Call, in *iam.UpdateGroupInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		group, err := entity(ctx, tx, c.Scope.Account, Group, *in.GroupName)
		if err != nil {
			return err
		}
		users, err := members(ctx, tx, group)
		if err != nil {
			return err
		}
		was := group.Name
		if err := rename(group, in.NewGroupName, in.NewPath); err != nil {
			return err
		}
		for _, u := range users {
			i := slices.IndexFunc(u.Groups, func(name string) bool { return strings.EqualFold(name, was) })
			u.Groups[i] = group.Name
			if err := tx.UpdateEntity(u); err != nil {
				return err
			}
		}
		return taken(tx.UpdateEntity(group), group)
	})
}

func (s *Service) deleteGroup(ctx context.Context, c *operation.Call, in *iam.DeleteGroupInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		group, err := entity(ctx, tx, c.Scope.Account, Group, *in.GroupName)
		if err != nil {
			return err
		}
		users, err := members(ctx, tx, group)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return deleteConflict("Cannot delete entity, must remove users from group first.")
		}
		if err := checkUnused(group); err != nil {
			return err
		}
		return tx.DeleteEntity(group)
	})
}

// addUserToGroup changes nothing for a user who is in the group already.
func (s *Service) addUserToGroup(ctx context.Context, c *operation.Call, in *iam.AddUserToGroupInput) (*operation.Void, error) {
	return nil, s.update(ctx, c, User, in.UserName, func(tx Tx, user *Entity) error {
		group, err := entity(ctx, tx, c.Scope.Account, Group, *in.GroupName)
		if err != nil {
			return err
		}
		switch {
		case user.memberOf(group.Name):
			return nil
		case len(user.Groups) >= maxGroupsPerUser:
			return overQuota("GroupsPerUser", maxGroupsPerUser)
		}
		user.Groups = append(user.Groups, group.Name)
		return nil
	})
}

func (s *Service) removeUserFromGroup(ctx context.Context, c *operation.Call, in *iam.RemoveUserFromGroupInput) (*operation.Void, error) {
	return nil, s.update(ctx, c, User, in.UserName, func(tx Tx, user *Entity) error {
		group, err := entity(ctx, tx, c.Scope.Account, Group, *in.GroupName)
		if err != nil {
			return err
		}
		user.Groups = slices.DeleteFunc(user.Groups, func(name string) bool { return strings.EqualFold(name, group.Name) })
		return nil
	})
}

func (s *Service) listGroupsForUser(ctx context.Context, c *operation.Call, in *iam.ListGroupsForUserInput) (*iam.ListGroupsForUserOutput, error) {
	user, err := entity(ctx, s.config.Store, c.Scope.Account, User, *in.UserName)
	if err != nil {
		return nil, err
	}
	all, err := s.config.Store.Entities(ctx, c.Scope.Account, Group)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(g *Entity) bool { return !user.memberOf(g.Name) })
	p, err := paged(all, in.Marker, in.MaxItems, (*Entity).order)
	return &iam.ListGroupsForUserOutput{Groups: each(p.items, renderGroup), IsTruncated: p.truncated, Marker: p.marker}, err
}
