package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/operation"
)

func (s *Service) tagRows() []operation.Row {
	return []operation.Row{
		s.on(User, operation.Write("TagUser", s.tagUser, "UserName", "Tags")),
		s.on(User, operation.Write("UntagUser", s.untagUser, "UserName", "TagKeys")),
		s.on(User, operation.Read("ListUserTags", s.listUserTags, "UserName", "Marker", "MaxItems")),
		s.on(Role, operation.Write("TagRole", s.tagRole, "RoleName", "Tags")),
		s.on(Role, operation.Write("UntagRole", s.untagRole, "RoleName", "TagKeys")),
		s.on(Role, operation.Read("ListRoleTags", s.listRoleTags, "RoleName", "Marker", "MaxItems")),
		s.onPolicy(operation.Write("TagPolicy", s.tagPolicy, "PolicyArn", "Tags")),
		s.onPolicy(operation.Write("UntagPolicy", s.untagPolicy, "PolicyArn", "TagKeys")),
		s.onPolicy(operation.Read("ListPolicyTags", s.listPolicyTags, "PolicyArn", "Marker", "MaxItems")),
	}
}

// merge puts new tags in the place of those with the same key, or at the end.
func merge(tags []Tag, in []types.Tag, keys casing) ([]Tag, error) {
	added, err := tagsOf(in, keys)
	if err != nil {
		return nil, err
	}
	for _, t := range added {
		tags = append(without(tags, []string{t.Key}, keys), t)
	}
	if len(tags) > maxTags {
		return nil, limitExceeded("The number of tags has reached the maximum limit.")
	}
	return tags, nil
}

func without(tags []Tag, gone []string, keys casing) []Tag {
	return slices.DeleteFunc(tags, func(t Tag) bool {
		return slices.ContainsFunc(gone, func(key string) bool { return keys.same(key, t.Key) })
	})
}

func (s *Service) tag(ctx context.Context, c *operation.Call, kind Kind, name *string, tags []types.Tag) (*operation.Void, error) {
	return nil, s.update(ctx, c, kind, name, func(_ Tx, e *Entity) (err error) {
		e.Tags, err = merge(e.Tags, tags, anyCase)
		return err
	})
}

func (s *Service) untag(ctx context.Context, c *operation.Call, kind Kind, name *string, keys []string) (*operation.Void, error) {
	return nil, s.update(ctx, c, kind, name, func(_ Tx, e *Entity) error {
		e.Tags = without(e.Tags, keys, anyCase)
		return nil
	})
}

// tagPage is one page of tags, in the order of their keys.
func tagPage(tags []Tag, marker *string, most *int32) (page[types.Tag], error) {
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.order(), b.order()) })
	p, err := paged(tags, marker, most, Tag.order)
	return page[types.Tag]{each(p.items, renderTag), p.truncated, p.marker}, err
}

// order is that of tags in lists: keys that differ by case stand together.
func (t Tag) order() string { return strings.ToLower(t.Key) + "\x00" + t.Key }

func (s *Service) entityTags(ctx context.Context, c *operation.Call, kind Kind, name, marker *string, most *int32) (page[types.Tag], error) {
	e, err := entity(ctx, s.config.Store, c.Scope.Account, kind, *name)
	if err != nil {
		return page[types.Tag]{}, err
	}
	return tagPage(e.Tags, marker, most)
}

func (s *Service) tagUser(ctx context.Context, c *operation.Call, in *iam.TagUserInput) (*operation.Void, error) {
	return s.tag(ctx, c, User, in.UserName, in.Tags)
}

func (s *Service) untagUser(ctx context.Context, c *operation.Call, in *iam.UntagUserInput) (*operation.Void, error) {
	return s.untag(ctx, c, User, in.UserName, in.TagKeys)
}

func (s *Service) listUserTags(ctx context.Context, c *operation.Call, in *iam.ListUserTagsInput) (*iam.ListUserTagsOutput, error) {
	p, err := s.entityTags(ctx, c, User, in.UserName, in.Marker, in.MaxItems)
	return &iam.ListUserTagsOutput{Tags: p.items, IsTruncated: p.truncated, Marker: p.marker}, err
}

func (s *Service) tagRole(ctx context.Context, c *operation.Call, in *iam.TagRoleInput) (*operation.Void, error) {
	return s.tag(ctx, c, Role, in.RoleName, in.Tags)
}

func (s *Service) untagRole(ctx context.Context, c *operation.Call, in *iam.UntagRoleInput) (*operation.Void, error) {
	return s.untag(ctx, c, Role, in.RoleName, in.TagKeys)
}

func (s *Service) listRoleTags(ctx context.Context, c *operation.Call, in *iam.ListRoleTagsInput) (*iam.ListRoleTagsOutput, error) {
	p, err := s.entityTags(ctx, c, Role, in.RoleName, in.Marker, in.MaxItems)
	return &iam.ListRoleTagsOutput{Tags: p.items, IsTruncated: p.truncated, Marker: p.marker}, err
}

func (s *Service) tagPolicy(ctx context.Context, c *operation.Call, in *iam.TagPolicyInput) (*operation.Void, error) {
	return nil, s.updatePolicy(ctx, c, in.PolicyArn, func(p *ManagedPolicy) (err error) {
		p.Tags, err = merge(p.Tags, in.Tags, exactCase)
		return err
	})
}

func (s *Service) untagPolicy(ctx context.Context, c *operation.Call, in *iam.UntagPolicyInput) (*operation.Void, error) {
	return nil, s.updatePolicy(ctx, c, in.PolicyArn, func(p *ManagedPolicy) error {
		p.Tags = without(p.Tags, in.TagKeys, exactCase)
		return nil
	})
}

func (s *Service) listPolicyTags(ctx context.Context, c *operation.Call, in *iam.ListPolicyTagsInput) (*iam.ListPolicyTagsOutput, error) {
	p, err := visible(ctx, s.config.Store, c, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	tags, err := tagPage(p.Tags, in.Marker, in.MaxItems)
	return &iam.ListPolicyTagsOutput{Tags: tags.items, IsTruncated: tags.truncated, Marker: tags.marker}, err
}
