package policy

// Kind says what a policy is attached to.
type Kind string

// The kinds.
const (
	Identity Kind = "identity" // a user, a group or a role
	Resource Kind = "resource" // a resource, such as a key
	Trust    Kind = "trust"    // a role, saying who may assume it
	Boundary Kind = "boundary" // a user or a role, as the most that its identity policies can allow
	Session  Kind = "session"  // a session, as the most that it can do
)

// attached reports whether policies of the kind are attached to a resource and therefore say whom they are about.
func (k Kind) attached() bool { return k == Resource || k == Trust }

// Policy is a document that has been prepared for evaluation. It never changes.
type Policy struct {
	Kind     Kind
	Name     string
	Document *Document
	denies   []rule
	allows   []rule
}

// Nothing is the resource policy of a resource that cannot be seen: it allows nothing. Decisions about it read as
// those about a resource that does not exist.
var Nothing = &Policy{Kind: Resource, Document: &Document{}}

// Compile parses a document and prepares it. bound maps principal ARNs of users and roles that stand in a resource or
// trust policy to their unique ids (AIDA…, AROA…), so that the policy means those and not later ones of the same name;
// an ARN that is not bound is compared by name. The error is a *Malformed.
func Compile(kind Kind, name string, document []byte, bound map[string]string) (*Policy, error) {
	d, err := grammars[kind].parse(document)
	if err != nil {
		return nil, err
	}
	p := &Policy{Kind: kind, Name: name, Document: d}
	for i := range d.Statements {
		s := &d.Statements[i]
		r, effective := p.rule(s, i+1, bound)
		switch {
		case !effective:
		case s.Effect == Deny:
			p.denies = append(p.denies, r)
		default:
			p.allows = append(p.allows, r)
		}
	}
	return p, nil
}

// rule is a statement prepared for evaluation.
type rule struct {
	from         Source
	principals   []who
	notPrincipal bool
	actions      []action
	notAction    bool
	resources    []target
	notResource  bool
	tests        []test
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
		r.resources = append(r.resources, newTarget(t, variables))
	}
	if p.Kind == Trust {
		r.resources = []target{newTarget("*", false)}
	}
	for i := range s.Conditions {
		r.tests = append(r.tests, newTest(&s.Conditions[i], p.Kind, variables))
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

// splitARN cuts before an ARN's last part. A text with fewer parts is all head, unless it is no ARN, such as "*".
func splitARN(text string) (head, tail string) {
	colons := 0
	for i := range len(text) {
		if text[i] == ':' {
			if colons++; colons == 5 {
				return text[:i+1], text[i+1:]
			}
		}
	}
	return text, ""
}
