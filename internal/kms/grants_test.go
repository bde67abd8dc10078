package kms_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/kms"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// Principals of the caller's account and of another.
var (
	alice   = policy.Caller{Type: "IAMUser", PrincipalID: "AIDAALICEALICEALIC", ARN: "arn:aws:iam::111122223333:user/alice", Account: home.Account}
	bob     = policy.Caller{Type: "IAMUser", PrincipalID: "AIDABOBBOBBOBBOBBO", ARN: "arn:aws:iam::111122223333:user/bob", Account: home.Account}
	mallory = policy.Caller{Type: "IAMUser", PrincipalID: "AIDAMALLORYMALLORY", ARN: "arn:aws:iam::999988887777:user/mallory", Account: "999988887777"}
	trent   = policy.Caller{Type: "Root", PrincipalID: home.Account, ARN: "arn:aws:iam::111122223333:root", Account: home.Account}
)

// as runs an operation for a caller with these identity policies.
func (w *world) as(c policy.Caller, policies ...*policy.Policy) func(name string, in any) (any, error) {
	return func(name string, in any) (any, error) {
		w.Helper()
		return w.invoke(w.callAs(&policy.Principal{Caller: c, Identity: policies}), name, in)
	}
}

func (w *world) callAs(p *policy.Principal) *operation.Call {
	call := w.call("")
	call.Caller, call.Principal, call.Scope.Account, call.Event.Caller = p.Caller, p, p.Account, p.Caller
	return call
}

// grant makes a grant of the operations as the administrator.
func (w *world) grant(k *types.KeyMetadata, grantee string, operations ...types.GrantOperation) *awskms.CreateGrantOutput {
	w.Helper()
	return do[awskms.CreateGrantOutput](w, "CreateGrant", &awskms.CreateGrantInput{
		KeyId: k.Arn, GranteePrincipal: &grantee, Operations: operations})
}

func (w *world) grants(in *awskms.ListGrantsInput) []types.GrantListEntry {
	w.Helper()
	return do[awskms.ListGrantsOutput](w, "ListGrants", in).Grants
}

func TestGrantIsKeptAndListed(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k, other := w.createKey(), w.createKey()
	w.grant(other, alice.ARN, "Encrypt")
	in := &awskms.CreateGrantInput{
		KeyId: k.KeyId, GranteePrincipal: &alice.ARN, RetiringPrincipal: &bob.ARN, Name: aws.String("for-alice"),
		Operations:  []types.GrantOperation{"Encrypt", "Decrypt", "Encrypt", "RetireGrant"},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}},
	}
	out := do[awskms.CreateGrantOutput](w, "CreateGrant", in)
	if len(*out.GrantId) != 64 || strings.Trim(*out.GrantId, "0123456789abcdef") != "" {
		t.Errorf("GrantId %s", *out.GrantId)
	}
	found := w.grants(&awskms.ListGrantsInput{KeyId: k.KeyId})
	if len(found) != 1 {
		t.Fatalf("%d grants", len(found))
	}
	g := found[0]
	for what, ok := range map[string]bool{
		"key":         *g.KeyId == *k.Arn,
		"id":          *g.GrantId == *out.GrantId,
		"grantee":     *g.GranteePrincipal == alice.ARN,
		"retiring":    *g.RetiringPrincipal == bob.ARN,
		"issuer":      *g.IssuingAccount == trent.ARN,
		"name":        *g.Name == "for-alice",
		"created":     g.CreationDate.Equal(start),
		"operations":  slices.Equal(g.Operations, []types.GrantOperation{"Encrypt", "Decrypt", "RetireGrant"}),
		"constraints": g.Constraints.EncryptionContextEquals == nil && maps.Equal(g.Constraints.EncryptionContextSubset, map[string]string{"a": "1"}),
	} {
		if !ok {
			t.Errorf("%s: %+v", what, g)
		}
	}
	nameless := w.grant(k, bob.ARN, "DescribeKey")
	filtered := w.grants(&awskms.ListGrantsInput{KeyId: k.KeyId, GranteePrincipal: &bob.ARN})
	if len(filtered) != 1 || *filtered[0].GrantId != *nameless.GrantId || *filtered[0].Name != "" || filtered[0].RetiringPrincipal != nil {
		t.Errorf("of bob: %+v", filtered)
	}
	if g := w.grants(&awskms.ListGrantsInput{KeyId: k.KeyId, GrantId: out.GrantId}); len(g) != 1 || *g[0].GrantId != *out.GrantId {
		t.Errorf("by id: %+v", g)
	}
	if g := w.grants(&awskms.ListGrantsInput{KeyId: k.KeyId, GranteePrincipal: &trent.ARN}); len(g) != 0 {
		t.Errorf("of nobody: %+v", g)
	}
	w.refused("ListGrants", &awskms.ListGrantsInput{KeyId: k.KeyId, GrantId: aws.String("x")}, "InvalidGrantIdException",
		"The request was rejected because the specified GrantId is not valid.")
}

func TestNamedGrantIsMadeOnce(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	in := func(change func(*awskms.CreateGrantInput)) *awskms.CreateGrantInput {
		in := &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Name: aws.String("n"),
			Operations: []types.GrantOperation{"Encrypt", "Decrypt"}}
		change(in)
		return in
	}
	create := func(change func(*awskms.CreateGrantInput)) *awskms.CreateGrantOutput {
		t.Helper()
		return do[awskms.CreateGrantOutput](w, "CreateGrant", in(change))
	}
	first := create(func(*awskms.CreateGrantInput) {})
	again := create(func(in *awskms.CreateGrantInput) { in.Operations = []types.GrantOperation{"Decrypt", "Encrypt"} })
	if *again.GrantId != *first.GrantId || *again.GrantToken == *first.GrantToken {
		t.Errorf("again: %s %s, first %s %s", *again.GrantId, *again.GrantToken, *first.GrantId, *first.GrantToken)
	}
	ids := map[string]bool{*first.GrantId: true}
	for _, change := range []func(*awskms.CreateGrantInput){
		func(in *awskms.CreateGrantInput) { in.Name = aws.String("m") },
		func(in *awskms.CreateGrantInput) { in.GranteePrincipal = &bob.ARN },
		func(in *awskms.CreateGrantInput) { in.RetiringPrincipal = &bob.ARN },
		func(in *awskms.CreateGrantInput) { in.Operations = in.Operations[:1] },
		func(in *awskms.CreateGrantInput) {
			in.Constraints = &types.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "1"}}
		},
		func(in *awskms.CreateGrantInput) {
			in.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}
		},
		func(in *awskms.CreateGrantInput) { in.Name = nil },
		func(in *awskms.CreateGrantInput) { in.Name = nil },
	} {
		ids[*create(change).GrantId] = true
	}
	if len(ids) != 9 || len(w.grants(&awskms.ListGrantsInput{KeyId: k.KeyId})) != 9 {
		t.Errorf("%d ids", len(ids))
	}
}

func TestGrantsThatCannotBe(t *testing.T) {
	w := newWorld(t, kms.Limits{GrantsPerKey: 1})
	k := w.createKey()
	pairs := func(n, length int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[string(rune('a'+i))] = strings.Repeat("é", length)
		}
		return m
	}
	const shape = "arn:aws:iam::111122223333:"
	for name, c := range map[string]struct {
		change        func(*awskms.CreateGrantInput)
		code, message string
	}{
		"operation of another key type": {func(in *awskms.CreateGrantInput) { in.Operations = []types.GrantOperation{"Encrypt", "Sign"} },
			"ValidationException", "The grant operation Sign is not supported for a KMS key with key spec SYMMETRIC_DEFAULT and key usage ENCRYPT_DECRYPT."},
		"nine pairs": {func(in *awskms.CreateGrantInput) {
			in.Constraints = &types.GrantConstraints{EncryptionContextEquals: pairs(9, 1)}
		}, "ValidationException", "A grant constraint can have at most 8 encryption context pairs."},
		"385 characters": {func(in *awskms.CreateGrantInput) {
			in.Constraints = &types.GrantConstraints{EncryptionContextSubset: pairs(1, 384)}
		}, "ValidationException", "A grant constraint can have at most 384 characters."},
		"constraint that is not known": {func(in *awskms.CreateGrantInput) {
			in.Constraints = &types.GrantConstraints{SourceArn: k.Arn}
		}, "UnsupportedOperationException", "The grant constraint SourceArn is not supported."},
		"to a group": {func(in *awskms.CreateGrantInput) { in.GranteePrincipal = aws.String(shape + "group/g") },
			"InvalidArnException", "ARN does not refer to a valid principal: " + shape + "group/g"},
		"to nobody": {func(in *awskms.CreateGrantInput) { in.GranteePrincipal = nil }, "ValidationException",
			"1 validation error detected: Value null at 'granteePrincipal' failed to satisfy constraint: Member must not be null"},
		"to a service principal": {func(in *awskms.CreateGrantInput) {
			in.GranteePrincipal, in.GranteeServicePrincipal = nil, aws.String("s3.amazonaws.com")
		}, "UnsupportedOperationException", "Grants to AWS services are not supported."},
		"to a service": {func(in *awskms.CreateGrantInput) { in.GranteePrincipal = aws.String("s3.amazonaws.com") },
			"InvalidArnException", "ARN does not refer to a valid principal: s3.amazonaws.com"},
		"to all users": {func(in *awskms.CreateGrantInput) { in.GranteePrincipal = aws.String(shape + "user/*") },
			"InvalidArnException", "ARN does not refer to a valid principal: " + shape + "user/*"},
		"retired by an account number": {func(in *awskms.CreateGrantInput) { in.RetiringPrincipal = aws.String(home.Account) },
			"InvalidArnException", "ARN does not refer to a valid principal: " + home.Account},
		"malformed token": {func(in *awskms.CreateGrantInput) { in.GrantTokens = []string{"AAAA"} },
			"InvalidGrantTokenException", "The request was rejected because the specified grant token is not valid."},
		"dry run": {func(in *awskms.CreateGrantInput) { in.DryRun = aws.Bool(true) },
			"DryRunOperationException", "The request would have succeeded, but the DryRun option is set."},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.with(t)
			in := &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Operations: []types.GrantOperation{"Encrypt"}}
			c.change(in)
			w.refused("CreateGrant", in, c.code, c.message)
			if g := w.grants(&awskms.ListGrantsInput{KeyId: k.KeyId}); len(g) != 0 {
				t.Errorf("%d grants were made", len(g))
			}
		})
	}
	w.must("CreateGrant", &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Operations: []types.GrantOperation{"Encrypt"},
		Constraints: &types.GrantConstraints{EncryptionContextEquals: pairs(8, 47), EncryptionContextSubset: pairs(1, 383)}})
	w.refused("CreateGrant", &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Operations: []types.GrantOperation{"Encrypt"}},
		"LimitExceededException", "Grants per key quota for this account in this region is 1, current usage is 1.")
}

func TestListGrantsPages(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	want := map[string]bool{}
	for range 7 {
		want[*w.grant(k, alice.ARN, "Encrypt").GrantId] = true
		w.grant(k, bob.ARN, "Encrypt")
	}
	var marker *string
	for pages := 1; ; pages++ {
		out := do[awskms.ListGrantsOutput](w, "ListGrants",
			&awskms.ListGrantsInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Limit: aws.Int32(3), Marker: marker})
		for _, g := range out.Grants {
			if !want[*g.GrantId] {
				t.Errorf("%s again, or not alice's", *g.GrantId)
			}
			delete(want, *g.GrantId)
		}
		if marker = out.NextMarker; !out.Truncated {
			if pages != 3 || len(want) != 0 || marker != nil {
				t.Errorf("%d pages, %d missing", pages, len(want))
			}
			break
		}
		w.refused("ListGrants", &awskms.ListGrantsInput{KeyId: k.KeyId, Marker: marker}, "InvalidMarkerException",
			"The request was rejected because the marker that specifies where pagination should next begin is not valid.")
	}
	w.refused("ListGrants", &awskms.ListGrantsInput{KeyId: k.KeyId, Limit: aws.Int32(101)}, "ValidationException",
		"1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100")
}

func TestGrantCountsAtOnceAndUntilItIsRevoked(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	do := w.as(alice)
	in := &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}
	const denied = "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: kms:Encrypt on resource: "
	why := denied + *k.Arn + " because no identity-based policy allows the kms:Encrypt action"
	_, err := do("Encrypt", in)
	w.isFault("before", err, "AccessDeniedException", why)
	g := w.grant(k, alice.ARN, "Encrypt")
	if _, err := do("Encrypt", in); err != nil {
		t.Errorf("granted: %v", err)
	}
	in.GrantTokens = []string{*g.GrantToken, *w.grant(w.createKey(), bob.ARN, "Encrypt").GrantToken}
	if _, err := do("Encrypt", in); err != nil {
		t.Errorf("with tokens: %v", err)
	}
	w.refused("RevokeGrant", &awskms.RevokeGrantInput{KeyId: k.KeyId, GrantId: g.GrantId, DryRun: aws.Bool(true)}, "DryRunOperationException",
		"The request would have succeeded, but the DryRun option is set.")
	w.must("RevokeGrant", &awskms.RevokeGrantInput{KeyId: k.KeyId, GrantId: g.GrantId})
	_, err = do("Encrypt", in)
	w.isFault("revoked", err, "AccessDeniedException", why)
	w.refused("RevokeGrant", &awskms.RevokeGrantInput{KeyId: k.KeyId, GrantId: g.GrantId}, "NotFoundException", "Grant ID "+*g.GrantId+" not found")
	w.refused("RevokeGrant", &awskms.RevokeGrantInput{KeyId: k.KeyId, GrantId: aws.String("x")}, "InvalidGrantIdException",
		"The request was rejected because the specified GrantId is not valid.")
}

func TestConstraintWithoutPairsBesideOneWithPairs(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	for name, c := range map[string]*types.GrantConstraints{
		"equals": {EncryptionContextEquals: map[string]string{"a": "1"}, EncryptionContextSubset: map[string]string{}},
		"subset": {EncryptionContextEquals: map[string]string{}, EncryptionContextSubset: map[string]string{"a": "1"}},
	} {
		k := w.createKey()
		w.must("CreateGrant", &awskms.CreateGrantInput{
			KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Operations: []types.GrantOperation{"Encrypt"}, Constraints: c,
		})
		in := &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"a": "1"}}
		if _, err := w.as(alice)("Encrypt", in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		in.EncryptionContext["a"] = "2"
		if _, err := w.as(alice)("Encrypt", in); err == nil {
			t.Errorf("%s: another context is granted too", name)
		}
	}
}

func TestWhoMayRetireAGrant(t *testing.T) {
	retire := identityPolicy(`{"Effect":"Allow","Action":"kms:RetireGrant","Resource":"*"}`)
	forbid := identityPolicy(`{"Effect":"Deny","Action":"kms:RetireGrant","Resource":"*"}`)
	theirRoot := policy.Caller{Type: "Root", PrincipalID: mallory.Account, ARN: "arn:aws:iam::999988887777:root", Account: mallory.Account}
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	for name, c := range map[string]struct {
		who      policy.Caller
		policies []*policy.Policy
		retiring string
		granted  types.GrantOperation
		may      bool
	}{
		"the retiring principal":                  {who: bob, retiring: bob.ARN, granted: "Encrypt", may: true},
		"the retiring principal, denied":          {who: bob, retiring: bob.ARN, granted: "Encrypt", policies: []*policy.Policy{forbid}},
		"another user":                            {who: bob, granted: "Encrypt"},
		"a user with the permission":              {who: bob, granted: "Encrypt", policies: []*policy.Policy{retire}, may: true},
		"the grantee":                             {who: alice, granted: "Encrypt"},
		"a grantee who may":                       {who: alice, granted: "RetireGrant", may: true},
		"the issuing account":                     {who: trent, granted: "Encrypt", may: true},
		"another account":                         {who: theirRoot, granted: "Encrypt"},
		"a user of another account":               {who: mallory, granted: "Encrypt", policies: []*policy.Policy{retire}},
		"another account that is to retire":       {who: theirRoot, retiring: theirRoot.ARN, granted: "Encrypt", may: true},
		"a user of it":                            {who: mallory, retiring: theirRoot.ARN, granted: "Encrypt"},
		"a user of it with the permission":        {who: mallory, retiring: theirRoot.ARN, granted: "Encrypt", policies: []*policy.Policy{retire}, may: true},
		"a retiring principal of another account": {who: mallory, retiring: mallory.ARN, granted: "Encrypt", may: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.with(t)
			in := &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Operations: []types.GrantOperation{c.granted}}
			if c.retiring != "" {
				in.RetiringPrincipal = &c.retiring
			}
			g := do[awskms.CreateGrantOutput](w, "CreateGrant", in)
			call := w.callAs(&policy.Principal{Caller: c.who, Identity: c.policies})
			_, err := w.invoke(call, "RetireGrant", &awskms.RetireGrantInput{GrantToken: g.GrantToken})
			left := len(w.grants(&awskms.ListGrantsInput{KeyId: k.KeyId, GrantId: g.GrantId}))
			if c.may != (err == nil) || c.may != (left == 0) {
				t.Errorf("error %v, %d left", err, left)
			}
			if len(call.Event.Request) != 0 || len(call.Event.Additional) != 1 || call.Event.Additional[0].Value != *g.GrantId {
				t.Errorf("request %v, additional %v", call.Event.Request, call.Event.Additional)
			}
		})
	}
}

func TestRetireGrantNamesOneGrant(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	g := w.grant(k, alice.ARN, "Encrypt")
	const either = "Grant token OR (grant ID, key ID) must be specified."
	for _, in := range []*awskms.RetireGrantInput{
		{}, {KeyId: k.Arn}, {GrantId: g.GrantId}, {GrantToken: g.GrantToken, KeyId: k.Arn}, {GrantToken: g.GrantToken, KeyId: k.Arn, GrantId: g.GrantId},
	} {
		w.refused("RetireGrant", in, "ValidationException", either)
	}
	w.refused("RetireGrant", &awskms.RetireGrantInput{GrantToken: aws.String("bad")}, "InvalidGrantTokenException",
		"The request was rejected because the specified grant token is not valid.")
	byID := &awskms.RetireGrantInput{KeyId: k.Arn, GrantId: g.GrantId, DryRun: aws.Bool(true)}
	w.refused("RetireGrant", byID, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	byID.DryRun = nil
	w.must("RetireGrant", byID)
	w.refused("RetireGrant", byID, "NotFoundException", "Grant ID "+*g.GrantId+" not found")
	_, err := w.as(mallory, everything)("RetireGrant", byID)
	const stranger = "User: arn:aws:iam::999988887777:user/mallory is not authorized to perform: kms:RetireGrant on this resource because the " +
		"resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	w.isFault("a stranger", err, "AccessDeniedException", stranger)
	byID.KeyId = aws.String(home.Key("11111111-2222-4333-8444-555555555555"))
	_, err = w.as(mallory, everything)("RetireGrant", byID)
	w.isFault("a stranger about nothing", err, "AccessDeniedException", stranger)
}

func TestListRetirableGrants(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	one, two := w.createKey(), w.createKey()
	want := map[string]bool{}
	for _, k := range []*types.KeyMetadata{one, two, one} {
		g := do[awskms.CreateGrantOutput](w, "CreateGrant", &awskms.CreateGrantInput{
			KeyId: k.KeyId, GranteePrincipal: &alice.ARN, RetiringPrincipal: &bob.ARN, Operations: []types.GrantOperation{"Encrypt"}})
		want[*g.GrantId] = true
		w.grant(k, bob.ARN, "Encrypt")
	}
	var marker *string
	for more := true; more; {
		out := do[awskms.ListRetirableGrantsOutput](w, "ListRetirableGrants",
			&awskms.ListRetirableGrantsInput{RetiringPrincipal: &bob.ARN, Limit: aws.Int32(2), Marker: marker})
		for _, g := range out.Grants {
			if !want[*g.GrantId] {
				t.Errorf("unexpected %s", *g.GrantId)
			}
			delete(want, *g.GrantId)
		}
		more, marker = out.Truncated, out.NextMarker
	}
	if len(want) != 0 {
		t.Errorf("%d are missing", len(want))
	}
	in := &awskms.ListRetirableGrantsInput{RetiringPrincipal: &bob.ARN}
	_, err := w.as(bob)("ListRetirableGrants", in)
	w.isFault("bob", err, "AccessDeniedException", "User: "+bob.ARN+" is not authorized to perform: kms:ListRetirableGrants on resource: "+bob.ARN+
		" because no identity-based policy allows the kms:ListRetirableGrants action")
	if _, err := w.as(mallory, everything)("ListRetirableGrants", in); err == nil {
		t.Error("another account lists grants that are ours to retire")
	}
}

func TestGrantsGoWithTheirKey(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	in := &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, RetiringPrincipal: &bob.ARN, Operations: []types.GrantOperation{"Encrypt"}}
	w.must("CreateGrant", in)
	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(7)})
	w.advance(7 * 24 * time.Hour)
	w.deleteDue()
	out := do[awskms.ListRetirableGrantsOutput](w, "ListRetirableGrants", &awskms.ListRetirableGrantsInput{RetiringPrincipal: &bob.ARN})
	if len(out.Grants) != 0 {
		t.Errorf("%d grants are left", len(out.Grants))
	}
}

// TestGrantsAreOfOneRegion: related keys share no grants, and a replica that is made again begins without.
func TestGrantsAreOfOneRegion(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{MultiRegion: aws.Bool(true)}).KeyMetadata
	w.replicate(*k.KeyId, "eu-west-1")
	may := func() bool {
		call := w.callAs(&policy.Principal{Caller: alice})
		call.Scope.Region = w.scope.Region
		_, err := w.invoke(call, "Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
		return err == nil
	}
	w.must("CreateGrant", &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Operations: []types.GrantOperation{"Encrypt"}})
	w.in("eu-west-1", func() {
		if may() {
			t.Error("a grant counts in another Region")
		}
		w.must("CreateGrant", &awskms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: &alice.ARN, Operations: []types.GrantOperation{"Encrypt"}})
		if !may() {
			t.Error("a grant does not count in its Region")
		}
		w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(7)})
	})
	w.advance(7 * 24 * time.Hour)
	w.deleteDue()
	w.replicate(*k.KeyId, "eu-west-1")
	w.in("eu-west-1", func() {
		if may() {
			t.Error("a grant came back with its key")
		}
	})
	if !may() {
		t.Error("the primary's grant is gone")
	}
}
