package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyward/internal/keywardtest"
)

// TestBackupCommands types what the user guide's pages on backups show, shorthand included.
func TestBackupCommands(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{})
	const script = `
CLUSTER=$(aws cloudhsmv2 describe-clusters --filters states=ACTIVE --query 'Clusters[0].ClusterId' --output text)
backups() { aws cloudhsmv2 describe-backups --query 'Backups[].BackupState' --output text "$@"; }
until [ "$(backups --filters clusterIds=$CLUSTER,states=READY --max-items 1)" ]; do sleep 0.1; done
until [ -z "$(backups --filters states=CREATE_IN_PROGRESS)" ]; do sleep 0.1; done
ID=$(aws cloudhsmv2 describe-backups --sort-ascending --query 'Backups[0].BackupId' --output text)
aws cloudhsmv2 delete-backup --backup-id $ID --query Backup.BackupState --output text
backups --filters backupIds=$ID,states=READY,PENDING_DELETION
aws cloudhsmv2 restore-backup --backup-id $ID --query 'Backup.[BackupState, DeleteTimestamp]' --output text
aws cloudhsmv2 modify-backup-attributes --backup-id $ID --never-expires --query Backup.NeverExpires
backups --filters neverExpires=true
aws cloudhsmv2 modify-backup-attributes --backup-id $ID --no-never-expires --query Backup.NeverExpires
aws cloudhsmv2 modify-cluster --cluster-id $CLUSTER --backup-retention-policy Type=DAYS,Value=30 --query Cluster.BackupRetentionPolicy.Value
aws cloudhsmv2 tag-resource --resource-id $ID --tag-list Key=use,Value=drill
aws cloudhsmv2 list-tags --resource-id $ID --query 'TagList[].Value' --output text
aws cloudhsmv2 copy-backup-to-region --backup-id $ID --destination-region eu-west-1 --query 'sort(keys(DestinationBackup))' --output text
until [ "$(backups --region eu-west-1 --filters sourceBackupIds=$ID)" = READY ]; do sleep 0.1; done
aws cloudhsmv2 describe-backups --shared --query Backups
aws cloudhsmv2 restore-backup --backup-id $ID 2>&1 | sed -n "s/$ID/ID/; s/.*operation: //p" || true
`
	const want = `PENDING_DELETION
PENDING_DELETION
READY	None
true
READY
false
"30"
drill
CreateTimestamp	SourceBackup	SourceCluster	SourceRegion
[]
Backup ID is in state READY. RestoreBackup requires state PENDING_DELETION.
`
	if diff := cmp.Diff(want, i.Shell(t.TempDir(), script, "")); diff != "" {
		t.Errorf("the commands print (-want +got):\n%s", diff)
	}
}
