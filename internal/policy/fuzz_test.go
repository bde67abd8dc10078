package policy

import (
	"errors"
	"testing"
)

// FuzzCompile: what compiles can be evaluated and written, whatever it says; what does not has a reason.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		defaultPolicy,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:En?rypt*","*"],"Resource":"arn:aws:kms:*:*:key/${aws:username, 'x'}${*}"}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"a","Service":"s3.amazonaws.com"},"Action":"sts:AssumeRole"}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotPrincipal":{"AWS":["1","*"]},"NotAction":"kms:*","NotResource":"*","Condition":{
			"ForAnyValue:StringLikeIfExists":{"a:b":["${a:b}","*?"]},"IpAddress":{"a:b":["::/0","1.2.3.4"]},"DateLessThan":{"a:b":"2026"},"NumericEquals":{"a:b":5},
			"BinaryEquals":{"a:b":"YQ=="},"ArnLike":{"a:b":"arn:*:*:*:*:*"},"Null":{"a:b":true}}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"denY","Action":"s3.s:a","Resource":["arn:aws","a:b:c","arn:aws:iam:r::x"],"Condition":{"x":{},"Bool":{"a":true}}}}`,
	} {
		f.Add([]byte(text), "2026-01-01", "arn:aws:kms:us-east-1:111122223333:key/1")
	}
	kinds := []Kind{Identity, Resource, Trust, Boundary, Session}
	f.Fuzz(func(t *testing.T, text []byte, value, resource string) {
		if _, err := ParseIdentity(text); err == nil {
			if _, err := Compile(Identity, "put", text, nil); err != nil {
				t.Fatalf("%s can be put and not be used: %v", text, err)
			}
		}
		for _, kind := range kinds {
			p, err := Compile(kind, "fuzzed", text, nil)
			if err != nil {
				if m := (*Malformed)(nil); !errors.As(err, &m) || m.Reason == "" {
					t.Fatalf("not a reason: %v", err)
				}
				continue
			}
			if _, err := Compile(kind, "again", p.Document.JSON(), nil); err != nil {
				t.Fatalf("%s became %s: %v", text, p.Document.JSON(), err)
			}
			who := &Principal{Caller: Caller{Type: TypeUser, ARN: "arn:aws:iam::111122223333:user/alice", Account: "111122223333"}, Identity: []*Policy{p}, Session: []*Policy{p}, Boundary: p}
			r := &Request{Principal: who, Action: "kms:Encrypt", Resource: resource, Account: "111122223333", ResourcePolicy: p, Context: fixedContext{"a:b": {value}, "aws:username": {value, value}}}
			if d := Evaluate(r); d.Reason == "" || d.Message(r, "") == "" || d.String() == "" {
				t.Fatalf("%+v", d)
			}
			KeepsOpen(p, r)
		}
	})
}

// FuzzValues: no text that a client can send stops an operator, and none is both equal and unequal.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "1", "-1e308", "1e999", "2026-02-30", "99999999999999999999", "::1%eth0", "1.2.3.4/33", "arn:::::", "\xff", "YQ", "${", "truE"} {
		f.Add(s, s)
		f.Add(s, "2026-01-01T00:00:00Z")
	}
	f.Fuzz(func(t *testing.T, value, operand string) {
		e := newEvaluation(&Request{Context: fixedContext{"a:b": {value}}})
		for name, o := range operators {
			c := newClause(&Condition{Operator: name, Key: "a:b", Values: []string{operand}}, Identity, true)
			holds := c.holds(&e, Allow)
			c.negated = !c.negated
			if c.holds(&e, Allow) == holds && !o.null {
				t.Errorf("%s of %q and %q is what its negation is", name, value, operand)
			}
		}
	})
}
