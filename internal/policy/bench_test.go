package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// usualRequest is the request of which the budget speaks: a key policy of 20 statements with conditions, of which the
// last one fits, and 10 grants for others.
func usualRequest(t testing.TB) *Request {
	var statements []string
	for i := range 19 {
		statements = append(statements, fmt.Sprintf(`{"Sid":"S%d","Effect":%q,"Principal":{"AWS":"arn:aws:iam::111122223333:role/r%[1]d"},"Action":["kms:Encrypt","kms:GenerateDataKey*"],
			"Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"},"Bool":{"aws:SecureTransport":"true"}}}`, i, []Effect{Allow, Deny}[i%5/4]))
	}
	statements = append(statements, `{"Sid":"Last","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*",
		"Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"},"StringLike":{"kms:EncryptionContext:app":"pay*"}}}`)
	r := &Request{
		Principal: &Principal{
			Caller:   Caller{Type: "IAMUser", ARN: "arn:aws:iam::111122223333:user/alice", Account: "111122223333"},
			Identity: []*Policy{mustCompile(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"arn:aws:kms:*:111122223333:key/*"}}`)},
		},
		Action: "kms:Encrypt", Resource: corpusKey, Account: corpusAccount,
		ResourcePolicy: mustCompile(t, Resource, `{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`),
		Context:        fixedContext{"kms:calleraccount": {"111122223333"}, "kms:encryptioncontext:app": {"payments"}, "aws:securetransport": {"true"}},
	}
	for i := range 10 {
		r.Grants = append(r.Grants, Grant{ID: "g", Grantee: fmt.Sprintf("arn:aws:iam::111122223333:role/r%d", i), Operations: []string{"Encrypt", "Decrypt"},
			EncryptionContextSubset: map[string]string{"app": "payments"}})
	}
	return r
}

func BenchmarkEvaluate(b *testing.B) {
	r := usualRequest(b)
	if d := Evaluate(r); !d.Allowed || d.Through.Sid != "Last" {
		b.Fatal(d)
	}
	b.ReportAllocs()
	for b.Loop() {
		Evaluate(r)
	}
}

// TestEvaluateMakesNothing: the usual decision needs no memory of its own.
func TestEvaluateMakesNothing(t *testing.T) {
	r := usualRequest(t)
	if n := testing.AllocsPerRun(100, func() { Evaluate(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The largest policies that AWS accepts (IAM and KMS quotas).
const (
	keyPolicySize     = 32 << 10
	managedPolicySize = 6144
	managedPolicies   = 10
	inlineSize        = 10240 // of a role, all together
	sessionSize       = 2048
	contextSize       = 8192 // an encryption context as a whole
)

// largestRequest fills all of them with statements that apply but for their condition, which is asked of a value of
// valueSize bytes.
func largestRequest(t testing.TB, values string, valueSize int) *Request {
	p := &Principal{
		Caller:  Caller{Type: "AssumedRole", ARN: "arn:aws:sts::111122223333:assumed-role/app/morning", Account: "111122223333"},
		RoleARN: "arn:aws:iam::111122223333:role/app", RoleID: "AROAIOSFODNN7APPROLE",
	}
	for range managedPolicies {
		p.Identity = append(p.Identity, filled(t, Identity, managedPolicySize, values))
		p.Session = append(p.Session, filled(t, Session, managedPolicySize, values))
	}
	p.Identity = append(p.Identity, filled(t, Identity, inlineSize, values))
	p.Session = append(p.Session, filled(t, Session, sessionSize, values))
	p.Boundary = filled(t, Boundary, managedPolicySize, values)
	r := &Request{
		Principal: p, Action: "kms:Encrypt", Resource: corpusKey, Account: corpusAccount, ResourcePolicy: filled(t, Resource, keyPolicySize, values),
		Context: fixedContext{"kms:encryptioncontext:a": {strings.Repeat("ab", valueSize/2)}}, EncryptionContext: map[string]string{},
	}
	for i := range 8 {
		r.EncryptionContext[fmt.Sprint(i)] = strings.Repeat("x", 40)
	}
	for i := range 50 {
		g := Grant{ID: fmt.Sprint(i), Grantee: p.RoleARN, Operations: []string{"Decrypt", "Encrypt"}, EncryptionContextEquals: map[string]string{}}
		for name, value := range r.EncryptionContext {
			g.EncryptionContextEquals[name] = value[:39] + "y"
		}
		r.Grants = append(r.Grants, g)
	}
	return r
}

// filled makes a policy of at most size bytes: denies and allows by turns, with conditions that look for what is not
// there, and at the end of a resource policy the delegation to IAM.
func filled(t testing.TB, kind Kind, size int, values string) *Policy {
	principal, last := "", ""
	if kind.attached() {
		principal, last = `"Principal":"*",`, `,{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}`
	}
	var text strings.Builder
	text.WriteString(`{"Version":"2012-10-17","Statement":[`)
	for i := 0; ; i++ {
		s := fmt.Sprintf(`{"Effect":%q,%s"Action":"kms:*t","Resource":"arn:*:key/*","Condition":{"StringLike":{"kms:EncryptionContext:a":%s}}}`,
			[]Effect{Deny, Allow}[i%2], principal, values)
		if text.Len()+len(s)+len(last)+3 > size {
			break
		}
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(s)
	}
	text.WriteString(last + `]}`)
	return mustCompile(t, kind, text.String())
}

// Values that the encryption context of largestRequest does not fit.
const (
	manyStatements = `["*bb*","a*c"]`
	manyRuns       = `["*a?b*","*ab?ab*","*b?a*"]`
)

// manyValues is one condition that fills a small policy, with the shortest patterns.
var manyValues = `[` + strings.Repeat(`"*bb*",`, 200) + `"a*c"]`

// largest are the requests that take most. Those that are complete are compared to the end.
var largest = []struct {
	name, values string
	valueSize    int
	complete     bool
}{
	{"many statements", manyStatements, contextSize, true},
	{"many values", manyValues, 256, true}, // as long as a tag's
	{"many values of a long text", manyValues, contextSize, false},
	{"many searches for single characters", manyRuns, contextSize, false},
}

// BenchmarkEvaluateLargest prints how much of the budget of 10 ms the largest legal sets of policies take.
func BenchmarkEvaluateLargest(b *testing.B) {
	for _, l := range largest {
		b.Run(l.name, func(b *testing.B) {
			r := largestRequest(b, l.values, l.valueSize)
			b.ReportAllocs()
			for b.Loop() {
				Evaluate(r)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(10*time.Millisecond), "of-10ms")
		})
	}
}

// TestEvaluateIsBounded: the largest policies are compared to the end, and what costs more than that is refused.
func TestEvaluateIsBounded(t *testing.T) {
	for _, l := range largest {
		t.Run(l.name, func(t *testing.T) {
			r := largestRequest(t, l.values, l.valueSize)
			e := newEvaluation(r)
			e.decide()
			d := Evaluate(r)
			if l.complete && (d.Reason != NoAllow || d.By.Kind != Identity || e.cost > maxCost) {
				t.Errorf("%s, at a cost of %d", d, e.cost)
			}
			if !l.complete && (d.Allowed || d.Reason != TooCostly || e.cost <= maxCost) {
				t.Errorf("%s, at a cost of %d", d, e.cost)
			}
			const says = "because no identity-based policy allows the kms:Encrypt action"
			if m := d.Message(r, ""); l.complete && !strings.HasSuffix(m, says) {
				t.Error(m)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	document := filled(b, Resource, keyPolicySize, manyStatements).Document.JSON()
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(Resource, "key", document, nil); err != nil {
			b.Fatal(err)
		}
	}
}
