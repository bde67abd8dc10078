package policy

import (
	"encoding/json"
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
		`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"Like":{"a:b":"c"}}}`:                                          "Syntax errors in policy.",
		`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"NullIfExists":{"a:b":true}}}`:                                 "Syntax errors in policy.",
		`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"kms:EncryptionContext:a":"b"}}}`: "",
	} {
		_, err := ParseIdentity([]byte(`{"Version":"2012-10-17","Statement":[` + text + `]}`))
		checkReason(t, text, err, reason)
	}
}

// allows is a document of one statement; each of the members given replaces or adds one.
func allows(t *testing.T, members string) []byte {
	t.Helper()
	s := map[string]any{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::bucket"}
	if err := json.Unmarshal([]byte("{"+members+"}"), &s); err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{"Version": Version2012, "Statement": s})
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// TestWhatIAMTakes has what answers to CreatePolicy that were recorded of AWS show to be allowed.
func TestWhatIAMTakes(t *testing.T) {
	for _, members := range []string{
		`"Action":"iam: as df "`, `"Action":"s3.s:ListBucket"`, `"Action":"s3-s:ListBucket"`, `"Action":"unheardof:X"`,
		`"Resource":["arn:aws:s3:::bucket","*"]`, `"Resource":"arn:aws:iam:::user/name"`, `"Resource":"arn:aws:unheardof:us-east-1::name"`,
		`"Resource":"arn:aws:short"`, `"Resource":"arn:aws:s3:us-west-2:123456789012:accesspoint/mine/object/*"`,
		`"Resource":"arn:aws:iam::*:mfa/${aws:username}"`, `"Resource":"arn:aws:ec2:region:account-id:instance/*"`,
		`"Condition":{}`, `"Condition":{"DateGreaterThan":{}}`, `"Condition":{"x":{},"y":{}}`, `"Condition":{"DateGreaterThan":{"a":[]}}`,
		`"Condition":{"StringEqualsIfExists":{"a":"b"}}`, `"Condition":{"ForAnyValue:StringEqualsIfExists":{"a":"b"}}`,
		`"Condition":{"DateLessThanEquals":{"a":["01T","2016-12-13t2:00:00.593194+23","-292275054",1700000000]}}`, `"Condition":{"StringEquals":{"ec2:ResourceTag/a.b":"c"}}`,
	} {
		for name, parse := range map[string]func([]byte) (*Document, error){"managed": ParseManaged, "identity": ParseIdentity} {
			if _, err := parse(allows(t, members)); err != nil {
				t.Errorf("%s, %s: %v", members, name, err)
			}
		}
		for _, kind := range []Kind{Identity, Boundary, Session} {
			if _, err := Compile(kind, "p", allows(t, members), nil); err != nil {
				t.Errorf("%s, %s: %v", members, kind, err)
			}
		}
	}
}

// TestWhatIAMRefuses has the sentences that were recorded of AWS, and the order of them where there are several errors.
func TestWhatIAMRefuses(t *testing.T) {
	const syntax, legacy = "Syntax errors in policy.", "The policy failed legacy parsing"
	for members, reason := range map[string]string{
		`"Extra":"x"`: syntax, `"Effect":"invalid"`: syntax, `"Effect":{}`: syntax, `"Sid":[]`: syntax, `"Resource":{"a":"arn:aws:s3:::b"}`: syntax,
		`"Resource":["adf",{}]`: syntax, `"NotResource":[]`: syntax, `"NotAction":"iam:x"`: syntax, `"Action":[[]]`: syntax,
		`"Condition":[]`: syntax, `"Condition":{"a":"b"}`: syntax, `"Condition":{"DateGreaterThan":[]}`: syntax, `"Condition":{"x":{"a":"1"}}`: syntax,
		`"Condition":{"DateGreaterThan":{"a":{}}}`: syntax, `"Condition":{"ForAnyValue::StringEquals":{"a":"b"}}`: syntax,
		`"Action":[],"Condition":{"x":{"a":"1"}}`:                           syntax,
		`"Effect":"denY"`:                                                   legacy,
		`"Effect":"allow","Resource":"arn:aws:s3:r::b"`:                     legacy,
		`"Resource":"arn:aws:s3::bucket"`:                                   legacy,
		`"Action":[],"Resource":"arn:aws:s3::bucket"`:                       legacy,
		`"Condition":{"DateGreaterThan":{"a":"sdfdsf"}},"Action":[]`:        legacy,
		`"Condition":{"DateLessThan":{"a":["2026","9223372036854775808"]}}`: legacy,
		`"Resource":"arn:aws::::bucket"`:                                    legacy,
		`"Resource":"arn:aws::name"`:                                        legacy,
		`"Action":[],"Resource":[]`:                                         "Policy statement must contain actions.",
		`"Action":"invalid","Resource":[]`:                                  "Policy statement must contain resources.",
		`"Action":"invalid"`:                                                errVendor.Reason,
		`"Action":""`:                                                       errVendor.Reason,
		`"Action":"a a:ListBucket"`:                                         "Vendor a a is not valid",
		`"Action":["s3:ListBucket","s:3s:ListBucket"]`:                      "Actions/Condition can contain only one colon.",
		`"Action":"s:3:ListBucket","Resource":"nothing"`:                    `Resource nothing must be in ARN format or "*".`,
		`"Resource":["*",""]`:                                               `Resource  must be in ARN format or "*".`,
		`"Resource":"a:nowhere"`:                                            `Partition "nowhere" is not valid for resource "arn:nowhere:*:*:*:*".`,
		`"Resource":"a:b:c:d:e:f:g:h"`:                                      `Partition "b" is not valid for resource "arn:b:c:d:e:f:g:h".`,
		`"Resource":"aws:s3:::bucket"`:                                      `Partition "s3" is not valid for resource "arn:s3:::bucket:*".`,
		`"Resource":["arn:no:s3:::b","arn:no:s3::b"]`:                       `Partition "no" is not valid for resource "arn:no:s3:::b".`,
		`"Resource":"arn:aws"`:                                              "Resource vendor must be fully qualified and cannot contain regexes.",
		`"Resource":"arn:aws:*:*:*:*"`:                                      "Resource vendor must be fully qualified and cannot contain regexes.",
		`"Resource":"arn:aws:iam:us-east-1::name"`:                          "IAM resource arn:aws:iam:us-east-1::name cannot contain region information.",
		`"Resource":"arn:aws:s3:us-east-1::bucket"`:                         "Resource arn:aws:s3:us-east-1::bucket can not contain region information.",
		`"Resource":"arn:aws:iam:::name"`: `IAM resource path must either be "*", root, or start with user/, federated-user/, role/, group/, ` +
			`instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.`,
	} {
		_, err := ParseManaged(allows(t, members))
		checkReason(t, members, err, reason)
	}
	for document, reason := range map[string]string{
		`no JSON`: syntax, `{"Version":"2013-10-17","Statement":{}}`: syntax, `{"Version":"2012-10-17"}`: syntax, `{"Version":"2012-10-17","Statement":[]}`: syntax,
		`{"Id":[],"Statement":{}}`: syntax, `{"Statement":{"Action":"s3:x","Resource":"*"}}`: syntax,
		`{"Statement":{"Effect":"denY","Action":"s3:x","Resource":"*"}}`:                                                                "Policy document must be version 2012-10-17 or greater.",
		`{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"},{"Sid":"a","Effect":"Deny"}]}`: "Statement IDs (SID) in a single policy must be unique.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"invalid","Resource":"*"},{"Effect":"Deny"}]}`:                 "Policy statement must contain actions.",
	} {
		_, err := ParseManaged([]byte(document))
		checkReason(t, document, err, reason)
	}
}

// TestKeptPoliciesStillCount: what was let in by earlier rules does not cost its owner all permissions, but an effect is never
// guessed at.
func TestKeptPoliciesStillCount(t *testing.T) {
	for _, resource := range []string{"arn:no:s3:::b", "arn:aws", "arn:aws:s3::b", "arn:aws:iam:::name", "arn:aws:*:*:*:*"} {
		if _, err := Compile(Identity, "p", allows(t, `"Resource":"`+resource+`"`), nil); err != nil {
			t.Errorf("%s: %v", resource, err)
		}
	}
	for _, kind := range []Kind{Identity, Boundary, Session} {
		if _, err := Compile(kind, "p", allows(t, `"Effect":"denY"`), nil); err == nil {
			t.Errorf("%s: an effect in other letters is taken", kind)
		}
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
		`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRoleWithWebIdentity","Condition":{
			"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com","oidc.eks.us-east-1.amazonaws.com/id/ABC:aud":"x"},
			"StringLike":{"token.actions.githubusercontent.com:sub":"repo:a/b:*","localhost:8080/realms/a:sub":"x","a":"b"},"unknown":{}}}`: "",
		`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"unknown":{"a":"b"}}}`:      "Invalid Condition type : unknown.",
		`{"Effect":"Allow","Action":"sts:AssumeRole"}`:                                                        "Missing required field Principal",
		`{"Effect":"Allow","Principal":"*"}`:                                                                  "Missing required field Action",
		`{"Effect":"Allow","Principal":"*","Action":[]}`:                                                      "Missing required field Action",
		`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}`:                         "Has prohibited field Resource",
		`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","NotResource":"*"}`:                      "Has prohibited field NotResource",
		`{"Effect":"Deny","NotPrincipal":{"AWS":"*"},"Action":"sts:AssumeRole"}`:                              "Has prohibited field NotPrincipal",
		`{"Effect":"Deny","Principal":"*","NotAction":"sts:AssumeRole"}`:                                      "Has prohibited field NotAction",
		`{"Effect":"Allow","Principal":"*","Action":["sts:AssumeRole","kms:Encrypt"]}`:                        "AssumeRole policy may only specify STS AssumeRole actions.",
		`{"Effect":"Allow","Principal":"*","Action":"*"}`:                                                     "AssumeRole policy may only specify STS AssumeRole actions.",
		`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/*"},"Action":"sts:AssumeRole"}`: "Policy contains a statement with one or more invalid principals.",
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
