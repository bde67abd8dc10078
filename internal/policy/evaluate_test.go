package policy

import (
	"fmt"
	"testing"
)

// TestDefaultKeyPolicy: the account hands its key to IAM, and to nobody else.
func TestDefaultKeyPolicy(t *testing.T) {
	key := mustCompile(t, Resource, defaultPolicy)
	use := mustCompile(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:En*","Resource":"*"}}`)
	alice := &Principal{Caller: Caller{Type: "IAMUser", ARN: "arn:aws:iam::111122223333:user/alice", Account: "111122223333"}}
	r := &Request{Principal: alice, Action: "kms:Encrypt", Resource: "arn:aws:kms:us-east-1:111122223333:key/k", Account: "111122223333", ResourcePolicy: key}
	const denied = "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: kms:Encrypt on resource: " +
		"arn:aws:kms:us-east-1:111122223333:key/k because no identity-based policy allows the kms:Encrypt action"
	if d := Evaluate(r); d.Allowed || d.Message(r, "") != denied {
		t.Errorf("without IAM: %v", d)
	}
	alice.Identity = []*Policy{use}
	if d := Evaluate(r); !d.Allowed || d.By.Kind != Identity || d.Through.Statement != 1 {
		t.Errorf("with IAM: %v", d)
	}
}

// TestTooManyAliases: a key of more than 50 aliases is refused to everything that asks for them (KMS guide,
// "kms:ResourceAliases").
func TestTooManyAliases(t *testing.T) {
	const allow = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/1"}}}}`
	const deny = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/none"}}}]}`
	var aliases []string
	for n := range 52 {
		for document, fine := range map[string]bool{allow: n > 1 && n <= 50, deny: n <= 50} {
			r := &Request{
				Principal: &Principal{Caller: Caller{Type: TypeUser, ARN: "arn:aws:iam::111122223333:user/alice", Account: corpusAccount}, Identity: []*Policy{mustCompile(t, Identity, document)}},
				Action:    "kms:Encrypt", Resource: corpusKey, ResourcePolicy: mustCompile(t, Resource, defaultPolicy), Context: fixedContext{"kms:resourcealiases": aliases},
			}
			if d := Evaluate(r); d.Allowed != fine {
				t.Errorf("%d aliases: %s", n, d)
			}
		}
		aliases = append(aliases, fmt.Sprintf("alias/%d", n))
	}
}

// TestValuesAreNoPatterns: bytes that stand for wildcards in patterns are refused as values of variables.
func TestValuesAreNoPatterns(t *testing.T) {
	p := mustCompile(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:*:*:key/${aws:PrincipalTag/key}"}}`)
	for value, allowed := range map[string]bool{"1": true, anyRun: false, anyOne: false, "*": false, "?": false} {
		who := &Principal{Caller: Caller{Account: corpusAccount}, Identity: []*Policy{p}, Context: map[string][]string{"aws:principaltag/key": {value}}}
		r := &Request{Principal: who, Action: "kms:Encrypt", Resource: "arn:aws:kms:us-east-1:111122223333:key/1"}
		if d := Evaluate(r); d.Allowed != allowed {
			t.Errorf("%q: %s", value, d)
		}
	}
}

// TestNothing: a resource that cannot be seen is refused like one that is not there.
func TestNothing(t *testing.T) {
	carol := &Principal{Caller: Caller{Type: TypeUser, ARN: "arn:aws:iam::444455556666:user/carol", Account: "444455556666"},
		Identity: []*Policy{mustCompile(t, Identity, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)}}
	unseen := &Request{Principal: carol, Action: "kms:Encrypt", Resource: corpusKey, Account: corpusAccount, AcrossAccounts: true, ResourcePolicy: mustCompile(t, Resource, defaultPolicy)}
	absent := *unseen
	absent.ResourcePolicy = Nothing
	if a, b := Evaluate(unseen).Message(unseen, ""), Evaluate(&absent).Message(&absent, ""); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

func mustCompile(t testing.TB, kind Kind, document string) *Policy {
	t.Helper()
	p, err := Compile(kind, string(kind), []byte(document), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
