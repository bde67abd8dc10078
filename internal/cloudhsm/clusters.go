package cloudhsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// HSM types in use.
const (
	hsm1 = "hsm1.medium"
	hsm2 = "hsm2m.medium"
)

// Backup retention, in days.
const (
	defaultRetention = "90"
	minRetention     = 7
	maxRetention     = 379
)

// keepDeleted is how long a DELETED cluster can still be described.
const keepDeleted = time.Hour

// Texts that AWS sends with a state.
const (
	messageInitializing = "Cluster is initializing. State will change to INITIALIZED upon completion."
	messageDeleting     = "The cluster is being deleted."
)

func (s *Service) createCluster(ctx context.Context, call *operation.Call, in *api.CreateClusterInput) (*api.CreateClusterOutput, error) {
	c := &Cluster{
		Scope:         call.Scope,
		ID:            newID("cluster-"),
		Created:       call.Time.Truncate(time.Millisecond).UTC(),
		State:         types.ClusterStateCreateInProgress,
		HsmType:       aws.ToString(in.HsmType),
		SecurityGroup: newGroupID(),
	}
	var err error
	if c.VpcID, c.SubnetMapping, err = s.placement(ctx, call.Scope, in.SubnetIds); err != nil {
		return nil, err
	}
	if c.Mode, err = s.mode(c.HsmType, in.Mode); err != nil {
		return nil, err
	}
	if in.SourceBackupId != nil {
		if err := s.inherit(ctx, c, *in.SourceBackupId); err != nil {
			return nil, err
		}
	}
	if in.NetworkType == types.NetworkTypeDualstack {
		return nil, invalid("NetworkType DUALSTACK requires IPv6 CIDR blocks on VPC %s and all subnets.", c.VpcID)
	}
	if c.RetentionDays, err = retention(in.BackupRetentionPolicy); err != nil {
		return nil, err
	}
	if c.Tags, err = mergeTags(nil, in.TagList); err != nil {
		return nil, err
	}
	if err := s.insert(ctx, call, c); err != nil {
		return nil, err
	}
	s.wake(c.Scope, c.ID)
	out := c.wire()
	return &api.CreateClusterOutput{Cluster: &out}, nil
}

// inherit gives a new cluster what a backup decides: it works in the backup's mode and is known by its certificate.
func (s *Service) inherit(ctx context.Context, c *Cluster, backup string) error {
	b, err := s.sourceBackup(ctx, c.Scope, backup)
	if err != nil {
		return err
	}
	if b.Mode != c.Mode {
		return invalid("Backup %s is of a cluster in mode %s and cannot be restored to a cluster in mode %s.", b.ID, b.Mode, c.Mode)
	}
	c.SourceBackupID, c.ClusterCertificate, c.TrustAnchor = b.ID, b.ClusterCertificate, b.TrustAnchor
	return nil
}

// placement resolves subnets: they must exist in one VPC, at most one in each zone.
func (s *Service) placement(ctx context.Context, scope arn.Scope, subnetIDs []string) (vpc string, zones map[string]string, err error) {
	zones = make(map[string]string)
	for _, id := range subnetIDs {
		in, zone, err := s.network.Subnet(ctx, scope, id)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			return "", nil, invalid("Subnet %s was not found.", id)
		case err != nil:
			return "", nil, fmt.Errorf("looking for subnet %s: %w", id, err)
		case vpc != "" && in != vpc:
			return "", nil, invalid("Subnets %s and %s are not in the same VPC.", subnetIDs[0], id)
		case zones[zone] != "":
			return "", nil, invalid("Subnets %s and %s are both in Availability Zone %s. Specify at most one subnet for each Availability Zone.", zones[zone], id, zone)
		}
		vpc, zones[zone] = in, id
	}
	return vpc, zones, nil
}

// mode decides in which mode a new cluster works; only hsm1.medium has a default.
func (s *Service) mode(hsmType string, asked types.ClusterMode) (types.ClusterMode, error) {
	switch hsmType {
	case hsm2:
		if asked == "" {
			return "", invalid("Mode is required for HSM type %s.", hsm2)
		}
		return asked, nil
	case hsm1:
		if asked == types.ClusterModeNonFips {
			return "", invalid("HSM type %s supports FIPS mode only.", hsm1)
		}
		if !s.hsm1 {
			return "", invalid("HSM type %s is no longer offered for new clusters. Use %s.", hsm1, hsm2)
		}
		return types.ClusterModeFips, nil
	default:
		return "", invalid("HSM type %s is not supported.", hsmType)
	}
}

// retention checks a policy; nil means the default. AWS writes the number of days as a string.
func retention(p *types.BackupRetentionPolicy) (string, error) {
	if p == nil {
		return defaultRetention, nil
	}
	value := aws.ToString(p.Value)
	days, err := strconv.Atoi(value)
	if err != nil || days < minRetention || days > maxRetention {
		return "", invalid("The backup retention period must be between %d and %d days.", minRetention, maxRetention)
	}
	return strconv.Itoa(days), nil
}

func (s *Service) insert(ctx context.Context, call *operation.Call, c *Cluster) error {
	return s.store.Change(ctx, call.Event, func(tx Tx) error {
		all, err := tx.Clusters(c.Scope)
		if err != nil {
			return err
		}
		existing := 0
		for _, other := range all {
			if other.State != types.ClusterStateDeleted {
				existing++
			}
		}
		if existing >= s.quotas.Clusters {
			return overQuota("The account has reached its limit of %d clusters in this Region.", s.quotas.Clusters)
		}
		about(call, c)
		call.Event.Response.Add("cluster", clusterEvent(c))
		return tx.Insert(c)
	})
}

// current finds the cluster an operation is about; a DELETED one is gone for everything but DescribeClusters.
func current(read func(arn.Scope, string) (*Cluster, error), scope arn.Scope, id string) (*Cluster, error) {
	c, err := read(scope, id)
	if errors.Is(err, fault.ErrNotFound) || (err == nil && c.State == types.ClusterStateDeleted) {
		return nil, clusterNotFound(id)
	}
	return c, err
}

// change applies fn to a cluster in the transaction of the call's event and returns what became of it.
func (s *Service) change(ctx context.Context, call *operation.Call, id string, fn func(Tx, *Cluster) error) (*Cluster, error) {
	var changed *Cluster
	err := s.store.Change(ctx, call.Event, func(tx Tx) error {
		c, err := current(tx.Cluster, call.Scope, id)
		if err != nil {
			return err
		}
		about(call, c)
		if err := fn(tx, c); err != nil {
			return err
		}
		changed = c
		return tx.Update(c)
	})
	if err != nil {
		return nil, err
	}
	s.wake(changed.Scope, changed.ID)
	return changed, nil
}

func (s *Service) initializeCluster(ctx context.Context, call *operation.Call, in *api.InitializeClusterInput) (*api.InitializeClusterOutput, error) {
	signed, anchor := aws.ToString(in.SignedCert), aws.ToString(in.TrustAnchor)
	c, err := s.change(ctx, call, aws.ToString(in.ClusterId), func(_ Tx, c *Cluster) error {
		if err := permit("InitializeCluster", c); err != nil {
			return err
		}
		if len(c.ActiveHsms()) == 0 || c.ClusterCSR == "" {
			return invalid("Cluster %s has no HSM in state ACTIVE. Create one before you initialize the cluster.", c.ID)
		}
		if err := checkInitialization(c.ClusterCSR, signed, anchor, call.Time); err != nil {
			return err
		}
		c.ClusterCertificate, c.TrustAnchor = unixLines(signed), unixLines(anchor)
		call.Event.Response.Add("state", string(types.ClusterStateInitializeInProgress))
		call.Event.Response.Add("stateMessage", messageInitializing)
		return c.enter(types.ClusterStateInitializeInProgress, messageInitializing)
	})
	if err != nil {
		return nil, err
	}
	return &api.InitializeClusterOutput{State: c.State, StateMessage: &c.StateMessage}, nil
}

func (s *Service) deleteCluster(ctx context.Context, call *operation.Call, in *api.DeleteClusterInput) (*api.DeleteClusterOutput, error) {
	c, err := s.change(ctx, call, aws.ToString(in.ClusterId), func(_ Tx, c *Cluster) error {
		if len(c.Hsms) > 0 {
			return invalid("Cluster %s has %d HSMs. Delete them before you delete the cluster.", c.ID, len(c.Hsms))
		}
		if err := permit("DeleteCluster", c); err != nil {
			return err
		}
		if err := c.enter(types.ClusterStateDeleteInProgress, messageDeleting); err != nil {
			return err
		}
		call.Event.Response.Add("cluster", clusterEvent(c))
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := c.wire()
	return &api.DeleteClusterOutput{Cluster: &out}, nil
}

// gone reports whether the time in which a DELETED cluster is shown is over.
func (c *Cluster) gone(now time.Time) bool {
	return c.State == types.ClusterStateDeleted && now.After(c.Expires)
}

// filters of DescribeClusters: what each compares with.
var filters = map[string]func(*Cluster) string{
	"clusterIds": func(c *Cluster) string { return c.ID },
	"vpcIds":     func(c *Cluster) string { return c.VpcID },
	"states":     func(c *Cluster) string { return string(c.State) },
}

// matches reports whether the cluster passes all filters; the values of one filter are alternatives.
func matches(c *Cluster, asked map[string][]string) bool {
	for name, values := range asked {
		if !slices.Contains(values, filters[name](c)) {
			return false
		}
	}
	return true
}

func (s *Service) describeClusters(ctx context.Context, call *operation.Call, in *api.DescribeClustersInput) (*api.DescribeClustersOutput, error) {
	for name := range in.Filters {
		if filters[name] == nil {
			return nil, invalid("Filter %s is not supported. Use clusterIds, vpcIds or states.", name)
		}
	}
	all, err := s.store.Clusters(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	now := s.now()
	all = slices.DeleteFunc(all, func(c *Cluster) bool { return c.gone(now) || !matches(c, in.Filters) })
	page, token, err := paginate(s.authority, pageOf{
		operation: "DescribeClusters", scope: call.Scope, size: 25,
		max: in.MaxResults, token: aws.ToString(in.NextToken),
	}, all, func(c *Cluster) string { return sortKey(c) })
	if err != nil {
		return nil, err
	}
	out := &api.DescribeClustersOutput{Clusters: make([]types.Cluster, 0, len(page)), NextToken: token}
	for _, c := range page {
		out.Clusters = append(out.Clusters, c.wire())
	}
	return out, nil
}

// sortKey orders clusters as the store does, oldest first.
func sortKey(c *Cluster) string { return fmt.Sprintf("%016x %s", c.Created.UnixMilli(), c.ID) }
