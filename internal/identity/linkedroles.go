package identity

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/uuid"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// Service-linked roles: nothing here assumes them, but clients make them before they use what AWS would.

func (s *Service) linkedRows() []operation.Row {
	return []operation.Row{
		onName(operation.Write("CreateServiceLinkedRole", s.createServiceLinkedRole, "AWSServiceName", "Description", "CustomSuffix"),
			"AWSServiceName", func(account, service string) string {
				return arn.IAM(account, "role"+linkedPath(service)+linkedRoles[service].name)
			}),
		s.on(Role, operation.Write("DeleteServiceLinkedRole", s.deleteServiceLinkedRole, "RoleName")),
		onName(operation.Read("GetServiceLinkedRoleDeletionStatus", s.getServiceLinkedRoleDeletionStatus, "DeletionTaskId"),
			"DeletionTaskId", func(account, task string) string { return arn.IAM(account, "role"+linkedRoleOf(task)) }),
	}
}

const linkedPrefix = "/aws-service-role/"

func linkedPath(service string) string { return linkedPrefix + service + "/" }

// linkedRoles are those of the services that are here (AWS documentation of each service, "Using service-linked roles").
var linkedRoles = map[string]struct{ name, description string }{
	"cks.kms.amazonaws.com": {
		"AWSServiceRoleForKeyManagementServiceCustomKeyStores", "Enables AWS KMS to access AWS CloudHSM and related services for custom key stores",
	},
	"mrk.kms.amazonaws.com": {
		"AWSServiceRoleForKeyManagementServiceMultiRegionKeys", "Enables access to AWS services and resources required by AWS KMS multi-Region keys",
	},
	"cloudhsm.amazonaws.com": {"AWSServiceRoleForCloudHSM", "Enables AWS CloudHSM to manage resources on your behalf"},
}

// checkOwn refuses to change a role that is a service's.
func checkOwn(role *Entity) error {
	if role.Kind == Role && strings.HasPrefix(role.Path, linkedPrefix) {
		return fault.New("UnmodifiableEntity", "Cannot perform the operation on the protected role '%s' - this role is only "+
			"modifiable by AWS", role.Name)
	}
	return nil
}

func (s *Service) createServiceLinkedRole(ctx context.Context, c *operation.Call, in *iam.CreateServiceLinkedRoleInput) (*iam.CreateServiceLinkedRoleOutput, error) {
	linked, known := linkedRoles[*in.AWSServiceName]
	switch {
	case !known:
		return nil, invalidInput("Service principal %s is not known.", *in.AWSServiceName)
	case in.CustomSuffix != nil:
		return nil, invalidInput("Custom suffix is not allowed for %s", *in.AWSServiceName)
	}
	if _, err := s.config.Store.Entity(ctx, c.Scope.Account, Role, linked.name); err == nil {
		return nil, invalidInput("Service role name %s has been taken in this account, please try a different suffix.", linked.name)
	}
	role := &Entity{
		Account: c.Scope.Account, Kind: Role, Name: linked.name, ID: newID(roleID), Path: linkedPath(*in.AWSServiceName),
		Created: s.config.Now(), Role: RoleFacts{
			Description: or(value(in.Description), linked.description), MaxSession: defaultRoleDuration,
			Trust: `{"Version":"2012-10-17","Statement":[{"Action":["sts:AssumeRole"],"Effect":"Allow","Principal":{"Service":["` +
				*in.AWSServiceName + `"]}}]}`,
		},
	}
	out, err := s.insertRole(ctx, c, role)
	if err != nil {
		return nil, err
	}
	return &iam.CreateServiceLinkedRoleOutput{Role: out.Role}, nil
}

const taskPrefix = "task"

// linkedRoleOf is the path and name of the role that a deletion task is about: the root of all roles where it is none.
func linkedRoleOf(task string) string {
	role, found := strings.CutPrefix(task, taskPrefix+linkedPrefix)
	end := strings.LastIndexByte(role, '/')
	if !found || end < 0 {
		return "/"
	}
	return linkedPrefix + role[:end]
}

// deleteServiceLinkedRole deletes at once: no service here holds on to its role. The task it answers is over by then (IAM API
// Reference, DeleteServiceLinkedRole).
func (s *Service) deleteServiceLinkedRole(ctx context.Context, c *operation.Call, in *iam.DeleteServiceLinkedRoleInput) (*iam.DeleteServiceLinkedRoleOutput, error) {
	task := &Deletion{Account: c.Scope.Account, Ended: s.config.Now()}
	err := s.change(ctx, c.Event, func(tx Tx) error {
		role, err := entity(ctx, tx, c.Scope.Account, Role, *in.RoleName)
		if err != nil {
			return err
		}
		if checkOwn(role) == nil {
			return noSuchEntity("The service-linked role with name %s cannot be found.", role.Name)
		}
		task.ID = taskPrefix + role.Path + role.Name + "/" + uuid.NewString()
		c.Event.Response = audit.Members{{Name: "deletionTaskId", Value: task.ID}}
		if err := tx.DeleteEntity(role); err != nil {
			return err
		}
		return tx.InsertDeletion(task)
	})
	if err != nil {
		return nil, err
	}
	return &iam.DeleteServiceLinkedRoleOutput{DeletionTaskId: aws.String(task.ID)}, nil
}

// getServiceLinkedRoleDeletionStatus knows deletions as long as sessions that are over.
func (s *Service) getServiceLinkedRoleDeletionStatus(ctx context.Context, c *operation.Call, in *iam.GetServiceLinkedRoleDeletionStatusInput) (*iam.GetServiceLinkedRoleDeletionStatusOutput, error) {
	_, err := s.config.Store.Deletion(ctx, c.Scope.Account, *in.DeletionTaskId)
	if isMissing(err) {
		return nil, noSuchEntity("The deletion task with id %s cannot be found.", *in.DeletionTaskId)
	}
	if err != nil {
		return nil, err
	}
	return &iam.GetServiceLinkedRoleDeletionStatusOutput{Status: types.DeletionTaskStatusTypeSucceeded}, nil
}
