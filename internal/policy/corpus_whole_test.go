package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// conditionKeys are those of KMS and the global ones that keyward promises to know, in lower case; a last part of * is
// the caller's choice.
var conditionKeys = strings.Fields(`
	kms:bypasspolicylockoutsafetycheck kms:calleraccount kms:customermasterkeyspec kms:customermasterkeyusage kms:datakeypairspec
	kms:encryptionalgorithm kms:encryptioncontext:* kms:encryptioncontextkeys kms:expirationmodel kms:validto kms:grantconstrainttype
	kms:grantisforawsresource kms:grantoperations kms:granteeprincipal kms:retiringprincipal kms:keyagreementalgorithm kms:keyorigin
	kms:keyspec kms:keyusage kms:macalgorithm kms:messagetype kms:multiregion kms:multiregionkeytype kms:primaryregion
	kms:reencryptonsamekey kms:recipientattestation:imagesha384 kms:recipientattestation:pcr1 kms:replicaregion kms:requestalias
	kms:resourcealiases kms:rotationperiodindays kms:schedulekeydeletionpendingwindowindays kms:signingalgorithm kms:viaservice
	kms:wrappingalgorithm kms:wrappingkeyspec
	aws:principalarn aws:principalaccount aws:principalorgid aws:principaltag/* aws:principaltype aws:userid aws:username aws:sourceip
	aws:sourcevpc aws:sourcevpce aws:vpcsourceip aws:securetransport aws:currenttime aws:epochtime aws:requestedregion aws:requesttag/*
	aws:tagkeys aws:resourcetag/* aws:resourceaccount aws:calledvia aws:calledviafirst aws:calledvialast aws:viaawsservice aws:sourcearn
	aws:sourceaccount aws:multifactorauthpresent aws:multifactorauthage aws:useragent aws:tokenissuetime aws:federatedprovider
	aws:principalisawsservice aws:principalservicename`)

// TestCorpusIsWhole fails when a part of the policy language loses its cases.
func TestCorpusIsWhole(t *testing.T) {
	c := readCorpus(t)
	missing := wanted()
	rows := 0
	for _, table := range c.tables {
		rows += len(table.rows)
		for _, condition := range table.conditions(t) {
			for _, row := range table.rows {
				for _, what := range seen(&condition, row) {
					delete(missing, what)
				}
			}
		}
	}
	for _, k := range c.cases {
		d := Evaluate(&k.request)
		for _, what := range seenIn(d, &k.request) {
			delete(missing, what)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("the corpus has nothing of: %s", what)
	}
	if total := rows + len(c.cases); total < 400 || len(c.cases) < 150 {
		t.Errorf("%d cases, %d of them whole requests", total, len(c.cases))
	}
}

// wanted is everything that there must be a case of.
func wanted() map[string]bool {
	all := map[string]bool{}
	for name, o := range operators {
		for _, form := range []string{name, "ForAllValues:" + name, "ForAnyValue:" + name} {
			all[form+" holds"], all[form+" fails"], all[form+" absent"] = true, true, true
			if form != name {
				all[form+" several"] = true
			}
			if !o.null {
				all[form+"IfExists holds"], all[form+"IfExists fails"], all[form+"IfExists absent"] = true, true, true
			}
		}
	}
	for _, key := range conditionKeys {
		all[key+" holds"], all[key+" fails"] = true, true
	}
	for _, r := range []Reason{ByStatement, ByGrant, ByRoot, ExplicitDeny, NoAllow, NotAcross} {
		all[string(r)] = true
	}
	for kind := range words {
		all[string(kind)+" denies explicitly"], all[string(kind)+" does not allow"] = true, true
	}
	for _, what := range []string{"another account is allowed", "another account is denied", "through a grant", "through a statement"} {
		all[what] = true
	}
	return all
}

func (table *corpusTable) conditions(t *testing.T) (all []Condition) {
	t.Helper()
	var blocks map[string]map[string]json.RawMessage
	if err := json.Unmarshal([]byte(table.condition), &blocks); err != nil {
		t.Fatalf("%s: %v", table.where, err)
	}
	for name, keys := range blocks {
		if len(keys) == 0 {
			continue // shows nothing of the operator
		}
		c, err := splitOperator(name)
		if err != nil {
			t.Fatalf("%s: %v", table.where, err)
		}
		for key := range keys {
			c.Key = strings.ToLower(key)
			all = append(all, c)
		}
	}
	return all
}

// seen is what a row shows of a condition.
func seen(c *Condition, row corpusRow) (all []string) {
	outcome := " fails"
	if row.holds {
		outcome = " holds"
	}
	key := c.Key
	for _, open := range []string{"kms:encryptioncontext:", "aws:principaltag/", "aws:requesttag/", "aws:resourcetag/"} {
		if strings.HasPrefix(key, open) {
			key = open + "*"
		}
	}
	all = append(all, c.operatorName()+outcome, key+outcome)
	switch values, present := row.context[c.Key]; {
	case !present:
		all = append(all, c.operatorName()+" absent")
	case len(values) > 1:
		all = append(all, c.operatorName()+" several")
	}
	return all
}

// seenIn is what a decision shows.
func seenIn(d Decision, r *Request) []string {
	all := []string{string(d.Reason)}
	switch d.Reason {
	case ExplicitDeny:
		all = append(all, string(d.By.Kind)+" denies explicitly")
	case NoAllow:
		all = append(all, string(d.By.Kind)+" does not allow")
	}
	if d.Foreign {
		all = append(all, map[bool]string{true: "another account is allowed", false: "another account is denied"}[d.Allowed])
	}
	if d.Through.Grant != "" {
		all = append(all, "through a grant")
	} else if d.Through.Statement != 0 {
		all = append(all, "through a statement")
	}
	return all
}
