package kms

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

func tagFault(format string, args ...any) error { return fault.New("TagException", format, args...) }

// checkTags refuses keys that AWS reserves, keys given twice, and more tags in one request than a key may have. The
// sentences are the live service's, as recorded by LocalStack's tests.
func checkTags(tags []types.Tag, limit int) error {
	if len(tags) > limit {
		return tagFault("Too many tags")
	}
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		key := aws.ToString(t.TagKey)
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return tagFault("Tags beginning with aws: are reserved")
		}
		if seen[key] {
			return tagFault("Duplicate tag keys")
		}
		seen[key] = true
	}
	return nil
}

func checkTagCount(n, limit int) error {
	if n > limit {
		return limitExceeded("A KMS key can have at most %d tags.", limit)
	}
	return nil
}

func compareTags(a, b types.Tag) int {
	return cmp.Compare(aws.ToString(a.TagKey), aws.ToString(b.TagKey))
}

// sortTags returns a copy in the order of keys, in which tags are kept and listed.
func sortTags(tags []types.Tag) []types.Tag {
	sorted := slices.Clone(tags)
	slices.SortFunc(sorted, compareTags)
	for i := range sorted {
		sorted[i].TagValue = aws.String(aws.ToString(sorted[i].TagValue))
	}
	return sorted
}

// mergeTags overwrites and adds.
func mergeTags(old, changes []types.Tag) []types.Tag {
	merged := slices.DeleteFunc(slices.Clone(old), func(t types.Tag) bool {
		return slices.ContainsFunc(changes, func(c types.Tag) bool { return compareTags(t, c) == 0 })
	})
	return sortTags(append(merged, changes...))
}

// tagMembers is a list of tags as events hold it.
func tagMembers(tags []types.Tag) []audit.Members {
	if tags == nil {
		return nil
	}
	all := make([]audit.Members, len(tags))
	for i, t := range tags {
		all[i] = audit.Members{{Name: "tagKey", Value: aws.ToString(t.TagKey)}, {Name: "tagValue", Value: aws.ToString(t.TagValue)}}
	}
	return all
}

// tagConditions are the condition keys of tags in a request. Those of tags whose keys differ by case are one.
func tagConditions(tags []types.Tag) (all []condition) {
	if len(tags) == 0 {
		return nil
	}
	keys := operation.Keys{}
	for _, t := range tags {
		keys.RequestTag(*t.TagKey, aws.ToString(t.TagValue))
	}
	for key, values := range keys {
		all = append(all, condition{key, values})
	}
	return all
}

func (s *Service) tagResource(ctx context.Context, call *operation.Call, in *kms.TagResourceInput) (*operation.Void, error) {
	call.Event.Request.Add("tags", tagMembers(in.Tags))
	if err := checkTags(in.Tags, s.limits.TagsPerKey); err != nil {
		return nil, err
	}
	_, err := s.mutate(ctx, call, about("TagResource", tagConditions(in.Tags)...), *in.KeyId, func(k *Key, _ *audit.Members) error {
		k.Tags = mergeTags(k.Tags, in.Tags)
		return checkTagCount(len(k.Tags), s.limits.TagsPerKey)
	})
	return nil, err
}

// untagResource passes over keys that are not there.
func (s *Service) untagResource(ctx context.Context, call *operation.Call, in *kms.UntagResourceInput) (*operation.Void, error) {
	_, err := s.mutate(ctx, call, about("UntagResource", condition{"aws:tagkeys", in.TagKeys}), *in.KeyId, func(k *Key, _ *audit.Members) error {
		k.Tags = slices.DeleteFunc(slices.Clone(k.Tags), func(t types.Tag) bool {
			return slices.Contains(in.TagKeys, aws.ToString(t.TagKey))
		})
		return nil
	})
	return nil, err
}

func (s *Service) listResourceTags(ctx context.Context, call *operation.Call, in *kms.ListResourceTagsInput) (*kms.ListResourceTagsOutput, error) {
	size, err := pageSize(in.Limit, 50, 50)
	if err != nil {
		return nil, err
	}
	k, err := s.key(ctx, call, about("ListResourceTags"), *in.KeyId)
	if err != nil {
		return nil, err
	}
	l := newListing("ListResourceTags", k.Scope, k.ID)
	after, err := l.after(in.Marker)
	if err != nil {
		return nil, err
	}
	from := 0
	if in.Marker != nil {
		from, _ = slices.BinarySearchFunc(k.Tags, types.Tag{TagKey: aws.String(after + "\x00")}, compareTags)
	}
	tags, truncated := page(k.Tags[from:], size)
	out := &kms.ListResourceTagsOutput{Tags: append([]types.Tag{}, tags...), Truncated: truncated}
	if truncated {
		out.NextMarker = l.marker(*tags[size-1].TagKey)
	}
	return out, nil
}
