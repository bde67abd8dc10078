package identity_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const (
	listKeys = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}]}`
	denyKeys = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:*","Resource":"*"}]}`
)

// user makes a user with an access key and, unless empty, an inline policy.
func (w *world) user(name, document string) aws.Credentials {
	w.Helper()
	admin := w.iam(w.admin)
	if _, err := admin.CreateUser(w.Context(), &iam.CreateUserInput{UserName: &name}); err != nil {
		w.Fatal(err)
	}
	if document != "" {
		w.put(name, document)
	}
	return w.key(name)
}

func (w *world) key(name string) aws.Credentials {
	w.Helper()
	out, err := w.iam(w.admin).CreateAccessKey(w.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		w.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: *out.AccessKey.AccessKeyId, SecretAccessKey: *out.AccessKey.SecretAccessKey}
}

// put gives a user its one inline policy.
func (w *world) put(name, document string) {
	w.Helper()
	_, err := w.iam(w.admin).PutUserPolicy(w.Context(), &iam.PutUserPolicyInput{
		UserName: &name, PolicyName: aws.String("inline"), PolicyDocument: &document,
	})
	if err != nil {
		w.Fatal(err)
	}
}

// managed makes a managed policy.
func (w *world) managed(name, document string) *string {
	w.Helper()
	out, err := w.iam(w.admin).CreatePolicy(w.Context(), &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document})
	if err != nil {
		w.Fatal(err)
	}
	return out.Policy.Arn
}

// must fails the test on any of the errors.
func (w *world) must(errs ...error) {
	w.Helper()
	for _, err := range errs {
		if err != nil {
			w.Fatal(err)
		}
	}
}

// refused asks for a code and a message.
func (w *world) refused(what string, err error, wantCode, wantMessage string) {
	w.Helper()
	if code(err) != wantCode || message(err) != wantMessage {
		w.Errorf("%s: got %q %q\nwant %q %q", what, code(err), message(err), wantCode, wantMessage)
	}
}

func TestEffectOfEveryChangeAtOnce(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	alice := w.user("alice", "")
	name, group := aws.String("alice"), aws.String("team")
	expect := func(step, want string) {
		t.Helper()
		if got := w.listKeys(alice); got != want {
			t.Errorf("%s: %q", step, got)
		}
	}
	const denied = "AccessDeniedException"
	expect("without policies", denied)
	w.put("alice", listKeys)
	expect("with an inline policy", "")
	_, err := admin.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: name, PolicyName: aws.String("inline")})
	w.must(err)
	expect("without it", denied)

	own := w.managed("own", denyKeys)
	_, err = admin.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: own})
	w.must(err)
	v2, err := admin.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: own, PolicyDocument: aws.String(listKeys)})
	w.must(err)
	expect("with the first version of a managed policy", denied)
	_, err = admin.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: own, VersionId: v2.PolicyVersion.VersionId})
	w.must(err)
	expect("with the second", "")
	_, err = admin.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: own})
	w.must(err)
	expect("detached", denied)

	_, err = admin.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: group})
	w.must(err)
	_, err = admin.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: group, PolicyArn: own})
	w.must(err)
	_, err = admin.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: group, UserName: name})
	w.must(err)
	expect("in a group", "")
	_, err = admin.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: group, NewGroupName: aws.String("crew")})
	w.must(err)
	expect("in a group of another name", "")

	_, err = admin.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{
		UserName: name, PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/IAMFullAccess"),
	})
	w.must(err)
	expect("within a boundary", denied)
	_, err = admin.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: name})
	w.must(err)
	expect("without a boundary", "")

	_, err = admin.UpdateUser(ctx, &iam.UpdateUserInput{UserName: name, NewUserName: aws.String("alison"), NewPath: aws.String("/x/")})
	w.must(err)
	if got := w.whoami(alice); got != "arn:aws:iam::"+account+":user/x/alison" {
		t.Errorf("renamed: %s", got)
	}
	_, err = admin.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: aws.String("crew"), UserName: aws.String("alison")})
	w.must(err)
	expect("out of the group", denied)
}

// TestRenamingNeedsBothNames: whoever may do as it likes with users and groups of one path moves none in or out.
func TestRenamingNeedsBothNames(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	lead := w.iam(w.user("lead", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:*","Resource":[
		"arn:aws:iam::`+account+`:user/dev/*","arn:aws:iam::`+account+`:group/dev/*"]}}`))
	for name, path := range map[string]string{"ours": "/dev/", "theirs": "/ops/"} {
		_, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: &name, Path: &path})
		w.must(err)
		_, err = admin.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name, Path: &path})
		w.must(err)
	}
	_, err := lead.UpdateUser(ctx, &iam.UpdateUserInput{UserName: aws.String("ours"), NewPath: aws.String("/ops/")})
	w.refused("a user moved out", err, "AccessDenied", "User: arn:aws:iam::"+account+":user/lead is not authorized to perform: iam:UpdateUser "+
		"on resource: arn:aws:iam::"+account+":user/ops/ours because no identity-based policy allows the iam:UpdateUser action")
	_, err = lead.UpdateUser(ctx, &iam.UpdateUserInput{UserName: aws.String("theirs"), NewPath: aws.String("/dev/")})
	if code(err) != "AccessDenied" {
		t.Errorf("a user moved in: %v", err)
	}
	_, err = lead.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: aws.String("ours"), NewGroupName: aws.String("theirs"), NewPath: aws.String("/")})
	if code(err) != "AccessDenied" {
		t.Errorf("a group moved out: %v", err)
	}
	_, err = lead.UpdateUser(ctx, &iam.UpdateUserInput{UserName: aws.String("ours"), NewUserName: aws.String("mine"), NewPath: aws.String("/dev/a/")})
	w.must(err)
	_, err = lead.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: aws.String("ours"), NewGroupName: aws.String("mine")})
	w.must(err)
}

func TestDeactivatedAndDeletedKeys(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	alice := w.user("alice", listKeys)
	if got := w.listKeys(alice); got != "" {
		t.Fatal(got)
	}
	status := func(s types.StatusType) {
		t.Helper()
		_, err := admin.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: aws.String("alice"), AccessKeyId: &alice.AccessKeyID, Status: s})
		w.must(err)
	}
	status(types.StatusTypeInactive)
	if got := w.listKeys(alice); got != "UnrecognizedClientException" {
		t.Errorf("inactive: %q", got)
	}
	status(types.StatusTypeActive)
	if got := w.listKeys(alice); got != "" {
		t.Errorf("active again: %q", got)
	}
	used, err := admin.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &alice.AccessKeyID})
	w.must(err)
	if *used.UserName != "alice" || *used.AccessKeyLastUsed.ServiceName != "kms" || *used.AccessKeyLastUsed.Region != "us-west-2" {
		t.Errorf("last used %+v", used.AccessKeyLastUsed)
	}
	w.must(w.identity.Tidy(ctx)) // writes it down
	again, err := admin.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &alice.AccessKeyID})
	w.must(err)
	if !again.AccessKeyLastUsed.LastUsedDate.Equal(*used.AccessKeyLastUsed.LastUsedDate) {
		t.Errorf("last used at %v, then at %v", used.AccessKeyLastUsed.LastUsedDate, again.AccessKeyLastUsed.LastUsedDate)
	}
	_, err = admin.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: aws.String("alice"), AccessKeyId: &alice.AccessKeyID})
	w.must(err)
	if got := w.listKeys(alice); got != "UnrecognizedClientException" {
		t.Errorf("deleted: %q", got)
	}
}

func TestASecretIsShownOnce(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", "")
	list, err := w.iam(w.admin).ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: aws.String("alice")})
	w.must(err)
	if len(list.AccessKeyMetadata) != 1 || *list.AccessKeyMetadata[0].AccessKeyId != alice.AccessKeyID {
		t.Errorf("keys %v", list.AccessKeyMetadata)
	}
	e := w.lastEvent("CreateAccessKey")
	if strings.Contains(strings.Join(w.events(), ""), alice.SecretAccessKey) || !strings.Contains(e, alice.AccessKeyID) {
		t.Errorf("event %s", e)
	}
}

func TestUsersAreShownAsTheyWereMade(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	made, err := admin.CreateUser(ctx, &iam.CreateUserInput{
		UserName: aws.String("Alice"), Path: aws.String("/division/"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	})
	w.must(err)
	got, err := admin.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("Alice")})
	w.must(err)
	u := got.User
	if *u.Arn != "arn:aws:iam::"+account+":user/division/Alice" || *u.UserId != *made.User.UserId || !strings.HasPrefix(*u.UserId, "AIDA") ||
		*u.Path != "/division/" || len(u.Tags) != 1 || time.Since(*u.CreateDate) > time.Minute {
		t.Errorf("got %+v", u)
	}
	_, err = admin.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("ALICE")})
	w.refused("another spelling", err, "EntityAlreadyExists", "User with name ALICE already exists.")
	all, err := admin.ListUsers(ctx, &iam.ListUsersInput{PathPrefix: aws.String("/division/")})
	w.must(err)
	if len(all.Users) != 1 || all.IsTruncated {
		t.Errorf("got %v", all.Users)
	}
	self, err := admin.GetUser(ctx, &iam.GetUserInput{})
	w.must(err)
	if *self.User.UserName != "admin" {
		t.Errorf("got %v", self.User)
	}
	e := w.lastEvent("CreateUser")
	for _, part := range []string{`"eventSource":"iam.amazonaws.com"`, `"requestParameters":{"userName":"ALICE"}`, `"errorCode":"EntityAlreadyExists"`} {
		if !strings.Contains(e, part) {
			t.Errorf("event %s lacks %s", e, part)
		}
	}
}

func TestAbsence(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	x, policy := aws.String("x"), aws.String("arn:aws:iam::"+account+":policy/x")
	_, err := admin.GetUser(ctx, &iam.GetUserInput{UserName: x})
	w.refused("user", err, "NoSuchEntity", "The user with name x cannot be found.")
	_, err = admin.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: x})
	w.refused("group", err, "NoSuchEntity", "The group with name x cannot be found.")
	_, err = admin.GetRole(ctx, &iam.GetRoleInput{RoleName: x})
	w.refused("role", err, "NoSuchEntity", "The role with name x cannot be found.")
	_, err = admin.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: policy})
	w.refused("policy", err, "NoSuchEntity", "Policy arn:aws:iam::"+account+":policy/x was not found.")
	_, err = admin.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: aws.String("admin"), PolicyName: x})
	w.refused("inline policy", err, "NoSuchEntity", "The user policy with name x cannot be found.")
	_, err = admin.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("admin"), PolicyArn: policy})
	w.refused("attaching", err, "NoSuchEntity", "Policy arn:aws:iam::"+account+":policy/x does not exist or is not attachable.")
	_, err = admin.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: aws.String("AKIAAAAAAAAAAAAAAAAA")})
	w.refused("access key", err, "NoSuchEntity", "The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found.")
	_, err = admin.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: aws.String("admin")})
	w.refused("boundary", err, "NoSuchEntity", "The user with name admin does not have a permissions boundary.")
}

func TestWhatIsInUseIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	alice := w.user("alice", listKeys)
	name, group := aws.String("alice"), aws.String("team")
	policy := w.managed("own", listKeys)
	_, err := admin.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: group})
	w.must(err)
	_, err = admin.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: group, UserName: name})
	w.must(err)
	_, err = admin.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: policy})
	w.must(err)
	_, err = admin.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: policy, PolicyDocument: aws.String(denyKeys)})
	w.must(err)
	remove := func() error {
		_, err := admin.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
		return err
	}
	w.refused("keys", remove(), "DeleteConflict", "Cannot delete entity, must delete access keys first.")
	_, err = admin.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: name, AccessKeyId: &alice.AccessKeyID})
	w.must(err)
	w.refused("membership", remove(), "DeleteConflict", "Cannot delete entity, must remove users from group first.")
	_, err = admin.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: group})
	w.refused("members", err, "DeleteConflict", "Cannot delete entity, must remove users from group first.")
	_, err = admin.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: group, UserName: name})
	w.must(err)
	w.refused("attachment", remove(), "DeleteConflict", "Cannot delete entity, must detach all policies first.")
	_, err = admin.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: policy})
	w.refused("attached", err, "DeleteConflict", "Cannot delete a policy attached to entities.")
	_, err = admin.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: policy})
	w.must(err)
	w.refused("inline policy", remove(), "DeleteConflict", "Cannot delete entity, must delete policies first.")
	_, err = admin.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: policy})
	w.refused("versions", err, "DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the "+
		"policy's versions. The default version is deleted with the policy.")
	_, err = admin.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: policy, VersionId: aws.String("v1")})
	w.refused("default version", err, "DeleteConflict", "Cannot delete the default version of a policy.")
	_, err = admin.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: policy, VersionId: aws.String("v2")})
	w.must(err)
	_, err = admin.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: policy})
	w.must(err)
	_, err = admin.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: name, PolicyName: aws.String("inline")})
	w.must(err, remove())
	_, err = admin.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: group})
	w.must(err)
}

// padded is a policy of n characters beside whitespace, of which it has as much again.
func padded(n int) *string {
	head, tail := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:`, `*","Resource":"*"}]}`
	return aws.String(head + strings.Repeat("x", n-len(head)-len(tail)) + tail + strings.Repeat(" \n", n/2))
}

func TestQuotas(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	w.user("alice", "")
	w.key("alice")
	name, p := aws.String("alice"), aws.String("p")
	_, err := admin.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	w.refused("keys", err, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
	_, err = admin.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: p, PolicyDocument: padded(2048)})
	w.must(err)
	_, err = admin.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: p, PolicyDocument: padded(2049)})
	w.refused("inline", err, "LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user alice")
	_, err = admin.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: aws.String("q"), PolicyDocument: aws.String(listKeys)})
	w.refused("a second", err, "LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user alice")
	accented := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::` + strings.Repeat("é", 1900) + `"}]}`
	_, err = admin.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: p, PolicyDocument: &accented})
	w.must(err) // characters count, not bytes
	_, err = admin.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: p, PolicyDocument: padded(6145)})
	w.refused("managed", err, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144")
	_, err = admin.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: p, PolicyDocument: padded(6144)})
	w.must(err)
	for i := range 11 {
		_, err = admin.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: w.managed(fmt.Sprint("p", i), listKeys)})
		if i < 10 {
			w.must(err)
		}
	}
	w.refused("attachments", err, "LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10")
	own := aws.String("arn:aws:iam::" + account + ":policy/p")
	for i := range 5 {
		_, err = admin.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: own, PolicyDocument: aws.String(listKeys), SetAsDefault: true})
		if i < 4 {
			w.must(err)
		}
	}
	w.refused("versions", err, "LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must "+
		"delete an existing version.")
}

func TestInvalidRequests(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	_, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("no space")})
	w.refused("name", err, "ValidationError", "1 validation error detected: Value at 'userName' failed to satisfy constraint: "+
		`Member must satisfy regular expression pattern: [\w+=,.@-]+`)
	_, err = admin.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("x"), Path: aws.String("no-slash")})
	if code(err) != "ValidationError" {
		t.Errorf("path: %v", err)
	}
	_, err = admin.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("admin"), PolicyName: aws.String("p"), PolicyDocument: aws.String("{")})
	w.refused("policy", err, "MalformedPolicyDocument", "Syntax errors in policy.")
	_, err = admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String("{")})
	w.refused("trust policy", err, "MalformedPolicyDocument", "This policy contains invalid Json")
	_, err = admin.TagUser(ctx, &iam.TagUserInput{UserName: aws.String("admin"), Tags: []types.Tag{
		{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("A"), Value: aws.String("2")},
	}})
	w.refused("tags", err, "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
	_, err = admin.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{
		PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess"), PolicyDocument: aws.String(listKeys),
	})
	if code(err) != "AccessDenied" {
		t.Errorf("AWS's own policy: %v", err)
	}
}

func TestDocumentsComeBackEncoded(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	document := "{ \"Version\": \"2012-10-17\",\n\"Statement\": {\"Effect\":\"Allow\",\"Action\":\"kms:*\",\"Resource\":\"*\"}}"
	w.put("admin", document)
	got, err := admin.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: aws.String("admin"), PolicyName: aws.String("inline")})
	w.must(err)
	plain, err := url.PathUnescape(*got.PolicyDocument)
	if err != nil || plain != document || strings.ContainsAny(*got.PolicyDocument, `"+ {`) {
		t.Errorf("got %s, %v", *got.PolicyDocument, err)
	}
}

func TestPermissionIsAskedOnTheEntity(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::`+account+`:user/team/*"},
		{"Effect":"Allow","Action":"iam:*AccessKey*","Resource":"arn:aws:iam::*:user/${aws:username}"},
		{"Effect":"Allow","Action":"iam:CreateUser","Resource":"*","Condition":{"StringEquals":{
			"iam:PermissionsBoundary":"arn:aws:iam::aws:policy/ReadOnlyAccess","aws:RequestTag/team":"red"}}}]}`)
	self, ctx := w.iam(alice), t.Context()
	_, err := w.iam(w.admin).CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("bob"), Path: aws.String("/team/")})
	w.must(err)
	_, err = self.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("bob")})
	w.must(err)
	_, err = self.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("admin")})
	w.refused("another path", err, "AccessDenied", "User: arn:aws:iam::"+account+":user/alice is not authorized to perform: iam:GetUser on "+
		"resource: arn:aws:iam::"+account+":user/admin because no identity-based policy allows the iam:GetUser action")
	if e := w.lastEvent("GetUser"); !strings.Contains(e, `"errorCode":"AccessDenied"`) {
		t.Errorf("event %s", e)
	}
	_, err = self.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("not-there")})
	if code(err) != "AccessDenied" {
		t.Errorf("existence is told: %v", err)
	}
	_, err = self.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{})
	w.must(err)
	_, err = self.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("admin")})
	if code(err) != "AccessDenied" {
		t.Errorf("a key of the administrator: %v", err)
	}
	create := &iam.CreateUserInput{UserName: aws.String("carol"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}}
	if _, err = self.CreateUser(ctx, create); code(err) != "AccessDenied" {
		t.Errorf("without a boundary: %v", err)
	}
	create.PermissionsBoundary = aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")
	_, err = self.CreateUser(ctx, create)
	w.must(err)
}

func TestPoliciesOfAWS(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	all, err := admin.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws})
	w.must(err)
	if len(all.Policies) < 4 {
		t.Errorf("%d policies", len(all.Policies))
	}
	for _, p := range all.Policies {
		v, err := admin.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: p.DefaultVersionId})
		w.must(err)
		document, err := url.PathUnescape(*v.PolicyVersion.Document)
		w.must(err)
		w.put("admin", document) // it is one
		if attached := *p.PolicyName == "AdministratorAccess"; attached != (*p.AttachmentCount == 1) {
			t.Errorf("%s is attached %d times", *p.PolicyName, *p.AttachmentCount)
		}
	}
	list, err := admin.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
	w.must(err)
	if len(list.PolicyUsers) != 1 || *list.PolicyUsers[0].UserName != "admin" {
		t.Errorf("entities %v", list)
	}
}

func TestRolesOfServicesAreTheirs(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	made, err := admin.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: aws.String("cks.kms.amazonaws.com")})
	w.must(err)
	name, read := made.Role.RoleName, aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")
	for what, change := range map[string]func() error{
		"attach": func() error {
			_, err := admin.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: read})
			return err
		},
		"put": func() error {
			_, err := admin.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: aws.String(listKeys)})
			return err
		},
		"bound": func() error {
			_, err := admin.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: read})
			return err
		},
		"trust": func() error {
			_, err := admin.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(trusting(account))})
			return err
		},
		"last": func() error {
			_, err := admin.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: aws.Int32(7200)})
			return err
		},
		"delete": func() error {
			_, err := admin.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
			return err
		},
	} {
		w.refused(what, change(), "UnmodifiableEntity", "Cannot perform the operation on the protected role '"+*name+"' - this role is only modifiable by AWS")
	}
	_, err = admin.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, Description: aws.String("ours")})
	w.must(err)
	_, err = admin.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: aws.String("ours")})
	w.must(err)
	_, err = admin.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}})
	w.must(err)
}

func TestAccountsDoNotSeeEachOther(t *testing.T) {
	w := newWorld(t)
	w.user("alice", "")
	policy := w.managed("own", listKeys)
	stranger := w.account(other)
	_, err := w.iam(stranger).GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String("alice")})
	w.refused("user", err, "NoSuchEntity", "The user with name alice cannot be found.")
	_, err = w.iam(stranger).AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: aws.String("admin"), PolicyArn: policy})
	w.refused("policy", err, "NoSuchEntity", "Policy "+*policy+" does not exist or is not attachable.")
	_, err = w.iam(stranger).DeletePolicy(t.Context(), &iam.DeletePolicyInput{PolicyArn: policy})
	w.refused("deleting a policy", err, "NoSuchEntity", "Policy "+*policy+" was not found.")
}
