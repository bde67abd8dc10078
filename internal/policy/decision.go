package policy

import (
	"fmt"
	"strings"
)

// Source is what decided: a statement of a policy, or a grant.
type Source struct {
	Kind      Kind
	Policy    string // its name
	Sid       string
	Statement int    // counted from 1; 0 where no single statement decided
	Grant     string // the id of a grant; the other members are empty then
}

// String is for people, for example `resource policy "key", statement 2 (Allow use)`.
func (s Source) String() string {
	switch {
	case s.Grant != "":
		return "grant " + s.Grant
	case s.Kind == "":
		return "nothing"
	case s.Statement == 0:
		return string(s.Kind) + " policy"
	}
	text := fmt.Sprintf("%s policy %q, statement %d", s.Kind, s.Policy, s.Statement)
	if s.Sid != "" {
		text += " (" + s.Sid + ")"
	}
	return text
}

// Reason says how a decision came about.
type Reason string

// The reasons.
const (
	// Allowed by the statement or grant that Decision.By names.
	ByStatement Reason = "allowed by a statement"
	ByGrant     Reason = "allowed by a grant"
	// ByRoot: the principal is the root user of its account, which needs no permission there.
	ByRoot Reason = "allowed to the root user"

	// ExplicitDeny by the statement that Decision.By names.
	ExplicitDeny Reason = "explicit deny"
	// NoAllow: no policy of the kind in Decision.By allows the action.
	NoAllow Reason = "no allow"
	// NotAcross: the action cannot be allowed to other accounts.
	NotAcross Reason = "not across accounts"
	// TooCostly: the policies would have taken too long to compare. AWS knows nothing of the kind; the message is that of
	// NoAllow.
	TooCostly Reason = "too costly"
)

// Decision is the answer to a Request.
type Decision struct {
	Allowed bool
	Reason  Reason
	By      Source
	// Through is the statement of the resource's policy, or the grant, that left the decision to the principal's own
	// policies; empty where there was none.
	Through Source
	// Foreign: the principal is not of the account that owns the resource.
	Foreign bool
}

// String is for people.
func (d Decision) String() string {
	text := fmt.Sprintf("%s: %s", d.Reason, d.By)
	if d.Through != (Source{}) {
		text += fmt.Sprintf(", through %s", d.Through)
	}
	return text
}

// OnCiphertext stands for the resource in messages about a ciphertext whose key the caller did not name.
const OnCiphertext = "the resource associated with this ciphertext"

// OnNothing leaves the resource out of messages about what is only to be made.
const OnNothing = "nothing"

// Message is the message of the AccessDeniedException for a refused request, in the words of AWS (IAM guide,
// "Troubleshoot access denied error messages"; KMS's own words for resources of other accounts, whose existence it does
// not confirm). on names the resource if it is not to be named by its ARN: "", OnCiphertext or OnNothing.
func (d Decision) Message(r *Request, on string) string {
	var b strings.Builder
	if r.Principal != nil {
		b.WriteString("User: " + r.Principal.ARN + " is ")
	}
	b.WriteString("not authorized to perform: " + r.Action)
	switch {
	case on == OnNothing:
	case on != "":
		b.WriteString(" on " + on)
	case d.Foreign && (r.ResourcePolicy == nil || r.ResourcePolicy.Kind != Trust):
		b.WriteString(" on this resource")
	case r.Resource != "":
		b.WriteString(" on resource: " + r.Resource)
	}
	b.WriteByte(' ')
	b.WriteString(d.cause(r.Action))
	return b.String()
}

// words are AWS's names of the kinds, after "no" and after "in".
var words = map[Kind]struct{ no, in string }{
	Identity: {"identity-based policy", "an identity-based policy"},
	Resource: {"resource-based policy", "a resource-based policy"},
	Trust:    {"role trust policy", "the role trust policy"},
	Boundary: {"permissions boundary", "a permissions boundary"},
	Session:  {"session policy", "a session policy"},
}

func (d Decision) cause(action string) string {
	switch {
	case d.Foreign && (d.By.Kind == Resource || d.Reason == NotAcross):
		return "because the resource does not exist in this Region, no resource-based policies allow access, or a " +
			"resource-based policy explicitly denies access"
	case d.Reason == ExplicitDeny:
		return "with an explicit deny in " + words[d.By.Kind].in
	default:
		return fmt.Sprintf("because no %s allows the %s action", words[d.By.Kind].no, action)
	}
}
