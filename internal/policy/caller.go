package policy

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
}
