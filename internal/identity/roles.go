package identity

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
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
		onName(operation.Write("CreateServiceLinkedRole", s.createServiceLinkedRole, "AWSServiceName", "Description", "CustomSuffix"),
			"AWSServiceName", func(account, service string) string {
				return arn.IAM(account, "role"+linkedPath(service)+linkedRoles[service].name)
			}),
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

// Service-linked roles: nothing here assumes them, but clients make them before they use what AWS would.

const linkedPrefix = "/aws-service-role/"

func linkedPath(service string) string { return linkedPrefix + service + "/" }

// linkedRoles are those of the services that are here (AWS documentation of each service, "Using service-linked roles").
var linkedRoles = map[string]struct{ name, description string }{
	"cks.kms.amazonaws.com": {
		"AWSServiceRoleForKeyManagementServiceCustomKeyStores", "Enables AWS KMS to access AWS CloudHSM and related services for custom key stores",
	},
	"mrk.kms.amazonaws.com": {
		"AWSServiceRoleForKeyManagementServiceMultiRegionKeys", "Enables access to AWS services and resources required by AWS KMS multi-Region keys",
	},
	"cloudhsm.amazonaws.com": {"AWSServiceRoleForCloudHSM", "Enables AWS CloudHSM to manage resources on your behalf"},
}

// checkOwn refuses to change a role that is a service's.
func checkOwn(role *Entity) error {
	if role.Kind == Role && strings.HasPrefix(role.Path, linkedPrefix) {
		return fault.New("UnmodifiableEntity", "Cannot perform the operation on the protected role '%s' - this role is only "+
			"modifiable by AWS", role.Name)
	}
	return nil
}

func (s *Service) createServiceLinkedRole(ctx context.Context, c *operation.Call, in *iam.CreateServiceLinkedRoleInput) (*iam.CreateServiceLinkedRoleOutput, error) {
	linked, known := linkedRoles[*in.AWSServiceName]
	switch {
	case !known:
		return nil, invalidInput("Service principal %s is not known.", *in.AWSServiceName)
	case in.CustomSuffix != nil:
		return nil, invalidInput("Custom suffix is not allowed for %s", *in.AWSServiceName)
	}
	if _, err := s.config.Store.Entity(ctx, c.Scope.Account, Role, linked.name); err == nil {
		return nil, invalidInput("Service role name %s has been taken in this account, please try a different suffix.", linked.name)
	}
	role := &Entity{
		Account: c.Scope.Account, Kind: Role, Name: linked.name, ID: newID(roleID), Path: linkedPath(*in.AWSServiceName),
		Created: s.config.Now(), Role: RoleFacts{
			Description: or(value(in.Description), linked.description), MaxSession: defaultRoleDuration,
			Trust: `{"Version":"2012-10-17","Statement":[{"Action":["sts:AssumeRole"],"Effect":"Allow","Principal":{"Service":["` +
				*in.AWSServiceName + `"]}}]}`,
		},
	}
	out, err := s.insertRole(ctx, c, role)
	if err != nil {
		return nil, err
	}
	return &iam.CreateServiceLinkedRoleOutput{Role: out.Role}, nil
}
