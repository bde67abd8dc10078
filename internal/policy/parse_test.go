package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const defaultPolicy = `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",` +
	`"Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`

func TestParseDefaultKeyPolicy(t *testing.T) {
	got, err := Parse([]byte(defaultPolicy))
	if err != nil {
		t.Fatal(err)
	}
	want := &Document{Version: Version2012, ID: "key-default-1", Statements: []Statement{{
		Sid: "Enable IAM User Permissions", Effect: Allow, Principals: Principals{AWS: []string{"arn:aws:iam::111122223333:root"}},
		Actions: []string{"kms:*"}, Resources: []string{"*"},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// statement puts one statement's members behind an effect and a principal.
func statement(members string) string {
	return `{"Statement":{"Effect":"Deny","Principal":"*"` + members + `}}`
}

func TestParseStatements(t *testing.T) {
	for text, want := range map[string]Statement{
		``: {},
		`,"Action":["kms:Encrypt","kms:Describe*"],"Resource":[]`: {Actions: []string{"kms:Encrypt", "kms:Describe*"}, Resources: []string{}},
		`,"NotAction":"*","NotResource":"a"`:                      {NotAction: true, Actions: []string{"*"}, NotResource: true, Resources: []string{"a"}},
		`,"Condition":{}`:                                         {},
		`,"Condition":{"Bool":{"aws:SecureTransport":false},"NumericLessThanIfExists":{"aws:MultiFactorAuthAge":[3600,"5e2"]}}`: {Conditions: []Condition{
			{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"false"}},
			{Operator: "NumericLessThan", IfExists: true, Key: "aws:MultiFactorAuthAge", Values: []string{"3600", "5e2"}}}},
		`,"Condition":{"ForAnyValue:StringLike":{"kms:EncryptionContextKeys":["a","b"],"kms:ResourceAliases":"alias/*"}}`: {Conditions: []Condition{
			{Quantifier: ForAnyValue, Operator: "StringLike", Key: "kms:EncryptionContextKeys", Values: []string{"a", "b"}},
			{Quantifier: ForAnyValue, Operator: "StringLike", Key: "kms:ResourceAliases", Values: []string{"alias/*"}}}},
		`,"Condition":{"StringEquals":{"kms:EncryptionContext:a:b":"c"}}`: {Conditions: []Condition{
			{Operator: "StringEquals", Key: "kms:EncryptionContext:a:b", Values: []string{"c"}}}},
	} {
		got, err := Parse([]byte(statement(text)))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want.Effect, want.Principals.Anyone = Deny, true
		if diff := cmp.Diff(want, got.Statements[0]); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestPrincipals(t *testing.T) {
	for text, valid := range map[string]bool{
		`"*"`: true, `{"AWS":"*"}`: true, `{"AWS":"111122223333"}`: true, `{"AWS":["arn:aws:iam::111122223333:root","AROAIOSFODNN7EXAMPLE"]}`: true,
		`{"AWS":"arn:aws:iam::111122223333:user/path/admin"}`: true, `{"AWS":"arn:aws:iam::111122223333:role/r"}`: true,
		`{"AWS":"arn:aws:sts::111122223333:assumed-role/r/s"}`: true, `{"Service":"cloudhsm.amazonaws.com"}`: true,
		`{"Federated":"cognito-identity.amazonaws.com"}`: true, `{"AWS":"*","Service":["s3.amazonaws.com"]}`: true,
		`"arn:aws:iam::111122223333:root"`: false, `{}`: false, `{"AWS":[]}`: false, `{"AWS":""}`: false, `{"AWS":"arn:aws:iam::111122223333:user/*"}`: false,
		`{"AWS":"arn:aws:iam::1:root"}`: false, `{"AWS":"arn:aws:iam::111122223333:group/g"}`: false, `{"AWS":"arn:aws:iam::111122223333:user/"}`: false,
		`{"AWS":"admin"}`: false, `{"Service":"evil.example.com"}`: false, `{"CanonicalUser":"abc"}`: false, `{"Federated":""}`: false,
		`{"AWS":"arn:aws:iam:us-east-1:111122223333:root"}`: false, `{"AWS":"arn:aws:iam::111122223333:root/x"}`: false,
	} {
		_, err := Parse([]byte(`{"Statement":{"Effect":"Allow","Principal":` + text + `}}`))
		if valid && err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if !valid && !errors.Is(err, errPrincipals) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, reason := range map[string]string{
		``:                                 "This policy contains invalid Json",
		`{`:                                "This policy contains invalid Json",
		`{} {}`:                            "This policy contains invalid Json",
		`{"Statement":[],"Statement":1}`:   "This policy contains invalid Json",
		`[]`:                               "Syntax errors in policy.",
		`"x"`:                              "Syntax errors in policy.",
		`{}`:                               "The policy must contain at least one statement.",
		`{"Statement":[]}`:                 "The policy must contain at least one statement.",
		`{"Statement":"x"}`:                "Syntax errors in policy.",
		`{"Statement":["x"]}`:              "Syntax errors in policy.",
		`{"Version":"2020-01-01"}`:         "The policy version must be 2012-10-17 or 2008-10-17.",
		`{"Version":1}`:                    "Syntax errors in policy.",
		`{"version":"2012-10-17"}`:         "Unknown field version",
		`{"Statement":{"Effect":"Allow"}}`: "Missing required field Principal",
		`{"Statement":{"Principal":"*"}}`:  "Missing required field Effect",
		`{"Statement":{"Effect":"allow","Principal":"*"}}`:                                                      "Invalid effect: allow",
		`{"Statement":{"Effect":"Allow","NotPrincipal":"*"}}`:                                                   "NotPrincipal is not supported with Effect Allow.",
		`{"Statement":{"Effect":"Deny","Principal":"*","NotPrincipal":"*"}}`:                                    "Syntax errors in policy.",
		statement(`,"Action":"*","NotAction":"*"`):                                                              "Syntax errors in policy.",
		statement(`,"Resource":"*","NotResource":"*"`):                                                          "Syntax errors in policy.",
		statement(`,"Action":1`):                                                                                "Syntax errors in policy.",
		statement(`,"Action":["kms:*",null]`):                                                                   "Syntax errors in policy.",
		statement(`,"Action":"Encrypt"`):                                                                        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
		statement(`,"Action":"kms:a:b"`):                                                                        "Actions/Condition can contain only one colon.",
		statement(`,"Actions":"kms:*"`):                                                                         "Unknown field Actions",
		statement(`,"Condition":[]`):                                                                            "Syntax errors in policy.",
		statement(`,"Condition":{"StringEqual":{}}`):                                                            "Invalid Condition type : StringEqual.",
		statement(`,"Condition":{"StringEqual":"x"}`):                                                           "Invalid Condition type : StringEqual.",
		statement(`,"Condition":{"NullIfExists":{}}`):                                                           "Invalid Condition type : NullIfExists.",
		statement(`,"Condition":{"ForSome:Bool":{}}`):                                                           "Invalid Condition type : ForSome:Bool.",
		statement(`,"Condition":{"Bool":{"a:b":{}}}`):                                                           "Syntax errors in policy.",
		statement(`,"Condition":{"Bool":{"a":true}}`):                                                           "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
		statement(`,"Condition":{"ForAllValues:StringEquals":{"KMS:encryptionContext:a":"b"}}`):                 "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches requests without the specified encryption context or with an unspecified encryption context. To fix, remove ForAllValues.",
		statement(`,"Condition":{"ForAllValues:StringEquals":{"aws:RequestTag/a":"b"}}`):                        "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches requests without the specified tag or with an unspecified tag. To fix, remove ForAllValues.",
		`{"Id":"` + strings.Repeat("x", MaxSize) + `"}`:                                                         "The policy must not exceed 131072 bytes.",
		`{"Statement":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`:                         "This policy contains invalid Json",
		`{"Statement":{"Effect":"Allow","Principal":"*","Condition":{"Bool":{"a:b":true}},"Sid":["not text"]}}`: "Syntax errors in policy.",
	} {
		_, err := Parse([]byte(text))
		var m *Malformed
		if !errors.As(err, &m) || m.Reason != reason {
			t.Errorf("%.80s: got %v", text, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	word := rapid.StringMatching(`[a-zA-Z0-9:/*é" -]{0,10}`)
	list := rapid.SliceOfN(word, 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		s := Statement{Sid: word.Draw(t, "sid"), Effect: Deny, Resources: list.Draw(t, "resources"), NotResource: rapid.Bool().Draw(t, "not")}
		s.Principals.Service = []string{"s3.amazonaws.com"}
		s.NotPrincipal = rapid.Bool().Draw(t, "notPrincipal")
		if rapid.Bool().Draw(t, "aws") {
			s.Principals.AWS = []string{"111122223333", "*"}
		}
		s.Actions = rapid.SliceOfN(rapid.StringMatching(`kms:[A-Z*]{1,4}`), 0, 3).Draw(t, "actions")
		for _, o := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"Bool", "StringLike", "ArnEquals"}), 0, 3, rapid.ID).Draw(t, "operators") {
			s.Conditions = append(s.Conditions, Condition{Quantifier: rapid.SampledFrom([]Quantifier{Single, ForAnyValue}).Draw(t, "quantifier"),
				Operator: o, IfExists: rapid.Bool().Draw(t, "ifExists"), Key: "aws:" + rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "key"), Values: list.Draw(t, "values")})
		}
		want := &Document{Version: Version2012, ID: word.Draw(t, "id"), Statements: []Statement{s, {Effect: Allow, Principals: Principals{Anyone: true}}}}
		got, err := Parse(want.JSON())
		if err != nil {
			t.Fatalf("%s: %v", want.JSON(), err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%s", want.JSON(), diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(defaultPolicy))
	f.Add([]byte(statement(`,"Condition":{"ForAnyValue:StringLikeIfExists":{"a:b":[1,true,"x"]}},"NotAction":["a:b"]`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if err != nil {
			if m := (*Malformed)(nil); !errors.As(err, &m) || m.Reason == "" {
				t.Fatalf("not a reason: %v", err)
			}
			return
		}
		again, err := Parse(d.JSON())
		if err != nil {
			t.Fatalf("%s became %s: %v", text, d.JSON(), err)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Fatalf("%s\n%s", text, diff)
		}
	})
}
