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
