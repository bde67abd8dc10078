package identity

import (
	"context"
	"fmt"
	"strings"
	"time"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/policy"
)

// ARN names the entity.
func (e *Entity) ARN() string { return arn.IAM(e.Account, string(e.Kind)+e.Path+e.Name) }

// userPrincipal is a user, or an account's root user, whose id is the account's.
func (s *Service) userPrincipal(ctx context.Context, account, id string) (*policy.Principal, error) {
	if id == account {
		return rootPrincipal(account), nil
	}
	user, err := s.config.Store.EntityByID(ctx, id)
	if err != nil {
		return nil, err
	}
	p := &policy.Principal{
		Caller: policy.Caller{
			Type: policy.TypeUser, PrincipalID: user.ID, ARN: user.ARN(), Account: user.Account, UserName: user.Name,
		},
		Context: tagContext(user.Tags),
	}
	return p, s.addPolicies(ctx, p, user)
}

// rootPrincipal needs no policies: nothing of its own account's is denied to it.
func rootPrincipal(account string) *policy.Principal {
	return &policy.Principal{
		Caller:  policy.Caller{Type: policy.TypeRoot, PrincipalID: account, ARN: arn.Root(account), Account: account},
		Context: map[string][]string{},
	}
}

// addPolicies gives p what is attached to a user or role, and to the user's groups.
func (s *Service) addPolicies(ctx context.Context, p *policy.Principal, e *Entity) error {
	if err := s.addIdentity(ctx, p, e); err != nil {
		return err
	}
	for _, name := range e.Groups {
		group, err := s.config.Store.Entity(ctx, e.Account, Group, name)
		if err != nil {
			return inside("group "+name, err)
		}
		if err := s.addIdentity(ctx, p, group); err != nil {
			return err
		}
	}
	if e.Boundary == "" {
		return nil
	}
	document, err := s.managedDocument(ctx, e.Boundary)
	if err != nil {
		return err
	}
	p.Boundary, err = compile(policy.Boundary, e.Boundary, document)
	return err
}

func (s *Service) addIdentity(ctx context.Context, p *policy.Principal, e *Entity) error {
	for _, name := range e.Attached {
		document, err := s.managedDocument(ctx, name)
		if err != nil {
			return err
		}
		compiled, err := compile(policy.Identity, name, document)
		if err != nil {
			return err
		}
		p.Identity = append(p.Identity, compiled)
	}
	for _, inline := range e.Inline {
		compiled, err := compile(policy.Identity, inline.Name, inline.Document)
		if err != nil {
			return err
		}
		p.Identity = append(p.Identity, compiled)
	}
	return nil
}

// compile prepares a document that was checked before it was kept.
func compile(kind policy.Kind, name, document string) (*policy.Policy, error) {
	p, err := policy.Compile(kind, name, []byte(document), nil)
	if err != nil {
		return nil, fmt.Errorf("identity: preparing policy %s: %w", name, err)
	}
	return p, nil
}

// inside marks the absence of something that a record refers to: the store is wrong, not the one who asks.
func inside(what string, err error) error {
	return fmt.Errorf("identity: reading %s: %s", what, err)
}

// managedDocument is the text in effect of a managed policy, AWS's own or an account's.
func (s *Service) managedDocument(ctx context.Context, name string) (string, error) {
	p, err := managedPolicy(ctx, s.config.Store, name)
	if err != nil {
		return "", inside("policy "+name, err)
	}
	return p.document(), nil
}

// managedPolicy finds a managed policy by its ARN; fault.ErrNotFound if there is none.
func managedPolicy(ctx context.Context, r Reader, name string) (*ManagedPolicy, error) {
	if p := awsPolicies[name]; p != nil {
		return p, nil
	}
	a, err := arn.Parse(name)
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "policy/") {
		return nil, fault.ErrNotFound
	}
	p, err := r.Policy(ctx, a.Account, a.Resource[strings.LastIndexByte(a.Resource, '/')+1:])
	if err == nil && p.ARN() != name {
		return nil, fault.ErrNotFound
	}
	return p, err
}

// ARN names the policy.
func (p *ManagedPolicy) ARN() string {
	account := p.Account
	if account == "" {
		account = "aws"
	}
	return arn.IAM(account, "policy"+p.Path+p.Name)
}

// document is the text in effect.
func (p *ManagedPolicy) document() string {
	for _, v := range p.Versions {
		if v.ID == p.Default {
			return v.Document
		}
	}
	return ""
}

// sessionPrincipal is whom temporary credentials speak for: a role, or a user, as they are now.
func (s *Service) sessionPrincipal(ctx context.Context, t *Session) (p *policy.Principal, err error) {
	if t.Kind == RoleSession {
		p, err = s.rolePrincipal(ctx, t)
	} else {
		p, err = s.userPrincipal(ctx, t.Account, t.PrincipalID)
	}
	if err != nil {
		return nil, err
	}
	if t.Kind == FederatedSession {
		federate(p, t)
	}
	if p.Temporary == nil {
		p.Temporary = &policy.Credentials{Created: t.Created}
	}
	p.AccessKeyID = t.AccessKeyID
	p.Context["aws:tokenissuetime"] = []string{t.Created.UTC().Format(time.RFC3339)}
	p.Context["aws:multifactorauthpresent"] = []string{"false"}
	addSession(p, t)
	return p, s.narrow(ctx, p, t)
}

// rolePrincipal is a session of a role.
func (s *Service) rolePrincipal(ctx context.Context, t *Session) (*policy.Principal, error) {
	role, err := s.config.Store.EntityByID(ctx, t.PrincipalID)
	if err != nil {
		return nil, err
	}
	p := &policy.Principal{
		Caller: policy.Caller{
			Type: policy.TypeAssumedRole, PrincipalID: role.ID + ":" + t.Name,
			ARN: arn.STS(role.Account, "assumed-role/"+role.Name+"/"+t.Name), Account: role.Account,
			Temporary: &policy.Credentials{Created: t.Created, Provider: t.Provider, SourceIdentity: t.SourceIdentity, Issuer: &policy.Issuer{
				Type: "Role", PrincipalID: role.ID, ARN: role.ARN(), Account: role.Account, UserName: role.Name,
			}},
		},
		RoleARN: role.ARN(), RoleID: role.ID, Context: tagContext(role.Tags),
	}
	return p, s.addPolicies(ctx, p, role)
}

// federate turns a user into somebody for whom it asked for credentials.
func federate(p *policy.Principal, t *Session) {
	user := p.Caller
	p.RoleARN, p.RoleID = user.ARN, user.PrincipalID
	p.Caller = policy.Caller{
		Type: policy.TypeFederatedUser, PrincipalID: user.Account + ":" + t.Name,
		ARN: arn.STS(user.Account, "federated-user/"+t.Name), Account: user.Account,
		Temporary: &policy.Credentials{Created: t.Created, Issuer: &policy.Issuer{
			Type: user.Type, PrincipalID: user.PrincipalID, ARN: user.ARN, Account: user.Account, UserName: user.UserName,
		}},
	}
}

// addSession adds the condition keys of a session. Its tags come before those of the role or user.
func addSession(p *policy.Principal, t *Session) {
	for key, values := range tagContext(t.Tags) {
		p.Context[key] = values
	}
	for key, values := range t.Claims {
		p.Context[strings.ToLower(key)] = values
	}
	if t.Provider != "" {
		p.Context["aws:federatedprovider"] = []string{t.Provider}
	}
	if t.SourceIdentity != "" {
		p.Context["aws:sourceidentity"] = []string{t.SourceIdentity}
	}
}

// narrow gives p the session's policies.
func (s *Service) narrow(ctx context.Context, p *policy.Principal, t *Session) error {
	if !t.Scoped {
		return nil
	}
	p.Session = make([]*policy.Policy, 0, len(t.Managed)+len(t.Inline))
	for _, name := range t.Managed {
		m, err := managedPolicy(ctx, s.config.Store, name)
		if err != nil {
			return err // gone since: the session ends with it
		}
		compiled, err := compile(policy.Session, name, m.document())
		if err != nil {
			return err
		}
		p.Session = append(p.Session, compiled)
	}
	for _, document := range t.Inline {
		compiled, err := compile(policy.Session, "session", document)
		if err != nil {
			return err
		}
		p.Session = append(p.Session, compiled)
	}
	return nil
}

// tagContext are the condition keys of a principal's tags.
func tagContext(tags []Tag) map[string][]string {
	keys := make(map[string][]string, len(tags)+4)
	for _, t := range tags {
		keys["aws:principaltag/"+strings.ToLower(t.Key)] = []string{t.Value}
	}
	return keys
}
