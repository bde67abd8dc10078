package identity

import (
	"context"

	"keyward/internal/operation"
)

// STS is the security token service, as far as there is one: callers may ask who they are.
func (s *Service) STS() operation.Service {
	return operation.Service{
		SigningName: "sts",
		EventSource: "sts.amazonaws.com",
		Rows:        []operation.Row{operation.Read("GetCallerIdentity", getCallerIdentity).Asking()},
	}
}

// GetCallerIdentityInput has no members.
type GetCallerIdentityInput struct{}

// GetCallerIdentityOutput names the caller, in the order in which STS writes it.
type GetCallerIdentityOutput struct {
	Arn     string
	UserId  string //nolint:revive // the name on the wire
	Account string
}

// getCallerIdentity needs no permission: AWS answers it even under an explicit deny.
func getCallerIdentity(_ context.Context, c *operation.Call, _ *GetCallerIdentityInput) (*GetCallerIdentityOutput, error) {
	return &GetCallerIdentityOutput{Arn: c.Caller.ARN, UserId: c.Caller.PrincipalID, Account: c.Caller.Account}, nil
}
