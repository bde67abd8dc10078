package kms_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/kms"
	"keyward/internal/policy"
)

const nothingThere = " because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based " +
	"policy explicitly denies access"

func statement(effect, principal, action, condition string) string {
	s := `{"Effect":"` + effect + `",`
	if principal != "" {
		s += `"Principal":` + principal + `,`
	}
	s += `"Action":` + action + `,"Resource":"*"`
	if condition != "" {
		s += `,"Condition":` + condition
	}
	return s + `}`
}

// keyWith makes a key with the default policy's statement and these.
func (w *world) keyWith(statements ...string) *types.KeyMetadata {
	w.Helper()
	all := append([]string{statement("Allow", `{"AWS":"`+arn.Root(home.Account)+`"}`, `"kms:*"`, "")}, statements...)
	return w.keyWithOnly(all...)
}

func (w *world) keyWithOnly(statements ...string) *types.KeyMetadata {
	w.Helper()
	document := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	return do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{
		Policy: &document, BypassPolicyLockoutSafetyCheck: true, Tags: tags("Team", "blue"),
	}).KeyMetadata
}

// TestConditionKeys asks for each condition key whether a statement that tests it lets alice in, and one with another
// value does not.
func TestConditionKeys(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	w.must("TagResource", &awskms.TagResourceInput{KeyId: k.KeyId, Tags: tags("Team", "blue")})
	w.alias("alias/a", k)
	w.alias("alias/b", k)
	blob := w.encrypt(*k.KeyId, "x", map[string]string{"Dept": "IT", "b": "2"})
	encrypt := &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"Dept": "IT", "b": "2"}}
	byAlias := *encrypt
	byAlias.KeyId = aws.String("alias/b")
	grant := &awskms.CreateGrantInput{
		KeyId: k.KeyId, GranteePrincipal: &bob.ARN, RetiringPrincipal: &trent.ARN, Operations: []types.GrantOperation{"Encrypt", "Decrypt"},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"Dept": "IT"}},
	}
	for _, c := range []struct {
		operation string
		in        any
		met, not  string
	}{
		{"Encrypt", encrypt, `{"StringEquals":{"kms:CallerAccount":"111122223333"}}`, `{"StringEquals":{"kms:CallerAccount":"999988887777"}}`},
		{"Encrypt", encrypt, `{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT"}}`, `{"StringEquals":{"kms:KeySpec":"RSA_2048"}}`},
		{"Encrypt", encrypt, `{"StringEquals":{"kms:CustomerMasterKeySpec":"SYMMETRIC_DEFAULT"}}`, `{"StringEquals":{"kms:CustomerMasterKeySpec":"RSA_2048"}}`},
		{"Encrypt", encrypt, `{"StringEquals":{"kms:KeyUsage":"ENCRYPT_DECRYPT"}}`, `{"StringEquals":{"kms:KeyUsage":"SIGN_VERIFY"}}`},
		{"Encrypt", encrypt, `{"StringEquals":{"kms:KeyOrigin":"AWS_KMS"}}`, `{"StringEquals":{"kms:KeyOrigin":"EXTERNAL"}}`},
		{"Encrypt", encrypt, `{"Bool":{"kms:MultiRegion":"false"}}`, `{"Bool":{"kms:MultiRegion":"true"}}`},
		{"Encrypt", encrypt, `{"Null":{"kms:MultiRegionKeyType":"true"}}`, `{"Null":{"kms:MultiRegionKeyType":"false"}}`},
		{"Encrypt", encrypt, `{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}`, `{"StringEquals":{"kms:EncryptionAlgorithm":"X"}}`},
		{"Encrypt", encrypt, `{"StringEquals":{"kms:EncryptionContext:dept":"IT"}}`, `{"StringEquals":{"kms:EncryptionContext:Dept":"it"}}`},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: encrypt.EncryptionContext},
			`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["Dept","b"]}}`, `{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["Dept"]}}`},
		{"DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}, `{"Null":{"kms:EncryptionContextKeys":"true"}}`, `{"Null":{"kms:EncryptionContextKeys":"false"}}`},
		{"Encrypt", encrypt, `{"Null":{"kms:RequestAlias":"true"}}`, `{"StringEquals":{"kms:RequestAlias":"alias/a"}}`},
		{"Encrypt", &byAlias, `{"StringEquals":{"kms:RequestAlias":"alias/b"}}`, `{"StringEquals":{"kms:RequestAlias":"alias/a"}}`},
		{"Encrypt", encrypt, `{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/a"}}`, `{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/c"}}`},
		{"Encrypt", encrypt, `{"StringEquals":{"aws:ResourceTag/team":"blue"}}`, `{"StringEquals":{"aws:ResourceTag/team":"red"}}`},
		{"Encrypt", encrypt, `{"StringEquals":{"aws:ResourceAccount":"111122223333"}}`, `{"StringEquals":{"aws:ResourceAccount":"999988887777"}}`},
		{"Encrypt", encrypt, `{"Null":{"kms:ViaService":"true"}}`, `{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}`},
		{"CreateGrant", grant, `{"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt","Decrypt"]}}`,
			`{"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt"]}}`},
		{"CreateGrant", grant, `{"StringEquals":{"kms:GranteePrincipal":"` + bob.ARN + `"}}`, `{"StringEquals":{"kms:GranteePrincipal":"` + alice.ARN + `"}}`},
		{"CreateGrant", grant, `{"StringEquals":{"kms:RetiringPrincipal":"` + trent.ARN + `"}}`, `{"StringEquals":{"kms:RetiringPrincipal":"` + bob.ARN + `"}}`},
		{"CreateGrant", grant, `{"StringEquals":{"kms:GrantConstraintType":"EncryptionContextSubset"}}`,
			`{"StringEquals":{"kms:GrantConstraintType":"EncryptionContextEquals"}}`},
		{"CreateGrant", grant, `{"StringEquals":{"kms:EncryptionContext:Dept":"IT"}}`, `{"StringEquals":{"kms:EncryptionContext:Dept":"HR"}}`},
		{"CreateGrant", grant, `{"Bool":{"kms:GrantIsForAWSResource":"false"}}`, `{"Bool":{"kms:GrantIsForAWSResource":"true"}}`},
		{"TagResource", &awskms.TagResourceInput{KeyId: k.KeyId, Tags: tags("Cost", "1")}, `{"StringEquals":{"aws:RequestTag/cost":"1"}}`,
			`{"StringEquals":{"aws:RequestTag/cost":"2"}}`},
		{"TagResource", &awskms.TagResourceInput{KeyId: k.KeyId, Tags: tags("Cost", "1")}, `{"ForAllValues:StringEquals":{"aws:TagKeys":["Cost"]}}`,
			`{"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]}}`},
		{"UntagResource", &awskms.UntagResourceInput{KeyId: k.KeyId, TagKeys: []string{"none"}}, `{"ForAnyValue:StringEquals":{"aws:TagKeys":["none"]}}`,
			`{"ForAnyValue:StringEquals":{"aws:TagKeys":["Team"]}}`},
		{"CreateKey", &awskms.CreateKeyInput{}, `{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT","kms:KeyUsage":"ENCRYPT_DECRYPT","kms:KeyOrigin":"AWS_KMS"},"Bool":{"kms:MultiRegion":"false"},"Null":{"kms:BypassPolicyLockoutSafetyCheck":"true"}}`,
			`{"StringEquals":{"kms:KeyOrigin":"AWS_CLOUDHSM"}}`},
		{"CreateKey", &awskms.CreateKeyInput{Tags: tags("Cost", "1")}, `{"StringEquals":{"aws:RequestTag/Cost":"1"}}`, `{"StringEquals":{"aws:RequestTag/Cost":"2"}}`},
		{"PutKeyPolicy", &awskms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: &openPolicy, BypassPolicyLockoutSafetyCheck: true},
			`{"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"true"}}`, `{"Null":{"kms:BypassPolicyLockoutSafetyCheck":"true"}}`},
		{"EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: aws.Int32(100)},
			`{"NumericLessThanEquals":{"kms:RotationPeriodInDays":"100"}}`, `{"NumericLessThan":{"kms:RotationPeriodInDays":"100"}}`},
		{"ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(20)},
			`{"NumericGreaterThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"20"}}`, `{"NumericGreaterThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":"20"}}`},
	} {
		ask := func(condition string) error {
			_, err := w.as(alice, identityPolicy(statement("Allow", "", `"kms:*"`, condition)))(c.operation, c.in)
			return err
		}
		if err := ask(c.not); !fault.Is(err, "AccessDeniedException") {
			t.Errorf("%s with %s: %v", c.operation, c.not, err)
		}
		if err := ask(c.met); err != nil {
			t.Errorf("%s with %s: %v", c.operation, c.met, err)
		}
	}
}

func TestTagsOfANewKeyNeedTagResource(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	create := identityPolicy(statement("Allow", "", `"kms:CreateKey"`, ""))
	if _, err := w.as(alice, create)("CreateKey", &awskms.CreateKeyInput{}); err != nil {
		t.Error(err)
	}
	_, err := w.as(alice, create)("CreateKey", &awskms.CreateKeyInput{Tags: tags("a", "1")})
	w.isFault("CreateKey", err, "AccessDeniedException", "User: "+alice.ARN+
		" is not authorized to perform: kms:TagResource because no identity-based policy allows the kms:TagResource action")
	for resource, enough := range map[string]bool{
		"*": true, "arn:aws:kms:*:" + home.Account + ":key/*": true, home.Key("*"): true, "arn:aws:kms": true,
		home.Key("1*"): false, arn.Scope{Account: home.Account, Region: "eu-west-1"}.Key("*"): false, home.Alias("alias/*"): false,
	} {
		tagging := identityPolicy(`{"Effect":"Allow","Action":"kms:TagResource","Resource":"` + resource + `"}`)
		_, err := w.as(alice, create, tagging)("CreateKey", &awskms.CreateKeyInput{Tags: tags("a", "1")})
		if fault.Is(err, "AccessDeniedException") == enough {
			t.Errorf("on %s: %v", resource, err)
		}
	}
}

// TestTagsThatDifferByCase: a second tag of nearly the same name satisfies no condition and escapes none.
func TestTagsThatDifferByCase(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	request := func(key string) string { return `"aws:RequestTag/` + key + `":"blue"` }
	for name, statements := range map[string][]string{
		"an Allow": {statement("Allow", "", `"kms:TagResource"`, `{"StringEquals":{`+request("team")+`}}`)},
		"a Deny": {statement("Allow", "", `"kms:TagResource"`, ""),
			statement("Deny", "", `"kms:TagResource"`, `{"StringNotEquals":{`+request("Team")+`}}`)},
	} {
		for _, c := range []struct {
			tags []types.Tag
			ok   bool
		}{
			{tags("team", "blue"), true},
			{tags("team", "blue", "Team", "blue"), true},
			{tags("team", "blue", "Team", "red"), false},
			{tags("Team", "red", "team", "blue"), false},
		} {
			_, err := w.as(alice, identityPolicy(strings.Join(statements, ",")))("TagResource", &awskms.TagResourceInput{KeyId: k.KeyId, Tags: c.tags})
			if fault.Is(err, "AccessDeniedException") == c.ok {
				t.Errorf("%s, %d tags: %v", name, len(c.tags), err)
			}
		}
	}
	w.must("TagResource", &awskms.TagResourceInput{KeyId: k.KeyId, Tags: tags("team", "blue", "Team", "red", "ſtatus", "open")})
	for condition, ok := range map[string]bool{
		`{"StringEquals":{"aws:ResourceTag/team":"blue"}}`:           false,
		`{"StringEquals":{"aws:ResourceTag/team":["blue","red"]}}`:   true,
		`{"StringEquals":{"aws:ResourceTag/status":"open"}}`:         false,
		`{"StringEquals":{"aws:ResourceTag/ſTATUS":"open"}}`:         true,
		`{"StringEquals":{"kms:EncryptionContext:team":"blue"}}`:     false,
		`{"StringLike":{"kms:EncryptionContext:TEAM":"*"}}`:          true,
		`{"StringEquals":{"kms:EncryptionContext:status":"closed"}}`: false,
	} {
		_, err := w.as(alice, identityPolicy(statement("Allow", "", `"kms:Encrypt"`, condition)))("Encrypt", &awskms.EncryptInput{
			KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"team": "blue", "Team": "red", "ſtatus": "closed"}})
		if fault.Is(err, "AccessDeniedException") == ok {
			t.Errorf("%s: %v", condition, err)
		}
	}
}

// TestAliasOperationsNeedAliasAndKeys has each of the permissions taken away in turn.
func TestAliasOperationsNeedAliasAndKeys(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	one, two := w.createKey(), w.createKey()
	w.alias("alias/there", one)
	for _, c := range []struct {
		operation string
		in        any
		resources []string
	}{
		{"CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/new"), TargetKeyId: one.KeyId}, []string{*one.Arn, home.Alias("alias/new")}},
		{"UpdateAlias", &awskms.UpdateAliasInput{AliasName: aws.String("alias/there"), TargetKeyId: two.KeyId}, []string{*two.Arn, home.Alias("alias/there"), *one.Arn}},
		{"DeleteAlias", &awskms.DeleteAliasInput{AliasName: aws.String("alias/there")}, []string{*two.Arn, home.Alias("alias/there")}},
	} {
		on := func(resources []string) *policy.Policy {
			return identityPolicy(`{"Effect":"Allow","Action":"kms:` + c.operation + `","Resource":["` + strings.Join(resources, `","`) + `"]}`)
		}
		for i, without := range c.resources {
			_, err := w.as(alice, on(slices.Delete(slices.Clone(c.resources), i, i+1)))(c.operation, c.in)
			w.isFault(c.operation, err, "AccessDeniedException", "User: "+alice.ARN+" is not authorized to perform: kms:"+c.operation+
				" on resource: "+without+" because no identity-based policy allows the kms:"+c.operation+" action")
		}
		if _, err := w.as(alice, on(c.resources))(c.operation, c.in); err != nil {
			t.Errorf("%s: %v", c.operation, err)
		}
	}
}

func TestReEncryptNeedsBothKeys(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	from, to := w.createKey(), w.createKey()
	in := &awskms.ReEncryptInput{CiphertextBlob: w.encrypt(*from.KeyId, "x", nil), DestinationKeyId: to.KeyId}
	allow := func(action string, k *types.KeyMetadata) *policy.Policy {
		return identityPolicy(`{"Effect":"Allow","Action":"kms:` + action + `","Resource":"` + *k.Arn + `"}`)
	}
	_, err := w.as(alice, allow("ReEncryptFrom", to), allow("ReEncryptTo", to))("ReEncrypt", in)
	w.isFault("from", err, "AccessDeniedException", "User: "+alice.ARN+" is not authorized to perform: kms:ReEncryptFrom on the resource "+
		"associated with this ciphertext because no identity-based policy allows the kms:ReEncryptFrom action")
	_, err = w.as(alice, allow("ReEncryptFrom", from), allow("ReEncryptTo", from))("ReEncrypt", in)
	w.isFault("to", err, "AccessDeniedException", "User: "+alice.ARN+" is not authorized to perform: kms:ReEncryptTo on resource: "+*to.Arn+
		" because no identity-based policy allows the kms:ReEncryptTo action")
	if _, err := w.as(alice, allow("ReEncryptFrom", from), allow("ReEncryptTo", to))("ReEncrypt", in); err != nil {
		t.Error(err)
	}
}

// TestAcrossAccounts: a key of another account is used if both sides allow it, and is not there otherwise.
func TestAcrossAccounts(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	theirs := `{"AWS":"arn:aws:iam::999988887777:root"}`
	open := w.keyWith(statement("Allow", theirs, `"kms:*"`, ""))
	closed := w.createKey()
	w.alias("alias/open", open)
	w.alias("alias/closed", closed)
	use := w.as(mallory, everything)
	say := func(action, on string) string {
		return "User: " + mallory.ARN + " is not authorized to perform: kms:" + action + " on " + on + nothingThere
	}
	for name, c := range map[string]struct {
		operation string
		in        any
		denied    string
	}{
		"by ARN":             {operation: "Encrypt", in: &awskms.EncryptInput{KeyId: open.Arn, Plaintext: []byte("x")}},
		"by alias ARN":       {operation: "Encrypt", in: &awskms.EncryptInput{KeyId: aws.String(home.Alias("alias/open")), Plaintext: []byte("x")}},
		"a ciphertext":       {operation: "Decrypt", in: &awskms.DecryptInput{CiphertextBlob: w.encrypt(*open.KeyId, "x", nil)}},
		"not let in":         {"Encrypt", &awskms.EncryptInput{KeyId: closed.Arn, Plaintext: []byte("x")}, say("Encrypt", "this resource")},
		"not let in, alias":  {"Encrypt", &awskms.EncryptInput{KeyId: aws.String(home.Alias("alias/closed")), Plaintext: []byte("x")}, say("Encrypt", "this resource")},
		"no such key":        {"Encrypt", &awskms.EncryptInput{KeyId: aws.String(home.Key("11111111-2222-4333-8444-555555555555")), Plaintext: []byte("x")}, say("Encrypt", "this resource")},
		"no such alias":      {"Encrypt", &awskms.EncryptInput{KeyId: aws.String(home.Alias("alias/none")), Plaintext: []byte("x")}, say("Encrypt", "this resource")},
		"closed ciphertext":  {"Decrypt", &awskms.DecryptInput{CiphertextBlob: w.encrypt(*closed.KeyId, "x", nil)}, say("Decrypt", "the resource associated with this ciphertext")},
		"not across":         {"DisableKey", &awskms.DisableKeyInput{KeyId: open.Arn}, say("DisableKey", "this resource")},
		"policy not across":  {"GetKeyPolicy", &awskms.GetKeyPolicyInput{KeyId: open.Arn}, say("GetKeyPolicy", "this resource")},
		"aliases not across": {"ListAliases", &awskms.ListAliasesInput{KeyId: open.Arn}, say("ListAliases", "this resource")},
		"alias not across":   {"CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/m"), TargetKeyId: open.Arn}, say("CreateAlias", "this resource")},
		"grants":             {operation: "ListGrants", in: &awskms.ListGrantsInput{KeyId: open.Arn}},
		"rotation":           {operation: "GetKeyRotationStatus", in: &awskms.GetKeyRotationStatusInput{KeyId: open.Arn}},
	} {
		_, err := use(c.operation, c.in)
		switch {
		case c.denied != "":
			w.isFault(name, err, "AccessDeniedException", c.denied)
		case err != nil:
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := w.as(mallory)("Encrypt", &awskms.EncryptInput{KeyId: open.Arn, Plaintext: []byte("x")})
	w.isFault("without IAM", err, "AccessDeniedException", "User: "+mallory.ARN+
		" is not authorized to perform: kms:Encrypt on this resource because no identity-based policy allows the kms:Encrypt action")
	w.grant(closed, mallory.ARN, "Encrypt")
	if _, err := w.as(mallory)("Encrypt", &awskms.EncryptInput{KeyId: closed.Arn, Plaintext: []byte("x")}); err != nil {
		t.Errorf("by grant: %v", err)
	}
	// Bare ids and names of aliases stay in the caller's own account.
	_, err = use("Encrypt", &awskms.EncryptInput{KeyId: open.KeyId, Plaintext: []byte("x")})
	w.isFault("bare id", err, "NotFoundException", "Key 'arn:aws:kms:us-east-1:999988887777:key/"+*open.KeyId+"' does not exist")
}

// TestEventDoesNotTellOfAForeignKey: what the caller's own trail says must not say whether the key is there.
func TestEventDoesNotTellOfAForeignKey(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	for _, in := range []*awskms.DecryptInput{
		{CiphertextBlob: w.encrypt(*k.KeyId, "x", nil)}, {CiphertextBlob: w.encrypt(*k.KeyId, "x", nil), KeyId: k.Arn},
	} {
		call := w.callAs(allowed(mallory))
		if _, err := w.invoke(call, "Decrypt", in); !fault.Is(err, "AccessDeniedException") {
			t.Error(err)
		}
		if text, _ := call.Event.AppendJSON(nil); strings.Contains(string(text), *k.KeyId) {
			t.Errorf("%s", text)
		}
	}
}

// TestGrantThroughAGrant: the grantee gives on no more than it has.
func TestGrantThroughAGrant(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	context := map[string]string{"a": "1"}
	w.must("CreateGrant", &awskms.CreateGrantInput{
		KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Operations: []types.GrantOperation{"Encrypt", "CreateGrant"},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: context},
	})
	child := func(operation types.GrantOperation, c *types.GrantConstraints) error {
		_, err := w.as(alice)("CreateGrant", &awskms.CreateGrantInput{
			KeyId: k.KeyId, GranteePrincipal: &bob.ARN, Operations: []types.GrantOperation{operation}, Constraints: c})
		return err
	}
	if err := child("Encrypt", nil); !fault.Is(err, "AccessDeniedException") {
		t.Errorf("without the constraint: %v", err)
	}
	if err := child("Decrypt", &types.GrantConstraints{EncryptionContextEquals: context}); !fault.Is(err, "AccessDeniedException") {
		t.Errorf("another operation: %v", err)
	}
	if err := child("Encrypt", &types.GrantConstraints{EncryptionContextEquals: context}); err != nil {
		t.Error(err)
	}
	encrypt := func(context map[string]string) error {
		_, err := w.as(bob)("Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionContext: context})
		return err
	}
	if err := encrypt(context); err != nil {
		t.Error(err)
	}
	if err := encrypt(map[string]string{"a": "1", "b": "2"}); !fault.Is(err, "AccessDeniedException") {
		t.Error(err)
	}
}

// directory knows principals by name; tests make and remove them.
type directory map[string]string

func (d directory) UniqueID(_ context.Context, name string) (string, bool, error) {
	id, ok := d[name]
	return id, ok, nil
}

func (d directory) Name(_ context.Context, id string) (string, bool, error) {
	for name, known := range d {
		if known == id {
			return name, true, nil
		}
	}
	return "", false, nil
}

// TestPrincipalsAreBound: a user made again under the same name is another one, for policies and grants.
func TestPrincipalsAreBound(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	people := directory{arn.Root(home.Account): home.Account, admin.ARN: admin.PrincipalID, alice.ARN: alice.PrincipalID, bob.ARN: bob.PrincipalID}
	w.directory = people
	w.restart(kms.Limits{})
	k := w.keyWith(statement("Allow", `{"AWS":["`+alice.ARN+`","`+home.Account+`"]}`, `"kms:Decrypt"`, ""))
	w.grant(k, bob.ARN, "Decrypt")
	in := &awskms.DecryptInput{CiphertextBlob: w.encrypt(*k.KeyId, "x", nil)}
	for _, c := range []policy.Caller{alice, bob} {
		if _, err := w.as(c)("Decrypt", in); err != nil {
			t.Errorf("%s: %v", c.ARN, err)
		}
		again := c
		again.PrincipalID = "AIDAANOTHERONE00000"
		if _, err := w.as(again)("Decrypt", in); !fault.Is(err, "AccessDeniedException") {
			t.Errorf("%s, made again: %v", c.ARN, err)
		}
	}
	text := func() string {
		t.Helper()
		return *do[awskms.GetKeyPolicyOutput](w, "GetKeyPolicy", &awskms.GetKeyPolicyInput{KeyId: k.KeyId}).Policy
	}
	listed := func() string {
		t.Helper()
		return *w.grants(&awskms.ListGrantsInput{KeyId: k.KeyId})[0].GranteePrincipal
	}
	if got := text(); !strings.Contains(got, alice.ARN) || listed() != bob.ARN {
		t.Errorf("%s, %s", got, listed())
	}
	renamed := arn.IAM(home.Account, "user/alison")
	delete(people, alice.ARN)
	people[renamed] = alice.PrincipalID
	people[alice.ARN] = "AIDAANOTHERONE00000"
	if got := text(); !strings.Contains(got, `"`+renamed+`"`) || strings.Contains(got, alice.ARN) {
		t.Errorf("renamed, and the name given away: %s", got)
	}
	delete(people, renamed)
	people[alice.ARN], people[bob.ARN] = "AIDAANOTHERONE00001", "AIDAANOTHERONE00002"
	if got := text(); strings.Contains(got, alice.ARN) || !strings.Contains(got, alice.PrincipalID) || listed() != bob.PrincipalID {
		t.Errorf("made again: %s, %s", got, listed())
	}
	const invalid = "Policy contains a statement with one or more invalid principals."
	for _, name := range []string{mallory.ARN, mallory.Account, arn.Root(mallory.Account), "AIDANOBODYNOBODYNOB"} {
		document := `{"Statement":[` + statement("Allow", `"*"`, `"kms:*"`, "") + `,` + statement("Allow", `{"AWS":"`+name+`"}`, `"kms:*"`, "") + `]}`
		w.refused("PutKeyPolicy", &awskms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: &document}, "MalformedPolicyDocumentException", invalid)
		w.refused("CreateKey", &awskms.CreateKeyInput{Policy: &document}, "MalformedPolicyDocumentException", invalid)
	}
	w.refused("CreateGrant", &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &mallory.ARN, Operations: []types.GrantOperation{"Encrypt"}},
		"InvalidArnException", "ARN does not refer to a valid principal: "+mallory.ARN)
}

// TestDamagedPolicyClosesItsKey: a stored policy that cannot be read lets nobody in.
func TestDamagedPolicyClosesItsKey(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	err := w.store.Change(t.Context(), nil, func(tx kms.Tx) error {
		stored, err := tx.Key(home, *k.KeyId)
		if err != nil {
			return err
		}
		stored.Policy = `{"Statement":`
		return tx.UpdateKey(stored)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.restart(kms.Limits{})
	call := w.call("Encrypt")
	if out, err := w.invoke(call, "Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}); err == nil || fault.Is(err, "") {
		t.Errorf("%v, %v", out, err)
	}
}

// brokenAliases fails to list aliases.
type brokenAliases struct{ kms.Store }

func (brokenAliases) Aliases(context.Context, arn.Scope, string, string, int) ([]kms.Alias, error) {
	return nil, errDisk
}

// TestWhatCannotBeReadDecidesNothing: neither way, and the call fails as an internal one.
func TestWhatCannotBeReadDecidesNothing(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	w.store = brokenAliases{w.store}
	w.restart(kms.Limits{})
	deny := identityPolicy(statement("Deny", "", `"kms:*"`, `{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/secret"}}`))
	_, err := w.as(alice, everything, deny)("Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
	if _, isFault := fault.As(err); err == nil || isFault {
		t.Errorf("%v", err)
	}
}

// TestAliasesOfAKeyCountAtOnce: kms:ResourceAliases follows every change of an alias.
func TestAliasesOfAKeyCountAtOnce(t *testing.T) {
	w := newWorld(t, kms.Limits{AliasesPerKey: 60})
	one, two := w.createKey(), w.createKey()
	may := func(k *types.KeyMetadata) bool {
		t.Helper()
		named := identityPolicy(statement("Allow", "", `"kms:DescribeKey"`, `{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/a"}}`))
		_, err := w.as(alice, named)("DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId})
		return err == nil
	}
	reads := func(wantOne, wantTwo bool) {
		t.Helper()
		if may(one) != wantOne || may(two) != wantTwo {
			t.Errorf("%v, %v; want %v, %v", may(one), may(two), wantOne, wantTwo)
		}
	}
	reads(false, false)
	w.alias("alias/a", one)
	reads(true, false)
	w.must("UpdateAlias", &awskms.UpdateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: two.KeyId})
	reads(false, true)
	for i := range 50 {
		w.alias(fmt.Sprint("alias/", i), two)
	}
	reads(false, false) // more than 50
	w.must("DeleteAlias", &awskms.DeleteAliasInput{AliasName: aws.String("alias/0")})
	reads(false, true)
	w.must("DeleteAlias", &awskms.DeleteAliasInput{AliasName: aws.String("alias/a")})
	reads(false, false)
}

// TestSessionsOfARole: a grant or policy for the role means its sessions, one for a session that one alone.
func TestSessionsOfARole(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	const role, roleID = "arn:aws:iam::111122223333:role/ops", "AROAOPSOPSOPSOPSOPS"
	session := func(name string) *policy.Principal {
		return &policy.Principal{RoleARN: role, RoleID: roleID, Caller: policy.Caller{
			Type: "AssumedRole", PrincipalID: roleID + ":" + name, ARN: "arn:aws:sts::111122223333:assumed-role/ops/" + name, Account: home.Account}}
	}
	monday, tuesday := session("monday"), session("tuesday")
	w.directory = directory{role: roleID, monday.ARN: monday.PrincipalID, admin.ARN: admin.PrincipalID, arn.Root(home.Account): home.Account}
	w.restart(kms.Limits{})
	k := w.keyWith(statement("Allow", `{"AWS":"`+monday.ARN+`"}`, `"kms:Sign"`, ""))
	w.grant(k, role, "Encrypt")
	w.grant(k, monday.ARN, "DescribeKey")
	for name, c := range map[string]struct {
		who       *policy.Principal
		operation string
		in        any
		may       bool
	}{
		"the role's":           {tuesday, "Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}, true},
		"one session's":        {monday, "DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}, true},
		"another session's":    {tuesday, "DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}, false},
		"in a policy":          {monday, "Sign", &awskms.SignInput{KeyId: k.KeyId, Message: []byte("x"), SigningAlgorithm: "ECDSA_SHA_256"}, true},
		"in a policy, another": {tuesday, "Sign", &awskms.SignInput{KeyId: k.KeyId, Message: []byte("x"), SigningAlgorithm: "ECDSA_SHA_256"}, false},
	} {
		_, err := w.invoke(w.callAs(c.who), c.operation, c.in)
		if may := !fault.Is(err, "AccessDeniedException"); may != c.may {
			t.Errorf("%s: %v", name, err)
		}
	}
	again := *monday
	again.RoleID, again.PrincipalID = "AROAANOTHERANOTHERA", "AROAANOTHERANOTHERA:monday"
	if _, err := w.invoke(w.callAs(&again), "DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}); !fault.Is(err, "AccessDeniedException") {
		t.Errorf("a session of a role of the same name: %v", err)
	}
}
