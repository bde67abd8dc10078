package network

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"keyward/internal/fault"
	"keyward/internal/operation"
)

// API lists the operations of the EC2 subset (API version 2016-11-15).
func (s *Service) API() operation.Service {
	return operation.Service{
		SigningName: "ec2",
		EventSource: "ec2.amazonaws.com",
		Rows: []operation.Row{
			operation.Read("DescribeAvailabilityZones", s.describeZones, "ZoneName", "ZoneId"),
			operation.Read("DescribeVpcs", s.describeVpcs, "VpcId"),
			operation.Read("DescribeSubnets", s.describeSubnets, "SubnetId"),
			operation.Read("DescribeSecurityGroups", s.describeGroups, "GroupId", "GroupName"),
			operation.Read("DescribeNetworkInterfaces", s.describeInterfaces, "NetworkInterfaceId"),
		},
	}
}

// dryRun is the answer to a permitted call that is only to be tried.
func dryRun(asked bool) error {
	if !asked {
		return nil
	}
	f := fault.New("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	f.Status = 412
	return f
}

// describeVpcsInput and its like name their members as EC2's query protocol does.
type describeVpcsInput struct {
	VpcId      []string
	Filter     []Filter
	MaxResults int
	NextToken  string
	DryRun     bool
}

type describeVpcsOutput struct {
	Vpcs      []vpcItem `xml:"vpcSet"`
	NextToken *string   `xml:"nextToken"`
}

type vpcItem struct {
	VpcID                string            `xml:"vpcId"`
	State                string            `xml:"state"`
	CIDR                 string            `xml:"cidrBlock"`
	CIDRAssociations     []cidrAssociation `xml:"cidrBlockAssociationSet"`
	IPv6CIDRAssociations []cidrAssociation `xml:"ipv6CidrBlockAssociationSet"`
	DHCPOptionsID        string            `xml:"dhcpOptionsId"`
	InstanceTenancy      string            `xml:"instanceTenancy"`
	IsDefault            bool              `xml:"isDefault"`
	OwnerID              string            `xml:"ownerId"`
	Tags                 []Tag             `xml:"tagSet"`
}

type cidrAssociation struct {
	CIDR  string    `xml:"cidrBlock"`
	ID    string    `xml:"associationId"`
	State cidrState `xml:"cidrBlockState"`
}

type cidrState struct {
	State string `xml:"state"`
}

var vpcKind = kind[*VPC]{
	id:   func(v *VPC) string { return v.ID },
	tags: func(v *VPC) []Tag { return v.Tags },
	attributes: map[string]func(*VPC) []string{
		"vpc-id":     func(v *VPC) []string { return []string{v.ID} },
		"cidr":       func(v *VPC) []string { return []string{v.CIDR.String()} },
		"is-default": func(v *VPC) []string { return yesNo(v.Default) },
		"isDefault":  func(v *VPC) []string { return yesNo(v.Default) },
		"owner-id":   func(v *VPC) []string { return []string{v.Scope.Account} },
		"state":      func(*VPC) []string { return []string{"available"} },
	},
	missing: func(id string) error {
		return fault.New("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
	},
}

func (s *Service) describeVpcs(ctx context.Context, call *operation.Call, in *describeVpcsInput) (*describeVpcsOutput, error) {
	all, err := s.store.VPCs(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	page, next, err := vpcKind.selectFrom(all, listing{in.VpcId, in.Filter, in.MaxResults, in.NextToken})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	out := &describeVpcsOutput{Vpcs: []vpcItem{}, NextToken: optional(next)}
	for _, v := range page {
		out.Vpcs = append(out.Vpcs, vpcItem{
			VpcID: v.ID, State: "available", CIDR: v.CIDR.String(),
			CIDRAssociations:     []cidrAssociation{{v.CIDR.String(), "vpc-cidr-assoc-" + v.ID[len("vpc-"):], cidrState{"associated"}}},
			IPv6CIDRAssociations: []cidrAssociation{},
			DHCPOptionsID:        "default", InstanceTenancy: "default", IsDefault: v.Default, OwnerID: v.Scope.Account,
			Tags: list(v.Tags),
		})
	}
	return out, nil
}

type describeSubnetsInput struct {
	SubnetId   []string
	Filter     []Filter
	MaxResults int
	NextToken  string
	DryRun     bool
}

type describeSubnetsOutput struct {
	Subnets   []subnetItem `xml:"subnetSet"`
	NextToken *string      `xml:"nextToken"`
}

type subnetItem struct {
	SubnetID               string            `xml:"subnetId"`
	ARN                    string            `xml:"subnetArn"`
	State                  string            `xml:"state"`
	VpcID                  string            `xml:"vpcId"`
	CIDR                   string            `xml:"cidrBlock"`
	AvailableAddresses     int               `xml:"availableIpAddressCount"`
	Zone                   string            `xml:"availabilityZone"`
	ZoneID                 string            `xml:"availabilityZoneId"`
	DefaultForZone         bool              `xml:"defaultForAz"`
	MapPublicIP            bool              `xml:"mapPublicIpOnLaunch"`
	MapCustomerOwnedIP     bool              `xml:"mapCustomerOwnedIpOnLaunch"`
	AssignIPv6             bool              `xml:"assignIpv6AddressOnCreation"`
	OwnerID                string            `xml:"ownerId"`
	EnableDNS64            bool              `xml:"enableDns64"`
	IPv6Native             bool              `xml:"ipv6Native"`
	IPv6CIDRAssociations   []cidrAssociation `xml:"ipv6CidrBlockAssociationSet"`
	PrivateDNSNameOnLaunch hostnameOptions   `xml:"privateDnsNameOptionsOnLaunch"`
	Tags                   []Tag             `xml:"tagSet"`
}

type hostnameOptions struct {
	Type string `xml:"hostnameType"`
	A    bool   `xml:"enableResourceNameDnsARecord"`
	AAAA bool   `xml:"enableResourceNameDnsAAAARecord"`
}

// countedSubnet is a subnet with the number of its free addresses.
type countedSubnet struct {
	*Subnet
	free int
}

var subnetKind = kind[countedSubnet]{
	id:   func(c countedSubnet) string { return c.ID },
	tags: func(c countedSubnet) []Tag { return c.Tags },
	attributes: map[string]func(countedSubnet) []string{
		"subnet-id":                  func(c countedSubnet) []string { return []string{c.ID} },
		"vpc-id":                     func(c countedSubnet) []string { return []string{c.VpcID} },
		"availability-zone":          func(c countedSubnet) []string { return []string{c.Zone} },
		"availabilityZone":           func(c countedSubnet) []string { return []string{c.Zone} },
		"availability-zone-id":       func(c countedSubnet) []string { return []string{zoneID(c.Zone)} },
		"available-ip-address-count": func(c countedSubnet) []string { return []string{strconv.Itoa(c.free)} },
		"cidr-block":                 func(c countedSubnet) []string { return []string{c.CIDR.String()} },
		"cidr":                       func(c countedSubnet) []string { return []string{c.CIDR.String()} },
		"default-for-az":             func(c countedSubnet) []string { return yesNo(c.Default) },
		"defaultForAz":               func(c countedSubnet) []string { return yesNo(c.Default) },
		"owner-id":                   func(c countedSubnet) []string { return []string{c.Scope.Account} },
		"state":                      func(countedSubnet) []string { return []string{"available"} },
		"subnet-arn":                 func(c countedSubnet) []string { return []string{c.Scope.Subnet(c.ID)} },
	},
	missing: func(id string) error {
		return fault.New("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
	},
}

func (s *Service) describeSubnets(ctx context.Context, call *operation.Call, in *describeSubnetsInput) (*describeSubnetsOutput, error) {
	all, err := s.countedSubnets(ctx, call)
	if err != nil {
		return nil, err
	}
	page, next, err := subnetKind.selectFrom(all, listing{in.SubnetId, in.Filter, in.MaxResults, in.NextToken})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	out := &describeSubnetsOutput{Subnets: []subnetItem{}, NextToken: optional(next)}
	for _, c := range page {
		out.Subnets = append(out.Subnets, subnetItem{
			SubnetID: c.ID, ARN: c.Scope.Subnet(c.ID), State: "available", VpcID: c.VpcID, CIDR: c.CIDR.String(),
			AvailableAddresses: c.free, Zone: c.Zone, ZoneID: zoneID(c.Zone), DefaultForZone: c.Default,
			OwnerID: c.Scope.Account, IPv6CIDRAssociations: []cidrAssociation{},
			PrivateDNSNameOnLaunch: hostnameOptions{Type: "ip-name"}, Tags: list(c.Tags),
		})
	}
	return out, nil
}

func (s *Service) countedSubnets(ctx context.Context, call *operation.Call) ([]countedSubnet, error) {
	subnets, err := s.store.Subnets(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	interfaces, err := s.store.Interfaces(ctx, call.Scope, "")
	if err != nil {
		return nil, err
	}
	held := make(map[string]int)
	for _, i := range interfaces {
		held[i.SubnetID]++
	}
	counted := make([]countedSubnet, len(subnets))
	for n, subnet := range subnets {
		counted[n] = countedSubnet{subnet, freeAddresses(subnet.CIDR, held[subnet.ID])}
	}
	return counted, nil
}

type describeZonesInput struct {
	ZoneName             []string
	ZoneId               []string
	Filter               []Filter
	AllAvailabilityZones bool
	DryRun               bool
}

type describeZonesOutput struct {
	Zones []zoneItem `xml:"availabilityZoneInfo"`
}

type zoneItem struct {
	Name               string    `xml:"zoneName"`
	ID                 string    `xml:"zoneId"`
	State              string    `xml:"zoneState"`
	Region             string    `xml:"regionName"`
	Group              string    `xml:"groupName"`
	NetworkBorderGroup string    `xml:"networkBorderGroup"`
	Type               string    `xml:"zoneType"`
	OptIn              string    `xml:"optInStatus"`
	Messages           []message `xml:"messageSet"`
}

type message struct {
	Message string `xml:"message"`
}

var zoneKind = kind[zoneItem]{
	id:   func(z zoneItem) string { return z.Name },
	tags: func(zoneItem) []Tag { return nil },
	attributes: map[string]func(zoneItem) []string{
		"zone-name":            func(z zoneItem) []string { return []string{z.Name} },
		"zone-id":              func(z zoneItem) []string { return []string{z.ID} },
		"state":                func(z zoneItem) []string { return []string{z.State} },
		"region-name":          func(z zoneItem) []string { return []string{z.Region} },
		"group-name":           func(z zoneItem) []string { return []string{z.Group} },
		"network-border-group": func(z zoneItem) []string { return []string{z.NetworkBorderGroup} },
		"zone-type":            func(z zoneItem) []string { return []string{z.Type} },
		"opt-in-status":        func(z zoneItem) []string { return []string{z.OptIn} },
	},
	missing: func(id string) error {
		return fault.New("InvalidParameterValue", "Invalid availability zone: [%s]", id)
	},
}

func (s *Service) describeZones(_ context.Context, call *operation.Call, in *describeZonesInput) (*describeZonesOutput, error) {
	var all []zoneItem
	region := call.Scope.Region
	for _, letter := range zoneLetters {
		name := region + string(letter)
		all = append(all, zoneItem{
			Name: name, ID: zoneID(name), State: "available", Region: region, Group: region, NetworkBorderGroup: region,
			Type: "availability-zone", OptIn: "opt-in-not-required", Messages: []message{},
		})
	}
	names := slices.Clone(in.ZoneName)
	for _, id := range in.ZoneId {
		at := slices.IndexFunc(all, func(z zoneItem) bool { return z.ID == id })
		if at < 0 {
			return nil, zoneKind.missing(id)
		}
		names = append(names, all[at].Name)
	}
	page, _, err := zoneKind.selectFrom(all, listing{ids: names, filters: in.Filter})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	return &describeZonesOutput{Zones: append([]zoneItem{}, page...)}, nil
}

// optional is nil for an empty text, which EC2 leaves out.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// list is never nil: EC2 sends empty lists as empty elements.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
