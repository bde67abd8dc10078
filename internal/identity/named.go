package identity

import (
	"context"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/policy"
)

// explained is the name of the session in which a role is asked about.
const explained = "explain"

// PrincipalNamed is a user, a root user or a session of a role as it would call now, with no session policies and
// without the credentials that it would call with. The ARN of a role stands for a session of it. fault.ErrNotFound if
// there is no such principal.
func (s *Service) PrincipalNamed(ctx context.Context, name string) (*policy.Principal, error) {
	id, err := idOf(ctx, s.config.Store, name)
	if err != nil {
		return nil, err
	}
	a, err := arn.Parse(name)
	if err != nil {
		return nil, err
	}
	id, session, isSession := strings.Cut(id, ":")
	switch {
	case strings.HasPrefix(a.Resource, "role/"):
		session = explained
	case a.Service == "iam":
		return s.userPrincipal(ctx, a.Account, id)
	case !isSession || strings.HasPrefix(a.Resource, "federated-user/"):
		return nil, fault.ErrNotFound // what a federated user may do is up to the session that it was given
	}
	return s.rolePrincipal(ctx, &Session{Account: a.Account, PrincipalID: id, SessionFacts: SessionFacts{Kind: RoleSession, Name: session}})
}
