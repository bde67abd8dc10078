package identity_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// oldPolicy is of the language's older version, which inline policies may be.
const oldPolicy = `{"Statement":[{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}]}`

// TestRefusalsAsRecorded has the codes and sentences that IAM and STS were recorded to answer.
func TestRefusalsAsRecorded(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	name := aws.String("crew")
	w.role(*name, trusting(account), listKeys)
	own, none := w.managed("own", listKeys), aws.String("arn:aws:iam::"+account+":policy/none")
	noPolicy, noARN := aws.String("arn:aws:iam::"+account+":not_a_policy/x"), aws.String("longpolicynamebutnoarn")
	noProvider := aws.String("arn:aws:iam::" + account + ":oidc-provider/none.example.com")
	attach := func(policy *string) error {
		_, err := admin.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: policy})
		return err
	}
	bound := func(policy *string) error {
		_, err := admin.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: policy})
		return err
	}
	version := func(policy *string, id string) error {
		_, err := admin.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: policy, VersionId: &id})
		return err
	}
	_, unknownKey := admin.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: aws.String("AKIAIOSFODNN7EXAMPLE")})
	_, noDefault := admin.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: none, VersionId: aws.String("v1")})
	_, noBoundary := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: name, PermissionsBoundary: none})
	_, goneProvider := admin.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: noProvider})
	_, thumbprints := admin.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String("https://issuer.example.com"), ThumbprintList: make40(6),
	})
	_, twice := admin.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: own, Tags: []types.Tag{
		{Key: aws.String("a"), Value: name}, {Key: aws.String("a"), Value: name},
	}})
	_, old := admin.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: name, PolicyDocument: aws.String(oldPolicy)})
	_, oldVersion := admin.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: own, PolicyDocument: aws.String(oldPolicy)})
	_, malformed := w.assume(w.admin, aws.String("nothing-valid-in-here"), nil)
	_, noRole := w.assume(w.admin, aws.String("arn:aws:iam::"+account+":user/admin"), nil)
	_, webRole := w.sts(w.admin).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: noProvider, RoleSessionName: name, WebIdentityToken: aws.String("token"),
	})
	for _, c := range []struct {
		what          string
		err           error
		code, message string
	}{
		{"attach no ARN", attach(noARN), "ValidationError", "ARN longpolicynamebutnoarn is not valid."},
		{"attach nothing", attach(none), "NoSuchEntity", "Policy " + *none + " does not exist or is not attachable."},
		{"bound by no policy", bound(noPolicy), "InvalidInput", "ARN " + *noPolicy + " is not valid."},
		{"bound by nothing", bound(none), "NoSuchEntity", "Scope ARN: " + *none + " does not exist or is not attachable."},
		{"made within nothing", noBoundary, "NoSuchEntity", "Scope ARN: " + *none + " does not exist or is not attachable."},
		{"version of nothing", version(none, "v1"), "NoSuchEntity", "Policy " + *none + " version v1 does not exist or is not attachable."},
		{"no such version", version(own, "v9"), "NoSuchEntity", "Policy " + *own + " version v9 does not exist or is not attachable."},
		{"no version", version(own, "1"), "ValidationError", "1 validation error detected: Value at 'versionId' failed to satisfy " +
			`constraint: Member must satisfy regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`},
		{"default of nothing", noDefault, "NoSuchEntity", "Policy " + *none + " version v1 does not exist or is not attachable."},
		{"unknown key", unknownKey, "AccessDenied", "User: arn:aws:iam::" + account + ":user/admin is not authorized to perform " +
			"iam:GetAccessKeyLastUsed on resource: access key AKIAIOSFODNN7EXAMPLE"},
		{"delete no provider", goneProvider, "NoSuchEntity", "OpenId connect Provider " + *noProvider + " cannot be found."},
		{"thumbprints", thumbprints, "InvalidInput", "Thumbprint list must contain fewer than 5 entries."},
		{"a policy's tag twice", twice, "InvalidInput", "Duplicate tag keys found."},
		{"an old policy", old, "MalformedPolicyDocument", "Policy document must be version 2012-10-17 or greater."},
		{"an old version", oldVersion, "MalformedPolicyDocument", "Policy document must be version 2012-10-17 or greater."},
		{"assume no ARN", malformed, "ValidationError", "nothing-valid-in-here is invalid"},
		{"assume a user", noRole, "ValidationError", "Request ARN is invalid"},
		{"assume a provider", webRole, "ValidationError", "Request ARN is invalid"},
	} {
		w.refused(c.what, c.err, c.code, c.message)
	}
}

// make40 makes thumbprints.
func make40(n int) (list []string) {
	for range n {
		list = append(list, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
	}
	return list
}

// TestAnswersAsRecorded has the members that IAM leaves out, and the ones that it sends empty.
func TestAnswersAsRecorded(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	name := aws.String("plain")
	user, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: name})
	w.must(err)
	role, err := admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trusting(account))})
	w.must(err)
	described, err := admin.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: name})
	w.must(err)
	shown, err := admin.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	w.must(err)
	policy, err := admin.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: name, PolicyDocument: aws.String(listKeys)})
	w.must(err)
	looked, err := admin.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: policy.Policy.Arn})
	w.must(err)
	if user.User.Tags != nil || role.Role.Tags != nil || shown.Role.Tags != nil || policy.Policy.Tags != nil || looked.Policy.Tags == nil {
		t.Errorf("tags %v %v %v %v %v", user.User.Tags, role.Role.Tags, shown.Role.Tags, policy.Policy.Tags, looked.Policy.Tags)
	}
	if role.Role.MaxSessionDuration != nil || described.Role.MaxSessionDuration != nil || *shown.Role.MaxSessionDuration != 3600 {
		t.Errorf("longest session %v %v %v", role.Role.MaxSessionDuration, described.Role.MaxSessionDuration, shown.Role.MaxSessionDuration)
	}
}

// tagByTag reads pages of one tag each to the end.
func (w *world) tagByTag(page func(marker *string) ([]types.Tag, *string)) (all string) {
	for tags, marker := page(nil); ; tags, marker = page(marker) {
		all += *tags[0].Key + "=" + *tags[0].Value + " "
		if marker == nil {
			return all
		}
	}
}

// TestTagsOfPoliciesAreToldApartByCase pages through keys that differ by nothing else.
func TestTagsOfPoliciesAreToldApartByCase(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	policy := w.managed("own", listKeys)
	_, err := admin.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: policy, Tags: []types.Tag{
		{Key: aws.String("a"), Value: aws.String("small")}, {Key: aws.String("A"), Value: aws.String("big")},
	}})
	w.must(err)
	list := func() string {
		return w.tagByTag(func(marker *string) ([]types.Tag, *string) {
			p, err := admin.ListPolicyTags(ctx, &iam.ListPolicyTagsInput{PolicyArn: policy, MaxItems: aws.Int32(1), Marker: marker})
			w.must(err)
			return p.Tags, p.Marker
		})
	}
	if got := list(); got != "A=big a=small " {
		t.Errorf("tags %s", got)
	}
	_, err = admin.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: policy, TagKeys: []string{"a"}})
	w.must(err)
	if got := list(); got != "A=big " {
		t.Errorf("tags %s", got)
	}
}

func TestUpdateDateIsThatOfTheNewestVersion(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	policy := w.managed("own", listKeys)
	updated := func() time.Time {
		p, err := admin.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: policy})
		w.must(err)
		return *p.Policy.UpdateDate
	}
	made := updated()
	w.ahead.Store(int64(2 * time.Second))
	_, err := admin.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: policy, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	w.must(err)
	if got := updated(); !got.Equal(made) {
		t.Errorf("a tag moved the date from %v to %v", made, got)
	}
	_, err = admin.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: policy, PolicyDocument: aws.String(denyKeys)})
	w.must(err)
	if got := updated(); got.Sub(made) < time.Second {
		t.Errorf("a version left the date at %v", got)
	}
}

// TestUsersLookAfterTheirOwnKeys is IAM's example of a policy for it.
func TestUsersLookAfterTheirOwnKeys(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*AccessKey*",
		"Resource":"arn:aws:iam::`+account+`:user/${aws:username}"}]}`)
	last := func(id string) error {
		_, err := w.iam(alice).GetAccessKeyLastUsed(t.Context(), &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
		return err
	}
	w.must(last(alice.AccessKeyID))
	if err := last(w.admin.AccessKeyID); code(err) != "AccessDenied" {
		t.Errorf("another's key: %v", err)
	}
}

// TestPoliciesMayAskForAnyKey puts and uses policies of every kind of principal whose condition keys no service has, and lets a
// trust policy ask for those of providers.
func TestPoliciesMayAskForAnyKey(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	const absent = `,"Condition":{"StringNotEquals":{"a":"b"},"Null":{"foo.bar:Baz":"true"},"unknown":{}}`
	allowing := func(action string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3.s:X","` + action + `"],"Resource":"*"` + absent + `}]}`
	}
	managed := w.managed("any", allowing("iam:ListUsers"))
	alice := w.user("alice", allowing("sts:AssumeRole"))
	_, err := admin.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{
		UserName: aws.String("alice"), PermissionsBoundary: w.managed("bound", allowing("sts:*")),
	})
	w.must(err)
	role := w.role("role", trusting("arn:aws:iam::"+account+":root", absent), allowing("iam:ListUsers"))
	_, err = admin.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("role"), PolicyArn: managed})
	w.must(err)
	session, err := w.assume(alice, role, func(in *sts.AssumeRoleInput) { in.Policy = aws.String(allowing("iam:*")) })
	w.must(err)
	_, err = w.iam(session).ListUsers(ctx, nil)
	w.must(err)
	_, err = admin.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("role"), PolicyDocument: aws.String(
		trusting("arn:aws:iam::"+account+":root", `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:a/b:*"}}`))})
	w.must(err)
	if _, err = w.assume(alice, role, nil); code(err) != "AccessDenied" {
		t.Errorf("by a key that the request lacks: %v", err)
	}
}
