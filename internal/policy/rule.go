package policy

import "strings"

// rule is a statement prepared for evaluation.
type rule struct {
	from         Source
	principals   []who
	notPrincipal bool
	actions      []action
	notAction    bool
	resources    []target
	notResource  bool
	clauses      []clause
}

// rule prepares a statement. One without actions or resources has no effect. Trust policies have no resources: they
// are about their role.
func (p *Policy) rule(s *Statement, number int, bound map[string]string) (r rule, effective bool) {
	if len(s.Actions) == 0 || len(s.Resources) == 0 && p.Kind != Trust {
		return r, false
	}
	r = rule{
		from:         Source{Kind: p.Kind, Policy: p.Name, Sid: s.Sid, Statement: number},
		principals:   s.Principals.compile(bound),
		notPrincipal: s.NotPrincipal, notAction: s.NotAction, notResource: s.NotResource,
	}
	for _, a := range s.Actions {
		r.actions = append(r.actions, newAction(a))
	}
	variables := p.Document.Version == Version2012
	for _, t := range s.Resources {
		r.resources = append(r.resources, newTarget(t, variables)) // also if incomplete: a wildcard can reach over several parts
		if whole := complete(t); whole != t && p.Kind.completes() {
			r.resources = append(r.resources, newTarget(whole, variables))
		}
	}
	if p.Kind == Trust {
		r.resources = []target{newTarget("*", false)}
	}
	for i := range s.Conditions {
		r.clauses = append(r.clauses, newClause(&s.Conditions[i], p.Kind, variables))
	}
	return r, true
}

// target is a pattern of resources.
type target struct {
	pattern string
	weight  int
	// variables is set instead of pattern where there are any.
	variables template
}

// newTarget allows variables in an ARN's last part only (IAM guide, "Policy variables", Resource element); elsewhere
// they are plain text, which no ARN holds.
func newTarget(text string, variables bool) target {
	head, tail := splitARN(text)
	if !variables {
		head, tail = text, ""
	}
	t := newTemplate(tail, true)
	if constant, ok := t.constant(); ok {
		p := pattern(head) + constant
		return target{pattern: p, weight: weight(p)}
	}
	return target{variables: append(template{{text: pattern(head)}}, t...)}
}

// arnParts is how many parts an ARN has.
const arnParts = 6

// complete gives an ARN with fewer parts a wildcard for each that is missing (IAM guide, "IAM ARNs").
func complete(text string) string {
	if missing := arnParts - 1 - strings.Count(text, ":"); missing > 0 && strings.HasPrefix(text, "arn:") {
		return text + strings.Repeat(":*", missing)
	}
	return text
}

// completes reports whether resources of policies of the kind may lack parts: those of users, groups and roles.
func (k Kind) completes() bool { return k == Identity || k == Boundary }

// splitARN cuts before an ARN's last part. A text with fewer parts is all head.
func splitARN(text string) (head, tail string) {
	colons := 0
	for i := range len(text) {
		if text[i] == ':' {
			if colons++; colons == arnParts-1 {
				return text[:i+1], text[i+1:]
			}
		}
	}
	return text, ""
}

// applies compares action, resource and conditions, the cheap ones first.
func (e *evaluation) applies(r *rule, effect Effect) bool {
	if e.acts(r) == r.notAction || e.targets(r) == r.notResource {
		return false
	}
	for i := range r.clauses {
		if !r.clauses[i].holds(e, effect) {
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
