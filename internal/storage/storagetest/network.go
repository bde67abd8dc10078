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
		{"changes compare and swap", networkConflicts},
		{"deletions", networkDeletions},
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
	acl    *network.ACL
	eni    *network.Interface
}

func newSite() site {
	block := netip.MustParsePrefix("10.0.0.0/16")
	return site{
		&network.VPC{
			Scope: here, ID: "vpc-1", CIDR: block, Default: true, DNS: network.DNS{Support: true, UsageMetrics: true},
			Tags: []network.Tag{{Key: "k", Value: "v"}},
		},
		&network.Subnet{
			Scope: here, ID: "subnet-1", VpcID: "vpc-1", Zone: "us-east-1a", CIDR: netip.MustParsePrefix("10.0.0.0/20"), Default: true,
			Options: network.SubnetOptions{MapPublicIP: true, HostnameType: "ip-name"}, ACL: "acl-1", Association: "aclassoc-1",
		},
		&network.Group{
			Scope: here, ID: "sg-1", VpcID: "vpc-1", Name: "n", Description: "d", Requester: "r", Retired: true, Rules: []network.Rule{
				{ID: "sgr-1", Protocol: "tcp", FromPort: 1, ToPort: 2, Group: "sg-1", Description: "why", Tags: []network.Tag{{Key: "k"}}},
				{ID: "sgr-2", Egress: true, Protocol: "-1", CIDR: block}, {ID: "sgr-3", Protocol: "-1", PrefixList: "pl-1"},
			},
		},
		&network.ACL{Scope: here, ID: "acl-1", VpcID: "vpc-1", Default: true, Entries: []network.Entry{
			{Number: 1, Protocol: "6", Deny: true, CIDR: block, FromPort: 1, ToPort: 2}, {Egress: true, Number: 1, Protocol: "1", CIDR: block, ICMPType: -1},
		}},
		&network.Interface{
			Scope: here, ID: "eni-1", VpcID: "vpc-1", SubnetID: "subnet-1", Zone: "us-east-1a", Address: netip.MustParseAddr("10.0.0.4"),
			MAC: "02:00:00:00:00:01", Groups: []string{"sg-1"}, Description: "d", Requester: "r", SourceDestCheck: true,
			ClientToken: "t", Created: instant,
		},
	}
}

func (s site) insert(tx network.Tx) error {
	return errors.Join(tx.InsertVPC(s.vpc), tx.InsertSubnet(s.subnet), tx.InsertGroup(s.group), tx.InsertACL(s.acl), tx.InsertInterface(s.eni))
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
	acl, err := s.ACL(ctx, here, "acl-1")
	check("ACL", put.acl, acl, err)
	eni, err := s.Interface(ctx, here, "eni-1")
	check("interface", put.eni, eni, err)
	eni, err = s.InterfaceAt(ctx, here, "vpc-1", put.eni.Address)
	check("interface by address", put.eni, eni, err)
	vpcs, err := s.VPCs(ctx, here)
	check("VPCs", []*network.VPC{put.vpc}, vpcs, err)
	subnets, err := s.Subnets(ctx, here)
	check("subnets", []*network.Subnet{put.subnet}, subnets, err)
	groups, err := s.Groups(ctx, here)
	check("groups", []*network.Group{put.group}, groups, err)
	vpcs, err = s.AllVPCs(ctx)
	check("VPCs of all scopes", []*network.VPC{put.vpc}, vpcs, err)
	acls, err := s.ACLs(ctx, here)
	check("ACLs", []*network.ACL{put.acl}, acls, err)
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
		"an address": func(tx network.Tx, o site) error {
			o.eni.ID, o.eni.ClientToken = "eni-2", ""
			return tx.InsertInterface(o.eni)
		},
		"a client's token": func(tx network.Tx, o site) error {
			o.eni.ID, o.eni.Address = "eni-2", o.eni.Address.Next()
			return tx.InsertInterface(o.eni)
		},
		"a second default ACL": func(tx network.Tx, o site) error { o.acl.ID = "acl-2"; return tx.InsertACL(o.acl) },
		"an id":                func(tx network.Tx, o site) error { return tx.InsertSubnet(o.subnet) },
	} {
		err := s.Change(t.Context(), nil, func(tx network.Tx) error { return fn(tx, newSite()) })
		if !errors.Is(err, fault.ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// networkConflicts changes each record, and then tries to change it from before.
func networkConflicts(t *testing.T, s network.Store) {
	put := putSite(t, s)
	put.vpc.DNS.Hostnames, put.subnet.ACL, put.group.Rules, put.group.Retired = true, "acl-2", nil, false
	put.acl.Entries, put.eni.Groups, put.eni.Description, put.eni.SourceDestCheck = nil, nil, "changed", false
	update := func(o site) []error {
		var all []error
		for _, one := range []func(network.Tx) error{
			func(tx network.Tx) error { return tx.UpdateVPC(o.vpc) },
			func(tx network.Tx) error { return tx.UpdateSubnet(o.subnet) },
			func(tx network.Tx) error { return tx.UpdateGroup(o.group) },
			func(tx network.Tx) error { return tx.UpdateACL(o.acl) },
			func(tx network.Tx) error { return tx.UpdateInterface(o.eni) },
		} {
			all = append(all, s.Change(t.Context(), nil, one))
		}
		return all
	}
	if err := errors.Join(update(put)...); err != nil || put.group.Version != 1 || put.eni.Version != 1 {
		t.Fatal(err, put.group.Version, put.eni.Version)
	}
	for n, err := range update(newSite()) {
		if !errors.Is(err, fault.ErrConflict) {
			t.Errorf("a stale record, number %d: %v", n, err)
		}
	}
	if v, err := s.VPC(t.Context(), here, "vpc-1"); err != nil || !v.DNS.Hostnames || v.Version != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if o, err := s.Subnet(t.Context(), here, "subnet-1"); err != nil || o.ACL != "acl-2" {
		t.Errorf("%+v, %v", o, err)
	}
	if g, err := s.Group(t.Context(), here, "sg-1"); err != nil || len(g.Rules) != 0 || g.Retired {
		t.Errorf("%+v, %v", g, err)
	}
	if a, err := s.ACL(t.Context(), here, "acl-1"); err != nil || len(a.Entries) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if i, err := s.Interface(t.Context(), here, "eni-1"); err != nil || len(i.Groups) != 0 || i.Description != "changed" || i.SourceDestCheck {
		t.Errorf("%+v, %v", i, err)
	}
}

func networkDeletions(t *testing.T, s network.Store) {
	putSite(t, s)
	for n, remove := range []func(network.Tx) error{
		func(tx network.Tx) error { return tx.DeleteInterface(here, "eni-1") },
		func(tx network.Tx) error { return tx.DeleteSubnet(here, "subnet-1") },
		func(tx network.Tx) error { return tx.DeleteGroup(here, "sg-1") },
		func(tx network.Tx) error { return tx.DeleteACL(here, "acl-1") },
		func(tx network.Tx) error { return tx.DeleteVPC(here, "vpc-1") },
	} {
		if err := s.Change(t.Context(), nil, remove); err != nil {
			t.Errorf("deletion %d: %v", n, err)
		}
		if err := s.Change(t.Context(), nil, remove); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("deletion %d once more: %v", n, err)
		}
	}
	putSite(t, s) // nothing is left over
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
