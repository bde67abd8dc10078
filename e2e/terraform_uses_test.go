package e2e

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keyward/internal/server"
)

// alias looks through all pages of aliases, as the provider does; nil if the name is not there.
func (p terraform) alias(name string) *types.AliasListEntry {
	p.Helper()
	for pages := kms.NewListAliasesPaginator(p, &kms.ListAliasesInput{}); pages.HasMorePages(); {
		page := must(pages.NextPage(p.Context()))(p.surface)
		if at := slices.IndexFunc(page.Aliases, func(a types.AliasListEntry) bool { return *a.AliasName == name }); at >= 0 {
			p.has(p.members("Aliases", at), "AliasArn", "AliasName", "CreationDate", "LastUpdatedDate", "TargetKeyId")
			return &page.Aliases[at]
		}
	}
	return nil
}

func (p terraform) aliases() {
	first, second, name := p.key(&kms.CreateKeyInput{}), p.key(&kms.CreateKeyInput{}), "alias/terraform/app"
	must(p.CreateAlias(p.Context(), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: aws.String(p.arn(first))}))(p.surface)
	targets := func(id string) {
		p.Helper()
		// The provider makes the target's ARN from the alias's own and the target's id: that must be a bare id.
		a := p.alias(name)
		if a == nil || *a.TargetKeyId != id || *a.AliasArn != "arn:aws:kms:us-east-1:111122223333:"+name {
			p.Errorf("the alias is %+v, want one of %s", a, id)
		}
	}
	targets(first)
	must(p.UpdateAlias(p.Context(), &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &second}))(p.surface)
	targets(second) // and an import by name reads no more

	must(p.DeleteAlias(p.Context(), &kms.DeleteAliasInput{AliasName: &name}))(p.surface)
	if a := p.alias(name); a != nil {
		p.Errorf("after the destroy there is %+v", a)
	}
	_, err := p.DeleteAlias(p.Context(), &kms.DeleteAliasInput{AliasName: &name})
	refused[*types.NotFoundException](p.surface, err, "NotFoundException: Alias arn:aws:kms:us-east-1:111122223333:"+name+" is not found.")
}

func (p terraform) grants() {
	id := p.key(&kms.CreateKeyInput{})
	me := *must(sts.NewFromConfig(p.i.Config()).GetCallerIdentity(p.Context(), &sts.GetCallerIdentityInput{}))(p.surface).Arn
	for _, c := range []struct {
		name    string
		key     string // as the configuration names it
		in      kms.CreateGrantInput
		further []string
		end     func(key, grant string) error
	}{
		{"the least, revoked", id, kms.CreateGrantInput{Operations: []types.GrantOperation{types.GrantOperationDecrypt}}, nil, p.revoke},
		{"everything, retired", p.arn(id), kms.CreateGrantInput{
			Name:              aws.String("app"),
			Operations:        []types.GrantOperation{types.GrantOperationEncrypt, types.GrantOperationDecrypt, types.GrantOperationDescribeKey},
			RetiringPrincipal: &me,
			Constraints:       constraints("EncryptionContextEquals"),
		}, []string{"Constraints", "RetiringPrincipal"}, p.retire},
		{"a subset, revoked", id, kms.CreateGrantInput{
			Operations: []types.GrantOperation{types.GrantOperationGenerateDataKey}, Constraints: constraints("EncryptionContextSubset"),
		}, []string{"Constraints"}, p.revoke},
	} {
		p.Run(c.name, func(t *testing.T) {
			c.in.KeyId, c.in.GranteePrincipal = &c.key, &me
			p.in(t).grantLife(&c.in, c.further, c.end)
		})
	}
}

// constraints is one constraint as the provider sends it: beside the other one, which is empty.
func constraints(kind string) *types.GrantConstraints {
	c := &types.GrantConstraints{EncryptionContextEquals: map[string]string{}, EncryptionContextSubset: map[string]string{}}
	if kind == "EncryptionContextEquals" {
		c.EncryptionContextEquals["app"] = "shop"
	} else {
		c.EncryptionContextSubset["app"] = "shop"
	}
	return c
}

func (p terraform) grantLife(in *kms.CreateGrantInput, further []string, end func(key, grant string) error) {
	made := must(p.CreateGrant(p.Context(), in))(p.surface)
	p.has(p.members(), "GrantId", "GrantToken")
	got := p.grant(*in.KeyId, *made.GrantId, further)
	if got == nil {
		p.Fatal("the grant cannot be found")
	}
	want := types.GrantListEntry{
		Name:             aws.String(aws.ToString(in.Name)), // empty where none was given
		GranteePrincipal: in.GranteePrincipal, RetiringPrincipal: in.RetiringPrincipal, Operations: in.Operations, Constraints: in.Constraints,
	}
	diff := cmp.Diff(want, *got, cmpopts.IgnoreUnexported(types.GrantListEntry{}, types.GrantConstraints{}), cmpopts.EquateEmpty(),
		cmpopts.IgnoreFields(types.GrantListEntry{}, "CreationDate", "GrantId", "IssuingAccount", "KeyId"),
		cmpopts.SortSlices(func(a, b types.GrantOperation) bool { return a < b }))
	if diff != "" {
		p.Errorf("read back (-want +got):\n%s", diff)
	}
	if err := end(*in.KeyId, *made.GrantId); err != nil {
		p.Fatal(err)
	}
	if got := p.grant(*in.KeyId, *made.GrantId, further); got != nil {
		p.Errorf("after the destroy there is %+v", got)
	}
	var missing *types.NotFoundException
	if err := end(*in.KeyId, *made.GrantId); !errors.As(err, &missing) {
		p.Errorf("destroyed again: %v", err)
	}
}

// grant looks through all pages of a key's grants, as the provider does.
func (p terraform) grant(key, id string, further []string) *types.GrantListEntry {
	p.Helper()
	for pages := kms.NewListGrantsPaginator(p, &kms.ListGrantsInput{KeyId: &key, Limit: aws.Int32(100)}); pages.HasMorePages(); {
		page := must(pages.NextPage(p.Context()))(p.surface)
		if at := slices.IndexFunc(page.Grants, func(g types.GrantListEntry) bool { return *g.GrantId == id }); at >= 0 {
			p.has(p.members("Grants", at),
				append(further, "CreationDate", "GrantId", "GranteePrincipal", "IssuingAccount", "KeyId", "Name", "Operations")...)
			if page.Grants[at].Constraints != nil && len(p.members("Grants", at, "Constraints")) != 1 {
				p.Errorf("not one constraint: %s", p.heard.last)
			}
			return &page.Grants[at]
		}
	}
	return nil
}

func (p terraform) revoke(key, grant string) error {
	_, err := p.RevokeGrant(p.Context(), &kms.RevokeGrantInput{KeyId: &key, GrantId: &grant})
	return err
}

func (p terraform) retire(key, grant string) error {
	_, err := p.RetireGrant(p.Context(), &kms.RetireGrantInput{KeyId: &key, GrantId: &grant})
	return err
}

// ciphertexts are made once and kept in Terraform's state; nothing is read or destroyed.
func (p terraform) ciphertexts() {
	id := p.key(&kms.CreateKeyInput{})
	out := must(p.Encrypt(p.Context(), &kms.EncryptInput{
		KeyId: aws.String(p.arn(id)), Plaintext: []byte(`{"password":"hunter2"}`), EncryptionContext: map[string]string{"app": "shop"},
	}))(p.surface)
	p.has(p.members(), "CiphertextBlob", "EncryptionAlgorithm", "KeyId")
	kept := base64.StdEncoding.EncodeToString(out.CiphertextBlob)
	blob, err := base64.StdEncoding.DecodeString(kept)
	if err != nil {
		p.Fatal(err)
	}
	if text, key := p.decrypt(blob, map[string]string{"app": "shop"}); text != `{"password":"hunter2"}` || key != p.arn(id) {
		p.Errorf("%q under %s", text, key)
	}
}

// customKeyStores need a cluster without a store: the example's, once its own store is gone.
func (p terraform) customKeyStores() {
	example := exampleStore(p.T, p.i)
	p.emptied(example)
	anchor, err := os.ReadFile(filepath.Join(p.i.Data, server.ExampleStoreName, server.ExampleCA))
	if err != nil {
		p.Fatal(err)
	}
	name, renamed := aws.String("terraform"), aws.String("terraform-renamed")
	id := *must(p.CreateCustomKeyStore(p.Context(), &kms.CreateCustomKeyStoreInput{
		CloudHsmClusterId: example.CloudHsmClusterId, CustomKeyStoreName: name, KeyStorePassword: aws.String("kmsPswd1"),
		TrustAnchorCertificate: aws.String(string(anchor)),
	}))(p.surface).CustomKeyStoreId
	read := func(name *string) {
		p.Helper()
		out := must(p.DescribeCustomKeyStores(p.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: &id}))(p.surface)
		p.has(p.members("CustomKeyStores", 0), "CloudHsmClusterId", "ConnectionState", "CreationDate", "CustomKeyStoreId",
			"CustomKeyStoreName", "CustomKeyStoreType", "TrustAnchorCertificate")
		// A trust anchor that came back with other white space would have the store destroyed and made anew.
		if s := out.CustomKeyStores[0]; *s.CustomKeyStoreName != *name || *s.CloudHsmClusterId != *example.CloudHsmClusterId ||
			*s.TrustAnchorCertificate != string(anchor) {
			p.Errorf("read back as %+v", s)
		}
	}
	read(name)
	for _, update := range []kms.UpdateCustomKeyStoreInput{{NewCustomKeyStoreName: renamed}, {KeyStorePassword: aws.String("kmsPswd2")}} {
		update.CustomKeyStoreId, update.CloudHsmClusterId = &id, example.CloudHsmClusterId // the provider always names the cluster
		must(p.UpdateCustomKeyStore(p.Context(), &update))(p.surface)
		read(renamed)
	}
	must(p.DeleteCustomKeyStore(p.Context(), &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: &id}))(p.surface)
	_, err = p.DescribeCustomKeyStores(p.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: &id})
	var missing *types.CustomKeyStoreNotFoundException
	if !errors.As(err, &missing) {
		p.Errorf("after the destroy: %v", err)
	}
}

// emptied lets the keys of a store that is to go away reach the end of their waiting period, and deletes the store.
func (p terraform) emptied(store types.CustomKeyStoresListEntry) {
	p.Helper()
	p.advance("31d")
	p.i.Await("the deletion of the store's keys", func() bool {
		return !slices.ContainsFunc(must(p.ListKeys(p.Context(), &kms.ListKeysInput{}))(p.surface).Keys, func(k types.KeyListEntry) bool {
			out, err := p.DescribeKey(p.Context(), &kms.DescribeKeyInput{KeyId: k.KeyId})
			return err == nil && out.KeyMetadata.CustomKeyStoreId != nil
		})
	})
	owner{p.T, p.i, store.CustomKeyStoreId}.disconnect()
	must(p.DeleteCustomKeyStore(p.Context(), &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: store.CustomKeyStoreId}))(p.surface)
}
