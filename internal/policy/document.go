package policy

import "fmt"

// MaxSize is the largest document that Parse looks at, in bytes: the bound of the KMS service model. The services'
// own, smaller limits are theirs to check.
const MaxSize = 131072

// Malformed is why a text is not a policy. The reason may be sent to the client, as the message of
// MalformedPolicyDocumentException.
type Malformed struct{ Reason string }

func (m *Malformed) Error() string { return "policy: " + m.Reason }

func malformed(format string, args ...any) *Malformed {
	return &Malformed{fmt.Sprintf(format, args...)}
}

// The sentences AWS uses for most of what can be wrong.
var (
	errSyntax     = &Malformed{"Syntax errors in policy."}
	errJSON       = &Malformed{"This policy contains invalid Json"}
	errPrincipals = &Malformed{"Policy contains a statement with one or more invalid principals."}
	errVendor     = &Malformed{"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."}
	errLegacy     = &Malformed{"The policy failed legacy parsing"}
)

// Versions of the policy language.
const (
	Version2008 = "2008-10-17" // also that of documents without Version; knows no policy variables
	Version2012 = "2012-10-17"
)

// Document is a parsed policy. Order is that of the text.
type Document struct {
	Version    string // empty if the text has none
	ID         string
	Statements []Statement
}

// Effect of a statement.
type Effect string

// The effects.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Statement is one rule. A statement without actions or without resources is kept and never matches (KMS guide, "Key
// policies": such a statement is stored and has no effect).
type Statement struct {
	Sid        string
	Effect     Effect
	Principals Principals
	// NotPrincipal: the statement is about everybody but Principals.
	NotPrincipal bool
	// Actions are patterns such as "kms:Describe*"; NotAction: all actions but these.
	Actions   []string
	NotAction bool
	// Resources are ARN patterns, in a key policy "*"; NotResource: all resources but these.
	Resources   []string
	NotResource bool
	Conditions  []Condition
}

// Principals are whom a statement is about.
type Principals struct {
	// Anyone is Principal "*", which is not the same as AWS "*" in the text but means the same.
	Anyone bool
	// AWS holds ARNs of accounts, users, roles and sessions, account ids, unique ids, or "*".
	AWS       []string
	Service   []string // for example "cloudhsm.amazonaws.com"
	Federated []string // identity providers
}

// Empty reports whether nobody is named.
func (p Principals) Empty() bool {
	return !p.Anyone && len(p.AWS)+len(p.Service)+len(p.Federated) == 0
}

// Quantifier says how an operator deals with a key of several values.
type Quantifier string

// The quantifiers.
const (
	Single       Quantifier = ""
	ForAllValues Quantifier = "ForAllValues"
	ForAnyValue  Quantifier = "ForAnyValue"
)

// Condition is one operator applied to one key. All conditions of a statement must hold, and of each at least one
// value.
type Condition struct {
	Quantifier Quantifier
	Operator   string // without quantifier and IfExists, for example "StringEquals"
	IfExists   bool
	Key        string // for example "kms:ViaService"; compared without regard to case
	Values     []string
}
