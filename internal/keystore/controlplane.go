package keystore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	cloudtypes "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
)

// ControlPlane is the part of *cloudhsm.Service that key stores read.
type ControlPlane interface {
	Cluster(ctx context.Context, scope arn.Scope, id string) (*cloudhsm.Cluster, error)
	SecurityGroupIntact(ctx context.Context, c *cloudhsm.Cluster) (bool, error)
	MissingSubnets(ctx context.Context, c *cloudhsm.Cluster) ([]string, error)
	FullSubnets(ctx context.Context, c *cloudhsm.Cluster) ([]string, error)
}

// ClustersOf reads clusters from the control plane.
func ClustersOf(p ControlPlane) Clusters { return clusters{p} }

type clusters struct{ plane ControlPlane }

// find takes a DELETED cluster, which the control plane still lists for a while, for none.
func (c clusters) find(ctx context.Context, scope arn.Scope, id string) (*cloudhsm.Cluster, error) {
	found, err := c.plane.Cluster(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	if found.State == cloudtypes.ClusterStateDeleted {
		return nil, fault.ErrNotFound
	}
	return found, nil
}

func (c clusters) Cluster(ctx context.Context, scope arn.Scope, id string) (*Cluster, error) {
	found, err := c.find(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	seen := &Cluster{
		ID:          found.ID,
		Active:      found.State == cloudtypes.ClusterStateActive,
		Serving:     found.Serving(),
		Certificate: []byte(found.ClusterCertificate),
		Zones:       slices.Sorted(maps.Keys(found.SubnetMapping)),
	}
	for _, h := range found.ActiveHsms() {
		seen.Hsms = append(seen.Hsms, Hsm{ID: h.ID, Address: h.EniIP, Zone: h.Zone})
	}
	return seen, nil
}

func (c clusters) SecurityGroupIntact(ctx context.Context, scope arn.Scope, id string) (bool, error) {
	found, err := c.find(ctx, scope, id)
	if errors.Is(err, fault.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return c.plane.SecurityGroupIntact(ctx, found)
}

func (c clusters) Subnets(ctx context.Context, scope arn.Scope, id string) error {
	found, err := c.find(ctx, scope, id)
	if err != nil {
		return err
	}
	missing, err := c.plane.MissingSubnets(ctx, found)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %v", ErrSubnetNotFound, missing)
	}
	full, err := c.plane.FullSubnets(ctx, found)
	if err != nil {
		return err
	}
	if len(full) > 0 {
		return fmt.Errorf("%w: %v", ErrSubnetFull, full)
	}
	return nil
}

// Interfaces is the part of the network's service that key stores use; the methods are those of cloudhsm.Network.
type Interfaces interface {
	FreeAddresses(ctx context.Context, scope arn.Scope, subnetID string) (int, error)
	AllocateInterface(ctx context.Context, scope arn.Scope, subnetID, groupID, address, requester, description string) (eniID, ip string, err error)
	ReleaseInterface(ctx context.Context, scope arn.Scope, eniID string) error
	ManagedInterfaces(ctx context.Context, requester string) (map[string]arn.Scope, error)
}

// NetworkOf gives connected stores network interfaces of their own, one in each subnet of the cluster's configuration.
// The store's id is their requester, by which they are found again.
func NetworkOf(p ControlPlane, n Interfaces) Network { return network{clusters{p}, n} }

type network struct {
	clusters   clusters
	interfaces Interfaces
}

// Attach begins with a clean slate: an attempt that was interrupted may have left some.
func (n network) Attach(ctx context.Context, scope arn.Scope, storeID, clusterID string) error {
	if err := n.Detach(ctx, storeID); err != nil {
		return err
	}
	c, err := n.clusters.find(ctx, scope, clusterID)
	if err != nil {
		return err
	}
	for _, zone := range slices.Sorted(maps.Keys(c.SubnetMapping)) {
		if err := n.allocate(ctx, c, c.SubnetMapping[zone], storeID); err != nil {
			return fmt.Errorf("making a network interface in %s: %w", c.SubnetMapping[zone], err)
		}
	}
	return nil
}

// allocate tells by looking again why the network had no interface to give.
func (n network) allocate(ctx context.Context, c *cloudhsm.Cluster, subnetID, storeID string) error {
	_, _, err := n.interfaces.AllocateInterface(ctx, c.Scope, subnetID, c.SecurityGroup, "", storeID,
		"KMS managed ENI for cluster "+c.ID)
	if err == nil {
		return nil
	}
	switch free, lookErr := n.interfaces.FreeAddresses(ctx, c.Scope, subnetID); {
	case errors.Is(lookErr, fault.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrSubnetNotFound, err)
	case lookErr == nil && free == 0:
		return fmt.Errorf("%w: %w", ErrSubnetFull, err)
	}
	return err
}

func (n network) Detach(ctx context.Context, storeID string) error {
	made, err := n.interfaces.ManagedInterfaces(ctx, storeID)
	if err != nil {
		return err
	}
	for id, scope := range made {
		err = errors.Join(err, n.interfaces.ReleaseInterface(ctx, scope, id))
	}
	return err
}
