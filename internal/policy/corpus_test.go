package policy

import (
	"fmt"
	"strings"
	"testing"
)

// What the corpus is about unless it says otherwise.
const (
	corpusAccount = "111122223333"
	corpusKey     = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

func TestCorpusCases(t *testing.T) {
	for _, k := range readCorpus(t).cases {
		t.Run(k.where+" "+k.title, func(t *testing.T) {
			d := Evaluate(&k.request)
			if got := describe(d); got != k.want {
				t.Errorf("got  %s\nwant %s", got, k.want)
			}
			message := d.Message(&k.request, k.on)
			if !d.Allowed && (k.says == "" || !strings.HasSuffix(" "+message, " "+k.says)) {
				t.Errorf("says %s\nwant … %s", message, k.says)
			}
		})
	}
}

// describe writes a decision as the corpus does.
func describe(d Decision) string {
	source := func(s Source) string {
		kind := string(s.Kind)
		if s.Kind == Resource {
			kind = "key"
		}
		if s.Grant != "" {
			return "grant " + s.Grant
		}
		return fmt.Sprintf("%s %s %d", kind, s.Policy, s.Statement)
	}
	var text string
	switch d.Reason {
	case ByStatement, ByGrant:
		text = "allow by " + source(d.By)
	case ByRoot:
		text = "allow by root"
	case ExplicitDeny:
		text = "deny by " + source(d.By)
	case NoAllow:
		text = strings.Replace("deny for want of "+string(d.By.Kind), "resource", "key", 1)
	case NotAcross:
		text = "deny across accounts"
	}
	if d.Through != (Source{}) {
		text += " through " + source(d.Through)
	}
	return text
}

// TestCorpusConditions puts each condition into a statement that allows and into one that denies.
func TestCorpusConditions(t *testing.T) {
	c := readCorpus(t)
	for _, table := range c.tables {
		t.Run(table.where, func(t *testing.T) {
			for _, row := range table.rows {
				table.check(t, c.principals[table.as], row)
			}
		})
	}
}

func (table *corpusTable) check(t *testing.T, who *Principal, row corpusRow) {
	t.Helper()
	for _, effect := range []Effect{Allow, Deny} {
		got, message := table.decide(t, who, row, effect)
		var want, says string
		switch kind := words[table.kind]; {
		case effect == Allow && row.holds:
			want = "statement 2"
		case effect == Allow:
			says = "because no " + kind.no + " allows the kms:Encrypt action"
		case row.holds:
			want, says = "deny by statement 2", "with an explicit deny in "+kind.in
		default:
			want = "statement 1"
		}
		if says == "" && (!got.Allowed || !strings.HasSuffix(want, fmt.Sprint(got.By.Statement))) {
			t.Errorf("%s, %s: %s", effect, row.text, got)
		}
		if says != "" && (got.Allowed || !strings.HasSuffix(message, " "+says) || want != "" && got.By.Statement != 2) {
			t.Errorf("%s, %s: %s; %s", effect, row.text, got, message)
		}
	}
}

// decide evaluates kms:Encrypt with a statement that applies to everything but is of use only to a conditional Deny,
// followed by the conditional one.
func (table *corpusTable) decide(t *testing.T, who *Principal, row corpusRow, effect Effect) (Decision, string) {
	t.Helper()
	principal := ""
	if table.kind.attached() {
		principal = `"Principal":"*",`
	}
	first := "kms:*"
	if effect == Allow {
		first = "kms:Decrypt"
	}
	const form = `{"Version":%[1]q,"Statement":[{"Effect":"Allow",%[2]s"Action":%[3]q,"Resource":"*"},` +
		`{"Effect":%[4]q,%[2]s"Action":"kms:Encrypt","Resource":"*","Condition":%[5]s}]}`
	p := *who
	policy := mustCompile(t, table.kind, fmt.Sprintf(form, table.version, principal, first, effect, table.condition))
	r := &Request{Principal: &p, Action: "kms:Encrypt", Resource: corpusKey, Account: corpusAccount, Context: row.context}
	switch table.kind {
	case Resource:
		r.ResourcePolicy = policy
	case Identity:
		p.Identity, r.ResourcePolicy = []*Policy{policy}, mustCompile(t, Resource, defaultPolicy)
	default:
		t.Fatalf("no table is %s", table.kind)
	}
	d := Evaluate(r)
	return d, d.Message(r, "")
}
