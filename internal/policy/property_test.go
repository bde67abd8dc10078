package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Words that collide often enough for statements to apply.
var (
	someActions   = []string{"kms:Encrypt", "kms:Decrypt", "kms:RetireGrant", "kms:PutKeyPolicy"}
	somePatterns  = append([]string{"*", "kms:*", "kms:*crypt", "KMS:En?rypt", "s3:*"}, someActions...)
	someResources = []string{"*", corpusKey, "arn:aws:kms:*:*:key/*", "arn:aws:kms:us-east-1:111122223333:alias/${aws:username}", "arn:aws:s3:::b"}
	someKeys      = []string{"aws:username", "aws:TagKeys", "kms:ResourceAliases", "test:A", "aws:CurrentTime", "aws:SourceIp"}
	someValues    = []string{"", "a", "b", "true", "5", "2026-01-01", "10.0.0.1", "10.0.0.0/8", "*", "${aws:username}", "${test:A, 'a'}", "arn:aws:iam::111122223333:role/*"}
	somePeople    = []string{"*", "111122223333", "444455556666", "arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:role/app", "AIDAIOSFODNN7ALICE01", "AROAIOSFODNN7APPROLE"}
	someOperators = operatorNames()
)

// operatorNames lists the operators in an order that is the same in every run.
func operatorNames() (names []string) {
	for name := range operators {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func some(t *rapid.T, from []string, label string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(from), 1, 3).Draw(t, label)
}

func drawStatement(t *rapid.T, kind Kind, effect Effect) Statement {
	s := Statement{Effect: effect, Actions: some(t, somePatterns, "actions"), NotAction: rapid.Bool().Draw(t, "notAction"),
		Resources: some(t, someResources, "resources"), NotResource: rapid.Bool().Draw(t, "notResource")}
	if kind.attached() {
		s.Principals.AWS = some(t, somePeople, "principals")
		s.NotPrincipal = effect == Deny && rapid.Bool().Draw(t, "notPrincipal")
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(someOperators), 0, 2, rapid.ID).Draw(t, "operators") {
		s.Conditions = append(s.Conditions, Condition{
			Quantifier: rapid.SampledFrom([]Quantifier{Single, ForAllValues, ForAnyValue}).Draw(t, "quantifier"), Operator: name,
			IfExists: name != "Null" && rapid.Bool().Draw(t, "ifExists"),
			Key:      rapid.SampledFrom(someKeys).Draw(t, "key"), Values: some(t, someValues, "values"),
		})
	}
	return s
}

func drawDocument(t *rapid.T, kind Kind) *Document {
	d := &Document{Version: rapid.SampledFrom([]string{Version2008, Version2012}).Draw(t, "version")}
	for range rapid.IntRange(1, 4).Draw(t, "statements") {
		d.Statements = append(d.Statements, drawStatement(t, kind, rapid.SampledFrom([]Effect{Allow, Allow, Deny}).Draw(t, "effect")))
	}
	return d
}

// policySet is documents that are compiled anew after a change.
type policySet struct {
	kinds     []Kind
	documents []*Document
}

func drawPolicies(t *rapid.T) *policySet {
	s := &policySet{kinds: []Kind{Resource, Identity, Identity}}
	for _, k := range []Kind{Boundary, Session} {
		if rapid.Bool().Draw(t, "has "+string(k)) {
			s.kinds = append(s.kinds, k)
		}
	}
	for _, k := range s.kinds {
		s.documents = append(s.documents, drawDocument(t, k))
	}
	return s
}

// request asks r of the policies.
func (s *policySet) request(t *rapid.T, r Request, p Principal) *Request {
	for i, d := range s.documents {
		if len(d.Statements) == 0 {
			continue
		}
		policy, err := Compile(s.kinds[i], fmt.Sprint(i), d.JSON(), nil)
		if err != nil {
			t.Fatalf("%s: %v", d.JSON(), err)
		}
		switch s.kinds[i] {
		case Resource:
			r.ResourcePolicy = policy
		case Identity:
			p.Identity = append(p.Identity, policy)
		case Boundary:
			p.Boundary = policy
		case Session:
			p.Session = append(p.Session, policy)
		}
	}
	if r.ResourcePolicy == nil {
		r.ResourcePolicy = Nothing
	}
	if p.Boundary == nil && slices.Contains(s.kinds, Boundary) {
		p.Boundary = &Policy{Kind: Boundary}
	}
	if p.Session == nil && slices.Contains(s.kinds, Session) {
		p.Session = []*Policy{}
	}
	r.Principal = &p
	return &r
}

func drawRequest(t *rapid.T) (Request, Principal) {
	context := fixedContext{}
	for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom(someKeys), rapid.ID).Draw(t, "keys") {
		context[strings.ToLower(key)] = rapid.SliceOfN(rapid.SampledFrom(someValues), 0, 3).Draw(t, key)
	}
	r := Request{
		Action: rapid.SampledFrom(someActions).Draw(t, "action"), Resource: rapid.SampledFrom([]string{corpusKey, "*"}).Draw(t, "resource"),
		Account: rapid.SampledFrom([]string{"111122223333", "444455556666", ""}).Draw(t, "account"), AcrossAccounts: rapid.Bool().Draw(t, "across"), Context: context,
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "grants") {
		r.Grants = append(r.Grants, Grant{ID: fmt.Sprint(i), Grantee: rapid.SampledFrom(somePeople[1:]).Draw(t, "grantee"), Operations: []string{"Encrypt", "RetireGrant"}})
	}
	p := rapid.SampledFrom([]Principal{
		{Caller: Caller{Type: TypeUser, ARN: "arn:aws:iam::111122223333:user/alice", PrincipalID: "AIDAIOSFODNN7ALICE01", Account: "111122223333"}},
		{Caller: Caller{Type: TypeAssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/app/s", Account: "111122223333"},
			RoleARN: "arn:aws:iam::111122223333:role/app", RoleID: "AROAIOSFODNN7APPROLE"},
		{Caller: Caller{Type: TypeRoot, ARN: "arn:aws:iam::111122223333:root", Account: "111122223333"}},
		{Caller: Caller{Type: TypeService, ARN: "s3.amazonaws.com"}},
		{},
	}).Draw(t, "principal")
	return r, p
}

// TestAddingADenyNeverAllows holds for any statement that denies, put anywhere.
func TestAddingADenyNeverAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawPolicies(t)
		r, p := drawRequest(t)
		before := Evaluate(s.request(t, r, p))
		i := rapid.IntRange(0, len(s.documents)-1).Draw(t, "into")
		d := s.documents[i]
		at := rapid.IntRange(0, len(d.Statements)).Draw(t, "at")
		d.Statements = slices.Insert(slices.Clone(d.Statements), at, drawStatement(t, s.kinds[i], Deny))
		if after := Evaluate(s.request(t, r, p)); after.Allowed && !before.Allowed {
			t.Fatalf("%s became %s by %s", before, after, d.JSON())
		}
	})
}

// TestRemovingAnAllowNeverAllows holds for statements that allow, and for grants.
func TestRemovingAnAllowNeverAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawPolicies(t)
		r, p := drawRequest(t)
		before := Evaluate(s.request(t, r, p))
		if len(r.Grants) > 0 && rapid.Bool().Draw(t, "a grant") {
			r.Grants = r.Grants[1:]
		} else {
			d := s.documents[rapid.IntRange(0, len(s.documents)-1).Draw(t, "from")]
			at := slices.IndexFunc(d.Statements, func(s Statement) bool { return s.Effect == Allow })
			if at < 0 {
				t.Skip("nothing to remove")
			}
			d.Statements = slices.Delete(slices.Clone(d.Statements), at, at+1)
		}
		if after := Evaluate(s.request(t, r, p)); after.Allowed && !before.Allowed {
			t.Fatalf("%s became %s", before, after)
		}
	})
}

// TestEvaluateIsTotal: every request is decided, with a reason and a message that can be told.
func TestEvaluateIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawPolicies(t)
		drawn, p := drawRequest(t)
		r := s.request(t, drawn, p)
		if rapid.Bool().Draw(t, "without context") {
			r.Context = nil
		}
		if rapid.IntRange(0, 9).Draw(t, "without principal") == 0 {
			r.Principal = nil
		}
		d := Evaluate(r)
		decided := d.By.Grant != "" || d.By.Statement != 0 || d.Reason == ByRoot
		if d.Reason == "" || d.Allowed && !decided {
			t.Fatalf("%+v", d)
		}
		if m := d.Message(r, ""); !d.Allowed && (strings.Contains(m, "%!") || strings.Contains(m, "no  ") || strings.HasSuffix(m, "in ")) {
			t.Fatalf("%s: %s", d, m)
		}
		if d != Evaluate(r) {
			t.Fatal("decided otherwise the second time")
		}
	})
}
