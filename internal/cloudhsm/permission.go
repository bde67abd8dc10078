package cloudhsm

import (
	"context"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// on makes the row ask for permission on the cluster or backup that a member of the input names, with the tags that it
// has and those that the request gives (Service Authorization Reference, "AWS CloudHSM"). An id may be an ARN already. An
// input that names none is about all.
func on[In any](s *Service, row operation.Row, member func(*In) *string) operation.Row {
	return row.On(func(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		keys, id := requestKeys(in), aws.ToString(member(in.(*In)))
		all := tagging(c.Scope, in)
		if id == "" {
			return append([]operation.Resource{{ARN: "*", Keys: keys}}, all...), nil
		}
		name := nameOf(c.Scope, id)
		if err := s.addTags(ctx, keys, c.Scope, name); err != nil {
			return nil, err
		}
		return append([]operation.Resource{{ARN: name, Keys: keys}}, all...), nil
	})
}

// tagging is that what an input has made may be given tags.
func tagging(scope arn.Scope, in any) []operation.Resource {
	r := operation.Resource{Action: "cloudhsm:TagResource", Keys: requestKeys(in)}
	switch given := in.(type) {
	case *api.CreateClusterInput:
		r.ARN = scope.Cluster("*")
	case *api.CopyBackupToRegionInput:
		r.ARN = arn.Scope{Account: scope.Account, Region: aws.ToString(given.DestinationRegion)}.Backup("*")
	}
	if r.ARN == "" || len(r.Keys) == 0 {
		return nil
	}
	return []operation.Resource{r}
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

// addTags adds the tags of a cluster or backup; one that is not there or another account's has none.
func (s *Service) addTags(ctx context.Context, keys operation.Keys, scope arn.Scope, name string) error {
	id, ours := strings.CutPrefix(name, scope.Cluster(""))
	if !ours {
		id, ours = strings.CutPrefix(name, scope.Backup(""))
	}
	if !ours {
		return nil
	}
	r, err := s.resource(ctx, scope, id)
	if _, absent := fault.As(err); absent {
		return nil
	}
	if err != nil {
		return err
	}
	for _, t := range *r.tags {
		keys.ResourceTag(aws.ToString(t.Key), aws.ToString(t.Value))
	}
	return nil
}

// requestKeys are the condition keys that a request has by its tags.
func requestKeys(in any) operation.Keys {
	keys := operation.Keys{}
	v := reflect.ValueOf(in).Elem()
	if f := v.FieldByName("TagList"); f.IsValid() {
		for _, t := range f.Interface().([]types.Tag) {
			keys.RequestTag(aws.ToString(t.Key), aws.ToString(t.Value))
		}
	}
	if f := v.FieldByName("TagKeyList"); f.IsValid() {
		keys["aws:tagkeys"] = f.Interface().([]string)
	}
	return keys
}
