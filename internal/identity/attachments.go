package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/operation"
)

func (s *Service) attachmentRows() []operation.Row {
	return []operation.Row{
		s.on(User, operation.Write("AttachUserPolicy", s.attachUserPolicy, "UserName", "PolicyArn")),
		s.on(User, operation.Write("DetachUserPolicy", s.detachUserPolicy, "UserName", "PolicyArn")),
		s.on(User, operation.Read("ListAttachedUserPolicies", s.listAttachedUserPolicies, "UserName", "PathPrefix", "Marker", "MaxItems")),
		s.on(Group, operation.Write("AttachGroupPolicy", s.attachGroupPolicy, "GroupName", "PolicyArn")),
		s.on(Group, operation.Write("DetachGroupPolicy", s.detachGroupPolicy, "GroupName", "PolicyArn")),
		s.on(Group, operation.Read("ListAttachedGroupPolicies", s.listAttachedGroupPolicies, "GroupName", "PathPrefix", "Marker", "MaxItems")),
		s.on(Role, operation.Write("AttachRolePolicy", s.attachRolePolicy, "RoleName", "PolicyArn")),
		s.on(Role, operation.Write("DetachRolePolicy", s.detachRolePolicy, "RoleName", "PolicyArn")),
		s.on(Role, operation.Read("ListAttachedRolePolicies", s.listAttachedRolePolicies, "RoleName", "PathPrefix", "Marker", "MaxItems")),
	}
}

// attachable finds a policy to be attached.
func attachable(ctx context.Context, r Reader, account, name string) (*ManagedPolicy, error) {
	p, err := usable(ctx, r, account, name)
	if isMissing(err) {
		return nil, noSuchEntity("Policy %s does not exist or is not attachable.", name)
	}
	return p, err
}

// attach changes nothing where the policy is attached already.
func (s *Service) attach(ctx context.Context, c *operation.Call, kind Kind, name, policy *string) (*operation.Void, error) {
	if err := checkPolicyARN(*policy); err != nil {
		return nil, err
	}
	return nil, s.updateOwn(ctx, c, kind, name, func(tx Tx, e *Entity) error {
		if _, err := attachable(ctx, tx, e.Account, *policy); err != nil {
			return err
		}
		switch {
		case slices.Contains(e.Attached, *policy):
			return nil
		case len(e.Attached) >= maxAttached:
			return overQuota("PoliciesPer"+kind.word(), maxAttached)
		}
		e.Attached = append(e.Attached, *policy)
		return nil
	})
}

func (s *Service) detach(ctx context.Context, c *operation.Call, kind Kind, name, policy *string) (*operation.Void, error) {
	return nil, s.updateOwn(ctx, c, kind, name, func(_ Tx, e *Entity) error {
		i := slices.Index(e.Attached, *policy)
		if i < 0 {
			return noSuchEntity("Policy %s was not found.", *policy)
		}
		e.Attached = slices.Delete(e.Attached, i, i+1)
		return nil
	})
}

// attached is one page of an entity's managed policies, in the order of their ARNs.
func (s *Service) attached(ctx context.Context, c *operation.Call, kind Kind, name, prefix, marker *string, most *int32) (page[types.AttachedPolicy], error) {
	e, err := entity(ctx, s.config.Store, c.Scope.Account, kind, *name)
	if err != nil {
		return page[types.AttachedPolicy]{}, err
	}
	arns := slices.DeleteFunc(slices.Clone(e.Attached), func(name string) bool { return !strings.Contains(name, ":policy"+or(value(prefix), "/")) })
	slices.SortFunc(arns, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	policies := each(arns, func(name string) types.AttachedPolicy {
		return types.AttachedPolicy{PolicyArn: aws.String(name), PolicyName: aws.String(name[strings.LastIndexByte(name, '/')+1:])}
	})
	return paged(policies, marker, most, func(p types.AttachedPolicy) string { return strings.ToLower(*p.PolicyArn) })
}

func (s *Service) attachUserPolicy(ctx context.Context, c *operation.Call, in *iam.AttachUserPolicyInput) (*operation.Void, error) {
	return s.attach(ctx, c, User, in.UserName, in.PolicyArn)
}

func (s *Service) attachGroupPolicy(ctx context.Context, c *operation.Call, in *iam.AttachGroupPolicyInput) (*operation.Void, error) {
	return s.attach(ctx, c, Group, in.GroupName, in.PolicyArn)
}

func (s *Service) attachRolePolicy(ctx context.Context, c *operation.Call, in *iam.AttachRolePolicyInput) (*operation.Void, error) {
	return s.attach(ctx, c, Role, in.RoleName, in.PolicyArn)
}

func (s *Service) detachUserPolicy(ctx context.Context, c *operation.Call, in *iam.DetachUserPolicyInput) (*operation.Void, error) {
	return s.detach(ctx, c, User, in.UserName, in.PolicyArn)
}

func (s *Service) detachGroupPolicy(ctx context.Context, c *operation.Call, in *iam.DetachGroupPolicyInput) (*operation.Void, error) {
	return s.detach(ctx, c, Group, in.GroupName, in.PolicyArn)
}

func (s *Service) detachRolePolicy(ctx context.Context, c *operation.Call, in *iam.DetachRolePolicyInput) (*operation.Void, error) {
	return s.detach(ctx, c, Role, in.RoleName, in.PolicyArn)
}

func (s *Service) listAttachedUserPolicies(ctx context.Context, c *operation.Call, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
	p, err := s.attached(ctx, c, User, in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedUserPoliciesOutput{AttachedPolicies: p.items, IsTruncated: p.truncated, Marker: p.marker}, err
}

func (s *Service) listAttachedGroupPolicies(ctx context.Context, c *operation.Call, in *iam.ListAttachedGroupPoliciesInput) (*iam.ListAttachedGroupPoliciesOutput, error) {
	p, err := s.attached(ctx, c, Group, in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedGroupPoliciesOutput{AttachedPolicies: p.items, IsTruncated: p.truncated, Marker: p.marker}, err
}

func (s *Service) listAttachedRolePolicies(ctx context.Context, c *operation.Call, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
	p, err := s.attached(ctx, c, Role, in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: p.items, IsTruncated: p.truncated, Marker: p.marker}, err
}
