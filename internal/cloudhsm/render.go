package cloudhsm

import (
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/audit"
	"keyward/internal/operation"
)

// wire gives the cluster as the API shows it. Hsms and Certificates are always there, other absent members never.
func (c *Cluster) wire() types.Cluster {
	out := types.Cluster{
		BackupPolicy:          types.BackupPolicyDefault,
		BackupRetentionPolicy: &types.BackupRetentionPolicy{Type: types.BackupRetentionTypeDays, Value: &c.RetentionDays},
		Certificates:          c.certificates(),
		ClusterId:             &c.ID,
		CreateTimestamp:       &c.Created,
		HsmType:               &c.HsmType,
		Hsms:                  make([]types.Hsm, 0, len(c.Hsms)),
		Mode:                  c.Mode,
		NetworkType:           types.NetworkTypeIpv4,
		SecurityGroup:         &c.SecurityGroup,
		SourceBackupId:        text(c.SourceBackupID),
		State:                 c.State,
		StateMessage:          text(c.StateMessage),
		SubnetMapping:         maps.Clone(c.SubnetMapping),
		TagList:               slices.Clone(c.Tags),
		VpcId:                 &c.VpcID,
	}
	for _, h := range c.Hsms {
		out.Hsms = append(out.Hsms, h.wire(c))
	}
	return out
}

// certificates shows the cluster certificate once the HSM holds it, in a cluster created from a backup at once, and
// from then on none of the others.
func (c *Cluster) certificates() *types.Certificates {
	switch c.State {
	case types.ClusterStateCreateInProgress:
		return &types.Certificates{ClusterCertificate: text(c.ClusterCertificate)}
	case types.ClusterStateUninitialized, types.ClusterStateInitializeInProgress:
		return &types.Certificates{
			ClusterCsr:                      text(c.ClusterCSR),
			HsmCertificate:                  text(c.HsmCertificate),
			AwsHardwareCertificate:          text(c.ProviderHardware),
			ManufacturerHardwareCertificate: text(c.ManufacturerHardware),
		}
	default:
		return &types.Certificates{ClusterCertificate: text(c.ClusterCertificate)}
	}
}

func (h *Hsm) wire(c *Cluster) types.Hsm {
	return types.Hsm{
		AvailabilityZone: aws.String(h.Zone),
		ClusterId:        aws.String(c.ID),
		EniId:            aws.String(h.EniID),
		EniIp:            aws.String(h.EniIP),
		HsmId:            aws.String(h.ID),
		HsmType:          aws.String(c.HsmType),
		State:            h.State,
		StateMessage:     text(h.StateMessage),
		SubnetId:         aws.String(h.SubnetID),
	}
}

// text is nil for an empty string, which the API leaves out.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// about names the cluster in the call's event.
func about(call *operation.Call, c *Cluster) { call.About(clusterResource, c.ARN()) }

// clusterResource is CloudTrail's name for the type of a cluster.
const clusterResource = "AWS::CloudHSM::Cluster"

// clusterEvent is a cluster in an event's response elements.
func clusterEvent(c *Cluster) audit.Members {
	return audit.Members{
		{Name: "backupPolicy", Value: string(types.BackupPolicyDefault)},
		{Name: "clusterId", Value: c.ID},
		{Name: "createTimestamp", Value: c.Created},
		{Name: "hsmType", Value: c.HsmType},
		{Name: "mode", Value: string(c.Mode)},
		{Name: "securityGroup", Value: c.SecurityGroup},
		{Name: "state", Value: string(c.State)},
		{Name: "subnetMapping", Value: c.SubnetMapping},
		{Name: "vpcId", Value: c.VpcID},
	}
}

func hsmEvent(c *Cluster, h *Hsm) audit.Members {
	return audit.Members{
		{Name: "availabilityZone", Value: h.Zone},
		{Name: "clusterId", Value: c.ID},
		{Name: "eniId", Value: h.EniID},
		{Name: "eniIp", Value: h.EniIP},
		{Name: "hsmId", Value: h.ID},
		{Name: "state", Value: string(h.State)},
		{Name: "subnetId", Value: h.SubnetID},
	}
}

// wire gives the backup as the API shows it; absent members are left out.
func (b *Backup) wire() types.Backup {
	name := b.ARN()
	out := types.Backup{
		BackupArn:       &name,
		BackupId:        &b.ID,
		BackupState:     b.State,
		ClusterId:       text(b.ClusterID),
		CopyTimestamp:   instant(b.Copied),
		CreateTimestamp: &b.Created,
		HsmType:         &b.HsmType,
		Mode:            b.Mode,
		NeverExpires:    &b.NeverExpires,
		SourceBackup:    text(b.SourceBackup),
		SourceCluster:   text(b.SourceCluster),
		SourceRegion:    text(b.SourceRegion),
		TagList:         slices.Clone(b.Tags),
	}
	if b.State == types.BackupStatePendingDeletion {
		out.DeleteTimestamp = instant(b.Removal)
	}
	return out
}

// instant is nil for no time, which the API leaves out.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// backupResource is CloudTrail's name for the type of a backup.
const backupResource = "AWS::CloudHSM::Backup"

// backupEvent is a backup in an event's response elements.
func backupEvent(b *Backup) audit.Members {
	members := audit.Members{
		{Name: "backupId", Value: b.ID},
		{Name: "backupState", Value: string(b.State)},
		{Name: "createTimestamp", Value: b.Created},
		{Name: "neverExpires", Value: b.NeverExpires},
	}
	if b.ClusterID != "" {
		members = append(members, audit.Member{Name: "clusterId", Value: b.ClusterID})
	}
	if b.State == types.BackupStatePendingDeletion {
		members = append(members, audit.Member{Name: "deleteTimestamp", Value: b.Removal})
	}
	return members
}

// destinationEvent is a copy in the event of the call that asked for it.
func destinationEvent(b *Backup) audit.Members {
	return audit.Members{
		{Name: "createTimestamp", Value: b.Created},
		{Name: "sourceBackup", Value: b.SourceBackup},
		{Name: "sourceCluster", Value: b.SourceCluster},
		{Name: "sourceRegion", Value: b.SourceRegion},
	}
}
