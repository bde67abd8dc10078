package identity_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"keyward/internal/cloudtrail"
)

// trusting is the trust policy for a principal, with a condition if there is one.
func trusting(principal string, condition ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":["sts:AssumeRole","sts:TagSession"]` +
		strings.Join(condition, "") + `}]}`
}

// role makes a role with an inline policy and returns its ARN.
func (w *world) role(name, trust, document string) *string {
	w.Helper()
	out, err := w.iam(w.admin).CreateRole(w.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	w.must(err)
	_, err = w.iam(w.admin).PutRolePolicy(w.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &name, PolicyDocument: &document})
	w.must(err)
	return out.Role.Arn
}

func session(c *types.Credentials) aws.Credentials {
	return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
}

// assume opens a session of a role; change may alter the request first.
func (w *world) assume(c aws.Credentials, role *string, change func(*sts.AssumeRoleInput)) (aws.Credentials, error) {
	w.Helper()
	in := &sts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("work")}
	if change != nil {
		change(in)
	}
	out, err := w.sts(c).AssumeRole(w.Context(), in)
	if err != nil {
		return aws.Credentials{}, err
	}
	return session(out.Credentials), nil
}

func (w *world) assumed(c aws.Credentials, role *string) aws.Credentials {
	w.Helper()
	s, err := w.assume(c, role, nil)
	w.must(err)
	return s
}

func TestAssumeRole(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", "")
	role := w.role("reader", trusting("arn:aws:iam::"+account+":user/alice"), listKeys)
	s := w.assumed(alice, role)
	if !regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`).MatchString(s.AccessKeyID) {
		t.Errorf("access key %s", s.AccessKeyID)
	}
	if got := w.whoami(s); got != "arn:aws:sts::"+account+":assumed-role/reader/work" {
		t.Errorf("authenticated as %s", got)
	}
	if got := w.listKeys(s); got != "" {
		t.Errorf("the role may not list keys: %s", got)
	}
	record, err := cloudtrail.Render([]byte(w.lastEvent("ListKeys")))
	w.must(err)
	for _, part := range []string{
		`"type":"AssumedRole","principalId":"AROA`, `:work","arn":"arn:aws:sts::` + account + `:assumed-role/reader/work"`,
		`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA`, `"userName":"reader"},"attributes":{"creationDate":"20`,
		`"mfaAuthenticated":"false"}`,
	} {
		if !strings.Contains(string(record), part) {
			t.Errorf("record %s lacks %s", record, part)
		}
	}
	all := strings.Join(w.events(), "")
	if strings.Contains(all, s.SecretAccessKey) || strings.Contains(all, s.SessionToken) {
		t.Error("a secret is in the events")
	}
	for name, change := range map[string]func(*aws.Credentials){
		"no token":      func(c *aws.Credentials) { c.SessionToken = "" },
		"another token": func(c *aws.Credentials) { c.SessionToken = w.assumed(alice, role).SessionToken },
	} {
		broken := s
		change(&broken)
		if got := w.listKeys(broken); got != "UnrecognizedClientException" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWhoMayNotAssume(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.user("alice", ""), w.user("bob", "")
	stranger := w.account(other)
	byAccount := w.role("by-account", trusting("arn:aws:iam::"+account+":root"), listKeys)
	byUser := w.role("by-user", trusting("arn:aws:iam::"+account+":user/alice"), listKeys)
	outside := w.role("outside", trusting(other, `,"Condition":{"StringEquals":{"sts:ExternalId":"agreed"}}`), listKeys)
	denied := func(who string, role *string) string {
		return "User: " + who + " is not authorized to perform: sts:AssumeRole on resource: " + *role
	}
	_, err := w.assume(alice, byAccount, nil)
	w.refused("delegated, without a policy", err, "AccessDenied", denied("arn:aws:iam::"+account+":user/alice", byAccount))
	w.put("alice", `{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+*byAccount+`"}]}`)
	w.assumed(alice, byAccount)
	_, err = w.assume(bob, byUser, nil)
	w.refused("somebody else", err, "AccessDenied", denied("arn:aws:iam::"+account+":user/bob", byUser))
	_, err = w.assume(alice, aws.String(*byUser+"x"), nil)
	w.refused("no such role", err, "AccessDenied", denied("arn:aws:iam::"+account+":user/alice", aws.String(*byUser+"x")))
	_, err = w.assume(stranger, byAccount, nil)
	w.refused("another account", err, "AccessDenied", denied("arn:aws:iam::"+other+":user/admin", byAccount))
	_, err = w.assume(stranger, outside, nil)
	w.refused("no external id", err, "AccessDenied", denied("arn:aws:iam::"+other+":user/admin", outside))
	s, err := w.assume(stranger, outside, func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("agreed") })
	w.must(err)
	if got := w.whoami(s); got != "arn:aws:sts::"+account+":assumed-role/outside/work" {
		t.Errorf("authenticated as %s", got)
	}
	_, err = w.assume(alice, byUser, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(7200) })
	w.refused("too long", err, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
}

func TestTrustIsInTheUserNotInTheName(t *testing.T) {
	w := newWorld(t)
	w.user("alice", "")
	role := w.role("reader", trusting("arn:aws:iam::"+account+":user/alice"), listKeys)
	keys, err := w.iam(w.admin).ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: aws.String("alice")})
	w.must(err)
	_, err = w.iam(w.admin).DeleteAccessKey(t.Context(), &iam.DeleteAccessKeyInput{UserName: aws.String("alice"), AccessKeyId: keys.AccessKeyMetadata[0].AccessKeyId})
	w.must(err)
	_, err = w.iam(w.admin).DeleteUser(t.Context(), &iam.DeleteUserInput{UserName: aws.String("alice")})
	w.must(err)
	if _, err := w.assume(w.user("alice", ""), role, nil); code(err) != "AccessDenied" {
		t.Errorf("a later user of the name: %v", err)
	}
	shown, err := w.iam(w.admin).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("reader")})
	w.must(err)
	if !regexp.MustCompile(`%22AIDA[A-Z2-7]{16}%22`).MatchString(*shown.Role.AssumeRolePolicyDocument) {
		t.Errorf("trust policy %s", *shown.Role.AssumeRolePolicyDocument)
	}
	_, err = w.iam(w.admin).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String("reader"), PolicyDocument: aws.String(trusting("arn:aws:iam::" + account + ":user/nobody")),
	})
	w.refused("nobody", err, "MalformedPolicyDocument", `Invalid principal in policy: "AWS":"arn:aws:iam::`+account+`:user/nobody"`)
}

// TestTrustIsInTheSessionNotInTheName: a role made again under the same name has no sessions that others trusted.
func TestTrustIsInTheSessionNotInTheName(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	alice := w.user("alice", "")
	byAlice, session := trusting("arn:aws:iam::"+account+":user/alice"), "arn:aws:sts::"+account+":assumed-role/first/work"
	first := w.role("first", byAlice, listKeys)
	next := w.role("next", trusting(session), listKeys)
	w.assumed(w.assumed(alice, first), next)
	if _, err := w.assume(w.assumed(alice, w.role("other", byAlice, listKeys)), next, nil); code(err) != "AccessDenied" {
		t.Errorf("a session of another role: %v", err)
	}
	_, err := admin.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("first"), PolicyName: aws.String("first")})
	w.must(err)
	_, err = admin.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("first")})
	w.must(err)
	if _, err := w.assume(w.assumed(alice, w.role("first", byAlice, listKeys)), next, nil); code(err) != "AccessDenied" {
		t.Errorf("a session of a later role of the name: %v", err)
	}
	shown, err := admin.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("next")})
	w.must(err)
	if !regexp.MustCompile(`%22AROA[A-Z2-7]{16}%22`).MatchString(*shown.Role.AssumeRolePolicyDocument) {
		t.Errorf("trust policy %s", *shown.Role.AssumeRolePolicyDocument)
	}
	for _, name := range []string{"arn:aws:sts::" + account + ":assumed-role/nobody/work", "arn:aws-cn:iam::" + account + ":root"} {
		_, err = admin.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("next"), PolicyDocument: aws.String(trusting(name))})
		w.refused(name, err, "MalformedPolicyDocument", `Invalid principal in policy: "AWS":"`+name+`"`)
	}
}

func TestSessionsFollowTheirRole(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", "")
	role := w.role("reader", trusting("arn:aws:iam::"+account+":user/alice"), listKeys)
	s := w.assumed(alice, role)
	narrow, err := w.assume(alice, role, func(in *sts.AssumeRoleInput) {
		in.PolicyArns = []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/IAMFullAccess")}}
	})
	w.must(err)
	wide, err := w.assume(alice, role, func(in *sts.AssumeRoleInput) {
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	})
	w.must(err)
	for name, c := range map[string]struct {
		aws.Credentials
		want string
	}{"plain": {s, ""}, "narrowed": {narrow, "AccessDeniedException"}, "not widened": {wide, ""}} {
		if got := w.listKeys(c.Credentials); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := w.iam(wide).ListUsers(t.Context(), &iam.ListUsersInput{}); code(err) != "AccessDenied" {
		t.Errorf("a session policy gives what its role lacks: %v", err)
	}
	_, err = w.iam(w.admin).DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("reader"), PolicyName: aws.String("reader")})
	w.must(err)
	if got := w.listKeys(s); got != "AccessDeniedException" {
		t.Errorf("without the role's policy: %q", got)
	}
	_, err = w.iam(w.admin).DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("reader")})
	w.must(err)
	if got := w.listKeys(s); got != "UnrecognizedClientException" {
		t.Errorf("without the role: %q", got)
	}
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t)
	out, err := w.sts(w.admin).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})
	w.must(err)
	s := session(out.Credentials)
	if got := w.listKeys(s); got != "" {
		t.Fatal(got)
	}
	w.ahead.Store(int64(15 * time.Minute)) // what clients sign by the machine's clock is too old as well, which is looked at later
	if got := w.listKeys(s); got != "ExpiredTokenException" {
		t.Errorf("JSON: %s", got)
	}
	if got := w.whoami(s); got != "ExpiredToken" {
		t.Errorf("Query: %s", got)
	}
	w.ahead.Store(int64(26 * time.Hour))
	w.must(w.identity.Tidy(t.Context()))
	if got := w.listKeys(s); got != "UnrecognizedClientException" {
		t.Errorf("long over: %s", got)
	}
}

func TestUsersSessions(t *testing.T) {
	w := newWorld(t)
	out, err := w.sts(w.admin).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
	w.must(err)
	own := session(out.Credentials)
	if got := w.whoami(own); got != "arn:aws:iam::"+account+":user/admin" {
		t.Errorf("authenticated as %s", got)
	}
	if got := time.Until(*out.Credentials.Expiration).Round(time.Hour); got != 12*time.Hour {
		t.Errorf("it lasts %v", got)
	}
	_, err = w.iam(own).ListUsers(t.Context(), &iam.ListUsersInput{})
	w.refused("IAM", err, "InvalidClientTokenId", "The security token included in the request is invalid")
	_, err = w.sts(own).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
	w.refused("a session of a session", err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
	_, err = w.sts(own).GetAccessKeyInfo(t.Context(), &sts.GetAccessKeyInfoInput{AccessKeyId: &own.AccessKeyID})
	w.refused("the rest of STS", err, "AccessDenied", "Cannot call GetAccessKeyInfo with session credentials")
	reader := w.role("reader", trusting("arn:aws:iam::"+account+":root"), listKeys)
	if got := w.listKeys(w.assumed(own, reader)); got != "" {
		t.Errorf("a role assumed from the session: %s", got)
	}

	fed, err := w.sts(w.admin).GetFederationToken(t.Context(), &sts.GetFederationTokenInput{Name: aws.String("guest"), Policy: aws.String(listKeys)})
	w.must(err)
	guest := session(fed.Credentials)
	if got := w.whoami(guest); got != "arn:aws:sts::"+account+":federated-user/guest" {
		t.Errorf("authenticated as %s", got)
	}
	_, err = w.assume(guest, reader, nil)
	w.refused("a federated user's role", err, "AccessDenied", "Cannot call AssumeRole with session credentials")
	if got := w.listKeys(guest); got != "" {
		t.Errorf("the guest: %s", got)
	}
	bare, err := w.sts(w.admin).GetFederationToken(t.Context(), &sts.GetFederationTokenInput{Name: aws.String("guest")})
	w.must(err)
	if got := w.listKeys(session(bare.Credentials)); got != "AccessDeniedException" {
		t.Errorf("a guest without policies: %q", got)
	}
	info, err := w.sts(w.admin).GetAccessKeyInfo(t.Context(), &sts.GetAccessKeyInfoInput{AccessKeyId: &guest.AccessKeyID})
	w.must(err)
	if *info.Account != account {
		t.Errorf("account %s", *info.Account)
	}
}

// TestWhatGoesAlongAChainIsAskedFor has a role say by its trust policy what comes to it, and not the session's caller.
func TestWhatGoesAlongAChainIsAskedFor(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", "")
	trust := func(who string, actions string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + who + `"},"Action":["sts:AssumeRole"` + actions + `]}]}`
	}
	first := w.role("first", trust("arn:aws:iam::"+account+":user/alice", `,"sts:TagSession","sts:SetSourceIdentity"`),
		`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)
	plain := w.role("plain", trust(*first, ""), listKeys)
	open := w.role("open", trust(*first, `,"sts:TagSession","sts:SetSourceIdentity"`), listKeys)
	tag := func(transitive ...string) func(*sts.AssumeRoleInput) {
		return func(in *sts.AssumeRoleInput) {
			in.Tags, in.TransitiveTagKeys = []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}, transitive
		}
	}
	for _, c := range []struct {
		what   string
		change func(*sts.AssumeRoleInput)
		needs  string
	}{
		{"nothing", nil, ""},
		{"a tag that stays", tag(), ""},
		{"a transitive tag", tag("team"), "sts:TagSession"},
		{"a source identity", func(in *sts.AssumeRoleInput) { in.SourceIdentity = aws.String("alice") }, "sts:SetSourceIdentity"},
	} {
		one, err := w.assume(alice, first, c.change)
		w.must(err)
		w.assumed(one, open)
		_, err = w.assume(one, plain, nil)
		if c.needs == "" {
			w.must(err)
			continue
		}
		w.refused(c.what, err, "AccessDenied",
			"User: arn:aws:sts::"+account+":assumed-role/first/work is not authorized to perform: "+c.needs+" on resource: "+*plain)
	}
}

func TestSessionTags(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", `{"Statement":[{"Effect":"Allow","Action":"sts:GetFederationToken","Resource":"*"}]}`)
	role := w.role("reader", trusting("arn:aws:iam::"+account+":user/alice"), listKeys)
	red, blue := types.Tag{Key: aws.String("team"), Value: aws.String("red")}, types.Tag{Key: aws.String("Team"), Value: aws.String("blue")}
	_, err := w.assume(alice, role, func(in *sts.AssumeRoleInput) { in.TransitiveTagKeys = []string{"team"} })
	w.refused("a transitive key without tag", err, "InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
	_, err = w.assume(alice, role, func(in *sts.AssumeRoleInput) { in.Tags = []types.Tag{red, blue} })
	w.refused("a tag twice", err, "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")

	guest := func() error {
		_, err := w.sts(alice).GetFederationToken(t.Context(), &sts.GetFederationTokenInput{
			Name: aws.String("guest"), Policy: aws.String(listKeys), Tags: []types.Tag{red},
		})
		return err
	}
	w.refused("a tagged guest", guest(), "AccessDenied", "User: arn:aws:iam::"+account+":user/alice is not authorized to perform: "+
		"sts:TagSession on resource: arn:aws:sts::"+account+":federated-user/guest because no identity-based policy allows the sts:TagSession action")
	for want, team := range map[string]string{"": "red", "AccessDenied": "blue"} {
		w.put("alice", `{"Statement":[{"Effect":"Allow","Action":["sts:GetFederationToken","sts:TagSession"],"Resource":"*",
			"Condition":{"StringEquals":{"aws:RequestTag/team":"`+team+`"}}}]}`)
		if got := code(guest()); got != want {
			t.Errorf("a guest tagged as the policy wants it for %s: %q", team, got)
		}
	}
}

func TestChains(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", "")
	first := w.role("first", trusting("arn:aws:iam::"+account+":user/alice"), `{"Statement":[{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}`)
	second := w.role("second", trusting(*first), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*",
		"Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}}]}`)
	tag := []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}
	one, err := w.assume(alice, first, func(in *sts.AssumeRoleInput) { in.Tags, in.TransitiveTagKeys = tag, []string{"team"} })
	w.must(err)
	two := w.assumed(one, second)
	if got := w.listKeys(two); got != "" {
		t.Errorf("the tag did not go on: %s", got)
	}
	if got := w.listKeys(w.assumed(w.assumed(alice, first), second)); got != "AccessDeniedException" {
		t.Errorf("without the tag: %q", got)
	}
	_, err = w.assume(one, second, func(in *sts.AssumeRoleInput) { in.Tags = tag })
	if code(err) != "InvalidParameterValue" {
		t.Errorf("a transitive tag again: %v", err)
	}
	_, err = w.iam(w.admin).UpdateRole(t.Context(), &iam.UpdateRoleInput{RoleName: aws.String("second"), MaxSessionDuration: aws.Int32(7200)})
	w.must(err)
	_, err = w.assume(one, second, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) })
	w.refused("too long", err, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
}

// TestSessionPoliciesNameWholeARNs: what is completed in policies of users and roles is refused in those of sessions.
func TestSessionPoliciesNameWholeARNs(t *testing.T) {
	w := newWorld(t)
	alice := w.user("alice", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam"}}`)
	role := w.role("role", trusting("arn:aws:iam::"+account+":root"), listKeys)
	w.assumed(alice, role)
	_, err := w.assume(alice, role, func(in *sts.AssumeRoleInput) {
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:kms"}}`)
	})
	w.refused("a part of an ARN", err, "MalformedPolicyDocument", `Resource arn:aws:kms must be in ARN format or "*".`)
}
