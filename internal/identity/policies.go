package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

func (s *Service) policyRows() []operation.Row {
	return []operation.Row{
		operation.Write("CreatePolicy", s.createPolicy, "PolicyName", "Path", "PolicyDocument", "Description", "Tags").On(newPolicy),
		s.onPolicy(operation.Read("GetPolicy", s.getPolicy, "PolicyArn")),
		within("policy", operation.Read("ListPolicies", s.listPolicies, "Scope", "OnlyAttached", "PathPrefix", "PolicyUsageFilter", "Marker", "MaxItems")),
		s.onPolicy(operation.Write("DeletePolicy", s.deletePolicy, "PolicyArn")),
		s.onPolicy(operation.Write("CreatePolicyVersion", s.createPolicyVersion, "PolicyArn", "PolicyDocument", "SetAsDefault")),
		s.onPolicy(operation.Read("GetPolicyVersion", s.getPolicyVersion, "PolicyArn", "VersionId")),
		s.onPolicy(operation.Read("ListPolicyVersions", s.listPolicyVersions, "PolicyArn", "Marker", "MaxItems")),
		s.onPolicy(operation.Write("SetDefaultPolicyVersion", s.setDefaultPolicyVersion, "PolicyArn", "VersionId")),
		s.onPolicy(operation.Write("DeletePolicyVersion", s.deletePolicyVersion, "PolicyArn", "VersionId")),
		s.onPolicy(operation.Read("ListEntitiesForPolicy", s.listEntitiesForPolicy, "PolicyArn", "EntityFilter", "PathPrefix", "PolicyUsageFilter", "Marker", "MaxItems")),
	}
}

// newPolicy is what CreatePolicy asks permission for.
func newPolicy(_ context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
	name := "policy" + or(member(in, "Path"), "/") + member(in, "PolicyName")
	return []operation.Resource{{ARN: arn.IAM(c.Scope.Account, name), Keys: requestKeys(in)}}, nil
}

// onPolicy makes the row ask for permission on the policy that the input names.
func (s *Service) onPolicy(row operation.Row) operation.Row {
	return row.On(func(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		keys := requestKeys(in)
		name := member(in, "PolicyArn")
		p, err := managedPolicy(ctx, s.config.Store, name)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		if err == nil {
			entityKeys(keys, &Entity{Tags: p.Tags})
		}
		return []operation.Resource{{ARN: name, Keys: keys}}, nil
	})
}

func (s *Service) createPolicy(ctx context.Context, c *operation.Call, in *iam.CreatePolicyInput) (*iam.CreatePolicyOutput, error) {
	path, err := checkPath(in.Path)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tags, exactCase)
	if err != nil {
		return nil, err
	}
	if err := checkManaged(*in.PolicyDocument); err != nil {
		return nil, err
	}
	now := s.config.Now()
	p := &ManagedPolicy{
		Account: c.Scope.Account, Name: *in.PolicyName, ID: newID(policyID), Path: path, Description: value(in.Description),
		Created: now, Updated: now, Default: "v1", Versions: []PolicyVersion{{"v1", *in.PolicyDocument, now}}, Next: 2, Tags: tags,
	}
	c.About("AWS::IAM::Policy", p.ARN())
	c.Event.Response.Add("policy", audit.Members{
		{Name: "policyName", Value: p.Name}, {Name: "policyId", Value: p.ID}, {Name: "arn", Value: p.ARN()}, {Name: "path", Value: p.Path},
		{Name: "defaultVersionId", Value: p.Default}, {Name: "createDate", Value: p.Created},
	})
	err = s.change(ctx, c.Event, func(tx Tx) error {
		all, err := tx.Policies(ctx, p.Account)
		switch {
		case err != nil:
			return err
		case len(all) >= maxPolicies:
			return overQuota("PoliciesPerAccount", maxPolicies)
		}
		if err := tx.InsertPolicy(p); !errors.Is(err, fault.ErrExists) {
			return err
		}
		return alreadyExists("A policy called %s already exists. Duplicate names are not allowed.", p.Name)
	})
	made := p.render(usage{})
	made.Tags = anyTags(p.Tags)
	return &iam.CreatePolicyOutput{Policy: made}, err
}

// checkManaged reads the text of a managed policy, which must be of the language's newer version.
func checkManaged(document string) error {
	if size(document) > maxManagedSize {
		return overQuota("PolicySize", maxManagedSize)
	}
	_, err := policy.ParseManaged([]byte(document))
	return malformedPolicy(err)
}

// usage counts the entities of an account that have a policy.
type usage struct{ attached, bounds int32 }

// usages counts for all policies of an account, by ARN.
func usages(ctx context.Context, r Reader, account string) (map[string]usage, error) {
	all := map[string]usage{}
	for _, kind := range kinds {
		entities, err := r.Entities(ctx, account, kind)
		if err != nil {
			return nil, err
		}
		for _, e := range entities {
			for _, name := range e.Attached {
				u := all[name]
				u.attached++
				all[name] = u
			}
			if e.Boundary != "" {
				u := all[e.Boundary]
				u.bounds++
				all[e.Boundary] = u
			}
		}
	}
	return all, nil
}

func (p *ManagedPolicy) render(u usage) *types.Policy {
	return &types.Policy{
		Arn: aws.String(p.ARN()), AttachmentCount: aws.Int32(u.attached), PermissionsBoundaryUsageCount: aws.Int32(u.bounds),
		CreateDate: whole(p.Created), UpdateDate: whole(p.Updated), DefaultVersionId: aws.String(p.Default), Description: optional(p.Description),
		IsAttachable: true, Path: aws.String(p.Path), PolicyId: aws.String(p.ID), PolicyName: aws.String(p.Name), Tags: each(p.Tags, renderTag),
	}
}

// usable finds a policy that an account may use and look at, AWS's or its own; fault.ErrNotFound if there is none.
func usable(ctx context.Context, r Reader, account, name string) (*ManagedPolicy, error) {
	p, err := managedPolicy(ctx, r, name)
	if err == nil && p.Account != "" && p.Account != account {
		return nil, fault.ErrNotFound
	}
	return p, err
}

// visible finds a policy to look at.
func visible(ctx context.Context, r Reader, c *operation.Call, name string) (*ManagedPolicy, error) {
	if err := checkPolicyARN(name); err != nil {
		return nil, err
	}
	p, err := usable(ctx, r, c.Scope.Account, name)
	if isMissing(err) {
		return nil, noSuchEntity("Policy %s was not found.", name)
	}
	return p, err
}

// isPolicyARN reports whether name has the form of a managed policy's.
func isPolicyARN(name string) bool {
	a, err := arn.Parse(name)
	return err == nil && a.Service == "iam" && strings.HasPrefix(a.Resource, "policy/")
}

func checkPolicyARN(name string) error {
	if !isPolicyARN(name) {
		return validationError("ARN %s is not valid.", name)
	}
	return nil
}

func (s *Service) getPolicy(ctx context.Context, c *operation.Call, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
	p, err := visible(ctx, s.config.Store, c, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	used, err := usages(ctx, s.config.Store, c.Scope.Account)
	return &iam.GetPolicyOutput{Policy: p.render(used[p.ARN()])}, err
}

func (s *Service) listPolicies(ctx context.Context, c *operation.Call, in *iam.ListPoliciesInput) (*iam.ListPoliciesOutput, error) {
	var all []*ManagedPolicy
	if in.Scope != types.PolicyScopeTypeLocal {
		all = slices.Collect(maps.Values(awsPolicies))
	}
	if in.Scope != types.PolicyScopeTypeAws {
		own, err := s.config.Store.Policies(ctx, c.Scope.Account)
		if err != nil {
			return nil, err
		}
		all = append(all, own...)
	}
	used, err := usages(ctx, s.config.Store, c.Scope.Account)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(p *ManagedPolicy) bool {
		u := used[p.ARN()]
		return !strings.HasPrefix(p.Path, value(in.PathPrefix)) || in.OnlyAttached && u == usage{} ||
			in.PolicyUsageFilter == types.PolicyUsageTypePermissionsBoundary && u.bounds == 0
	})
	key := func(p *ManagedPolicy) string { return strings.ToLower(p.Name + " " + p.Account) }
	slices.SortFunc(all, func(a, b *ManagedPolicy) int { return strings.Compare(key(a), key(b)) })
	p, err := paged(all, in.Marker, in.MaxItems, key)
	return &iam.ListPoliciesOutput{IsTruncated: p.truncated, Marker: p.marker, Policies: each(p.items, func(p *ManagedPolicy) types.Policy {
		rendered := *p.render(used[p.ARN()])
		rendered.Tags, rendered.Description = nil, nil // not in lists (IAM API Reference, ListPolicies)
		return rendered
	})}, err
}

// updatePolicy changes a policy of the caller's account.
func (s *Service) updatePolicy(ctx context.Context, c *operation.Call, name *string, fn func(*ManagedPolicy) error) error {
	return s.change(ctx, c.Event, func(tx Tx) error {
		p, err := ownPolicy(ctx, tx, c, *name)
		if err != nil {
			return err
		}
		if err := fn(p); err != nil {
			return err
		}
		return tx.UpdatePolicy(p)
	})
}

// ownPolicy finds a policy that is the account's own to change.
func ownPolicy(ctx context.Context, r Reader, c *operation.Call, name string) (*ManagedPolicy, error) {
	p, err := visible(ctx, r, c, name)
	if err == nil && p.Account == "" {
		return nil, refusal("AccessDenied", 403, "User: %s is not authorized to perform: iam:%s on resource: policy %s",
			c.Caller.ARN, c.Event.Name, name)
	}
	return p, err
}

func (s *Service) deletePolicy(ctx context.Context, c *operation.Call, in *iam.DeletePolicyInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		p, err := ownPolicy(ctx, tx, c, *in.PolicyArn)
		if err != nil {
			return err
		}
		used, err := usages(ctx, tx, p.Account)
		switch {
		case err != nil:
			return err
		case used[p.ARN()] != usage{}:
			return deleteConflict("Cannot delete a policy attached to entities.")
		case len(p.Versions) > 1:
			return deleteConflict("This policy has more than one version. Before you delete a policy, you must delete the policy's " +
				"versions. The default version is deleted with the policy.")
		}
		return tx.DeletePolicy(p)
	})
}

func (s *Service) createPolicyVersion(ctx context.Context, c *operation.Call, in *iam.CreatePolicyVersionInput) (*iam.CreatePolicyVersionOutput, error) {
	if err := checkManaged(*in.PolicyDocument); err != nil {
		return nil, err
	}
	out := &iam.CreatePolicyVersionOutput{}
	return out, s.updatePolicy(ctx, c, in.PolicyArn, func(p *ManagedPolicy) error {
		if len(p.Versions) >= maxVersions {
			return limitExceeded("A managed policy can have up to %d versions. Before you create a new version, you must delete an "+
				"existing version.", maxVersions)
		}
		v := PolicyVersion{fmt.Sprintf("v%d", p.Next), *in.PolicyDocument, s.config.Now()}
		p.Versions, p.Next, p.Updated = append(p.Versions, v), p.Next+1, v.Created
		if in.SetAsDefault {
			p.Default = v.ID
		}
		out.PolicyVersion = v.render(p, false)
		return nil
	})
}

func (v *PolicyVersion) render(p *ManagedPolicy, whole bool) *types.PolicyVersion {
	out := &types.PolicyVersion{VersionId: aws.String(v.ID), IsDefaultVersion: v.ID == p.Default, CreateDate: aws.Time(v.Created)}
	if whole {
		out.Document = encoded(v.Document)
	}
	return out
}

// version finds a version of a policy.
func (p *ManagedPolicy) version(id string) (int, error) {
	i := slices.IndexFunc(p.Versions, func(v PolicyVersion) bool { return v.ID == id })
	if i < 0 {
		return 0, noVersion(p.ARN(), id)
	}
	return i, nil
}

func noVersion(policy, id string) *fault.Error {
	return noSuchEntity("Policy %s version %s does not exist or is not attachable.", policy, id)
}

// ofVersion is err in an operation on a version of a policy, which does not tell the absence of the one from the other's.
func ofVersion(err error, policy, id string) error {
	none := noVersion(policy, id)
	if f, ok := fault.As(err); ok && f.Code == none.Code {
		return none
	}
	return err
}

func (s *Service) getPolicyVersion(ctx context.Context, c *operation.Call, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
	p, err := visible(ctx, s.config.Store, c, *in.PolicyArn)
	if err != nil {
		return nil, ofVersion(err, *in.PolicyArn, *in.VersionId)
	}
	i, err := p.version(*in.VersionId)
	if err != nil {
		return nil, err
	}
	return &iam.GetPolicyVersionOutput{PolicyVersion: p.Versions[i].render(p, true)}, nil
}

// listPolicyVersions tells versions, the newest first.
func (s *Service) listPolicyVersions(ctx context.Context, c *operation.Call, in *iam.ListPolicyVersionsInput) (*iam.ListPolicyVersionsOutput, error) {
	p, err := visible(ctx, s.config.Store, c, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(p.Versions)
	slices.Reverse(all)
	versions, err := paged(all, in.Marker, in.MaxItems, PolicyVersion.youth)
	return &iam.ListPolicyVersionsOutput{
		IsTruncated: versions.truncated, Marker: versions.marker,
		Versions: each(versions.items, func(v PolicyVersion) types.PolicyVersion { return *v.render(p, false) }),
	}, err
}

// youth orders versions, the newest first.
func (v PolicyVersion) youth() string {
	number, _ := strconv.Atoi(strings.TrimPrefix(v.ID, "v")) // ids are made here
	return fmt.Sprintf("%010d", math.MaxInt32-number)
}

func (s *Service) setDefaultPolicyVersion(ctx context.Context, c *operation.Call, in *iam.SetDefaultPolicyVersionInput) (*operation.Void, error) {
	err := s.updatePolicy(ctx, c, in.PolicyArn, func(p *ManagedPolicy) error {
		p.Default = *in.VersionId
		_, err := p.version(p.Default)
		return err
	})
	return nil, ofVersion(err, *in.PolicyArn, *in.VersionId)
}

func (s *Service) deletePolicyVersion(ctx context.Context, c *operation.Call, in *iam.DeletePolicyVersionInput) (*operation.Void, error) {
	err := s.updatePolicy(ctx, c, in.PolicyArn, func(p *ManagedPolicy) error {
		i, err := p.version(*in.VersionId)
		switch {
		case err != nil:
			return err
		case p.Default == *in.VersionId:
			return deleteConflict("Cannot delete the default version of a policy.")
		}
		p.Versions = slices.Delete(p.Versions, i, i+1)
		return nil
	})
	return nil, ofVersion(err, *in.PolicyArn, *in.VersionId)
}

// listEntitiesForPolicy tells the users that have the policy, then the groups, then the roles.
func (s *Service) listEntitiesForPolicy(ctx context.Context, c *operation.Call, in *iam.ListEntitiesForPolicyInput) (*iam.ListEntitiesForPolicyOutput, error) {
	p, err := visible(ctx, s.config.Store, c, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	var having []*Entity
	for _, kind := range kinds {
		if in.EntityFilter != "" && string(in.EntityFilter) != kind.word() {
			continue
		}
		all, err := s.config.Store.Entities(ctx, c.Scope.Account, kind)
		if err != nil {
			return nil, err
		}
		having = append(having, slices.DeleteFunc(under(all, in.PathPrefix), func(e *Entity) bool { return !e.has(p, in.PolicyUsageFilter) })...)
	}
	part, err := paged(having, in.Marker, in.MaxItems, func(e *Entity) string { return fmt.Sprint(slices.Index(kinds, e.Kind), e.order()) })
	out := &iam.ListEntitiesForPolicyOutput{
		IsTruncated: part.truncated, Marker: part.marker,
		PolicyUsers: []types.PolicyUser{}, PolicyGroups: []types.PolicyGroup{}, PolicyRoles: []types.PolicyRole{},
	}
	for _, e := range part.items {
		addEntity(out, e)
	}
	return out, err
}

// has reports whether a policy is attached to the entity or bounds it, or only the one that is asked for.
func (e *Entity) has(p *ManagedPolicy, usage types.PolicyUsageType) bool {
	attached, bounds := slices.Contains(e.Attached, p.ARN()), e.Boundary == p.ARN()
	switch usage {
	case types.PolicyUsageTypePermissionsPolicy:
		return attached
	case types.PolicyUsageTypePermissionsBoundary:
		return bounds
	default:
		return attached || bounds
	}
}

func addEntity(out *iam.ListEntitiesForPolicyOutput, e *Entity) {
	id, name := aws.String(e.ID), aws.String(e.Name)
	switch e.Kind {
	case User:
		out.PolicyUsers = append(out.PolicyUsers, types.PolicyUser{UserId: id, UserName: name})
	case Group:
		out.PolicyGroups = append(out.PolicyGroups, types.PolicyGroup{GroupId: id, GroupName: name})
	case Role:
		out.PolicyRoles = append(out.PolicyRoles, types.PolicyRole{RoleId: id, RoleName: name})
	}
}
