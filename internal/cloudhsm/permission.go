package cloudhsm

import (
	"context"
	"errors"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// on makes the row ask for permission on the cluster or backup that a member of the input names, with the tags that it
// has and those that the request gives (Service Authorization Reference, "AWS CloudHSM"). An id may be an ARN already.
func on[In any](s *Service, row operation.Row, member func(*In) *string) operation.Row {
	return row.On(func(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		name := nameOf(c.Scope, aws.ToString(member(in.(*In))))
		tags, err := s.tagsOf(ctx, c.Scope, name)
		if err != nil {
			return nil, err
		}
		keys := requestKeys(in)
		for _, t := range tags {
			keys["aws:resourcetag/"+strings.ToLower(aws.ToString(t.Key))] = []string{aws.ToString(t.Value)}
		}
		return []operation.Resource{{ARN: name, Keys: keys}}, nil
	})
}

// onAny makes the row of what names no cluster ask for permission with the tags that the request gives.
func onAny(row operation.Row) operation.Row {
	return row.On(func(_ context.Context, _ *operation.Call, in any) ([]operation.Resource, error) {
		return []operation.Resource{{ARN: "*", Keys: requestKeys(in)}}, nil
	})
}

// nameOf is the ARN of a cluster or backup.
func nameOf(scope arn.Scope, id string) string {
	switch {
	case arn.Is(id):
		return id
	case strings.HasPrefix(id, "backup-"):
		return scope.Backup(id)
	default:
		return scope.Cluster(id)
	}
}

// tagsOf are the tags of a cluster or backup, none for one that is not there or another account's.
func (s *Service) tagsOf(ctx context.Context, scope arn.Scope, name string) (tags []types.Tag, err error) {
	if id, ours := strings.CutPrefix(name, scope.Cluster("")); ours {
		var c *Cluster
		if c, err = s.store.Cluster(ctx, scope, id); err == nil {
			tags = c.Tags
		}
	} else if id, ours := strings.CutPrefix(name, scope.Backup("")); ours {
		var b *Backup
		if b, err = s.store.Backup(ctx, scope, id); err == nil {
			tags = b.Tags
		}
	}
	if errors.Is(err, fault.ErrNotFound) {
		return nil, nil
	}
	return tags, err
}

// requestKeys are the condition keys that a request has by its tags.
func requestKeys(in any) operation.Keys {
	keys := operation.Keys{}
	v := reflect.ValueOf(in).Elem()
	if f := v.FieldByName("TagList"); f.IsValid() {
		for _, t := range f.Interface().([]types.Tag) {
			keys["aws:requesttag/"+strings.ToLower(aws.ToString(t.Key))] = []string{aws.ToString(t.Value)}
			keys["aws:tagkeys"] = append(keys["aws:tagkeys"], aws.ToString(t.Key))
		}
	}
	if f := v.FieldByName("TagKeyList"); f.IsValid() {
		keys["aws:tagkeys"] = f.Interface().([]string)
	}
	return keys
}
