package keystore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	cloudtypes "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
	vpc "keyward/internal/network"
)

// ControlPlane is the part of *cloudhsm.Service that key stores read.
type ControlPlane interface {
	Cluster(ctx context.Context, scope arn.Scope, id string) (*cloudhsm.Cluster, error)
	SecurityGroupIntact(ctx context.Context, c *cloudhsm.Cluster) (bool, error)
	MissingSubnets(ctx context.Context, c *cloudhsm.Cluster) ([]string, error)
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
	return nil
}

// Presences is the part of *network.Service that key stores use.
type Presences interface {
	Join(ctx context.Context, p vpc.Presence) error
	Leave(ctx context.Context, scope arn.Scope, requester string) error
	Dial(ctx context.Context, scope arn.Scope, requester, address string) (net.Conn, error)
}

// NetworkOf gives connected stores a security group "kms-<store id>" and network interfaces of their own, one in each
// subnet of the cluster's configuration. The store's id is their requester, by which they are found again.
func NetworkOf(p ControlPlane, n Presences) Network { return network{clusters{p}, n} }

type network struct {
	clusters  clusters
	presences Presences
}

func (n network) Attach(ctx context.Context, scope arn.Scope, storeID, clusterID string) error {
	c, err := n.clusters.find(ctx, scope, clusterID)
	if err != nil {
		return err
	}
	err = n.presences.Join(ctx, vpc.Presence{
		Scope: scope, Requester: storeID, Subnets: slices.Sorted(maps.Values(c.SubnetMapping)), Peer: c.SecurityGroup,
		GroupName:        "kms-" + storeID,
		GroupDescription: "KMS managed security group for custom key store " + storeID,
		Description:      "KMS managed ENI for cluster " + c.ID,
	})
	switch {
	case fault.Is(err, "InvalidSubnetID.NotFound"):
		return fmt.Errorf("%w: %w", ErrSubnetNotFound, err)
	case fault.Is(err, "InsufficientFreeAddressesInSubnet"):
		return fmt.Errorf("%w: %w", ErrSubnetFull, err)
	}
	return err
}

func (n network) Detach(ctx context.Context, scope arn.Scope, storeID string) error {
	return n.presences.Leave(ctx, scope, storeID)
}

func (n network) Dial(ctx context.Context, scope arn.Scope, storeID, address string) (net.Conn, error) {
	return n.presences.Dial(ctx, scope, storeID, address)
}
