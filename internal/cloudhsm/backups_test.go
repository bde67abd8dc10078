package cloudhsm_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
	"keyward/internal/network"
)

const day = 24 * time.Hour

// serving makes a cluster with one HSM that has been activated, as far as the control plane can tell.
func (p *plane) serving() string {
	p.Helper()
	id := p.cluster()
	p.hsm(id, "a")
	p.await(id, func(c types.Cluster) bool { return c.Certificates.ClusterCsr != nil })
	p.amend(id, func(c *cloudhsm.Cluster) {
		c.State, c.ClusterCertificate, c.TrustAnchor, c.BackupDue = types.ClusterStateActive, "certificate of "+id, "anchor", true
	})
	p.service.Wake()
	return id
}

// amend changes a cluster's record behind the service's back.
func (p *plane) amend(id string, fn func(*cloudhsm.Cluster)) {
	p.Helper()
	for {
		err := p.db.CloudHSM().Change(p.Context(), nil, func(tx cloudhsm.Tx) error {
			c, err := tx.Cluster(scope, id)
			if err != nil {
				return err
			}
			fn(c)
			return tx.Update(c)
		})
		if errors.Is(err, fault.ErrConflict) {
			continue
		}
		p.must(err)
		return
	}
}

func (p *plane) backupsIn(where arn.Scope, in *api.DescribeBackupsInput) []types.Backup {
	p.Helper()
	out, err := p.callIn(where, "DescribeBackups", in)
	p.must(err)
	return out.(*api.DescribeBackupsOutput).Backups
}

// awaitBackups polls DescribeBackups, newest first, until what it says holds.
func (p *plane) awaitBackups(where arn.Scope, what string, holds func([]types.Backup) bool) []types.Backup {
	p.Helper()
	deadline := time.After(30 * time.Second)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		all := p.backupsIn(where, &api.DescribeBackupsInput{})
		if holds(all) {
			return all
		}
		select {
		case <-poll.C:
		case <-deadline:
			p.Fatalf("backups never are %s: %v", what, states(all))
		}
	}
}

func states(all []types.Backup) (list []string) {
	for _, b := range all {
		list = append(list, string(b.BackupState))
	}
	return list
}

// are holds for backups in exactly these states, newest first.
func are(want ...string) func([]types.Backup) bool {
	return func(all []types.Backup) bool { return slices.Equal(states(all), want) }
}

const (
	ready   = string(types.BackupStateReady)
	pending = string(types.BackupStatePendingDeletion)
	deleted = string(types.BackupStateDeleted)
)

func TestBackupLife(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	cluster := p.serving()
	b := p.awaitBackups(scope, "one", are(ready))[0]
	if *b.ClusterId != cluster || *b.BackupArn != scope.Backup(*b.BackupId) || b.Mode != types.ClusterModeFips || *b.HsmType != "hsm2m.medium" ||
		*b.NeverExpires || b.DeleteTimestamp != nil || b.CreateTimestamp == nil || b.CopyTimestamp != nil || b.SourceBackup != nil {
		t.Errorf("backup %+v", b)
	}
	p.refused(invalid, "state READY", "RestoreBackup", &api.RestoreBackupInput{BackupId: b.BackupId}) // statement 33
	before := p.now()
	gone := ok[api.DeleteBackupOutput](p, "DeleteBackup", &api.DeleteBackupInput{BackupId: b.BackupId}).Backup
	if d := gone.DeleteTimestamp.Sub(before); gone.BackupState != types.BackupStatePendingDeletion || d < 7*day-time.Minute || d > 7*day+time.Minute {
		t.Errorf("statement 31: %s, to go in %v", gone.BackupState, d)
	}
	p.refused(invalid, "state PENDING_DELETION", "DeleteBackup", &api.DeleteBackupInput{BackupId: b.BackupId})
	p.refused(invalid, "requires state READY", "ModifyBackupAttributes", &api.ModifyBackupAttributesInput{BackupId: b.BackupId, NeverExpires: aws.Bool(true)})
	back := ok[api.RestoreBackupOutput](p, "RestoreBackup", &api.RestoreBackupInput{BackupId: b.BackupId}).Backup
	if back.BackupState != types.BackupStateReady || back.DeleteTimestamp != nil {
		t.Errorf("statement 32: %s, %v", back.BackupState, back.DeleteTimestamp)
	}
	ok[api.DeleteBackupOutput](p, "DeleteBackup", &api.DeleteBackupInput{BackupId: b.BackupId})
	p.amend(cluster, func(c *cloudhsm.Cluster) { c.LastBackup = p.now().Add(30 * day) }) // no daily ones here
	p.pass(7*day + time.Minute)
	p.awaitBackups(scope, "deleted", are(deleted))
	p.refused(notFound, *b.BackupId, "RestoreBackup", &api.RestoreBackupInput{BackupId: b.BackupId})
	p.pass(2 * time.Hour)
	p.awaitBackups(scope, "forgotten", are())
	if kept, err := p.fleet.KeptBackups(); err != nil || len(kept) != 0 {
		t.Errorf("contents are left: %v, %v", kept, err)
	}
}

// A backup a day; old ones go by the policy, the last and those that never expire stay (statements 34 and 35).
func TestRetention(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	cluster := p.serving()
	first := p.awaitBackups(scope, "one", are(ready))[0]
	p.pass(day)
	p.awaitBackups(scope, "two", are(ready, ready))
	kept := ok[api.ModifyBackupAttributesOutput](p, "ModifyBackupAttributes", &api.ModifyBackupAttributesInput{BackupId: first.BackupId, NeverExpires: aws.Bool(true)})
	if !*kept.Backup.NeverExpires {
		t.Error("NeverExpires is not shown")
	}
	p.amend(cluster, func(c *cloudhsm.Cluster) { c.LastBackup = p.now().Add(8 * day) }) // none for a while
	p.pass(8 * day)
	p.awaitBackups(scope, "left alone at 90 days", are(ready, ready))
	policy := func(days string) *types.BackupRetentionPolicy {
		return &types.BackupRetentionPolicy{Type: types.BackupRetentionTypeDays, Value: &days}
	}
	for _, days := range []string{"6", "380"} { // statement 8
		p.refused(invalid, "between 7 and 379", "ModifyCluster", &api.ModifyClusterInput{ClusterId: &cluster, BackupRetentionPolicy: policy(days)})
	}
	p.refused(invalid, "Specify", "ModifyCluster", &api.ModifyClusterInput{ClusterId: &cluster})
	p.refused(invalid, "not supported", "ModifyCluster", &api.ModifyClusterInput{ClusterId: &cluster, HsmType: aws.String("hsm1.medium")})
	c := ok[api.ModifyClusterOutput](p, "ModifyCluster", &api.ModifyClusterInput{ClusterId: &cluster, BackupRetentionPolicy: policy("7")}).Cluster
	if *c.BackupRetentionPolicy.Value != "7" {
		t.Errorf("retention %s", *c.BackupRetentionPolicy.Value)
	}
	p.pass(2 * day) // with the next daily one, the second is no longer the newest
	p.awaitBackups(scope, "purged but for the newest and the one that never expires", are(ready, pending, ready))
	never := p.backupsIn(scope, &api.DescribeBackupsInput{Filters: map[string][]string{"neverExpires": {"true"}}})
	if len(never) != 1 || *never[0].BackupId != *first.BackupId {
		t.Errorf("filter neverExpires finds %v", never)
	}
}

func TestDescribeBackups(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	cluster := p.serving()
	for n := range 4 {
		p.awaitBackups(scope, "made daily", func(all []types.Backup) bool { return len(all) == n+1 && states(all)[0] == ready })
		if n < 3 {
			p.pass(day)
		}
	}
	ascending := p.backupsIn(scope, &api.DescribeBackupsInput{SortAscending: aws.Bool(true)})
	var walked []types.Backup
	in := &api.DescribeBackupsInput{MaxResults: aws.Int32(3)}
	for pages := 1; ; pages++ {
		out := ok[api.DescribeBackupsOutput](p, "DescribeBackups", in)
		walked = append(walked, out.Backups...)
		if out.NextToken == nil {
			if pages != 2 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		p.refused(invalid, "NextToken", "DescribeBackups", &api.DescribeBackupsInput{NextToken: out.NextToken, SortAscending: aws.Bool(true)})
		in.NextToken = out.NextToken
	}
	slices.Reverse(walked)
	same := func(a, b types.Backup) bool { return *a.BackupId == *b.BackupId }
	if len(walked) != 4 || !slices.EqualFunc(ascending, walked, same) {
		t.Errorf("%d backups in pages, ascending %d", len(walked), len(ascending))
	}
	for filter, test := range map[string]struct {
		value string
		want  int
	}{
		"backupIds": {*ascending[2].BackupId, 1}, "clusterIds": {cluster, 4}, "states": {"READY", 4}, "sourceBackupIds": {"backup-x", 0},
		"neverExpires": {"false", 4},
	} {
		if all := p.backupsIn(scope, &api.DescribeBackupsInput{Filters: map[string][]string{filter: {test.value}}}); len(all) != test.want {
			t.Errorf("filter %s=%s finds %d", filter, test.value, len(all))
		}
	}
	if shared := p.backupsIn(scope, &api.DescribeBackupsInput{Shared: aws.Bool(true)}); shared == nil || len(shared) != 0 {
		t.Errorf("shared: %v", shared)
	}
	p.refused(invalid, "Filter colour", "DescribeBackups", &api.DescribeBackupsInput{Filters: map[string][]string{"colour": {"red"}}})
}

// Statement 36, and what becomes of copies.
func TestCopies(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	abroad := arn.Scope{Account: scope.Account, Region: "eu-west-1"}
	cluster := p.serving()
	b := p.awaitBackups(scope, "one", are(ready))[0]
	ok[api.TagResourceOutput](p, "TagResource", &api.TagResourceInput{ResourceId: b.BackupId, TagList: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	to := func(region string) *api.CopyBackupToRegionInput {
		return &api.CopyBackupToRegionInput{BackupId: b.BackupId, DestinationRegion: &region}
	}
	p.refused(invalid, "already", "CopyBackupToRegion", to(scope.Region))
	p.refused(invalid, "partitions", "CopyBackupToRegion", to("us-gov-west-1"))
	d := ok[api.CopyBackupToRegionOutput](p, "CopyBackupToRegion", to("eu-west-1")).DestinationBackup
	if *d.SourceBackup != *b.BackupId || *d.SourceCluster != cluster || *d.SourceRegion != scope.Region || !d.CreateTimestamp.Equal(*b.CreateTimestamp) {
		t.Errorf("statement 36: %+v", d)
	}
	p.awaitBackups(abroad, "copied", are(ready))
	found := p.backupsIn(abroad, &api.DescribeBackupsInput{Filters: map[string][]string{"sourceBackupIds": {*b.BackupId}}})
	if len(found) != 1 || found[0].ClusterId != nil || found[0].CopyTimestamp == nil || len(found[0].TagList) != 1 || *found[0].BackupId == *b.BackupId {
		t.Errorf("statement 36: the copy is %+v", found)
	}
	p.must(p.fleet.DropBackup(*b.BackupId)) // a copy of what is damaged fails
	again := to("eu-west-1")
	again.TagList = []types.Tag{{Key: aws.String("other"), Value: aws.String("")}}
	ok[api.CopyBackupToRegionOutput](p, "CopyBackupToRegion", again)
	all := p.awaitBackups(abroad, "failed once", func(all []types.Backup) bool {
		return len(all) == 2 && slices.Contains(states(all), deleted) && slices.Contains(states(all), ready)
	})
	for _, c := range all {
		if c.BackupState == types.BackupStateDeleted && *c.TagList[0].Key != "other" {
			t.Errorf("tags that are given replace those of the source: %v", c.TagList)
		}
	}
}

// Statements 25 and 26, other subnets, and backups that cannot be used.
func TestClusterFromBackup(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	cluster := p.serving()
	b := p.awaitBackups(scope, "one", are(ready))[0]
	from := func(backup string, change func(*api.CreateClusterInput)) *api.CreateClusterInput {
		in := clusterOver(p.subnets[1], p.subnets[2])
		in.SourceBackupId = &backup
		if change != nil {
			change(in)
		}
		return in
	}
	p.refused(invalid, "mode FIPS", "CreateCluster", from(*b.BackupId, func(in *api.CreateClusterInput) { in.Mode = types.ClusterModeNonFips })) // 26
	p.refused(notFound, "was not found", "CreateCluster", from("arn:aws:cloudhsm:us-east-1:999999999999:backup/"+*b.BackupId, nil))
	// Nor is there another spelling, which policies on the backup would not know.
	p.refused(notFound, "was not found", "CreateCluster", from("arn:aws:cloudhsm:"+scope.Region+":"+scope.Account+":"+*b.BackupId, nil))
	p.refused(notFound, "was not found", "CreateCluster", from("arn:aws:kms:"+scope.Region+":"+scope.Account+":backup/"+*b.BackupId, nil))
	for _, name := range []string{*b.BackupId, *b.BackupArn} {
		c := ok[api.CreateClusterOutput](p, "CreateCluster", from(name, nil)).Cluster
		if c.State != types.ClusterStateCreateInProgress || *c.SourceBackupId != *b.BackupId || *c.Certificates.ClusterCertificate != "certificate of "+cluster {
			t.Errorf("statement 25: %s, %v, %+v", c.State, aws.ToString(c.SourceBackupId), c.Certificates)
		}
		now := p.await(*c.ClusterId, func(c types.Cluster) bool { return c.State == types.ClusterStateActive })
		if len(now.Hsms) != 0 || *now.Certificates.ClusterCertificate != "certificate of "+cluster || now.Certificates.ClusterCsr != nil {
			t.Errorf("statement 25: %+v", now)
		}
	}
	restored := ok[api.CreateClusterOutput](p, "CreateCluster", from(*b.BackupId, nil)).Cluster
	p.await(*restored.ClusterId, func(c types.Cluster) bool { return c.State == types.ClusterStateActive })
	p.must(p.fleet.DropBackup(*b.BackupId))
	p.refused(invalid, "cannot be restored: its file is gone", "CreateCluster", from(*b.BackupId, nil))
	p.refused(invalid, "cannot be restored: its file is gone", "CreateHsm", &api.CreateHsmInput{ClusterId: restored.ClusterId, AvailabilityZone: aws.String("us-east-1b")})
	ok[api.DeleteBackupOutput](p, "DeleteBackup", &api.DeleteBackupInput{BackupId: b.BackupId})
	p.refused(invalid, "PENDING_DELETION", "CreateCluster", from(*b.BackupId, nil))
	p.refused(invalid, "neither an HSM nor a READY backup", "CreateHsm", &api.CreateHsmInput{ClusterId: restored.ClusterId, AvailabilityZone: aws.String("us-east-1b")})
	if free, err := p.network.ManagedInterfaces(t.Context(), "cloudhsm"); err != nil || len(free) != 1 {
		t.Errorf("refused HSMs leave interfaces: %v, %v", free, err)
	}
}

// Statement 37: while a cluster is modified, HSMs neither come nor go.
func TestModifiedCluster(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	cluster := p.serving()
	p.awaitBackups(scope, "one", are(ready))
	p.amend(cluster, func(c *cloudhsm.Cluster) { c.State = types.ClusterStateModifyInProgress })
	hsm := *p.describe(&api.DescribeClustersInput{}).Clusters[0].Hsms[0].HsmId
	p.refused(invalid, "MODIFY_IN_PROGRESS", "CreateHsm", &api.CreateHsmInput{ClusterId: &cluster, AvailabilityZone: aws.String("us-east-1b")})
	p.refused(invalid, "MODIFY_IN_PROGRESS", "DeleteHsm", &api.DeleteHsmInput{ClusterId: &cluster, HsmId: &hsm})
}

// Statement 40.
func TestMappingOutlivesItsSubnet(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	id := p.cluster()
	p.must(p.db.Network().Change(t.Context(), nil, func(tx network.Tx) error {
		return tx.DeleteSubnet(scope, p.subnets[1])
	}))
	c := p.await(id, func(types.Cluster) bool { return true })
	missing, err := p.service.MissingSubnets(t.Context(), &cloudhsm.Cluster{Scope: scope, SubnetMapping: c.SubnetMapping})
	if c.SubnetMapping["us-east-1b"] != p.subnets[1] || err != nil || !slices.Equal(missing, []string{p.subnets[1]}) {
		t.Errorf("statement 40: mapping %v, missing %v, %v", c.SubnetMapping, missing, err)
	}
}
