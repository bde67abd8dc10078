package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"keyward/internal/fault"
)

// Permissions are how requests and answers write rules: protocol and ports once, with every peer that they hold for.

// ipPermission is a permission in a request.
type ipPermission struct {
	IpProtocol    string
	FromPort      *int
	ToPort        *int
	Groups        []groupPeer
	IpRanges      []ipRange
	Ipv6Ranges    []ipv6Range
	PrefixListIds []prefixListPeer
}

type groupPeer struct {
	GroupId     string
	Description string
}

type ipRange struct {
	CidrIp      string
	Description string
}

type ipv6Range struct {
	CidrIpv6    string
	Description string
}

type prefixListPeer struct {
	PrefixListId string
	Description  string
}

// rules is the permission as rules of one direction, one for each peer. They have no ids yet.
func (p ipPermission) rules(egress bool) ([]Rule, error) {
	like, err := p.ports()
	if err != nil {
		return nil, err
	}
	like.Egress = egress
	var rules []Rule
	add := func(description string, set func(*Rule)) {
		r := like
		r.Description = description
		set(&r)
		rules = append(rules, r)
	}
	for _, g := range p.Groups {
		if g.GroupId == "" {
			return nil, missing("groupId")
		}
		add(g.Description, func(r *Rule) { r.Group = g.GroupId })
	}
	for _, of := range p.ranges() {
		block, err := netip.ParsePrefix(of.cidr)
		if err != nil || block.Addr().Is6() != of.v6 {
			return nil, fault.New("InvalidParameterValue", "CIDR block %s is malformed", of.cidr)
		}
		add(of.description, func(r *Rule) { r.CIDR = block.Masked() })
	}
	for _, l := range p.PrefixListIds {
		if !strings.HasPrefix(l.PrefixListId, "pl-") {
			return nil, fault.New("InvalidPrefixListID.Malformed", "Invalid id: \"%s\" (expecting \"pl-...\")", l.PrefixListId)
		}
		add(l.Description, func(r *Rule) { r.PrefixList = l.PrefixListId })
	}
	if len(rules) == 0 {
		return nil, fault.New("InvalidPermission.Malformed", "A permission must name a security group, a CIDR block or a prefix list.")
	}
	return rules, checkDescriptions(rules)
}

type cidrPeer struct {
	cidr, description string
	v6                bool
}

func (p ipPermission) ranges() []cidrPeer {
	var ranges []cidrPeer
	for _, r := range p.IpRanges {
		ranges = append(ranges, cidrPeer{r.CidrIp, r.Description, false})
	}
	for _, r := range p.Ipv6Ranges {
		ranges = append(ranges, cidrPeer{r.CidrIpv6, r.Description, true})
	}
	return ranges
}

func checkDescriptions(rules []Rule) error {
	for _, r := range rules {
		if r.Description != "" && !groupText.MatchString(r.Description) {
			return fault.New("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
		}
	}
	return nil
}

// protocolNames are the protocols that rules have by name.
var protocolNames = map[string]string{"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "all": all}

// ports is the permission's protocol with its ports as a rule without a peer.
func (p ipPermission) ports() (Rule, error) {
	if p.IpProtocol == "" {
		return Rule{}, missing("ipProtocol")
	}
	protocol := strings.ToLower(p.IpProtocol)
	n, err := strconv.Atoi(protocol)
	if err == nil {
		protocol = strconv.Itoa(n) // without zeros and signs that mean nothing
	}
	if name, ok := protocolNames[protocol]; ok {
		protocol = name
	}
	switch protocol {
	case all:
		return Rule{Protocol: all}, nil
	case "tcp", "udp":
		return p.portRange(protocol)
	case "icmp", "icmpv6":
		return p.icmp(protocol)
	}
	if err != nil || n < 0 || n > 255 {
		return Rule{}, invalidValue(p.IpProtocol, "ipProtocol", "Unknown protocol.")
	}
	return Rule{Protocol: protocol}, nil
}

func (p ipPermission) portRange(protocol string) (Rule, error) {
	switch {
	case p.FromPort == nil || p.ToPort == nil:
		return Rule{}, fault.New("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
	case *p.FromPort < 0 || *p.ToPort > 65535 || *p.FromPort > *p.ToPort:
		return Rule{}, fault.New("InvalidPermission.Malformed", "Invalid TCP/UDP port range (%d:%d)", *p.FromPort, *p.ToPort)
	}
	return Rule{Protocol: protocol, FromPort: *p.FromPort, ToPort: *p.ToPort}, nil
}

// icmp reads type and code, where -1 and nothing mean all.
func (p ipPermission) icmp(protocol string) (Rule, error) {
	r := Rule{Protocol: protocol, FromPort: -1, ToPort: -1}
	if p.FromPort != nil {
		r.FromPort = *p.FromPort
	}
	if p.ToPort != nil {
		r.ToPort = *p.ToPort
	}
	if r.FromPort < -1 || r.FromPort > 255 || r.ToPort < -1 || r.ToPort > 255 {
		return Rule{}, fault.New("InvalidPermission.Malformed", "ICMP type (%d) or code (%d) is out of range.", r.FromPort, r.ToPort)
	}
	return r, nil
}

// String is the rule as EC2's refusals write it.
func (r Rule) String() string {
	peer := r.Group + r.PrefixList
	if r.CIDR.IsValid() {
		peer = r.CIDR.String()
	}
	if r.Protocol == all {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(r.Protocol), r.FromPort, r.ToPort)
}

// permission is a permission in an answer.
type permission struct {
	Protocol      string           `xml:"ipProtocol"`
	FromPort      *int             `xml:"fromPort"`
	ToPort        *int             `xml:"toPort"`
	Groups        []peerGroup      `xml:"groups"`
	Ranges        []rangeItem      `xml:"ipRanges"`
	IPv6Ranges    []ipv6RangeItem  `xml:"ipv6Ranges"`
	PrefixListIDs []prefixListItem `xml:"prefixListIds"`
}

type peerGroup struct {
	GroupID     string  `xml:"groupId"`
	UserID      string  `xml:"userId"`
	Description *string `xml:"description"`
}

type rangeItem struct {
	CIDR        string  `xml:"cidrIp"`
	Description *string `xml:"description"`
}

type ipv6RangeItem struct {
	CIDR        string  `xml:"cidrIpv6"`
	Description *string `xml:"description"`
}

type prefixListItem struct {
	ID          string  `xml:"prefixListId"`
	Description *string `xml:"description"`
}

func (g *Group) permissions(egress bool) []permission {
	rules := slices.DeleteFunc(slices.Clone(g.Rules), func(r Rule) bool { return r.Egress != egress })
	return permissions(rules, g.Scope.Account)
}

// permissions shows rules, those of the same protocol and ports together.
func permissions(rules []Rule, account string) []permission {
	shown := []permission{}
	var like []Rule // the first rule of each
	for _, r := range rules {
		at := slices.IndexFunc(like, func(o Rule) bool {
			return o.Protocol == r.Protocol && o.FromPort == r.FromPort && o.ToPort == r.ToPort
		})
		if at < 0 {
			at = len(shown)
			like = append(like, r)
			shown = append(shown, newPermission(r))
		}
		shown[at].add(r, account)
	}
	return shown
}

func newPermission(r Rule) permission {
	p := permission{
		Protocol: r.Protocol, Groups: []peerGroup{}, Ranges: []rangeItem{}, IPv6Ranges: []ipv6RangeItem{},
		PrefixListIDs: []prefixListItem{},
	}
	switch r.Protocol {
	case "tcp", "udp", "icmp", "icmpv6":
		p.FromPort, p.ToPort = &r.FromPort, &r.ToPort
	}
	return p
}

func (p *permission) add(r Rule, account string) {
	description := optional(r.Description)
	switch {
	case r.Group != "":
		p.Groups = append(p.Groups, peerGroup{r.Group, account, description})
	case r.PrefixList != "":
		p.PrefixListIDs = append(p.PrefixListIDs, prefixListItem{r.PrefixList, description})
	case r.CIDR.Addr().Is6():
		p.IPv6Ranges = append(p.IPv6Ranges, ipv6RangeItem{r.CIDR.String(), description})
	default:
		p.Ranges = append(p.Ranges, rangeItem{r.CIDR.String(), description})
	}
}
