package cloudhsm

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// maxTags of one resource.
const maxTags = 50

// mergeTags puts added over existing; equal keys are overwritten. The outcome is in the order of keys.
func mergeTags(existing, added []types.Tag) ([]types.Tag, error) {
	merged := slices.Clone(existing)
	for i, t := range added {
		same := func(o types.Tag) bool { return aws.ToString(o.Key) == aws.ToString(t.Key) }
		if slices.ContainsFunc(added[:i], same) {
			return nil, invalid("Tag key %s is given more than once.", aws.ToString(t.Key))
		}
		if at := slices.IndexFunc(merged, same); at >= 0 {
			merged[at] = t
		} else {
			merged = append(merged, t)
		}
	}
	slices.SortFunc(merged, func(a, b types.Tag) int { return cmp.Compare(aws.ToString(a.Key), aws.ToString(b.Key)) })
	return merged, nil
}

// tagged is a resource that has tags: a cluster or a backup.
type tagged struct {
	kind, name string // CloudTrail's type, and the ARN
	tags       *[]types.Tag
	update     func(Tx) error
}

// resource finds the cluster or backup named by a ResourceId.
func resource(clusters func(arn.Scope, string) (*Cluster, error), backups func(arn.Scope, string) (*Backup, error), scope arn.Scope, id string) (*tagged, error) {
	if strings.HasPrefix(id, "backup-") {
		b, err := existing(backups, scope, id)
		if err != nil {
			return nil, err
		}
		return &tagged{backupResource, b.ARN(), &b.Tags, func(tx Tx) error { return tx.UpdateBackup(b) }}, nil
	}
	c, err := current(clusters, scope, id)
	if err != nil {
		return nil, err
	}
	return &tagged{clusterResource, c.ARN(), &c.Tags, func(tx Tx) error { return tx.Update(c) }}, nil
}

// resource finds a cluster or backup outside of a change.
func (s *Service) resource(ctx context.Context, scope arn.Scope, id string) (*tagged, error) {
	clusters := func(scope arn.Scope, id string) (*Cluster, error) { return s.store.Cluster(ctx, scope, id) }
	backups := func(scope arn.Scope, id string) (*Backup, error) { return s.store.Backup(ctx, scope, id) }
	return resource(clusters, backups, scope, id)
}

// retag changes a resource's tags with fn.
func (s *Service) retag(ctx context.Context, call *operation.Call, id string, fn func([]types.Tag) ([]types.Tag, error)) error {
	return s.store.Change(ctx, call.Event, func(tx Tx) error {
		r, err := resource(tx.Cluster, tx.Backup, call.Scope, id)
		if err != nil {
			return err
		}
		call.About(r.kind, r.name)
		if *r.tags, err = fn(*r.tags); err != nil {
			return err
		}
		return r.update(tx)
	})
}

func (s *Service) tagResource(ctx context.Context, call *operation.Call, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	err := s.retag(ctx, call, aws.ToString(in.ResourceId), func(tags []types.Tag) ([]types.Tag, error) {
		merged, err := mergeTags(tags, in.TagList)
		if err == nil && len(merged) > maxTags {
			err = fault.New(codeLimit, "A resource can have at most %d tags.", maxTags)
		}
		return merged, err
	})
	if err != nil {
		return nil, err
	}
	return &api.TagResourceOutput{}, nil
}

func (s *Service) untagResource(ctx context.Context, call *operation.Call, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	err := s.retag(ctx, call, aws.ToString(in.ResourceId), func(tags []types.Tag) ([]types.Tag, error) {
		return slices.DeleteFunc(tags, func(t types.Tag) bool {
			return slices.Contains(in.TagKeyList, aws.ToString(t.Key))
		}), nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UntagResourceOutput{}, nil
}

func (s *Service) listTags(ctx context.Context, call *operation.Call, in *api.ListTagsInput) (*api.ListTagsOutput, error) {
	id := aws.ToString(in.ResourceId)
	r, err := s.resource(ctx, call.Scope, id)
	if err != nil {
		return nil, err
	}
	call.About(r.kind, r.name)
	page, token, err := paginate(s.authority, pageOf{
		operation: "ListTags", scope: call.Scope, about: id, size: 100,
		max: in.MaxResults, token: aws.ToString(in.NextToken),
	}, *r.tags, func(t types.Tag) string { return aws.ToString(t.Key) })
	if err != nil {
		return nil, err
	}
	return &api.ListTagsOutput{TagList: append([]types.Tag{}, page...), NextToken: token}, nil
}
