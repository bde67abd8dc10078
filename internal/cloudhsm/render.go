package cloudhsm

import (
	"maps"
	"slices"

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

// certificates shows the cluster certificate once the HSM holds it, and from then on none of the others.
func (c *Cluster) certificates() *types.Certificates {
	switch c.State {
	case types.ClusterStateCreateInProgress:
		return &types.Certificates{}
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
func about(call *operation.Call, c *Cluster) { call.About("AWS::CloudHSM::Cluster", c.ARN()) }

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
