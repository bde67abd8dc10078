package identity

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/arn"
	"keyward/internal/operation"
)

// What users and roles of AWS may have and none here has: passwords, devices, certificates and keys of other services, instance
// profiles. Clients such as Terraform ask for all of it before they delete a user or a role.

func (s *Service) absentRows() []operation.Row {
	return []operation.Row{
		s.on(Role, operation.Read("ListInstanceProfilesForRole", s.listInstanceProfilesForRole, "RoleName", "Marker", "MaxItems")),
		s.on(User, operation.Read("GetLoginProfile", s.getLoginProfile, "UserName")),
		s.on(User, operation.Write("DeleteLoginProfile", s.deleteLoginProfile, "UserName")),
		s.on(User, operation.Read("ListMFADevices", s.listMFADevices, "UserName", "Marker", "MaxItems")),
		within("mfa", operation.Read("ListVirtualMFADevices", s.listVirtualMFADevices, "AssignmentStatus", "Marker", "MaxItems")),
		s.on(User, operation.Read("ListSigningCertificates", s.listSigningCertificates, "UserName", "Marker", "MaxItems")),
		s.on(User, operation.Read("ListSSHPublicKeys", s.listSSHPublicKeys, "UserName", "Marker", "MaxItems")),
		s.onAllUsers(s.on(User, operation.Read("ListServiceSpecificCredentials", s.listServiceSpecificCredentials,
			"UserName", "ServiceName", "AllUsers", "Marker", "MaxItems"))),
	}
}

// onAllUsers makes the row ask for permission on all users where the input says AllUsers.
func (s *Service) onAllUsers(row operation.Row) operation.Row {
	one := row.Resources
	return row.On(func(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		if of, ok := in.(*iam.ListServiceSpecificCredentialsInput); ok && ofAllUsers(of) {
			return []operation.Resource{{ARN: arn.IAM(c.Scope.Account, "user/*")}}, nil
		}
		return one(ctx, c, in)
	})
}

func ofAllUsers(in *iam.ListServiceSpecificCredentialsInput) bool {
	return in.AllUsers != nil && *in.AllUsers
}

// none is the only page of what nobody has.
func none[T any](marker *string) (page[T], error) { return paged([]T{}, marker, nil, nil) }

// noneOf is the only page of what no user has, for a user that there is: the one named, or the caller.
func noneOf[T any](ctx context.Context, s *Service, c *operation.Call, name, marker *string) (page[T], error) {
	if _, err := own(ctx, s.config.Store, c, name); err != nil {
		return page[T]{}, err
	}
	return none[T](marker)
}

func (s *Service) listInstanceProfilesForRole(ctx context.Context, c *operation.Call, in *iam.ListInstanceProfilesForRoleInput) (*iam.ListInstanceProfilesForRoleOutput, error) {
	if _, err := entity(ctx, s.config.Store, c.Scope.Account, Role, *in.RoleName); err != nil {
		return nil, err
	}
	p, err := none[types.InstanceProfile](in.Marker)
	return &iam.ListInstanceProfilesForRoleOutput{InstanceProfiles: p.items}, err
}

func (s *Service) getLoginProfile(ctx context.Context, c *operation.Call, in *iam.GetLoginProfileInput) (*iam.GetLoginProfileOutput, error) {
	return nil, s.noPassword(ctx, c, in.UserName)
}

func (s *Service) deleteLoginProfile(ctx context.Context, c *operation.Call, in *iam.DeleteLoginProfileInput) (*operation.Void, error) {
	return nil, s.noPassword(ctx, c, in.UserName)
}

// noPassword refuses for want of a password, or of the user.
func (s *Service) noPassword(ctx context.Context, c *operation.Call, name *string) error {
	user, err := own(ctx, s.config.Store, c, name)
	switch {
	case err != nil:
		return err
	case user == nil:
		return noSuchEntity("Login Profile for User %s cannot be found.", c.Scope.Account)
	default:
		return noSuchEntity("Login Profile for User %s cannot be found.", user.Name)
	}
}

func (s *Service) listMFADevices(ctx context.Context, c *operation.Call, in *iam.ListMFADevicesInput) (*iam.ListMFADevicesOutput, error) {
	p, err := noneOf[types.MFADevice](ctx, s, c, in.UserName, in.Marker)
	return &iam.ListMFADevicesOutput{MFADevices: p.items}, err
}

func (s *Service) listVirtualMFADevices(_ context.Context, _ *operation.Call, in *iam.ListVirtualMFADevicesInput) (*iam.ListVirtualMFADevicesOutput, error) {
	p, err := none[types.VirtualMFADevice](in.Marker)
	return &iam.ListVirtualMFADevicesOutput{VirtualMFADevices: p.items}, err
}

func (s *Service) listSigningCertificates(ctx context.Context, c *operation.Call, in *iam.ListSigningCertificatesInput) (*iam.ListSigningCertificatesOutput, error) {
	p, err := noneOf[types.SigningCertificate](ctx, s, c, in.UserName, in.Marker)
	return &iam.ListSigningCertificatesOutput{Certificates: p.items}, err
}

func (s *Service) listSSHPublicKeys(ctx context.Context, c *operation.Call, in *iam.ListSSHPublicKeysInput) (*iam.ListSSHPublicKeysOutput, error) {
	p, err := noneOf[types.SSHPublicKeyMetadata](ctx, s, c, in.UserName, in.Marker)
	return &iam.ListSSHPublicKeysOutput{SSHPublicKeys: p.items}, err
}

func (s *Service) listServiceSpecificCredentials(ctx context.Context, c *operation.Call, in *iam.ListServiceSpecificCredentialsInput) (*iam.ListServiceSpecificCredentialsOutput, error) {
	if ofAllUsers(in) {
		p, err := none[types.ServiceSpecificCredentialMetadata](in.Marker)
		return &iam.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: p.items}, err
	}
	p, err := noneOf[types.ServiceSpecificCredentialMetadata](ctx, s, c, in.UserName, in.Marker)
	return &iam.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: p.items}, err
}
