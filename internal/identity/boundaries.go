package identity

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"keyward/internal/operation"
)

func (s *Service) boundaryRows() []operation.Row {
	return []operation.Row{
		s.on(User, operation.Write("PutUserPermissionsBoundary", s.putUserBoundary, "UserName", "PermissionsBoundary")),
		s.on(User, operation.Write("DeleteUserPermissionsBoundary", s.deleteUserBoundary, "UserName")),
		s.on(Role, operation.Write("PutRolePermissionsBoundary", s.putRoleBoundary, "RoleName", "PermissionsBoundary")),
		s.on(Role, operation.Write("DeleteRolePermissionsBoundary", s.deleteRoleBoundary, "RoleName")),
	}
}

func (s *Service) bound(ctx context.Context, c *operation.Call, kind Kind, name, boundary *string) (*operation.Void, error) {
	return nil, s.updateOwn(ctx, c, kind, name, func(tx Tx, e *Entity) error {
		e.Boundary = *boundary
		return bounding(ctx, tx, e.Account, e.Boundary)
	})
}

// bounding refuses what is no policy that may bound entities of an account.
func bounding(ctx context.Context, r Reader, account, name string) error {
	if !isPolicyARN(name) {
		return invalidInput("ARN %s is not valid.", name)
	}
	_, err := usable(ctx, r, account, name)
	if isMissing(err) {
		return noSuchEntity("Scope ARN: %s does not exist or is not attachable.", name)
	}
	return err
}

func (s *Service) unbound(ctx context.Context, c *operation.Call, kind Kind, name *string) (*operation.Void, error) {
	return nil, s.updateOwn(ctx, c, kind, name, func(_ Tx, e *Entity) error {
		if e.Boundary == "" {
			return noSuchEntity("The %s with name %s does not have a permissions boundary.", kind, e.Name)
		}
		e.Boundary = ""
		return nil
	})
}

func (s *Service) putUserBoundary(ctx context.Context, c *operation.Call, in *iam.PutUserPermissionsBoundaryInput) (*operation.Void, error) {
	return s.bound(ctx, c, User, in.UserName, in.PermissionsBoundary)
}

func (s *Service) deleteUserBoundary(ctx context.Context, c *operation.Call, in *iam.DeleteUserPermissionsBoundaryInput) (*operation.Void, error) {
	return s.unbound(ctx, c, User, in.UserName)
}

func (s *Service) putRoleBoundary(ctx context.Context, c *operation.Call, in *iam.PutRolePermissionsBoundaryInput) (*operation.Void, error) {
	return s.bound(ctx, c, Role, in.RoleName, in.PermissionsBoundary)
}

func (s *Service) deleteRoleBoundary(ctx context.Context, c *operation.Call, in *iam.DeleteRolePermissionsBoundaryInput) (*operation.Void, error) {
	return s.unbound(ctx, c, Role, in.RoleName)
}
