package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"

	"keyward/internal/keywardtest"
)

// terraform calls KMS as Terraform's AWS provider does (version 6, internal/service/kms): the same calls with the same
// members, in its order. Where the provider polls until AWS has settled, keyward must have settled at once: every first
// read is compared with the configuration, as a plan does, and what AWS leaves out must be left out on the wire.
type terraform struct{ surface }

// TestTerraform creates, reads, updates, imports and destroys each resource of the provider.
func TestTerraform(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--dev"}})
	heard := &overhearing{}
	p := terraform{surface{t, kms.NewFromConfig(i.Config(), func(o *kms.Options) { o.HTTPClient = heard }), i, heard}}
	for _, resource := range []struct {
		name string
		life func(terraform)
	}{
		{"aws_kms_key", terraform.keys},
		{"aws_kms_external_key", terraform.externalKeys},
		{"aws_kms_replica_key", terraform.replicaKeys},
		{"aws_kms_key_policy", terraform.keyPolicies},
		{"aws_kms_alias", terraform.aliases},
		{"aws_kms_grant", terraform.grants},
		{"aws_kms_ciphertext", terraform.ciphertexts},
		{"aws_kms_custom_key_store", terraform.customKeyStores}, // last: it moves the clock
	} {
		t.Run(resource.name, func(t *testing.T) { resource.life(p.in(t)) })
	}
}

func (p terraform) in(t *testing.T) terraform { p.T = t; return p }

// inRegion is a provider that is configured for another Region.
func (p terraform) inRegion(name string) terraform {
	p.Client = kms.NewFromConfig(p.i.Config(), func(o *kms.Options) { o.Region, o.HTTPClient = name, p.heard })
	return p
}

// members lists the members of the object in the last answer that path leads to; a number steps into a list.
func (p terraform) members(path ...any) []string {
	p.Helper()
	var at any
	if err := json.Unmarshal(p.heard.last, &at); err != nil {
		p.Fatal(err)
	}
	for _, step := range path {
		switch step := step.(type) {
		case string:
			at = at.(map[string]any)[step]
		case int:
			at = at.([]any)[step]
		}
	}
	return slices.Sorted(maps.Keys(at.(map[string]any)))
}

// has compares the members of an object on the wire with those that it must have, no fewer and no more.
func (p terraform) has(got []string, want ...string) {
	p.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		p.Errorf("members (-want +got):\n%s", diff)
	}
}

// keyConfig is what a configuration says of a key, whatever its resource.
type keyConfig struct {
	Description string
	Enabled     bool
	Policy      string // normalised JSON; empty in a configuration: KMS's default
	Tags        map[string]string
	Rotation    bool
	Period      int32 // of rotation, in days; zero where rotation is off
	Window      int32 // of deletion, in days; not read back
}

// creation adds to a request what all kinds of keys take from the configuration.
func (c keyConfig) creation(in *kms.CreateKeyInput) *kms.CreateKeyInput {
	if c.Description != "" {
		in.Description = &c.Description
	}
	if c.Policy != "" {
		in.Policy = &c.Policy
	}
	in.Tags = tagList(c.Tags)
	return in
}

func tagList(tags map[string]string) (list []types.Tag) {
	for key, value := range tags {
		list = append(list, types.Tag{TagKey: &key, TagValue: &value})
	}
	return list
}

// read is the provider's refresh of a key: four calls, the one about rotation for keys that KMS made the material of.
func (p terraform) read(id string) (*types.KeyMetadata, keyConfig) {
	p.Helper()
	ctx := p.Context()
	m := must(p.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id}))(p.surface).KeyMetadata
	c := keyConfig{Description: aws.ToString(m.Description), Enabled: m.Enabled, Policy: p.policyOf(id)}
	if m.Origin == types.OriginTypeAwsKms {
		rotation := must(p.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &id}))(p.surface)
		c.Rotation, c.Period = rotation.KeyRotationEnabled, aws.ToInt32(rotation.RotationPeriodInDays)
	}
	c.Tags = p.tagsOf(id)
	return m, c
}

func (p terraform) policyOf(id string) string {
	p.Helper()
	out := must(p.GetKeyPolicy(p.Context(), &kms.GetKeyPolicyInput{KeyId: &id, PolicyName: aws.String("default")}))(p.surface)
	return normalised(p.T, *out.Policy)
}

func (p terraform) tagsOf(id string) map[string]string {
	p.Helper()
	var tags map[string]string
	for pages := kms.NewListResourceTagsPaginator(p, &kms.ListResourceTagsInput{KeyId: &id}); pages.HasMorePages(); {
		for _, tag := range must(pages.NextPage(p.Context()))(p.surface).Tags {
			if tags == nil {
				tags = map[string]string{}
			}
			tags[*tag.TagKey] = *tag.TagValue
		}
	}
	return tags
}

// normalised is a policy as the provider sends and compares it: members in order, no white space.
func normalised(t *testing.T, policy string) string {
	t.Helper()
	var document any
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		t.Fatalf("policy %q: %v", policy, err)
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// defaultPolicy is what a key has whose configuration names no policy.
const defaultPolicy = `{"Id":"key-default-1","Statement":[{"Action":"kms:*","Effect":"Allow",` +
	`"Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Resource":"*","Sid":"Enable IAM User Permissions"}],"Version":"2012-10-17"}`

// converged refreshes a key and compares it with its configuration: a difference would be a plan that never ends.
func (p terraform) converged(id string, want keyConfig) *types.KeyMetadata {
	p.Helper()
	m, got := p.read(id)
	if want.Policy == "" {
		want.Policy = defaultPolicy
	}
	want.Window = 0
	if diff := cmp.Diff(want, got); diff != "" {
		p.Errorf("after %s is applied (-want +got):\n%s", id, diff)
	}
	return m
}

// update changes a key from one configuration to another: tags first, then enabling, whatever needs an enabled key, and
// disabling last.
func (p terraform) update(id string, from, to keyConfig) *types.KeyMetadata {
	p.Helper()
	p.retag(id, from.Tags, to.Tags)
	if to.Enabled && !from.Enabled {
		p.enable(id, true)
	}
	if to.Rotation != from.Rotation || to.Rotation && to.Period != from.Period {
		p.rotate(id, to)
	}
	if to.Description != from.Description {
		must(p.UpdateKeyDescription(p.Context(), &kms.UpdateKeyDescriptionInput{KeyId: &id, Description: &to.Description}))(p.surface)
	}
	if to.Policy != from.Policy {
		p.putPolicy(id, to.Policy)
	}
	if from.Enabled && !to.Enabled {
		p.enable(id, false)
	}
	return p.converged(id, to)
}

func (p terraform) retag(id string, from, to map[string]string) {
	p.Helper()
	var removed []string
	updated := map[string]string{}
	for key := range from {
		if _, kept := to[key]; !kept {
			removed = append(removed, key)
		}
	}
	for key, value := range to {
		if old, there := from[key]; !there || old != value {
			updated[key] = value
		}
	}
	if len(removed) > 0 {
		must(p.UntagResource(p.Context(), &kms.UntagResourceInput{KeyId: &id, TagKeys: removed}))(p.surface)
	}
	if len(updated) > 0 {
		must(p.TagResource(p.Context(), &kms.TagResourceInput{KeyId: &id, Tags: tagList(updated)}))(p.surface)
	}
}

func (p terraform) enable(id string, on bool) {
	p.Helper()
	if on {
		must(p.EnableKey(p.Context(), &kms.EnableKeyInput{KeyId: &id}))(p.surface)
	} else {
		must(p.DisableKey(p.Context(), &kms.DisableKeyInput{KeyId: &id}))(p.surface)
	}
	if m := must(p.DescribeKey(p.Context(), &kms.DescribeKeyInput{KeyId: &id}))(p.surface).KeyMetadata; m.Enabled != on {
		p.Errorf("enabled is %v", m.Enabled)
	}
}

func (p terraform) rotate(id string, to keyConfig) {
	p.Helper()
	if !to.Rotation {
		must(p.DisableKeyRotation(p.Context(), &kms.DisableKeyRotationInput{KeyId: &id}))(p.surface)
		return
	}
	in := &kms.EnableKeyRotationInput{KeyId: &id}
	if to.Period > 0 {
		in.RotationPeriodInDays = &to.Period
	}
	must(p.EnableKeyRotation(p.Context(), in))(p.surface)
}

func (p terraform) putPolicy(id, policy string) {
	p.Helper()
	must(p.PutKeyPolicy(p.Context(), &kms.PutKeyPolicyInput{KeyId: &id, Policy: &policy, PolicyName: aws.String("default")}))(p.surface)
	if got := p.policyOf(id); got != policy {
		p.Errorf("the policy is %s, want %s", got, policy)
	}
}

// destroy schedules a key's deletion and waits until the provider takes it for gone. A second destroy, of a provider that
// was interrupted, must be told so in words that the provider knows.
func (p terraform) destroy(id string, window int32) {
	p.Helper()
	in := &kms.ScheduleKeyDeletionInput{KeyId: &id}
	if window > 0 {
		in.PendingWindowInDays = &window
	}
	must(p.ScheduleKeyDeletion(p.Context(), in))(p.surface)
	m := must(p.DescribeKey(p.Context(), &kms.DescribeKeyInput{KeyId: &id}))(p.surface).KeyMetadata
	if m.KeyState != types.KeyStatePendingDeletion && m.KeyState != types.KeyStatePendingReplicaDeletion {
		p.Errorf("after the destroy the key is %s", m.KeyState)
	}
	_, err := p.ScheduleKeyDeletion(p.Context(), in)
	refused[*types.KMSInvalidStateException](p.surface, err, "KMSInvalidStateException: "+*m.Arn+" is pending deletion.")
}
