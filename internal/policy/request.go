package policy

// Principal is a caller with everything that is attached to it and decides what it may do. Values are shared by
// concurrent calls and never changed.
type Principal struct {
	Caller
	// RoleARN and RoleID name the role of a session; empty for users. Policies that name the role mean its sessions.
	RoleARN, RoleID string
	// Identity holds the policies of the user and its groups, or of the role.
	Identity []*Policy
	// Boundary is the permissions boundary; nil where there is none.
	Boundary *Policy
	// Session holds the policies that a session was made with; nil where there are none. An empty list that is not nil
	// allows nothing.
	Session []*Policy
	// Context holds the condition keys that authentication established, by lower-case name: aws:principaltag/…,
	// aws:username, aws:userid, aws:tokenissuetime, aws:multifactorauthpresent, aws:federatedprovider, …
	Context map[string][]string
}

// Grant is one grant of a KMS key as the evaluator needs it.
type Grant struct {
	ID string
	// Grantee is the ARN that the grant names, or the unique id it is bound to.
	Grantee    string
	Operations []string // such as "Encrypt", without "kms:"
	// EncryptionContextEquals and EncryptionContextSubset constrain the request's encryption context; nil where the
	// grant has no such constraint.
	EncryptionContextEquals, EncryptionContextSubset map[string]string
}

// Context gives the values of condition keys. Names are in lower case. An absent key is not the same as one without
// values (a multi-valued key whose list is empty).
type Context interface {
	Lookup(key string) (values []string, present bool)
}

// Request is one question: may this principal do this?
type Request struct {
	Principal *Principal
	// Action such as "kms:Encrypt".
	Action string
	// Resource is an ARN, or "*" for actions on no resource.
	Resource string
	// Account owns the resource; empty means the principal's own.
	Account string
	// AcrossAccounts: the action is one that other accounts can be allowed at all.
	AcrossAccounts bool
	// ResourcePolicy is attached to the resource; nil for actions whose resources carry none: those are decided by the
	// principal's policies alone.
	ResourcePolicy *Policy
	// Grants of the resource that may name the principal. Those that do not are passed over.
	Grants []Grant
	// EncryptionContext is what grants' constraints are held against.
	EncryptionContext map[string]string
	// IgnoreConstraints: the action has no encryption context, so grants' constraints do not limit it (DescribeKey,
	// RetireGrant).
	IgnoreConstraints bool
	// Context answers for all condition keys but those of Principal.Context.
	Context Context
}
