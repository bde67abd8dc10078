package policy

import "testing"

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

func mustCompile(t testing.TB, kind Kind, document string) *Policy {
	t.Helper()
	p, err := Compile(kind, string(kind), []byte(document), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
