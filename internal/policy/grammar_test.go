package policy

import (
	"errors"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	for text, reason := range map[string]string{
		`{"Effect":"Allow","Action":"kms:*","Resource":"*"}`:                                                                           "",
		`{"Sid":"A1","Effect":"Deny","NotAction":"kms:*","NotResource":["arn:aws:kms:*:*:key/*"]}`:                                     "",
		`{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:*"}`:                                                     "",
		`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`:                                                           "Policy document should not specify a principal.",
		`{"Effect":"Allow","NotPrincipal":{"AWS":"*"},"Action":"kms:*","Resource":"*"}`:                                                "Policy document should not specify a principal.",
		`{"Effect":"Allow","Resource":"*"}`:                                                                                            "Policy statement must contain actions.",
		`{"Effect":"Allow","Action":[],"Resource":"*"}`:                                                                                "Policy statement must contain actions.",
		`{"Effect":"Allow","Action":"kms:*"}`:                                                                                          "Policy statement must contain resources.",
		`{"Effect":"Allow","Action":"kms:*","Resource":[]}`:                                                                            "Policy statement must contain resources.",
		`{"Effect":"Allow","Action":"kms:*","Resource":["*","key/1"]}`:                                                                 `Resource key/1 must be in ARN format or "*".`,
		`{"Effect":"Allow","Action":"Encrypt","Resource":"*"}`:                                                                         "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
		`{"Sid":"not plain","Effect":"Allow","Action":"kms:*","Resource":"*"}`:                                                         "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
		`{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Deny","Action":"*","Resource":"*"}`:             "Statement IDs (SID) in a single policy must be unique.",
		`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*"}`:                                 "",
		`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"Like":{"a:b":"c"}}}`:                                          "Invalid Condition type : Like.",
		`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"NullIfExists":{"a:b":true}}}`:                                 "Invalid Condition type : NullIfExists.",
		`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"kms:EncryptionContext:a":"b"}}}`: "",
	} {
		_, err := ParseIdentity([]byte(`{"Version":"2012-10-17","Statement":[` + text + `]}`))
		checkReason(t, text, err, reason)
	}
}

func TestParseSession(t *testing.T) {
	for resource, want := range map[string]string{
		`"*"`: "", `"arn:aws:kms:*:*:*"`: "", `"arn:aws:kms:us-east-1:111122223333:key/${aws:username}"`: "",
		`["*","arn:aws:kms"]`:                      `Resource arn:aws:kms must be in ARN format or "*".`,
		`"arn:aws:kms:us-east-1:*"`:                `Resource arn:aws:kms:us-east-1:* must be in ARN format or "*".`,
		`"key/1234abcd-12ab-34cd-56ef-1234567890"`: `Resource key/1234abcd-12ab-34cd-56ef-1234567890 must be in ARN format or "*".`,
	} {
		_, err := ParseSession([]byte(`{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":` + resource + `}}`))
		checkReason(t, resource, err, want)
	}
}

func TestParseTrust(t *testing.T) {
	for text, reason := range map[string]string{
		`{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}`:                                                "",
		`{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":["sts:AssumeRoleWithWebIdentity","STS:TagSession"]}`: "",
		`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:*"}`:                                                "",
		`{"Effect":"Allow","Action":"sts:AssumeRole"}`:                                                                                   "Missing required field Principal",
		`{"Effect":"Allow","Principal":"*"}`:                                                                                             "Missing required field Action",
		`{"Effect":"Allow","Principal":"*","Action":[]}`:                                                                                 "Missing required field Action",
		`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}`:                                                    "Has prohibited field Resource",
		`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","NotResource":"*"}`:                                                 "Has prohibited field NotResource",
		`{"Effect":"Deny","NotPrincipal":{"AWS":"*"},"Action":"sts:AssumeRole"}`:                                                         "Has prohibited field NotPrincipal",
		`{"Effect":"Deny","Principal":"*","NotAction":"sts:AssumeRole"}`:                                                                 "Has prohibited field NotAction",
		`{"Effect":"Allow","Principal":"*","Action":["sts:AssumeRole","kms:Encrypt"]}`:                                                   "AssumeRole policy may only specify STS AssumeRole actions.",
		`{"Effect":"Allow","Principal":"*","Action":"*"}`:                                                                                "AssumeRole policy may only specify STS AssumeRole actions.",
		`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/*"},"Action":"sts:AssumeRole"}`:                            "Policy contains a statement with one or more invalid principals.",
	} {
		_, err := ParseTrust([]byte(`{"Version":"2012-10-17","Statement":[` + text + `]}`))
		checkReason(t, text, err, reason)
	}
}

func checkReason(t *testing.T, text string, err error, reason string) {
	t.Helper()
	m := (*Malformed)(nil)
	switch {
	case reason == "" && err != nil:
		t.Errorf("%s: %v", text, err)
	case reason != "" && (!errors.As(err, &m) || m.Reason != reason):
		t.Errorf("%s: got %v", text, err)
	}
}
