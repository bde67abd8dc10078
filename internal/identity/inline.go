package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"keyward/internal/operation"
)

func (s *Service) inlineRows() []operation.Row {
	return []operation.Row{
		s.on(User, operation.Write("PutUserPolicy", s.putUserPolicy, "UserName", "PolicyName", "PolicyDocument")),
		s.on(User, operation.Read("GetUserPolicy", s.getUserPolicy, "UserName", "PolicyName")),
		s.on(User, operation.Read("ListUserPolicies", s.listUserPolicies, "UserName", "Marker", "MaxItems")),
		s.on(User, operation.Write("DeleteUserPolicy", s.deleteUserPolicy, "UserName", "PolicyName")),
		s.on(Group, operation.Write("PutGroupPolicy", s.putGroupPolicy, "GroupName", "PolicyName", "PolicyDocument")),
		s.on(Group, operation.Read("GetGroupPolicy", s.getGroupPolicy, "GroupName", "PolicyName")),
		s.on(Group, operation.Read("ListGroupPolicies", s.listGroupPolicies, "GroupName", "Marker", "MaxItems")),
		s.on(Group, operation.Write("DeleteGroupPolicy", s.deleteGroupPolicy, "GroupName", "PolicyName")),
		s.on(Role, operation.Write("PutRolePolicy", s.putRolePolicy, "RoleName", "PolicyName", "PolicyDocument")),
		s.on(Role, operation.Read("GetRolePolicy", s.getRolePolicy, "RoleName", "PolicyName")),
		s.on(Role, operation.Read("ListRolePolicies", s.listRolePolicies, "RoleName", "Marker", "MaxItems")),
		s.on(Role, operation.Write("DeleteRolePolicy", s.deleteRolePolicy, "RoleName", "PolicyName")),
	}
}

// put keeps an inline policy, in the place of one of the same name.
func (s *Service) put(ctx context.Context, c *operation.Call, kind Kind, name, policyName, document *string) (*operation.Void, error) {
	if err := checkDocument(*document); err != nil {
		return nil, err
	}
	return nil, s.updateOwn(ctx, c, kind, name, func(_ Tx, e *Entity) error {
		i, found := e.inline(*policyName)
		if !found {
			e.Inline = slices.Insert(e.Inline, i, Inline{})
		}
		e.Inline[i] = Inline{*policyName, *document}
		total := 0
		for _, p := range e.Inline {
			total += size(p.Document)
		}
		if total > maxInline[kind] {
			return limitExceeded("Maximum policy size of %d bytes exceeded for %s %s", maxInline[kind], kind, e.Name)
		}
		return nil
	})
}

// inline finds an inline policy, or the place where it would stand.
func (e *Entity) inline(name string) (int, bool) {
	return slices.BinarySearchFunc(e.Inline, strings.ToLower(name), func(p Inline, name string) int {
		return strings.Compare(strings.ToLower(p.Name), name)
	})
}

func noInline(kind Kind, name string) error {
	return noSuchEntity("The %s policy with name %s cannot be found.", kind, name)
}

// inlinePolicy reads an inline policy and the entity that has it.
func (s *Service) inlinePolicy(ctx context.Context, c *operation.Call, kind Kind, name, policyName string) (*Entity, *Inline, error) {
	e, err := entity(ctx, s.config.Store, c.Scope.Account, kind, name)
	if err != nil {
		return nil, nil, err
	}
	i, found := e.inline(policyName)
	if !found {
		return nil, nil, noInline(kind, policyName)
	}
	return e, &e.Inline[i], nil
}

// inlineNames is one page of the names of an entity's inline policies.
func (s *Service) inlineNames(ctx context.Context, c *operation.Call, kind Kind, name string, marker *string, most *int32) (page[string], error) {
	e, err := entity(ctx, s.config.Store, c.Scope.Account, kind, name)
	if err != nil {
		return page[string]{}, err
	}
	return paged(each(e.Inline, func(p Inline) string { return p.Name }), marker, most, strings.ToLower)
}

func (s *Service) remove(ctx context.Context, c *operation.Call, kind Kind, name, policyName *string) (*operation.Void, error) {
	return nil, s.updateOwn(ctx, c, kind, name, func(_ Tx, e *Entity) error {
		i, found := e.inline(*policyName)
		if !found {
			return noInline(kind, *policyName)
		}
		e.Inline = slices.Delete(e.Inline, i, i+1)
		return nil
	})
}

func (s *Service) putUserPolicy(ctx context.Context, c *operation.Call, in *iam.PutUserPolicyInput) (*operation.Void, error) {
	return s.put(ctx, c, User, in.UserName, in.PolicyName, in.PolicyDocument)
}

func (s *Service) putGroupPolicy(ctx context.Context, c *operation.Call, in *iam.PutGroupPolicyInput) (*operation.Void, error) {
	return s.put(ctx, c, Group, in.GroupName, in.PolicyName, in.PolicyDocument)
}

func (s *Service) putRolePolicy(ctx context.Context, c *operation.Call, in *iam.PutRolePolicyInput) (*operation.Void, error) {
	return s.put(ctx, c, Role, in.RoleName, in.PolicyName, in.PolicyDocument)
}

func (s *Service) getUserPolicy(ctx context.Context, c *operation.Call, in *iam.GetUserPolicyInput) (*iam.GetUserPolicyOutput, error) {
	e, p, err := s.inlinePolicy(ctx, c, User, *in.UserName, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iam.GetUserPolicyOutput{UserName: aws.String(e.Name), PolicyName: aws.String(p.Name), PolicyDocument: encoded(p.Document)}, nil
}

func (s *Service) getGroupPolicy(ctx context.Context, c *operation.Call, in *iam.GetGroupPolicyInput) (*iam.GetGroupPolicyOutput, error) {
	e, p, err := s.inlinePolicy(ctx, c, Group, *in.GroupName, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iam.GetGroupPolicyOutput{GroupName: aws.String(e.Name), PolicyName: aws.String(p.Name), PolicyDocument: encoded(p.Document)}, nil
}

func (s *Service) getRolePolicy(ctx context.Context, c *operation.Call, in *iam.GetRolePolicyInput) (*iam.GetRolePolicyOutput, error) {
	e, p, err := s.inlinePolicy(ctx, c, Role, *in.RoleName, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iam.GetRolePolicyOutput{RoleName: aws.String(e.Name), PolicyName: aws.String(p.Name), PolicyDocument: encoded(p.Document)}, nil
}

func (s *Service) listUserPolicies(ctx context.Context, c *operation.Call, in *iam.ListUserPoliciesInput) (*iam.ListUserPoliciesOutput, error) {
	p, err := s.inlineNames(ctx, c, User, *in.UserName, in.Marker, in.MaxItems)
	return &iam.ListUserPoliciesOutput{PolicyNames: p.items, IsTruncated: p.truncated, Marker: p.marker}, err
}

func (s *Service) listGroupPolicies(ctx context.Context, c *operation.Call, in *iam.ListGroupPoliciesInput) (*iam.ListGroupPoliciesOutput, error) {
	p, err := s.inlineNames(ctx, c, Group, *in.GroupName, in.Marker, in.MaxItems)
	return &iam.ListGroupPoliciesOutput{PolicyNames: p.items, IsTruncated: p.truncated, Marker: p.marker}, err
}

func (s *Service) listRolePolicies(ctx context.Context, c *operation.Call, in *iam.ListRolePoliciesInput) (*iam.ListRolePoliciesOutput, error) {
	p, err := s.inlineNames(ctx, c, Role, *in.RoleName, in.Marker, in.MaxItems)
	return &iam.ListRolePoliciesOutput{PolicyNames: p.items, IsTruncated: p.truncated, Marker: p.marker}, err
}

func (s *Service) deleteUserPolicy(ctx context.Context, c *operation.Call, in *iam.DeleteUserPolicyInput) (*operation.Void, error) {
	return s.remove(ctx, c, User, in.UserName, in.PolicyName)
}

func (s *Service) deleteGroupPolicy(ctx context.Context, c *operation.Call, in *iam.DeleteGroupPolicyInput) (*operation.Void, error) {
	return s.remove(ctx, c, Group, in.GroupName, in.PolicyName)
}

func (s *Service) deleteRolePolicy(ctx context.Context, c *operation.Call, in *iam.DeleteRolePolicyInput) (*operation.Void, error) {
	return s.remove(ctx, c, Role, in.RoleName, in.PolicyName)
}
