package kms_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/kms"
)

func TestKeyPolicies(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := w.createKey().KeyId
	get := func() string {
		return *do[awskms.GetKeyPolicyOutput](w, "GetKeyPolicy", &awskms.GetKeyPolicyInput{KeyId: id}).Policy
	}
	const byDefault = `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",` +
		`"Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`
	if got := get(); got != byDefault {
		t.Errorf("default policy %s", got)
	}
	spaced := strings.ReplaceAll(openPolicy, ",", ",\n  ")
	w.must("PutKeyPolicy", &awskms.PutKeyPolicyInput{KeyId: id, Policy: &spaced, PolicyName: aws.String("default")})
	if got := get(); got != spaced {
		t.Errorf("stored as %s", got)
	}
	out := do[awskms.ListKeyPoliciesOutput](w, "ListKeyPolicies", &awskms.ListKeyPoliciesInput{KeyId: id})
	if len(out.PolicyNames) != 1 || out.PolicyNames[0] != "default" || out.Truncated {
		t.Errorf("%+v", out)
	}
	w.refused("GetKeyPolicy", &awskms.GetKeyPolicyInput{KeyId: id, PolicyName: aws.String("other")}, "NotFoundException", "No such policy exists")
	w.refused("PutKeyPolicy", &awskms.PutKeyPolicyInput{KeyId: id, Policy: &spaced, PolicyName: aws.String("other")},
		"ValidationException", "The only valid value of PolicyName is default.")
	large := openPolicy + strings.Repeat(" ", 32_769-len(openPolicy))
	w.refused("PutKeyPolicy", &awskms.PutKeyPolicyInput{KeyId: id, Policy: &large}, "LimitExceededException",
		"The key policy has 32769 bytes, more than the limit of 32768.")
	w.refused("PutKeyPolicy", &awskms.PutKeyPolicyInput{KeyId: id, Policy: aws.String("{")}, "MalformedPolicyDocumentException",
		"This policy contains invalid Json")
	w.refused("CreateKey", &awskms.CreateKeyInput{Policy: aws.String("{")}, "MalformedPolicyDocumentException",
		"This policy contains invalid Json")
	if got := get(); got != spaced {
		t.Errorf("a refused policy was stored: %s", got)
	}
}

func TestPolicyLockout(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	const lockout = "The new key policy will not allow you to update the key policy in the future."
	const root, other = `{"AWS":"arn:aws:iam::111122223333:root"}`, `{"AWS":"arn:aws:iam::111122223333:user/other"}`
	allow := func(principal, action string) string {
		return `{"Effect":"Allow","Principal":` + principal + `,"Action":` + action + `,"Resource":"*"}`
	}
	for name, c := range map[string]struct {
		statements string
		locked     bool
	}{
		"account":             {allow(root, `"kms:*"`), false},
		"account by number":   {allow(`{"AWS":"111122223333"}`, `"kms:*"`), false},
		"caller":              {allow(`{"AWS":"`+admin.ARN+`"}`, `["kms:Get*","kms:PUTKEY?olicy"]`), false},
		"anyone":              {allow(`"*"`, `"*"`), false},
		"another user":        {allow(other, `"kms:*"`), true},
		"another account":     {allow(`{"AWS":"arn:aws:iam::999988887777:root"}`, `"kms:*"`), true},
		"other actions":       {allow(root, `["kms:Encrypt","kms:PutKey"]`), true},
		"denied":              {allow(root, `"kms:*"`) + `,{"Effect":"Deny","Principal":"*","Action":"kms:Put*","Resource":"*"}`, true},
		"denied before":       {`{"Effect":"Deny","Principal":{"AWS":"` + admin.ARN + `"},"Action":"kms:*","Resource":"*"},` + allow(root, `"kms:*"`), true},
		"another is denied":   {allow(root, `"kms:*"`) + `,{"Effect":"Deny","Principal":` + other + `,"Action":"kms:*","Resource":"*"}`, false},
		"condition met":       {`{"Effect":"Allow","Principal":` + root + `,"Action":"kms:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, false},
		"condition not met":   {`{"Effect":"Allow","Principal":` + root + `,"Action":"kms:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`, true},
		"another resource":    {`{"Effect":"Allow","Principal":` + root + `,"Action":"kms:*","Resource":"arn:aws:kms:us-east-1:111122223333:key/other"}`, true},
		"all actions but one": {`{"Effect":"Allow","Principal":` + root + `,"NotAction":"kms:Encrypt","Resource":"*"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.with(t)
			id := w.createKey().KeyId // what is done to it, the caller may not be able to undo
			document := `{"Version":"2012-10-17","Statement":[` + c.statements + `]}`
			in := &awskms.PutKeyPolicyInput{KeyId: id, Policy: &document}
			if !c.locked {
				w.must("PutKeyPolicy", in)
				return
			}
			w.refused("PutKeyPolicy", in, "MalformedPolicyDocumentException", lockout)
			w.refused("CreateKey", &awskms.CreateKeyInput{Policy: &document}, "MalformedPolicyDocumentException", lockout)
			in.BypassPolicyLockoutSafetyCheck = true
			w.must("PutKeyPolicy", in)
		})
	}
}
