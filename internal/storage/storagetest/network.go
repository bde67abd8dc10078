package storagetest

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"keyward/internal/fault"
	"keyward/internal/network"
)

// Networks runs the conformance suite of network.Store; open makes a fresh engine.
func Networks(t *testing.T, open func(t *testing.T) network.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, network.Store)
	}{
		{"records come back as they were put", networkRoundTrip},
		{"addresses, names and the default VPC are unique", networkUniqueness},
		{"groups compare and swap", groupConflicts},
		{"absent records", networkAbsence},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// site is one of everything.
type site struct {
	vpc    *network.VPC
	subnet *network.Subnet
	group  *network.Group
	eni    *network.Interface
}

func newSite() site {
	block := netip.MustParsePrefix("10.0.0.0/16")
	return site{
		&network.VPC{Scope: here, ID: "vpc-1", CIDR: block, Default: true, Tags: []network.Tag{{Key: "k", Value: "v"}}},
		&network.Subnet{Scope: here, ID: "subnet-1", VpcID: "vpc-1", Zone: "us-east-1a", CIDR: netip.MustParsePrefix("10.0.0.0/20"), Default: true},
		&network.Group{Scope: here, ID: "sg-1", VpcID: "vpc-1", Name: "n", Description: "d", Rules: []network.Rule{
			{Protocol: "tcp", FromPort: 1, ToPort: 2, Group: "sg-1"}, {Egress: true, Protocol: "-1", CIDR: block},
		}},
		&network.Interface{
			Scope: here, ID: "eni-1", VpcID: "vpc-1", SubnetID: "subnet-1", Zone: "us-east-1a", Address: netip.MustParseAddr("10.0.0.4"),
			MAC: "02:00:00:00:00:01", Groups: []string{"sg-1"}, Description: "d", Requester: "r", Created: instant,
		},
	}
}

func (s site) insert(tx network.Tx) error {
	return errors.Join(tx.InsertVPC(s.vpc), tx.InsertSubnet(s.subnet), tx.InsertGroup(s.group), tx.InsertInterface(s.eni))
}

func putSite(t *testing.T, s network.Store) site {
	t.Helper()
	put := newSite()
	if err := s.Change(t.Context(), nil, put.insert); err != nil {
		t.Fatal(err)
	}
	return put
}

func networkRoundTrip(t *testing.T, s network.Store) {
	put, ctx := putSite(t, s), t.Context()
	check := func(what string, want, got any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(what, err)
		}
		if diff := gocmp.Diff(want, got, gocmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
			gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	vpc, err := s.VPC(ctx, here, "vpc-1")
	check("VPC", put.vpc, vpc, err)
	subnet, err := s.Subnet(ctx, here, "subnet-1")
	check("subnet", put.subnet, subnet, err)
	group, err := s.Group(ctx, here, "sg-1")
	check("group", put.group, group, err)
	eni, err := s.Interface(ctx, here, "eni-1")
	check("interface", put.eni, eni, err)
	vpcs, err := s.VPCs(ctx, here)
	check("VPCs", []*network.VPC{put.vpc}, vpcs, err)
	subnets, err := s.Subnets(ctx, here)
	check("subnets", []*network.Subnet{put.subnet}, subnets, err)
	groups, err := s.Groups(ctx, here)
	check("groups", []*network.Group{put.group}, groups, err)
	for _, of := range []string{"", "subnet-1"} {
		all, err := s.Interfaces(ctx, here, of)
		check("interfaces of "+of, []*network.Interface{put.eni}, all, err)
	}
	managed, err := s.ManagedInterfaces(ctx, "r")
	check("managed interfaces", []*network.Interface{put.eni}, managed, err)
	if none, err := s.Interfaces(ctx, here, "subnet-2"); err != nil || len(none) != 0 {
		t.Errorf("interfaces of another subnet: %v, %v", none, err)
	}
}

func networkUniqueness(t *testing.T, s network.Store) {
	putSite(t, s)
	for name, fn := range map[string]func(network.Tx, site) error{
		"a second default VPC": func(tx network.Tx, o site) error { o.vpc.ID = "vpc-2"; return tx.InsertVPC(o.vpc) },
		"a group's name":       func(tx network.Tx, o site) error { o.group.ID = "sg-2"; return tx.InsertGroup(o.group) },
		"an address":           func(tx network.Tx, o site) error { o.eni.ID = "eni-2"; return tx.InsertInterface(o.eni) },
		"an id":                func(tx network.Tx, o site) error { return tx.InsertSubnet(o.subnet) },
	} {
		err := s.Change(t.Context(), nil, func(tx network.Tx) error { return fn(tx, newSite()) })
		if !errors.Is(err, fault.ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func groupConflicts(t *testing.T, s network.Store) {
	g := putSite(t, s).group
	stale := *g
	g.Rules = nil
	update := func(g *network.Group) error {
		return s.Change(t.Context(), nil, func(tx network.Tx) error { return tx.UpdateGroup(g) })
	}
	if err := update(g); err != nil || g.Version != 1 {
		t.Fatal(err, g.Version)
	}
	if err := update(&stale); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("a stale group: %v", err)
	}
	if got, err := s.Group(t.Context(), here, g.ID); err != nil || len(got.Rules) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func networkAbsence(t *testing.T, s network.Store) {
	put := putSite(t, s)
	elsewhere := here
	elsewhere.Region = "eu-west-1"
	if _, err := s.Interface(t.Context(), elsewhere, put.eni.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an interface of another Region: %v", err)
	}
	remove := func() error {
		return s.Change(t.Context(), nil, func(tx network.Tx) error { return tx.DeleteInterface(here, put.eni.ID) })
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if err := remove(); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	again := newSite().eni
	again.ID, again.Created = "eni-9", instant.Add(time.Second)
	if err := s.Change(t.Context(), nil, func(tx network.Tx) error { return tx.InsertInterface(again) }); err != nil {
		t.Errorf("its address is not free again: %v", err)
	}
}
