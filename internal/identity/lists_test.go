package identity_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestPages(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	var want []string
	for i := range 5 {
		name := fmt.Sprintf("group-%d", i)
		_, err := admin.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name})
		w.must(err)
		want = append(want, name)
	}
	var got []string
	pages := iam.NewListGroupsPaginator(admin, &iam.ListGroupsInput{MaxItems: aws.Int32(2)})
	n := 0
	for ; pages.HasMorePages(); n++ {
		p, err := pages.NextPage(ctx)
		w.must(err)
		for _, g := range p.Groups {
			got = append(got, *g.GroupName)
		}
	}
	if !slices.Equal(got, want) || n != 3 {
		t.Errorf("got %v in %d pages", got, n)
	}
	_, err := admin.ListGroups(ctx, &iam.ListGroupsInput{Marker: aws.String("?")})
	w.refused("a wrong marker", err, "ValidationError", "Invalid Marker.")
}

// TestShortLists asks for what IAM seldom has much of one by one.
func TestShortLists(t *testing.T) {
	w := newWorld(t)
	admin, ctx, one := w.iam(w.admin), t.Context(), aws.Int32(1)
	first := w.user("alice", "").AccessKeyID
	w.user("bob", "")
	policy := w.managed("own", listKeys)
	second := w.key("alice").AccessKeyID
	_, err := admin.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: policy, PolicyDocument: aws.String(denyKeys)})
	w.must(err)
	w.role("crew", trusting(account), listKeys)
	_, err = admin.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("crew")})
	w.must(err)
	_, err = admin.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("bob"), PolicyArn: policy})
	w.must(err)
	_, err = admin.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: aws.String("crew"), PolicyArn: policy})
	w.must(err)
	_, err = admin.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("crew"), PolicyArn: policy})
	w.must(err)
	_, err = admin.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: aws.String("alice"), PermissionsBoundary: policy})
	w.must(err)

	entities := func(usage types.PolicyUsageType) (names []string) {
		pages := iam.NewListEntitiesForPolicyPaginator(admin, &iam.ListEntitiesForPolicyInput{PolicyArn: policy, MaxItems: one, PolicyUsageFilter: usage})
		for pages.HasMorePages() {
			p, err := pages.NextPage(ctx)
			w.must(err)
			if n := len(p.PolicyUsers) + len(p.PolicyGroups) + len(p.PolicyRoles); n != 1 {
				t.Errorf("%d entities on a page", n)
			}
			for _, u := range p.PolicyUsers {
				names = append(names, "user "+*u.UserName)
			}
			for _, g := range p.PolicyGroups {
				names = append(names, "group "+*g.GroupName)
			}
			for _, r := range p.PolicyRoles {
				names = append(names, "role "+*r.RoleName)
			}
		}
		return names
	}
	var keys, versions []string
	for pages := iam.NewListAccessKeysPaginator(admin, &iam.ListAccessKeysInput{UserName: aws.String("alice"), MaxItems: one}); pages.HasMorePages(); {
		p, err := pages.NextPage(ctx)
		w.must(err)
		keys = append(keys, *p.AccessKeyMetadata[0].AccessKeyId+fmt.Sprint(len(p.AccessKeyMetadata)))
	}
	for pages := iam.NewListPolicyVersionsPaginator(admin, &iam.ListPolicyVersionsInput{PolicyArn: policy, MaxItems: one}); pages.HasMorePages(); {
		p, err := pages.NextPage(ctx)
		w.must(err)
		versions = append(versions, *p.Versions[0].VersionId+fmt.Sprint(len(p.Versions)))
	}
	for what, c := range map[string]struct{ got, want []string }{
		"entities":   {entities(""), []string{"user alice", "user bob", "group crew", "role crew"}},
		"attached":   {entities(types.PolicyUsageTypePermissionsPolicy), []string{"user bob", "group crew", "role crew"}},
		"boundaries": {entities(types.PolicyUsageTypePermissionsBoundary), []string{"user alice"}},
		"keys":       {keys, []string{first + "1", second + "1"}},
		"versions":   {versions, []string{"v21", "v11"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", what, c.got, c.want)
		}
	}
}
