package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"keyward/internal/keywardtest"
)

// overhearing is an SDK's HTTP client that remembers the last answer as it was on the wire: the SDK hides the
// difference between a member that is false or empty and one that is not there, and other clients do not.
type overhearing struct {
	last []byte
}

func (o *overhearing) Do(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	o.last, err = io.ReadAll(resp.Body)
	if closed := resp.Body.Close(); err == nil {
		err = closed
	}
	resp.Body = io.NopCloser(bytes.NewReader(o.last))
	return resp, err
}

// surface is the KMS API of one installation, as one client uses it.
type surface struct {
	*testing.T
	*kms.Client
	i     *keywardtest.Installation
	heard *overhearing
}

func (s surface) in(t *testing.T) surface { s.T = t; return s }

// must unpacks the answer of a call that has to succeed.
func must[Out any](out *Out, err error) func(surface) *Out {
	return func(s surface) *Out {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
		return out
	}
}

func (s surface) key(in *kms.CreateKeyInput) string {
	s.Helper()
	return *must(s.CreateKey(s.Context(), in))(s).KeyMetadata.KeyId
}

func (s surface) arn(id string) string { return "arn:aws:kms:us-east-1:111122223333:key/" + id }

func (s surface) encrypt(key, text string, context map[string]string) []byte {
	s.Helper()
	return must(s.Encrypt(s.Context(), &kms.EncryptInput{KeyId: &key, Plaintext: []byte(text), EncryptionContext: context}))(s).CiphertextBlob
}

func (s surface) decrypt(blob []byte, context map[string]string) (text, key string) {
	s.Helper()
	out := must(s.Decrypt(s.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context}))(s)
	return string(out.Plaintext), *out.KeyId
}

// said compares the last answer's body.
func (s surface) said(want string) {
	s.Helper()
	if diff := cmp.Diff(want, string(s.heard.last)); diff != "" {
		s.Errorf("on the wire (-want +got):\n%s", diff)
	}
}

// TestKMSSurface uses all of KMS that is served through the AWS SDK, in one installation.
func TestKMSSurface(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Race: true, Args: []string{"--dev"}})
	heard := &overhearing{}
	s := surface{t, kms.NewFromConfig(i.Config(), func(o *kms.Options) { o.HTTPClient = heard }), i, heard}
	for _, part := range []struct {
		name string
		run  func(surface)
	}{
		{"shapes", surface.shapes},
		{"refusals", surface.refusals},
		{"paging", surface.paging},
		{"re-encryption", surface.reEncryption},
		{"data keys and random bytes", surface.dataKeys},
		{"aliases, tags and policies", surface.names},
		{"Regions", surface.regions},
		{"two clients", surface.twoClients},
		{"deletion when due", surface.deletion}, // last: it moves the clock
	} {
		t.Run(part.name, func(t *testing.T) { part.run(s.in(t)) })
	}
}

func (s surface) shapes() {
	must(s.ListKeys(s.Context(), &kms.ListKeysInput{}))(s)
	s.said(`{"Keys":[],"Truncated":false}`)
	must(s.ListAliases(s.Context(), &kms.ListAliasesInput{}))(s)
	s.said(`{"Aliases":[],"Truncated":false}`)

	id := s.key(&kms.CreateKeyInput{})
	must(s.ListKeys(s.Context(), &kms.ListKeysInput{}))(s)
	s.said(`{"Keys":[{"KeyArn":"` + s.arn(id) + `","KeyId":"` + id + `"}],"Truncated":false}`)
	must(s.DisableKey(s.Context(), &kms.DisableKeyInput{KeyId: &id}))(s)
	s.said("")
	m := must(s.DescribeKey(s.Context(), &kms.DescribeKeyInput{KeyId: &id}))(s).KeyMetadata
	s.said(fmt.Sprintf(`{"KeyMetadata":{"KeyId":"%s","AWSAccountId":"111122223333","Arn":"%s","CreationDate":%s,`+
		`"CurrentKeyMaterialId":"%s","CustomerMasterKeySpec":"SYMMETRIC_DEFAULT","Description":"","Enabled":false,`+
		`"EncryptionAlgorithms":["SYMMETRIC_DEFAULT"],"KeyManager":"CUSTOMER","KeySpec":"SYMMETRIC_DEFAULT","KeyState":"Disabled",`+
		`"KeyUsage":"ENCRYPT_DECRYPT","MultiRegion":false,"Origin":"AWS_KMS"}}`,
		id, s.arn(id), strconv.FormatFloat(float64(m.CreationDate.UnixMilli())/1000, 'f', -1, 64), *m.CurrentKeyMaterialId))
	must(s.EnableKey(s.Context(), &kms.EnableKeyInput{KeyId: &id}))(s)
	must(s.ListResourceTags(s.Context(), &kms.ListResourceTagsInput{KeyId: &id}))(s)
	s.said(`{"Tags":[],"Truncated":false}`)
	must(s.ListKeyPolicies(s.Context(), &kms.ListKeyPoliciesInput{KeyId: &id}))(s)
	s.said(`{"PolicyNames":["default"],"Truncated":false}`)
	must(s.ScheduleKeyDeletion(s.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &id}))(s)
	must(s.CancelKeyDeletion(s.Context(), &kms.CancelKeyDeletionInput{KeyId: &id}))(s)
	s.said(`{"KeyId":"` + s.arn(id) + `"}`)
	must(s.EnableKey(s.Context(), &kms.EnableKeyInput{KeyId: &id}))(s)
	must(s.UpdateKeyDescription(s.Context(), &kms.UpdateKeyDescriptionInput{KeyId: &id, Description: aws.String("<é>")}))(s)
	s.said("")
	if got := must(s.DescribeKey(s.Context(), &kms.DescribeKeyInput{KeyId: aws.String(s.arn(id))}))(s).KeyMetadata; *got.Description != "<é>" || !got.Enabled {
		s.Errorf("%+v", got)
	}
}

// refused checks an exception's type in the SDK and, after its name, its sentence.
func refused[E error](s surface, err error, want string) {
	s.Helper()
	var e E
	if !errors.As(err, &e) || e.Error() != want {
		s.Errorf("got %v\nwant %T %s", err, e, want)
	}
}

// closed holds an error against the one for a ciphertext whose key is not there, or not here.
func (s surface) closed(err error) {
	s.Helper()
	refused[smithy.APIError](s, err, "api error AccessDeniedException: User: arn:aws:iam::111122223333:user/admin is not authorized to "+
		"perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist in this Region, no "+
		"resource-based policies allow access, or a resource-based policy explicitly denies access")
}

func (s surface) refusals() {
	id, absent, ctx := s.key(&kms.CreateKeyInput{}), "1234abcd-12ab-34cd-56ef-1234567890ab", s.Context()
	try := func(_ any, err error) error { return err }
	refused[*types.NotFoundException](s, try(s.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &absent})),
		"NotFoundException: Key '"+s.arn(absent)+"' does not exist")
	refused[*types.NotFoundException](s, try(s.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String("alias/none"), Plaintext: []byte("x")})),
		"NotFoundException: Alias arn:aws:kms:us-east-1:111122223333:alias/none is not found.")
	refused[*types.InvalidArnException](s, try(s.DisableKey(ctx, &kms.DisableKeyInput{KeyId: aws.String("alias/none")})),
		"InvalidArnException: Key Aliases are not supported for this operation.")
	refused[*types.InvalidMarkerException](s, try(s.ListKeys(ctx, &kms.ListKeysInput{Marker: aws.String("x")})),
		"InvalidMarkerException: The request was rejected because the marker that specifies where pagination should next begin is not valid.")
	refused[*types.TagException](s, try(s.TagResource(ctx, &kms.TagResourceInput{KeyId: &id, Tags: []types.Tag{{TagKey: aws.String("aws:a"), TagValue: aws.String("")}}})),
		"TagException: Tags beginning with aws: are reserved")
	refused[*types.UnsupportedOperationException](s, try(s.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: types.KeySpecSm2, KeyUsage: types.KeyUsageTypeSignVerify})),
		"UnsupportedOperationException: KeySpec SM2 is not supported in this Region")
	refused[*types.MalformedPolicyDocumentException](s, try(s.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &id, Policy: aws.String("{")})),
		"MalformedPolicyDocumentException: This policy contains invalid Json")
	refused[*types.CustomKeyStoreNotFoundException](s, try(s.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1), CustomKeyStoreId: aws.String("cks-12345678901234567")})),
		"CustomKeyStoreNotFoundException: The request was rejected because KMS cannot find a custom key store with the specified key store name or ID: cks-12345678901234567.")
	refused[*types.InvalidGrantTokenException](s, try(s.Encrypt(ctx, &kms.EncryptInput{KeyId: &id, Plaintext: []byte("x"), GrantTokens: []string{"x"}})),
		"InvalidGrantTokenException: The request was rejected because the specified grant token is not valid.")
	refused[*types.DryRunOperationException](s, try(s.Encrypt(ctx, &kms.EncryptInput{KeyId: &id, Plaintext: []byte("x"), DryRun: aws.Bool(true)})),
		"DryRunOperationException: The request would have succeeded, but the DryRun option is set.")

	blob, other := s.encrypt(id, "x", map[string]string{"a": "b"}), s.key(&kms.CreateKeyInput{})
	refused[*types.InvalidCiphertextException](s, try(s.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})), "InvalidCiphertextException: ")
	s.said(`{"__type":"InvalidCiphertextException"}`)
	refused[*types.IncorrectKeyException](s, try(s.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob, KeyId: &other})),
		"IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation.")
	must(s.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &id}))(s)
	refused[*types.DisabledException](s, try(s.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})), "DisabledException: "+s.arn(id)+" is disabled.")
	must(s.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &id}))(s)
	refused[*types.KMSInvalidStateException](s, try(s.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &id, NumberOfBytes: aws.Int32(1)})),
		"KMSInvalidStateException: "+s.arn(id)+" is pending deletion.")
}

func (s surface) paging() {
	ctx, limit := s.Context(), aws.Int32(2)
	id := s.key(&kms.CreateKeyInput{Tags: []types.Tag{{TagKey: aws.String("0"), TagValue: aws.String("v")}}})
	var wantTags, wantAliases, tags, aliases, keys, policies, stores []string
	for n := range 5 {
		name := fmt.Sprint("alias/page-", n)
		wantAliases = append(wantAliases, name)
		must(s.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &id}))(s)
		wantTags = append(wantTags, fmt.Sprint(n))
		must(s.TagResource(ctx, &kms.TagResourceInput{KeyId: &id, Tags: []types.Tag{{TagKey: &wantTags[n], TagValue: aws.String("v")}}}))(s)
	}
	for p := kms.NewListKeysPaginator(s, &kms.ListKeysInput{Limit: limit}); p.HasMorePages(); {
		for _, k := range must(p.NextPage(ctx))(s).Keys {
			keys = append(keys, *k.KeyId)
		}
	}
	for p := kms.NewListAliasesPaginator(s, &kms.ListAliasesInput{KeyId: &id, Limit: limit}); p.HasMorePages(); {
		for _, a := range must(p.NextPage(ctx))(s).Aliases {
			aliases = append(aliases, *a.AliasName)
		}
	}
	for p := kms.NewListResourceTagsPaginator(s, &kms.ListResourceTagsInput{KeyId: &id, Limit: limit}); p.HasMorePages(); {
		for _, t := range must(p.NextPage(ctx))(s).Tags {
			tags = append(tags, *t.TagKey)
		}
	}
	for p := kms.NewListKeyPoliciesPaginator(s, &kms.ListKeyPoliciesInput{KeyId: &id, Limit: aws.Int32(1)}); p.HasMorePages(); {
		policies = append(policies, must(p.NextPage(ctx))(s).PolicyNames...)
	}
	for p := kms.NewDescribeCustomKeyStoresPaginator(s, &kms.DescribeCustomKeyStoresInput{Limit: aws.Int32(1)}); p.HasMorePages(); {
		for _, c := range must(p.NextPage(ctx))(s).CustomKeyStores {
			stores = append(stores, *c.CustomKeyStoreName)
		}
	}
	var all []string
	for _, k := range must(s.ListKeys(ctx, &kms.ListKeysInput{}))(s).Keys {
		all = append(all, *k.KeyId)
	}
	got, want := [][]string{keys, aliases, tags, policies, stores}, [][]string{all, wantAliases, wantTags, {"default"}, {"ExampleKeyStore"}}
	if diff := cmp.Diff(want, got); diff != "" || !slices.Contains(all, id) {
		s.Errorf("pages do not add up (-want +got):\n%s", diff)
	}
}

func (s surface) storeKey() string {
	return s.key(&kms.CreateKeyInput{Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: exampleStore(s.T, s.i).CustomKeyStoreId})
}

func (s surface) reEncryption() {
	plain, inStore := s.key(&kms.CreateKeyInput{}), s.storeKey()
	for _, c := range []struct{ from, to string }{{plain, inStore}, {inStore, plain}, {plain, plain}, {inStore, inStore}} {
		before, after := map[string]string{"stage": "1"}, map[string]string{"stage": "2"}
		out := must(s.ReEncrypt(s.Context(), &kms.ReEncryptInput{
			CiphertextBlob: s.encrypt(c.from, "carried over", before), SourceEncryptionContext: before,
			DestinationKeyId: &c.to, DestinationEncryptionContext: after,
		}))(s)
		if *out.SourceKeyId != s.arn(c.from) || *out.KeyId != s.arn(c.to) ||
			(out.SourceKeyMaterialId != nil) != (c.from == plain) || (out.DestinationKeyMaterialId != nil) != (c.to == plain) {
			s.Errorf("%s", s.heard.last)
		}
		if text, key := s.decrypt(out.CiphertextBlob, after); text != "carried over" || key != s.arn(c.to) {
			s.Errorf("%q under %s", text, key)
		}
	}
}

func (s surface) dataKeys() {
	context := map[string]string{"purpose": "test"}
	for _, id := range []string{s.key(&kms.CreateKeyInput{}), s.storeKey()} {
		open := must(s.GenerateDataKey(s.Context(), &kms.GenerateDataKeyInput{KeyId: &id, KeySpec: types.DataKeySpecAes256, EncryptionContext: context}))(s)
		if text, _ := s.decrypt(open.CiphertextBlob, context); len(text) != 32 || text != string(open.Plaintext) {
			s.Errorf("a data key of %d bytes that does not decrypt", len(text))
		}
		closed := must(s.GenerateDataKeyWithoutPlaintext(s.Context(), &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &id, NumberOfBytes: aws.Int32(17)}))(s)
		if text, key := s.decrypt(closed.CiphertextBlob, nil); len(text) != 17 || key != s.arn(id) || bytes.Contains(s.heard.last, []byte(`"Plaintext":""`)) {
			s.Errorf("a data key of %d bytes under %s", len(text), key)
		}
	}
	for _, store := range []*string{nil, exampleStore(s.T, s.i).CustomKeyStoreId} {
		draw := func() []byte {
			return must(s.GenerateRandom(s.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1024), CustomKeyStoreId: store}))(s).Plaintext
		}
		if a, b := draw(), draw(); len(a) != 1024 || bytes.Equal(a, b) {
			s.Errorf("%d bytes, twice the same: %v", len(a), bytes.Equal(a, b))
		}
	}
}

func (s surface) names() {
	ctx, first, second, alias := s.Context(), s.key(&kms.CreateKeyInput{}), s.storeKey(), aws.String("alias/moving")
	must(s.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: alias, TargetKeyId: &first}))(s)
	_, err := s.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: alias, TargetKeyId: &second})
	refused[*types.AlreadyExistsException](s, err, "AlreadyExistsException: An alias with the name arn:aws:kms:us-east-1:111122223333:alias/moving already exists")
	old := s.encrypt("alias/moving", "old", nil)
	must(s.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: alias, TargetKeyId: aws.String(s.arn(second))}))(s)
	for blob, want := range map[string]string{string(old): first, string(s.encrypt(*alias, "new", nil)): second} {
		if _, key := s.decrypt([]byte(blob), nil); key != s.arn(want) {
			s.Errorf("decrypted with %s, want %s", key, want)
		}
	}
	must(s.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: alias}))(s)
	_, err = s.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: alias})
	refused[*types.NotFoundException](s, err, "NotFoundException: Alias arn:aws:kms:us-east-1:111122223333:alias/moving is not found.")

	must(s.TagResource(ctx, &kms.TagResourceInput{KeyId: &second, Tags: []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("")}}}))(s)
	must(s.UntagResource(ctx, &kms.UntagResourceInput{KeyId: &second, TagKeys: []string{"k", "never there"}}))(s)
	must(s.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: &second}))(s)
	s.said(`{"Tags":[],"Truncated":false}`)

	policy := "{ \"Statement\": [ {\"Sid\": \"one\",\n\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::111122223333:root\"},\"Action\":\"kms:*\",\"Resource\":\"*\"} ] }"
	must(s.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &second, Policy: &policy}))(s)
	if out := must(s.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &second}))(s); *out.Policy != policy || *out.PolicyName != "default" {
		s.Errorf("a policy comes back as %s", *out.Policy)
	}
	full := policy + strings.Repeat(" ", 32768-len(policy))
	must(s.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &second, Policy: &full}))(s)
	_, err = s.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &second, Policy: aws.String(full + " ")})
	refused[*types.LimitExceededException](s, err, "LimitExceededException: The key policy has 32769 bytes, more than the limit of 32768.")
}

func (s surface) regions() {
	ctx, here := s.Context(), s.key(&kms.CreateKeyInput{})
	abroad := s
	abroad.Client = kms.NewFromConfig(s.i.Config(), func(o *kms.Options) { o.Region, o.HTTPClient = "eu-central-1", s.heard })
	there := abroad.key(&kms.CreateKeyInput{})
	must(abroad.ListKeys(ctx, &kms.ListKeysInput{}))(s)
	s.said(`{"Keys":[{"KeyArn":"arn:aws:kms:eu-central-1:111122223333:key/` + there + `","KeyId":"` + there + `"}],"Truncated":false}`)
	_, err := abroad.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &here})
	refused[*types.NotFoundException](s, err, "NotFoundException: Key 'arn:aws:kms:eu-central-1:111122223333:key/"+here+"' does not exist")
	_, err = abroad.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(s.arn(here))})
	refused[*types.NotFoundException](s, err, "NotFoundException: Invalid arn us-east-1")
	_, err = abroad.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: s.encrypt(here, "x", nil)})
	s.closed(err)
	must(abroad.DescribeCustomKeyStores(ctx, &kms.DescribeCustomKeyStoresInput{}))(s)
	s.said(`{"CustomKeyStores":[],"Truncated":false}`)
}

// twoClients change the same keys and aliases at once; both see what either was told had succeeded.
func (s surface) twoClients() {
	a, b := s.i.KMS(), s.i.KMS()
	shared := s.key(&kms.CreateKeyInput{})
	var both sync.WaitGroup
	for n, own := range []*kms.Client{a, b} {
		both.Go(func() {
			for turn := range 10 {
				name := fmt.Sprintf("alias/client-%d-%d", n, turn)
				if err := s.oneTurn(own, []*kms.Client{b, a}[n], shared, name); err != nil {
					s.Error(err)
				}
			}
		})
	}
	both.Wait()
	if tags := must(a.ListResourceTags(s.Context(), &kms.ListResourceTagsInput{KeyId: &shared}))(s).Tags; len(tags) != 20 {
		s.Errorf("%d tags of 20 on the shared key", len(tags))
	}
}

// oneTurn changes things with one client and looks at them with the other.
func (s surface) oneTurn(own, other *kms.Client, shared, name string) error {
	ctx := s.Context()
	made, err := own.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		return err
	}
	key := made.KeyMetadata.KeyId
	if _, err := own.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: key}); err != nil {
		return err
	}
	tag := types.Tag{TagKey: &name, TagValue: key}
	if _, err := own.TagResource(ctx, &kms.TagResourceInput{KeyId: &shared, Tags: []types.Tag{tag}}); err != nil {
		return err
	}
	if err := roundTrip(ctx, other, name, []byte(name)); err != nil {
		return fmt.Errorf("%s is not there for the other client: %w", name, err)
	}
	if _, err := own.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key}); err != nil {
		return err
	}
	var disabled *types.DisabledException
	if err := roundTrip(ctx, other, name, []byte(name)); !errors.As(err, &disabled) {
		return fmt.Errorf("%s was disabled, and the other client gets %v", name, err)
	}
	return nil
}

// deletion lets a waiting period pass: key, alias and material are gone, in the default store and in the HSMs.
func (s surface) deletion() {
	ctx := s.Context()
	doomed, inStore, kept := s.key(&kms.CreateKeyInput{}), s.storeKey(), s.storeKey()
	blobs := map[string][]byte{doomed: s.encrypt(doomed, "x", nil), inStore: s.encrypt(inStore, "x", nil)}
	for id := range blobs {
		must(s.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/of-" + id), TargetKeyId: &id}))(s)
		must(s.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &id}))(s)
	}
	s.advance("29d")
	for id := range blobs {
		if m := must(s.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/of-" + id)}))(s).KeyMetadata; m.KeyState != types.KeyStatePendingDeletion {
			s.Errorf("%s is %s before its time", id, m.KeyState)
		}
	}
	s.advance("31d")
	for id, blob := range blobs {
		s.gone(ctx, id, blob)
	}
	if _, key := s.decrypt(s.encrypt(kept, "x", nil), nil); key != s.arn(kept) {
		s.Error("a key that was not scheduled for deletion suffered")
	}
	if listed := s.keysInHSMs(inStore, kept); listed != `{"error_code": 0,"data": {"matched_keys": [],"total_key_count": 0,"returned_key_count": 0}}` {
		s.Errorf("the HSMs still list the key's material: %s", listed)
	}
}

func (s surface) gone(ctx context.Context, id string, blob []byte) {
	s.Helper()
	var missing *types.NotFoundException
	s.i.Await("the deletion of "+id, func() bool {
		_, err := s.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
		return errors.As(err, &missing)
	})
	_, err := s.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/of-" + id)})
	refused[*types.NotFoundException](s, err, "NotFoundException: Alias arn:aws:kms:us-east-1:111122223333:alias/of-"+id+" is not found.")
	_, err = s.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})
	s.closed(err)
	_, err = s.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &id})
	refused[*types.NotFoundException](s, err, "NotFoundException: Key '"+s.arn(id)+"' does not exist")
}

func (s surface) advance(by string) {
	s.Helper()
	if out, err := exec.Command(s.i.Binary, "clock", "advance", by, "--data", s.i.Data).CombinedOutput(); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
}

// keysInHSMs logs in as kmsuser, as the guide has it, and lists the HSM keys of the gone KMS key. That the list of
// another key is not empty shows that the search finds what is there.
func (s surface) keysInHSMs(gone, kept string) string {
	s.Helper()
	o, owner := newOperator(s.T, s.i), owner{s.T, s.i, exampleStore(s.T, s.i).CustomKeyStoreId}
	owner.disconnect()
	sh := o.open()
	defer sh.quit()
	sh.want(adminIn, "login --username admin --role admin", o.admin)
	sh.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", "tempPassword1", "tempPassword1")
	sh.want(kmsuserIs, "login --username kmsuser --role crypto-user", "tempPassword1")
	find := func(id string) string { return sh.run(`key list --filter attr.label="` + s.arn(id) + `"`) }
	if found := find(kept); !strings.Contains(found, `"total_key_count": 1`) {
		s.Errorf("the search finds nothing: %s", found)
	}
	return find(gone)
}
