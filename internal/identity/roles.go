package identity

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/operation"
)

func (s *Service) roleRows() []operation.Row {
	return []operation.Row{
		s.on(Role, operation.Write("CreateRole", s.createRole, "RoleName", "Path", "AssumeRolePolicyDocument", "Description",
			"MaxSessionDuration", "PermissionsBoundary", "Tags")),
		s.on(Role, operation.Read("GetRole", s.getRole, "RoleName")),
		within("role", operation.Read("ListRoles", s.listRoles, "PathPrefix", "Marker", "MaxItems")),
		s.on(Role, operation.Write("UpdateRole", s.updateRole, "RoleName", "Description", "MaxSessionDuration")),
		s.on(Role, operation.Write("UpdateRoleDescription", s.updateRoleDescription, "RoleName", "Description")),
		s.on(Role, operation.Write("UpdateAssumeRolePolicy", s.updateAssumeRolePolicy, "RoleName", "PolicyDocument")),
		s.on(Role, operation.Write("DeleteRole", s.deleteRole, "RoleName")),
	}
}

func (s *Service) createRole(ctx context.Context, c *operation.Call, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	path, err := checkPath(in.Path)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, linkedPrefix) {
		return nil, refusal("AccessDenied", 403, "Cannot perform the operation on the protected path %s", path)
	}
	tags, err := tagsOf(in.Tags, anyCase)
	if err != nil {
		return nil, err
	}
	role := &Entity{
		Account: c.Scope.Account, Kind: Role, Name: *in.RoleName, ID: newID(roleID), Path: path, Created: s.config.Now(),
		Boundary: value(in.PermissionsBoundary), Tags: tags, Role: RoleFacts{
			Description: value(in.Description), Trust: *in.AssumeRolePolicyDocument,
			MaxSession: or32(in.MaxSessionDuration, defaultRoleDuration),
		},
	}
	return s.insertRole(ctx, c, role)
}

func (s *Service) insertRole(ctx context.Context, c *operation.Call, role *Entity) (*iam.CreateRoleOutput, error) {
	about(c, role)
	c.Event.Response.Add("role", role.logged())
	err := s.change(ctx, c.Event, func(tx Tx) (err error) {
		if role.Role.Bound, err = bindTrust(ctx, tx, role.Account, role.Role.Trust); err != nil {
			return err
		}
		return insertEntity(ctx, tx, role)
	})
	return &iam.CreateRoleOutput{Role: brief(role.role(role.Role.Trust))}, err
}

// brief is a role as the operations that change one answer it: without the longest session.
func brief(role *types.Role) *types.Role {
	if role != nil {
		role.MaxSessionDuration = nil
	}
	return role
}

func (s *Service) getRole(ctx context.Context, c *operation.Call, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	role, err := entity(ctx, s.config.Store, c.Scope.Account, Role, *in.RoleName)
	if err != nil {
		return nil, err
	}
	rendered, err := s.renderRole(ctx, role)
	return &iam.GetRoleOutput{Role: rendered}, err
}

func (s *Service) renderRole(ctx context.Context, role *Entity) (*types.Role, error) {
	document, err := shownTrust(ctx, s.config.Store, role)
	if err != nil {
		return nil, err
	}
	return role.role(document), nil
}

func (s *Service) listRoles(ctx context.Context, c *operation.Call, in *iam.ListRolesInput) (*iam.ListRolesOutput, error) {
	p, err := s.list(ctx, c, Role, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListRolesOutput{Roles: make([]types.Role, 0, len(p.items)), IsTruncated: p.truncated, Marker: p.marker}
	for _, e := range p.items {
		role, err := s.renderRole(ctx, e)
		if err != nil {
			return nil, err
		}
		role.Tags, role.PermissionsBoundary = nil, nil // not in lists (IAM API Reference, ListRoles)
		out.Roles = append(out.Roles, *role)
	}
	return out, nil
}

// updateRole changes what the request has.
func (s *Service) updateRole(ctx context.Context, c *operation.Call, in *iam.UpdateRoleInput) (*iam.UpdateRoleOutput, error) {
	return &iam.UpdateRoleOutput{}, s.update(ctx, c, Role, in.RoleName, func(_ Tx, role *Entity) error {
		if in.Description != nil {
			role.Role.Description = *in.Description
		}
		if in.MaxSessionDuration == nil {
			return nil
		}
		role.Role.MaxSession = *in.MaxSessionDuration
		return checkOwn(role)
	})
}

func (s *Service) updateRoleDescription(ctx context.Context, c *operation.Call, in *iam.UpdateRoleDescriptionInput) (*iam.UpdateRoleDescriptionOutput, error) {
	var role *Entity
	err := s.update(ctx, c, Role, in.RoleName, func(_ Tx, e *Entity) error {
		e.Role.Description, role = *in.Description, e
		return nil
	})
	if err != nil {
		return nil, err
	}
	rendered, err := s.renderRole(ctx, role)
	return &iam.UpdateRoleDescriptionOutput{Role: brief(rendered)}, err
}

func (s *Service) updateAssumeRolePolicy(ctx context.Context, c *operation.Call, in *iam.UpdateAssumeRolePolicyInput) (*operation.Void, error) {
	return nil, s.updateOwn(ctx, c, Role, in.RoleName, func(tx Tx, role *Entity) (err error) {
		role.Role.Trust = *in.PolicyDocument
		role.Role.Bound, err = bindTrust(ctx, tx, role.Account, role.Role.Trust)
		return err
	})
}

func (s *Service) deleteRole(ctx context.Context, c *operation.Call, in *iam.DeleteRoleInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		role, err := entity(ctx, tx, c.Scope.Account, Role, *in.RoleName)
		if err != nil {
			return err
		}
		if err := checkOwn(role); err != nil {
			return err
		}
		if err := checkUnused(role); err != nil {
			return err
		}
		return tx.DeleteEntity(role)
	})
}
