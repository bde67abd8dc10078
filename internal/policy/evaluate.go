package policy

import "strings"

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
		return e.limited(Decision{By: by})
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
	if e.principal.Type == TypeRoot {
		return e.limited(Decision{Reason: ByRoot, Through: through})
	}
	by, allowed := e.allowed(e.principal.Identity)
	if !allowed {
		d := e.refuse(NoAllow, Source{Kind: Identity})
		d.Through = through
		return d
	}
	return e.limited(Decision{By: by, Through: through})
}

// limited gives d as the permission unless the boundary or the session's policies withhold theirs.
func (e *evaluation) limited(d Decision) Decision {
	if b := e.principal.Boundary; b != nil {
		if _, allowed := e.allowedBy(b); !allowed {
			return e.withhold(Boundary, d)
		}
	}
	if s := e.principal.Session; s != nil {
		if _, allowed := e.allowed(s); !allowed {
			return e.withhold(Session, d)
		}
	}
	permission := e.allow(d.By, d.Through)
	if d.Reason == ByRoot {
		permission.Reason = ByRoot
	}
	return permission
}

func (e *evaluation) withhold(kind Kind, d Decision) Decision {
	refusal := e.refuse(NoAllow, Source{Kind: kind})
	refusal.Through = d.Through
	return refusal
}

func (e *evaluation) allow(by, through Source) Decision {
	reason := ByStatement
	if by.Grant != "" {
		reason = ByGrant
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

// applies compares action, resource and conditions, the cheap ones first.
func (e *evaluation) applies(r *rule, effect Effect) bool {
	if e.acts(r) == r.notAction || e.targets(r) == r.notResource {
		return false
	}
	for i := range r.tests {
		if !r.tests[i].holds(e, effect) {
			return false
		}
	}
	return true
}

func (e *evaluation) acts(r *rule) bool {
	for i := range r.actions {
		if e.affords(len(e.Action)) && r.actions[i].covers(e) {
			return true
		}
	}
	return false
}

func (e *evaluation) targets(r *rule) bool {
	for i := range r.resources {
		p, weighs := r.resources[i].pattern, r.resources[i].weight
		if t := r.resources[i].variables; t != nil {
			text, ok := t.fill(e, r.from.Kind)
			if !ok {
				continue
			}
			p, weighs = text, weight(text)
		}
		if e.affords(weighs*len(e.Resource)) && matches(p, e.Resource) {
			return true
		}
	}
	return false
}

// lowerAction is the action in the case of patterns.
func (e *evaluation) lowerAction() string {
	if e.lower == "" {
		e.lower = strings.ToLower(e.Action)
	}
	return e.lower
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
