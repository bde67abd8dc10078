package policy

// Evaluate decides a request. It is total: a request that nothing allows, an incomplete one too, is refused. It neither
// recurses nor waits, and its work is bounded: see maxCost.
//
// The order is that of the IAM guide, "Policy evaluation logic", with KMS's rule that an account has no rights on a key
// but those that the key's policy hands to it:
//
//  1. An explicit deny in any policy refuses.
//  2. In the resource's account, the resource's policy or a grant that means the principal itself allows. One that
//     means the role of a session allows if boundary and session policies do. One that means the account hands the
//     question on: identity policies, boundary and session policies must all allow.
//  3. In another account, the resource's policy must mean the principal, its role or its account, and identity policies,
//     boundary and session policies must all allow too. A grant counts as in the resource's account.
//
// Services and identities of the web have no policies of their own: the resource's policy or a grant suffices.
func Evaluate(r *Request) Decision {
	e := newEvaluation(r)
	d := e.decide()
	if e.cost > maxCost {
		return e.refuse(TooCostly, Source{Kind: e.attachment()})
	}
	return d
}

// maxCost bounds what comparisons may take, in bytes of searched text: less than ten milliseconds. The largest
// policies that AWS accepts stay below it, unless they hold thousands of patterns such as "*x*" for values of kilobytes.
const maxCost = 1 << 24

// retireGrant is governed by the grant itself and by IAM; it has no effect in a key policy (KMS guide, "Retiring and
// revoking grants").
const retireGrant = "kms:RetireGrant"

// nobody stands in for a principal that is missing.
var nobody = &Principal{}

// evaluation is the state of one decision.
type evaluation struct {
	*Request
	principal *Principal
	attached  *Policy // the resource's policy, as far as it has a say
	foreign   bool
	lower     string // the action in lower case, made when a pattern needs it
	cost      int    // of all comparisons so far
}

// affords adds the cost of a comparison and reports whether it may be made. Afterwards nothing fits any more.
func (e *evaluation) affords(cost int) bool {
	e.cost += cost + 1
	return e.cost <= maxCost
}

func newEvaluation(r *Request) evaluation {
	e := evaluation{Request: r, principal: r.Principal, attached: r.ResourcePolicy}
	if r.Action == retireGrant {
		e.attached = nil
	}
	if e.principal == nil {
		e.principal = nobody
	}
	e.foreign = r.Account != "" && r.Account != e.principal.Account
	return e
}

func (e *evaluation) decide() Decision {
	if by, denied := e.denied(); denied {
		return e.refuse(ExplicitDeny, by)
	}
	closest, by := e.invited()
	switch {
	case closest == stranger && e.foreign && !e.AcrossAccounts && !e.principal.independent():
		return e.refuse(NotAcross, Source{})
	case closest == stranger:
		return e.refuse(NoAllow, Source{Kind: e.attachment()})
	case closest == self:
		return e.allow(by, Source{})
	case closest == holder:
		return e.limited(by, Source{})
	default:
		return e.ownPolicies(by)
	}
}

// invited finds the closest relation in which the resource allows the action to the principal, and by what. A resource
// policy of another account is at most as good as one for the account.
func (e *evaluation) invited() (closest relation, by Source) {
	if e.reachable() {
		closest, by = e.byResource()
	}
	for i := range e.Grants {
		if closest == self {
			break
		}
		if is := e.granted(&e.Grants[i]); is > closest {
			closest, by = is, Source{Grant: e.Grants[i].ID}
		}
	}
	return closest, by
}

// reachable reports whether a resource policy, or IAM for want of one, can allow the action to the principal at all.
func (e *evaluation) reachable() bool {
	return !e.foreign || e.principal.independent() || e.AcrossAccounts && e.attached != nil
}

func (e *evaluation) byResource() (closest relation, by Source) {
	if e.attached == nil {
		if e.principal.independent() {
			return stranger, by
		}
		return tenant, by
	}
	for i := range e.attached.allows {
		rule := &e.attached.allows[i]
		is := rule.relation(e.principal)
		if is > closest && e.applies(rule, Allow) {
			if closest, by = is, rule.from; is == self {
				break
			}
		}
	}
	if closest != stranger && e.foreign && !e.principal.independent() {
		closest = tenant
	}
	return closest, by
}

// attachment is the kind of policy that is missed when nothing lets the principal in.
func (e *evaluation) attachment() Kind {
	if e.attached == nil {
		return Resource
	}
	return e.attached.Kind
}

// ownPolicies decides by the principal's policies what the resource leaves to them.
func (e *evaluation) ownPolicies(through Source) Decision {
	if e.principal.rooted() {
		return e.limited(Source{}, through)
	}
	by, allowed := e.allowed(e.principal.Identity)
	if !allowed {
		return e.withhold(Identity, through)
	}
	return e.limited(by, through)
}

// limited gives the permission unless the boundary or the session's policies withhold theirs.
func (e *evaluation) limited(by, through Source) Decision {
	if b := e.principal.Boundary; b != nil {
		if _, allowed := e.allowedBy(b); !allowed {
			return e.withhold(Boundary, through)
		}
	}
	if s := e.principal.Session; s != nil {
		if _, allowed := e.allowed(s); !allowed {
			return e.withhold(Session, through)
		}
	}
	return e.allow(by, through)
}

func (e *evaluation) withhold(kind Kind, through Source) Decision {
	d := e.refuse(NoAllow, Source{Kind: kind})
	d.Through = through
	return d
}

func (e *evaluation) allow(by, through Source) Decision {
	reason := ByStatement
	switch {
	case by.Grant != "":
		reason = ByGrant
	case by == Source{}:
		reason = ByRoot
	}
	return Decision{Allowed: true, Reason: reason, By: by, Through: through, Foreign: e.foreign}
}

func (e *evaluation) refuse(reason Reason, by Source) Decision {
	return Decision{Reason: reason, By: by, Foreign: e.foreign}
}

// denied looks for an explicit deny, first in the resource's policy.
func (e *evaluation) denied() (Source, bool) {
	if p := e.attached; p != nil {
		for i := range p.denies {
			if p.denies[i].relation(e.principal) != stranger && e.applies(&p.denies[i], Deny) {
				return p.denies[i].from, true
			}
		}
	}
	for _, p := range e.principal.Identity {
		if by, denied := e.deniedBy(p); denied {
			return by, true
		}
	}
	if by, denied := e.deniedBy(e.principal.Boundary); denied {
		return by, true
	}
	for _, p := range e.principal.Session {
		if by, denied := e.deniedBy(p); denied {
			return by, true
		}
	}
	return Source{}, false
}

func (e *evaluation) deniedBy(p *Policy) (Source, bool) {
	if p == nil {
		return Source{}, false
	}
	return e.first(p.denies, Deny)
}

func (e *evaluation) allowed(policies []*Policy) (Source, bool) {
	for _, p := range policies {
		if by, allowed := e.allowedBy(p); allowed {
			return by, true
		}
	}
	return Source{}, false
}

func (e *evaluation) allowedBy(p *Policy) (Source, bool) {
	if p == nil {
		return Source{}, false
	}
	return e.first(p.allows, Allow)
}

// first finds the first of a principal's own rules that applies.
func (e *evaluation) first(rules []rule, effect Effect) (Source, bool) {
	for i := range rules {
		if e.applies(&rules[i], effect) {
			return rules[i].from, true
		}
	}
	return Source{}, false
}

// lookup gives the values of a condition key as policies of the kind see it.
func (e *evaluation) lookup(kind Kind, key string) ([]string, bool) {
	if kind.hides(key) {
		return nil, false
	}
	if values, present := e.principal.Context[key]; present {
		return values, true
	}
	if e.Context == nil {
		return nil, false
	}
	return e.Context.Lookup(key)
}
