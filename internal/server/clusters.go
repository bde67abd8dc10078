package server

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
	"keyward/internal/keystore"
)

// clusterReader shows key stores the clusters of the CloudHSM service, in the words of key stores.
type clusterReader struct{ service *cloudhsm.Service }

// Cluster implements keystore.Clusters.
func (r clusterReader) Cluster(ctx context.Context, scope arn.Scope, id string) (*keystore.Cluster, error) {
	c, err := r.service.Cluster(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	if c.State == types.ClusterStateDeleted {
		return nil, fault.ErrNotFound
	}
	view := &keystore.Cluster{
		ID:          c.ID,
		Active:      c.State == types.ClusterStateActive,
		Serving:     c.Serving(),
		Certificate: []byte(c.ClusterCertificate),
		Zones:       slices.Sorted(maps.Keys(c.SubnetMapping)),
	}
	for _, h := range c.ActiveHsms() {
		view.Hsms = append(view.Hsms, keystore.Hsm{ID: h.ID, Address: h.EniIP, Zone: h.Zone})
	}
	return view, nil
}

// SecurityGroupIntact implements keystore.Clusters.
func (r clusterReader) SecurityGroupIntact(ctx context.Context, scope arn.Scope, id string) (bool, error) {
	c, err := r.service.Cluster(ctx, scope, id)
	if err != nil {
		return false, err
	}
	return r.service.SecurityGroupIntact(ctx, c)
}

// Subnets implements keystore.Clusters.
func (r clusterReader) Subnets(ctx context.Context, scope arn.Scope, id string) error {
	c, err := r.service.Cluster(ctx, scope, id)
	if err != nil {
		return err
	}
	missing, err := r.service.MissingSubnets(ctx, c)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return keystore.ErrSubnetNotFound
	}
	full, err := r.service.FullSubnets(ctx, c)
	if err != nil {
		return err
	}
	if len(full) > 0 {
		return keystore.ErrSubnetFull
	}
	return nil
}
