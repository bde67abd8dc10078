package policy

import "testing"

func TestKeepsOpen(t *testing.T) {
	alice := Principal{Caller: Caller{Type: TypeUser, ARN: "arn:aws:iam::111122223333:user/alice", Account: "111122223333"}}
	session := Principal{Caller: Caller{Type: TypeAssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/app/s", Account: "111122223333"},
		RoleARN: "arn:aws:iam::111122223333:role/app"}
	const account, put = `{"AWS":"111122223333"}`, `"Action":"kms:PutKeyPolicy","Resource":"*"`
	for _, c := range []struct {
		name, statements string
		who              Principal
		open             bool
	}{
		{"directly", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},` + put + `}`, alice, true},
		{"by the role", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/app"},` + put + `}`, session, true},
		{"by the account, whatever IAM says", `{"Effect":"Allow","Principal":` + account + `,` + put + `}`, alice, true},
		{"by the account, for other actions", `{"Effect":"Allow","Principal":` + account + `,"Action":"kms:Encrypt","Resource":"*"}`, alice, false},
		{"somebody else", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/bob"},` + put + `}`, alice, false},
		{"another account", `{"Effect":"Allow","Principal":{"AWS":"444455556666"},` + put + `}`, alice, false},
		{"directly, from another account", `{"Effect":"Allow","Principal":"*",` + put + `}`, Principal{Caller: Caller{Type: TypeUser, ARN: "arn:aws:iam::444455556666:user/carol", Account: "444455556666"}}, false},
		{"a condition that the request meets", `{"Effect":"Allow","Principal":` + account + `,` + put + `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}}`, alice, true},
		{"a condition that the request does not meet", `{"Effect":"Allow","Principal":` + account + `,` + put + `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, alice, false},
		{"a condition without a key", `{"Effect":"Allow","Principal":` + account + `,` + put + `,"Condition":{"StringEquals":{"kms:ViaService":"x"}}}`, alice, false},
		{"a deny", `{"Effect":"Allow","Principal":` + account + `,` + put + `},{"Effect":"Deny","Principal":"*",` + put + `}`, alice, false},
		{"a deny for somebody else", `{"Effect":"Allow","Principal":` + account + `,` + put + `},{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:user/bob"},` + put + `}`, alice, true},
		{"a conditional deny that does not apply", `{"Effect":"Allow","Principal":` + account + `,` + put + `},{"Effect":"Deny","Principal":"*",` + put + `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, alice, true},
		{"a statement without resource", `{"Effect":"Allow","Principal":"*","Action":"kms:*"}`, alice, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The principal's policies and grants of now have no say in what the policy allows later.
			nothing := mustCompile(t, Boundary, `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
			c.who.Session, c.who.Boundary, c.who.Identity = []*Policy{nothing}, nothing, []*Policy{nothing}
			r := &Request{Principal: &c.who, Action: "kms:CreateKey", Resource: corpusKey, Account: corpusAccount, Context: fixedContext{"aws:securetransport": {"true"}},
				Grants: []Grant{{ID: "g", Grantee: c.who.ARN, Operations: []string{"PutKeyPolicy"}}}}
			p := mustCompile(t, Resource, `{"Version":"2012-10-17","Statement":[`+c.statements+`]}`)
			if got := KeepsOpen(p, r); got != c.open {
				t.Errorf("open: %v", got)
			}
		})
	}
}
