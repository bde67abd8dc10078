package kms

import (
	"context"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/policy"
)

// Directory knows the principals of the installation, those of all accounts. A nil Directory knows nothing: then every
// principal of the right form is taken to exist, and is known by its name.
type Directory interface {
	// UniqueID is what callers of this user, session or federated user have as Caller.PrincipalID; for a role, its sessions
	// have it as Principal.RoleID; for an account it is the account. ok is false if there is no such principal.
	UniqueID(ctx context.Context, arn string) (id string, ok bool, err error)
	// Name reverses UniqueID; ok is false once the principal is gone.
	Name(ctx context.Context, id string) (arn string, ok bool, err error)
}

// kind of a principal's ARN.
type kind int

const (
	noPrincipal kind = iota
	accountPrincipal
	entityPrincipal  // a user or role
	sessionPrincipal // an assumed role's session or a federated user
)

// principalKind looks at the form only (IAM guide, "AWS JSON policy elements: Principal").
func principalKind(name string) kind {
	a, err := arn.Parse(name)
	if err != nil || a.Partition != arn.Partition || a.Region != "" || !isAccount(a.Account) || strings.ContainsAny(name, "*?") {
		return noPrincipal
	}
	class, rest, _ := strings.Cut(a.Resource, "/")
	switch {
	case a.Service == "iam" && a.Resource == "root":
		return accountPrincipal
	case a.Service == "iam" && (class == "user" || class == "role") && rest != "":
		return entityPrincipal
	case a.Service == "sts" && class == "federated-user" && rest != "":
		return sessionPrincipal
	case a.Service == "sts" && class == "assumed-role" && strings.Count(rest, "/") == 1 && !strings.HasPrefix(rest, "/") && !strings.HasSuffix(rest, "/"):
		return sessionPrincipal
	default:
		return noPrincipal
	}
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// party finds a principal that a grant is to name: an account, a user, a role, a session or a federated user.
func (s *Service) party(ctx context.Context, name string) (Party, error) {
	p := Party{ARN: name}
	switch principalKind(name) {
	case noPrincipal:
		return p, invalidPrincipal(name)
	case accountPrincipal:
		p.ID = strings.Split(name, ":")[4]
	}
	if s.directory == nil {
		return p, nil
	}
	var there bool
	var err error
	p.ID, there, err = s.directory.UniqueID(ctx, name)
	switch {
	case err != nil:
		return p, unexpected("looking for a principal", err)
	case !there:
		return p, invalidPrincipal(name)
	default:
		return p, nil
	}
}

func invalidPrincipal(name string) error {
	return fault.New("InvalidArnException", "ARN does not refer to a valid principal: %s", name)
}

// shown is how a listing names a principal: one that is gone is shown by its unique id.
func (s *Service) shown(ctx context.Context, p Party) (string, error) {
	if p.ID == "" || s.directory == nil || principalKind(p.ARN) == accountPrincipal {
		return p.ARN, nil
	}
	name, there, err := s.directory.Name(ctx, p.ID)
	switch {
	case err != nil:
		return "", unexpected("looking for a principal", err)
	case !there:
		return p.ID, nil
	default:
		return name, nil
	}
}

// handles are the names by which grants may know a caller, see Party.Handle. Unused places are empty.
func (s *Service) handles(p *policy.Principal) [5]string {
	h := [5]string{p.Account, p.PrincipalID, p.RoleID}
	if p.Type == policy.TypeRoot {
		h[1] = "" // its account's again
	}
	if s.directory == nil {
		h[3], h[4] = p.ARN, p.RoleARN
	}
	return h
}
