package operation

import (
	"testing"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/policy"
)

type fixed map[string][]string

func (f fixed) Lookup(key string) ([]string, bool) { v, ok := f[key]; return v, ok }

func TestGlobals(t *testing.T) {
	user := &policy.Principal{Caller: policy.Caller{Type: "IAMUser", ARN: "arn:aws:iam::111122223333:user/alice", Account: "111122223333", PrincipalID: "AIDAALICE", UserName: "alice"}}
	session := &policy.Principal{
		Caller:  policy.Caller{Type: "AssumedRole", ARN: "arn:aws:sts::111122223333:assumed-role/r/s", Account: "111122223333", PrincipalID: "AROAROLE:s", UserName: "r"},
		RoleARN: "arn:aws:iam::111122223333:role/r", RoleID: "AROAROLE",
	}
	root := &policy.Principal{Caller: policy.Caller{Type: "Root", ARN: arn.Root("111122223333"), Account: "111122223333", PrincipalID: "111122223333"}}
	service := &policy.Principal{Caller: policy.Caller{Type: policy.TypeService, ARN: "cloudhsm.amazonaws.com"}}
	c := &Call{
		Scope: arn.Scope{Account: "111122223333", Region: "us-east-1"}, Time: time.Date(2026, 11, 24, 8, 0, 0, 0, time.FixedZone("", 3600)),
		Event: &audit.Event{SourceIP: "192.0.2.7", UserAgent: "aws-cli/2", TLS: &audit.TLS{}},
	}
	const absent = "(absent)"
	for _, row := range []struct {
		p         *policy.Principal
		key, want string
	}{
		{user, "aws:currenttime", "2026-11-24T07:00:00Z"}, {user, "aws:epochtime", "1795503600"}, {user, "aws:requestedregion", "us-east-1"},
		{user, "aws:resourceaccount", "444455556666"}, {user, "aws:securetransport", "true"}, {user, "aws:sourceip", "192.0.2.7"},
		{user, "aws:useragent", "aws-cli/2"}, {user, "aws:viaawsservice", "false"}, {user, "aws:calledvia", absent}, {user, "aws:sourcevpc", absent},
		{user, "aws:principalaccount", "111122223333"}, {user, "aws:principalarn", user.ARN}, {user, "aws:principalisawsservice", "false"},
		{user, "aws:principalservicename", absent}, {user, "aws:principaltype", "User"}, {user, "aws:userid", "AIDAALICE"}, {user, "aws:username", "alice"},
		{session, "aws:principalarn", session.RoleARN}, {session, "aws:principaltype", "AssumedRole"}, {session, "aws:userid", "AROAROLE:s"}, {session, "aws:username", absent},
		{root, "aws:principalarn", root.ARN}, {root, "aws:principaltype", "Account"}, {root, "aws:userid", "111122223333"}, {root, "aws:username", absent},
		{service, "aws:principalisawsservice", "true"}, {service, "aws:principalservicename", "cloudhsm.amazonaws.com"}, {service, "aws:principalaccount", absent},
		{user, "kms:viaservice", "s3"}, {user, "aws:resourcetag/a", "b"},
	} {
		context := c.Globals(row.p, "444455556666", fixed{"kms:viaservice": {"s3"}, "aws:resourcetag/a": {"b"}})
		values, present := context.Lookup(row.key)
		got := absent
		if present && len(values) == 1 {
			got = values[0]
		}
		if got != row.want {
			t.Errorf("%s of %s: got %s, want %s", row.key, row.p.Type, got, row.want)
		}
	}
	c.Event.TLS = nil
	if v, _ := c.Globals(user, "", nil).Lookup("aws:securetransport"); v[0] != "false" {
		t.Error("a connection in clear passes for a protected one")
	}
	if v, present := c.Globals(user, "", nil).Lookup("aws:resourceaccount"); present {
		t.Errorf("an account of no resource: %v", v)
	}
}

// TestGlobalsCostNothing: a decision whose conditions ask for nothing makes nothing.
func TestGlobalsCostNothing(t *testing.T) {
	c, p := &Call{Event: &audit.Event{}}, &policy.Principal{}
	if n := testing.AllocsPerRun(100, func() { c.Globals(p, "", nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
