package cloudhsm

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyward/internal/arn"
	"keyward/internal/operation"
)

// on makes the row ask for permission on the cluster or backup that a member of the input names (Service Authorization
// Reference, "AWS CloudHSM"). An id may be an ARN already.
func on[In any](row operation.Row, member func(*In) *string) operation.Row {
	return row.On(func(_ context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		id := aws.ToString(member(in.(*In)))
		switch {
		case arn.Is(id):
		case strings.HasPrefix(id, "backup-"):
			id = c.Scope.Backup(id)
		default:
			id = c.Scope.Cluster(id)
		}
		return []operation.Resource{{ARN: id}}, nil
	})
}
