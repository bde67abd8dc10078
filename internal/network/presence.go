package network

import (
	"context"
	"slices"

	"keyward/internal/arn"
)

// Presence is what a service has of its own in a VPC: an interface in each of some subnets, and a security group for
// them. Interfaces and group belong to the requester, by which they are found again.
type Presence struct {
	Scope     arn.Scope
	Requester string
	Subnets   []string
	// Peer is a group that the interfaces carry as well. The requester's own group lets its members in on the ports of a
	// cluster, and nobody else, and nothing out.
	Peer                        string
	GroupName, GroupDescription string
	Description                 string // of the interfaces
}

// Join brings about a presence in one transaction, whatever is there of it already: all of it or nothing is made. The
// refusals are InvalidSubnetID.NotFound, InvalidGroup.NotFound, InvalidGroup.Duplicate if somebody else has the group's
// name, and InsufficientFreeAddressesInSubnet. A subnet that is missing is told before one that is full.
func (s *Service) Join(ctx context.Context, p Presence) error {
	return s.change(ctx, p.Scope, nil, func(tx Tx) error {
		for _, id := range p.Subnets {
			if _, err := readSubnet(ctx, tx, p.Scope, id); err != nil {
				return err
			}
		}
		group, err := p.joinGroup(ctx, tx)
		if err != nil {
			return err
		}
		return s.joinSubnets(ctx, tx, p, group)
	})
}

// joinGroup makes the requester's group, or puts the one that is there into the state it should have.
func (p Presence) joinGroup(ctx context.Context, tx Tx) (*Group, error) {
	peer, err := groupRef{id: p.Peer}.find(ctx, tx, p.Scope)
	if err != nil {
		return nil, err
	}
	rules := []Rule{clusterRule(false, p.Peer)}
	g, err := p.ownGroup(ctx, tx)
	if err != nil {
		return nil, err
	}
	if g != nil && g.VpcID == peer.VpcID {
		g.Retired = false
		if len(g.Rules) != 1 || g.Rules[0].identity() != rules[0].identity() {
			g.Rules = rules
		}
		return g, tx.UpdateGroup(g)
	}
	g = &Group{
		Scope: p.Scope, ID: newID("sg"), Name: p.GroupName, Description: p.GroupDescription, Requester: p.Requester, Rules: rules,
	}
	return g, insertGroup(ctx, tx, g, peer.VpcID)
}

// ownGroup is the group of the requester; nil if there is none.
func (p Presence) ownGroup(ctx context.Context, tx Tx) (*Group, error) {
	all, err := tx.Groups(ctx, p.Scope)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(g *Group) bool { return g.Requester == p.Requester && g.Name == p.GroupName })
	if at < 0 {
		return nil, nil
	}
	return all[at], nil
}

// joinSubnets makes the interfaces that are missing. One that is there is kept if it is in the right place and carries
// the right groups; others are remains of something else.
func (s *Service) joinSubnets(ctx context.Context, tx Tx, p Presence, own *Group) error {
	groups := slices.Sorted(slices.Values([]string{own.ID, p.Peer}))
	all, err := tx.Interfaces(ctx, p.Scope, "")
	if err != nil {
		return err
	}
	there := make(map[string]bool)
	for _, i := range all {
		switch {
		case i.Requester != p.Requester:
		case slices.Contains(p.Subnets, i.SubnetID) && !there[i.SubnetID] && slices.Equal(i.Groups, groups) && i.Description == p.Description:
			there[i.SubnetID] = true
		default:
			if err := tx.DeleteInterface(i.Scope, i.ID); err != nil {
				return err
			}
		}
	}
	for _, id := range p.Subnets {
		if there[id] {
			continue
		}
		i := &Interface{
			Scope: p.Scope, ID: newID("eni"), SubnetID: id, MAC: newMAC(), Groups: groups, Description: p.Description,
			Requester: p.Requester, SourceDestCheck: true, Created: s.now(),
		}
		if err := place(ctx, tx, i, ""); err != nil {
			return err
		}
		if err := tx.InsertInterface(i); err != nil {
			return err
		}
	}
	return sweep(ctx, tx, p.Scope)
}

// Leave removes all interfaces and groups of a requester in a scope. A group that a user's rule still names goes with
// that rule. Where there is nothing it does nothing.
func (s *Service) Leave(ctx context.Context, scope arn.Scope, requester string) error {
	return s.change(ctx, scope, nil, func(tx Tx) error {
		interfaces, err := tx.Interfaces(ctx, scope, "")
		if err != nil {
			return err
		}
		for _, i := range interfaces {
			if i.Requester != requester {
				continue
			}
			if err := tx.DeleteInterface(scope, i.ID); err != nil {
				return err
			}
		}
		groups, err := tx.Groups(ctx, scope)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if g.Requester != requester || g.Retired {
				continue
			}
			if err := retire(ctx, tx, g); err != nil {
				return err
			}
		}
		return sweep(ctx, tx, scope)
	})
}
