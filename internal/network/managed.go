package network

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"keyward/internal/arn"
)

// What other services do in a network. Things that do not exist are fault.ErrNotFound; refusals are faults with EC2's
// codes, whose messages may be shown.

// Ports of a cluster (CloudHSM user guide, "Configure security groups").
const (
	clusterFromPort = 2223
	clusterToPort   = 2225
)

// Subnet says in which VPC and Availability Zone a subnet lies.
func (s *Service) Subnet(ctx context.Context, scope arn.Scope, id string) (vpcID, zone string, err error) {
	subnet, err := s.store.Subnet(ctx, scope, id)
	if err != nil {
		return "", "", err
	}
	return subnet.VpcID, subnet.Zone, nil
}

// FreeAddresses of a subnet.
func (s *Service) FreeAddresses(ctx context.Context, scope arn.Scope, subnetID string) (int, error) {
	subnet, err := s.store.Subnet(ctx, scope, subnetID)
	if err != nil {
		return 0, err
	}
	interfaces, err := s.store.Interfaces(ctx, scope, subnetID)
	if err != nil {
		return 0, err
	}
	return freeAddresses(subnet.CIDR, len(interfaces)), nil
}

// CreateClusterGroup makes the security group of a cluster: TCP 2223–2225 in from itself and out to itself, nothing
// else. A group that is there under this id is left as it is.
func (s *Service) CreateClusterGroup(ctx context.Context, scope arn.Scope, vpcID, groupID, name, description string) error {
	return s.change(ctx, scope, nil, func(tx Tx) error {
		if _, err := tx.Group(ctx, scope, groupID); !isMissing(err) {
			return err
		}
		if _, err := tx.VPC(ctx, scope, vpcID); err != nil {
			return fmt.Errorf("VPC %s: %w", vpcID, err)
		}
		g := &Group{Scope: scope, ID: groupID, VpcID: vpcID, Name: name, Description: description}
		for _, egress := range []bool{false, true} {
			g.Rules = append(g.Rules, clusterRule(egress, groupID))
		}
		return tx.InsertGroup(g)
	})
}

// clusterRule opens the ports of a cluster to a group.
func clusterRule(egress bool, peer string) Rule {
	return Rule{ID: newID("sgr"), Egress: egress, Protocol: "tcp", FromPort: clusterFromPort, ToPort: clusterToPort, Group: peer}
}

// ClusterGroupIntact reports whether the group still lets its members reach each other on the cluster's ports, in both
// directions.
func (s *Service) ClusterGroupIntact(ctx context.Context, scope arn.Scope, groupID string) (bool, error) {
	g, err := s.store.Group(ctx, scope, groupID)
	if err != nil {
		return false, err
	}
	opens := func(egress bool) bool {
		return slices.ContainsFunc(g.Rules, func(r Rule) bool {
			return r.Egress == egress && r.Protocol == "tcp" && r.Group == g.ID &&
				r.FromPort <= clusterFromPort && r.ToPort >= clusterToPort
		})
	}
	return opens(false) && opens(true), nil
}

// DeleteGroup removes a security group: at once, or, while interfaces carry it or other groups name it, together with
// the last of these. One that is gone already is no error.
func (s *Service) DeleteGroup(ctx context.Context, scope arn.Scope, groupID string) error {
	return s.change(ctx, scope, nil, func(tx Tx) error {
		g, err := tx.Group(ctx, scope, groupID)
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return retire(ctx, tx, g)
	})
}

// retire marks a group as done with; if nothing uses it, it goes at once.
func retire(ctx context.Context, tx Tx, g *Group) error {
	g.Retired = true
	if err := tx.UpdateGroup(g); err != nil {
		return err
	}
	return sweep(ctx, tx, g.Scope)
}

func groupInUse(ctx context.Context, tx Tx, scope arn.Scope, groupID string) (bool, error) {
	interfaces, err := tx.Interfaces(ctx, scope, "")
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(interfaces, func(i *Interface) bool { return slices.Contains(i.Groups, groupID) }) {
		return true, nil
	}
	groups, err := tx.Groups(ctx, scope)
	return slices.ContainsFunc(groups, func(g *Group) bool {
		return g.ID != groupID && slices.ContainsFunc(g.Rules, func(r Rule) bool { return r.Group == groupID })
	}), err
}

// AllocateInterface makes a network interface for requester, which alone may release it, carrying one security group.
// An empty address lets the network choose; refusals are InvalidParameterValue, InvalidIPAddress.InUse and
// InsufficientFreeAddressesInSubnet.
func (s *Service) AllocateInterface(ctx context.Context, scope arn.Scope, subnetID, groupID, address, requester, description string) (eniID, ip string, err error) {
	i := &Interface{
		Scope: scope, ID: newID("eni"), SubnetID: subnetID, MAC: newMAC(), Groups: []string{groupID},
		Description: description, Requester: requester, SourceDestCheck: true, Created: s.now(),
	}
	err = s.change(ctx, scope, nil, func(tx Tx) error {
		if err := place(ctx, tx, i, address); err != nil {
			return err
		}
		return tx.InsertInterface(i)
	})
	if err != nil {
		return "", "", err
	}
	return i.ID, i.Address.String(), nil
}

// place gives the interface its address, inside the transaction that will keep it.
func place(ctx context.Context, tx Tx, i *Interface, address string) error {
	subnet, err := tx.Subnet(ctx, i.Scope, i.SubnetID)
	if err != nil {
		return fmt.Errorf("subnet %s: %w", i.SubnetID, err)
	}
	for _, id := range i.Groups {
		if _, err := tx.Group(ctx, i.Scope, id); err != nil {
			return fmt.Errorf("security group %s: %w", id, err)
		}
	}
	others, err := tx.Interfaces(ctx, i.Scope, i.SubnetID)
	if err != nil {
		return err
	}
	taken := make(map[netip.Addr]bool, len(others))
	for _, o := range others {
		taken[o.Address] = true
	}
	i.VpcID, i.Zone = subnet.VpcID, subnet.Zone
	i.Address, err = pick(subnet, address, taken)
	return err
}

// newMAC makes a locally administered address, which is what EC2's begin with.
func newMAC() string {
	mac := make(net.HardwareAddr, 6)
	_, _ = rand.Read(mac)
	mac[0] = 0x02
	return mac.String()
}

// ReleaseInterface removes a network interface and frees its address; one that is gone already is no error.
func (s *Service) ReleaseInterface(ctx context.Context, scope arn.Scope, eniID string) error {
	return s.change(ctx, scope, nil, func(tx Tx) error {
		i, err := tx.Interface(ctx, scope, eniID)
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return release(ctx, tx, i)
	})
}

// ManagedInterfaces lists the interfaces of a requester, in all scopes.
func (s *Service) ManagedInterfaces(ctx context.Context, requester string) (map[string]arn.Scope, error) {
	all, err := s.store.ManagedInterfaces(ctx, requester)
	if err != nil {
		return nil, err
	}
	found := make(map[string]arn.Scope, len(all))
	for _, i := range all {
		found[i.ID] = i.Scope
	}
	return found, nil
}
