package network

import (
	"net/url"
	"testing"

	"keyward/internal/fault"
	"keyward/internal/wire/awsquery"
)

// Whatever a request says of rules becomes rules that can be shown again and mean the same, or a refusal.
func FuzzPermissions(f *testing.F) {
	f.Add("IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=2&IpPermissions.1.Groups.1.GroupId=sg-1")
	f.Add("IpProtocol=-1&CidrIp=10.0.0.1/8")
	f.Add("IpPermissions.1.IpProtocol=58&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::1/0&IpPermissions.1.PrefixListIds.1.PrefixListId=pl-1")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		var in rulesInput
		if err != nil || awsquery.Decode(form, &in) != nil {
			return
		}
		rules, err := in.rules(false)
		if err != nil {
			if _, ok := fault.As(err); !ok {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		for _, r := range rules {
			again, err := readBack(permissions([]Rule{r}, "1")[0])
			if err != nil || len(again) != 1 || again[0].identity() != r.identity() {
				t.Fatalf("%v is shown as %v, %v", r, again, err)
			}
		}
	})
}

// readBack asks for what an answer shows.
func readBack(p permission) ([]Rule, error) {
	in := ipPermission{IpProtocol: p.Protocol, FromPort: p.FromPort, ToPort: p.ToPort}
	for _, g := range p.Groups {
		in.Groups = append(in.Groups, groupPeer{GroupId: g.GroupID})
	}
	for _, r := range p.Ranges {
		in.IpRanges = append(in.IpRanges, ipRange{CidrIp: r.CIDR})
	}
	for _, r := range p.IPv6Ranges {
		in.Ipv6Ranges = append(in.Ipv6Ranges, ipv6Range{CidrIpv6: r.CIDR})
	}
	for _, l := range p.PrefixListIDs {
		in.PrefixListIds = append(in.PrefixListIds, prefixListPeer{PrefixListId: l.ID})
	}
	return in.rules(false)
}

// An entry that is taken can be shown and asked for again.
func FuzzEntry(f *testing.F) {
	f.Add("NetworkAclId=acl-1&RuleNumber=5&Egress=false&Protocol=6&RuleAction=allow&CidrBlock=0.0.0.0/0&PortRange.From=1&PortRange.To=2")
	f.Add("NetworkAclId=acl-1&RuleNumber=5&Egress=true&Protocol=1&RuleAction=deny&Ipv6CidrBlock=::/0&Icmp.Type=-1&Icmp.Code=-1")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		var in entryInput
		if err != nil || awsquery.Decode(form, &in) != nil {
			return
		}
		e, err := in.entry()
		if err != nil {
			if _, ok := fault.As(err); !ok {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		shown := e.item()
		if shown.Number != e.Number || (shown.CIDR == nil) == (shown.CIDRv6 == nil) || e.FromPort > e.ToPort || e.Number >= lastRule {
			t.Fatalf("%+v of %+v", shown, e)
		}
	})
}
