package policy

import "time"

// Caller is who makes a call, as authentication established it.
type Caller struct {
	// Type is CloudTrail's word for the kind of principal: "Root", "IAMUser", "AssumedRole".
	Type string `json:"type"`
	// PrincipalID is the unique id behind the name ("AIDA…"); it is never reused.
	PrincipalID string `json:"principalId"`
	// ARN names the principal, for example arn:aws:iam::111122223333:user/admin.
	ARN string `json:"arn"`
	// Account is the principal's account, 12 digits.
	Account string `json:"accountId"`
	// AccessKeyID is the public half of the key that signed the request.
	AccessKeyID string `json:"accessKeyId"`
	// UserName is set for IAM users.
	UserName string `json:"userName,omitempty"`
	// Temporary is set where the key is a temporary one.
	Temporary *Credentials `json:"-"`
}

// Credentials says where temporary credentials come from. Values are shared and never changed.
type Credentials struct {
	// Issuer is the role or user whose credentials they are; nil for a user's own session.
	Issuer *Issuer
	// Created is when they were handed out.
	Created time.Time
	// Provider is the ARN of the identity provider that vouched for the session's holder; empty for all others.
	Provider string
	// SourceIdentity is what was set when the first role of a chain was assumed.
	SourceIdentity string
}

// Issuer is the role or user behind a session.
type Issuer struct {
	Type        string // "Role", "IAMUser" or "Root"
	PrincipalID string
	ARN         string
	Account     string
	UserName    string // the role's or user's name
}

// Types of callers that decisions tell apart, in CloudTrail's words.
const (
	TypeRoot = "Root"
	TypeUser = "IAMUser"
	// TypeAssumedRole is a session of a role.
	TypeAssumedRole = "AssumedRole"
	// TypeFederatedUser is a session that a user made for somebody else. Its Principal.RoleARN is the user.
	TypeFederatedUser = "FederatedUser"
	// TypeService is an AWS service; its ARN is its service principal, such as "cloudhsm.amazonaws.com".
	TypeService = "AWSService"
	// TypeWebIdentity is somebody whom an identity provider vouches for, before a role is assumed. The provider is the
	// value of aws:FederatedProvider in Principal.Context.
	TypeWebIdentity = "WebIdentityUser"
)

// independent callers have no account's IAM policies behind them: what a resource allows them suffices.
func (c *Caller) independent() bool { return c.Type == TypeService || c.Type == TypeWebIdentity }

// rooted principals are the root user, or somebody for whom it made a session: their account's policies need not allow
// anything, and only the session's can withhold it.
func (p *Principal) rooted() bool {
	return p.Type == TypeRoot || p.Type == TypeFederatedUser && p.RoleID == p.Account && p.Account != ""
}
