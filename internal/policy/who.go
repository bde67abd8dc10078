package policy

import "strings"

// who is one principal that a statement names.
type who struct {
	kind whoKind
	name string
}

type whoKind int

const (
	whoAnyone    whoKind = iota
	whoAccount           // name is its 12 digits
	whoARN               // of a user, role or session
	whoID                // unique id of a user or role
	whoService           // for example "cloudhsm.amazonaws.com"
	whoFederated         // an identity provider
)

func (p *Principals) compile(ids map[string]string) (all []who) {
	if p.Anyone {
		all = append(all, who{kind: whoAnyone})
	}
	for _, name := range p.AWS {
		all = append(all, newWho(name, ids))
	}
	for _, name := range p.Service {
		all = append(all, who{whoService, name})
	}
	for _, name := range p.Federated {
		all = append(all, who{whoFederated, name})
	}
	return all
}

// newWho reads the name of an AWS principal as it stands in a policy or a grant.
func newWho(name string, ids map[string]string) who {
	switch id := ids[name]; {
	case name == "*":
		return who{kind: whoAnyone}
	case id != "":
		return who{whoID, id}
	case accountID(name):
		return who{whoAccount, name}
	case uniqueID(name):
		return who{whoID, name}
	}
	if rest, isRoot := strings.CutSuffix(name, ":root"); isRoot {
		return who{whoAccount, rest[max(0, len(rest)-12):]}
	}
	return who{whoARN, name}
}

// relation is how closely a name means a principal.
type relation int

const (
	// stranger: not at all.
	stranger relation = iota
	// tenant: the name is the principal's account, which hands the question on to its IAM policies.
	tenant
	// holder: the name is the role of a session, or the user behind a federated one. What it is allowed is still
	// limited by boundary and session policies.
	holder
	// self: the principal is meant directly, or everybody is. Only an explicit deny stands above that.
	self
)

// relation compares w with a principal (IAM guide, "Principal").
func (w who) relation(p *Principal) relation {
	switch w.kind {
	case whoAnyone:
		return self
	case whoAccount:
		return accountRelation(w.name, p)
	case whoARN:
		return either(w.name, p.ARN, p.RoleARN)
	case whoID:
		return either(w.name, p.PrincipalID, p.RoleID)
	case whoService:
		return selfIf(p.Type == TypeService && w.name == p.ARN)
	default: // whoFederated
		provider := p.Context["aws:federatedprovider"]
		return selfIf(p.Type == TypeWebIdentity && len(provider) == 1 && w.name == provider[0])
	}
}

// accountRelation: the account is its root user, and stands for all others that it has.
func accountRelation(name string, p *Principal) relation {
	switch {
	case name != p.Account || p.independent():
		return stranger
	case p.Type == TypeRoot:
		return self
	default:
		return tenant
	}
}

func either(name, itself, behind string) relation {
	switch {
	case name == "":
		return stranger
	case name == itself:
		return self
	case name == behind:
		return holder
	default:
		return stranger
	}
}

func selfIf(is bool) relation {
	if is {
		return self
	}
	return stranger
}

// relation is the closest that a rule names p.
func (r *rule) relation(p *Principal) relation {
	if r.notPrincipal {
		return selfIf(!r.spares(p))
	}
	closest := stranger
	for _, w := range r.principals {
		closest = max(closest, w.relation(p))
	}
	return closest
}

// spares reports whether NotPrincipal excepts p: every layer of it must be listed, the account, the role of a session,
// and the principal (IAM guide, "NotPrincipal with Deny").
func (r *rule) spares(p *Principal) bool {
	itself, behind, account := false, p.RoleARN == "", p.Type == TypeRoot || p.independent()
	for _, w := range r.principals {
		if w.kind == whoAnyone {
			return true
		}
		switch w.relation(p) {
		case self:
			itself = true
		case holder:
			behind = true
		case tenant:
			account = true
		}
	}
	return itself && behind && account
}
