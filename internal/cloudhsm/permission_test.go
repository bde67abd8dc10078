package cloudhsm_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	"github.com/google/go-cmp/cmp"

	"keyward/internal/arn"
	"keyward/internal/cloudhsm"
	"keyward/internal/operation"
)

// TestWhatPermissionIsAskedFor: which resource, with the tags that it has and those of the request.
func TestWhatPermissionIsAskedFor(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	id := p.cluster()
	tag := func(key, value string) []types.Tag { return []types.Tag{{Key: &key, Value: &value}} }
	ok[api.TagResourceOutput](p, "TagResource", &api.TagResourceInput{ResourceId: &id, TagList: tag("Team", "red")})
	p.serving()
	backup := *p.awaitBackups(scope, "one", are(ready))[0].BackupId
	ok[api.TagResourceOutput](p, "TagResource", &api.TagResourceInput{ResourceId: &backup, TagList: tag("Desk", "5")})
	elsewhere := arn.Scope{Account: "999988887777", Region: scope.Region}
	has := operation.Keys{"aws:resourcetag/team": {"red"}}
	for name, c := range map[string]struct {
		op   string
		in   any
		want operation.Resource
	}{
		"a cluster": {"CreateHsm", &api.CreateHsmInput{ClusterId: &id}, operation.Resource{ARN: scope.Cluster(id), Keys: has}},
		"by its ARN": {"DeleteCluster", &api.DeleteClusterInput{ClusterId: aws.String(scope.Cluster(id))},
			operation.Resource{ARN: scope.Cluster(id), Keys: has}},
		"new tags": {"TagResource", &api.TagResourceInput{ResourceId: &id, TagList: tag("Desk", "4")}, operation.Resource{ARN: scope.Cluster(id), Keys: operation.Keys{
			"aws:resourcetag/team": {"red"}, "aws:requesttag/desk": {"4"}, "aws:tagkeys": {"Desk"},
		}}},
		"old tags": {"UntagResource", &api.UntagResourceInput{ResourceId: &id, TagKeyList: []string{"Team"}}, operation.Resource{ARN: scope.Cluster(id), Keys: operation.Keys{
			"aws:resourcetag/team": {"red"}, "aws:tagkeys": {"Team"},
		}}},
		"a new cluster": {"CreateCluster", &api.CreateClusterInput{TagList: tag("Team", "blue")}, operation.Resource{ARN: "*", Keys: operation.Keys{
			"aws:requesttag/team": {"blue"}, "aws:tagkeys": {"Team"},
		}}},
		"a cluster from a backup": {"CreateCluster", &api.CreateClusterInput{SourceBackupId: &backup, TagList: tag("Team", "blue")}, operation.Resource{
			ARN: scope.Backup(backup), Keys: operation.Keys{"aws:resourcetag/desk": {"5"}, "aws:requesttag/team": {"blue"}, "aws:tagkeys": {"Team"}}}},
		"from a backup by its ARN": {"CreateCluster", &api.CreateClusterInput{SourceBackupId: aws.String(scope.Backup(backup))}, operation.Resource{
			ARN: scope.Backup(backup), Keys: operation.Keys{"aws:resourcetag/desk": {"5"}}}},
		"a copy": {"CopyBackupToRegion", &api.CopyBackupToRegionInput{BackupId: &backup, DestinationRegion: aws.String("eu-west-1"), TagList: tag("Team", "blue")},
			operation.Resource{ARN: scope.Backup(backup), Keys: operation.Keys{"aws:resourcetag/desk": {"5"}, "aws:requesttag/team": {"blue"}, "aws:tagkeys": {"Team"}}}},
		"no such backup": {"DeleteBackup", &api.DeleteBackupInput{BackupId: aws.String("backup-aaaaaaaaaaa")},
			operation.Resource{ARN: scope.Backup("backup-aaaaaaaaaaa"), Keys: operation.Keys{}}},
		"another account's": {"ListTags", &api.ListTagsInput{ResourceId: aws.String(elsewhere.Cluster(id))},
			operation.Resource{ARN: elsewhere.Cluster(id), Keys: operation.Keys{}}},
	} {
		all, err := p.rows[c.op].Resources(t.Context(), &operation.Call{Scope: scope}, c.in)
		if diff := cmp.Diff(c.want, all[0]); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		var tagged operation.Resource // what TagResource is asked for on
		switch {
		case len(c.want.Keys["aws:tagkeys"]) == 0:
		case c.op == "CreateCluster":
			tagged.ARN = scope.Cluster("*")
		case c.op == "CopyBackupToRegion":
			tagged.ARN = "arn:aws:cloudhsm:eu-west-1:" + scope.Account + ":backup/*"
		}
		if len(all) > 1 != (tagged.ARN != "") || len(all) > 1 && (all[1].ARN != tagged.ARN || all[1].Action != "cloudhsm:TagResource" ||
			all[1].Keys["aws:requesttag/team"][0] != "blue") {
			t.Errorf("%s: %+v", name, all[1:])
		}
	}
}
