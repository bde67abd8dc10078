package kms_test

import (
	"strings"
	"testing"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/kms"
	"keyward/internal/policy"
)

func TestExplain(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.keyWith(statement("Allow", `{"AWS":"`+bob.ARN+`"}`, `"kms:Encrypt"`, `{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`),
		statement("Deny", `{"AWS":"`+bob.ARN+`"}`, `"kms:Decrypt"`, ""))
	w.alias("alias/a", k)
	g := w.grant(k, alice.ARN, "GenerateDataKey")
	for name, c := range map[string]struct {
		ask     kms.Explain
		allowed bool
		by      string
		message string
	}{
		"by a statement of the key's": {kms.Explain{Principal: &policy.Principal{Caller: bob}, Action: "kms:Encrypt", Key: *k.KeyId,
			Context: map[string][]string{"aws:SourceIp": {"192.0.2.7"}}}, true, `resource policy "default", statement 2`, ""},
		"from elsewhere": {kms.Explain{Principal: &policy.Principal{Caller: bob}, Action: "kms:Encrypt", Key: "alias/a",
			Context: map[string][]string{"aws:SourceIp": {"198.51.100.7"}}}, false, "identity policy",
			"User: " + bob.ARN + " is not authorized to perform: kms:Encrypt on resource: " + *k.Arn + " because no identity-based policy allows the kms:Encrypt action"},
		"denied": {kms.Explain{Principal: allowed(bob), Action: "kms:Decrypt", Key: *k.Arn}, false, `resource policy "default", statement 3`,
			"User: " + bob.ARN + " is not authorized to perform: kms:Decrypt on resource: " + *k.Arn + " with an explicit deny in a resource-based policy"},
		"by a grant":  {kms.Explain{Principal: &policy.Principal{Caller: alice}, Action: "kms:GenerateDataKey", Key: *k.KeyId}, true, "grant " + *g.GrantId, ""},
		"by identity": {kms.Explain{Principal: allowed(alice), Action: "kms:Sign", Key: *k.KeyId}, true, `identity policy "test", statement 1`, ""},
		"on no key":   {kms.Explain{Principal: allowed(alice), Action: "kms:CreateKey"}, true, `identity policy "test", statement 1`, ""},
		"a stranger": {kms.Explain{Principal: allowed(mallory), Action: "kms:Encrypt", Key: *k.Arn}, false, "resource policy",
			"User: " + mallory.ARN + " is not authorized to perform: kms:Encrypt on this resource" + nothingThere},
	} {
		c.ask.Region = home.Region
		got, err := w.service.Explain(t.Context(), c.ask)
		if err != nil || got.Allowed != c.allowed || got.By.String() != c.by || got.Message != c.message {
			t.Errorf("%s: %v by %s, %q, %v", name, got.Allowed, got.By, got.Message, err)
		}
	}
	for name, c := range map[string]struct {
		ask  kms.Explain
		says string
	}{
		"no action":    {kms.Explain{Action: "kms:ReEncrypt", Key: *k.KeyId}, "kms:ReEncrypt is no action of KMS."},
		"no key":       {kms.Explain{Action: "kms:Encrypt"}, "kms:Encrypt is about a key: name it."},
		"a key":        {kms.Explain{Action: "kms:ListKeys", Key: *k.KeyId}, "kms:ListKeys is not about a key: name none."},
		"no such key":  {kms.Explain{Action: "kms:Encrypt", Key: "alias/b"}, "Alias " + home.Alias("alias/b") + " is not found."},
		"other Region": {kms.Explain{Action: "kms:Encrypt", Key: arn.Scope{Account: home.Account, Region: "eu-west-1"}.Key(*k.KeyId)}, "does not exist"},
	} {
		c.ask.Principal, c.ask.Region = allowed(alice), home.Region
		_, err := w.service.Explain(t.Context(), c.ask)
		if f, ok := fault.As(err); !ok || !strings.Contains(f.Message, c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExplainKnowsDefaults: a call has some condition keys although its request has not the member; so has the question.
func TestExplainKnowsDefaults(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	for action, condition := range map[string]string{
		"Decrypt":             `{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}`,
		"ReEncryptTo":         `{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}`,
		"Sign":                `{"StringEquals":{"kms:MessageType":"RAW"}}`,
		"RevokeGrant":         `{"Bool":{"kms:GrantIsForAWSResource":"false"}}`,
		"CreateKey":           `{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT","kms:KeyOrigin":"AWS_KMS"},"Bool":{"kms:MultiRegion":"false"}}`,
		"EnableKeyRotation":   `{"NumericEquals":{"kms:RotationPeriodInDays":"365"}}`,
		"ScheduleKeyDeletion": `{"NumericEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}}`,
	} {
		who := &policy.Principal{Caller: alice, Identity: []*policy.Policy{identityPolicy(statement("Allow", "", `"kms:`+action+`"`, condition))}}
		ask := kms.Explain{Principal: who, Region: home.Region, Action: "kms:" + action, Key: *k.KeyId}
		if action == "CreateKey" {
			ask.Key = ""
		}
		if got, err := w.service.Explain(t.Context(), ask); err != nil || !got.Allowed {
			t.Errorf("%s: %v, %v", action, got.Decision, err)
		}
	}
}
