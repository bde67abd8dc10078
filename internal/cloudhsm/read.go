package cloudhsm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// What key stores ask about clusters. Absent clusters are fault.ErrNotFound.

// Cluster returns a cluster of the scope, in any state, DELETED for an hour included.
func (s *Service) Cluster(ctx context.Context, scope arn.Scope, id string) (*Cluster, error) {
	return s.store.Cluster(ctx, scope, id)
}

// Clusters lists the clusters of a scope, oldest first.
func (s *Service) Clusters(ctx context.Context, scope arn.Scope) ([]*Cluster, error) {
	return s.store.Clusters(ctx, scope)
}

// SecurityGroupIntact reports whether the cluster's security group still has both of its rules, TCP 2223–2225 from and
// to itself. A group that was deleted is not intact.
func (s *Service) SecurityGroupIntact(ctx context.Context, c *Cluster) (bool, error) {
	intact, err := s.network.ClusterGroupIntact(ctx, c.Scope, c.SecurityGroup)
	if errors.Is(err, fault.ErrNotFound) {
		return false, nil
	}
	return intact, err
}

// MissingSubnets lists the subnets of the cluster that no longer exist, in order.
func (s *Service) MissingSubnets(ctx context.Context, c *Cluster) ([]string, error) {
	var missing []string
	for _, id := range slices.Sorted(maps.Values(c.SubnetMapping)) {
		_, _, err := s.network.Subnet(ctx, c.Scope, id)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			missing = append(missing, id)
		case err != nil:
			return nil, fmt.Errorf("looking for subnet %s: %w", id, err)
		}
	}
	return missing, nil
}
