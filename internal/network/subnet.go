package network

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

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
		out.Subnets = append(out.Subnets, c.item())
	}
	return out, nil
}

func (c countedSubnet) item() subnetItem {
	return subnetItem{
		SubnetID: c.ID, ARN: c.Scope.Subnet(c.ID), State: "available", VpcID: c.VpcID, CIDR: c.CIDR.String(),
		AvailableAddresses: c.free, Zone: c.Zone, ZoneID: zoneID(c.Zone), DefaultForZone: c.Default,
		MapPublicIP: c.Options.MapPublicIP, OwnerID: c.Scope.Account, IPv6CIDRAssociations: []cidrAssociation{},
		PrivateDNSNameOnLaunch: hostnameOptions{Type: cmp.Or(c.Options.HostnameType, ipName), A: c.Options.HostnameA},
		Tags:                   list(c.Tags),
	}
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

// ipName is how hosts are named unless their subnet says otherwise.
const ipName = "ip-name"

type createSubnetInput struct {
	VpcId              string
	CidrBlock          string
	AvailabilityZone   string
	AvailabilityZoneId string
	Ipv6CidrBlock      string
	TagSpecification   []tagSpecification
	DryRun             bool
}

type createSubnetOutput struct {
	Subnet subnetItem `xml:"subnet"`
}

func (s *Service) createSubnet(ctx context.Context, call *operation.Call, in *createSubnetInput) (*createSubnetOutput, error) {
	if err := required(named{"vpcId", in.VpcId}, named{"cidrBlock", in.CidrBlock}); err != nil {
		return nil, err
	}
	if in.Ipv6CidrBlock != "" {
		return nil, invalidValue(in.Ipv6CidrBlock, "ipv6CidrBlock", "The VPC has no IPv6 addresses.")
	}
	block, err := parseBlock(in.CidrBlock, "InvalidSubnet.Range")
	if err != nil {
		return nil, err
	}
	subnet := &Subnet{
		Scope: call.Scope, ID: newID("subnet"), VpcID: in.VpcId, CIDR: block, Association: newID("aclassoc"),
		Options: SubnetOptions{HostnameType: ipName},
	}
	if subnet.Tags, err = tagsFor("subnet", in.TagSpecification); err != nil {
		return nil, err
	}
	err = s.write(ctx, call, in.DryRun, func(tx Tx) error {
		call.Event.Response = nil
		call.Event.Response.Add("subnetId", subnet.ID)
		return divide(ctx, tx, subnet, in.AvailabilityZone, in.AvailabilityZoneId)
	})
	if err != nil {
		return nil, err
	}
	return &createSubnetOutput{countedSubnet{subnet, freeAddresses(block, 0)}.item()}, nil
}

// divide puts a new subnet into its VPC.
func divide(ctx context.Context, tx Tx, subnet *Subnet, zone, zoneID string) error {
	vpc, err := readVPC(ctx, tx, subnet.Scope, subnet.VpcID)
	if err != nil {
		return err
	}
	siblings, err := tx.Subnets(ctx, subnet.Scope)
	if err != nil {
		return err
	}
	siblings = slices.DeleteFunc(siblings, func(o *Subnet) bool { return o.VpcID != vpc.ID })
	if err := fits(vpc, siblings, subnet.CIDR); err != nil {
		return err
	}
	if subnet.Zone, err = chooseZone(subnet.Scope.Region, zone, zoneID, len(siblings)); err != nil {
		return err
	}
	acl, err := defaultOf(ctx, tx, vpc)
	if err != nil {
		return err
	}
	subnet.ACL = acl.ID
	return tx.InsertSubnet(subnet)
}

// fits reports why a block cannot be a further subnet of the VPC.
func fits(vpc *VPC, siblings []*Subnet, block netip.Prefix) error {
	if block.Bits() < vpc.CIDR.Bits() || !vpc.CIDR.Contains(block.Addr()) {
		return fault.New("InvalidSubnet.Range", "The CIDR '%s' is invalid.", block)
	}
	if slices.ContainsFunc(siblings, func(o *Subnet) bool { return o.CIDR.Overlaps(block) }) {
		return fault.New("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", block)
	}
	if len(siblings) >= maxSubnets {
		return overLimit("SubnetLimitExceeded", "subnets")
	}
	return nil
}

// chooseZone resolves the zone asked for by name or by id. Subnets for which none is asked are spread over the zones.
func chooseZone(region, name, id string, siblings int) (string, error) {
	if name != "" && id != "" {
		return "", fault.New("InvalidParameterCombination", "The parameters availabilityZone and availabilityZoneId cannot be used together.")
	}
	if name == "" && id == "" {
		return region + string(zoneLetters[siblings%len(zoneLetters)]), nil
	}
	var all []string
	for _, letter := range zoneLetters {
		zone := region + string(letter)
		if zone == name || zoneID(zone) == id {
			return zone, nil
		}
		all = append(all, zone)
	}
	return "", fault.New("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.",
		cmp.Or(name, id), strings.Join(all, ", "))
}

type subnetInput struct {
	SubnetId string
	DryRun   bool
}

func (s *Service) deleteSubnet(ctx context.Context, call *operation.Call, in *subnetInput) (*operation.Void, error) {
	if err := required(named{"subnetId", in.SubnetId}); err != nil {
		return nil, err
	}
	return nil, s.write(ctx, call, in.DryRun, func(tx Tx) error {
		subnet, err := readSubnet(ctx, tx, call.Scope, in.SubnetId)
		if err != nil {
			return err
		}
		held, err := tx.Interfaces(ctx, subnet.Scope, subnet.ID)
		if err != nil {
			return err
		}
		if len(held) > 0 {
			return dependency("subnet", subnet.ID)
		}
		return tx.DeleteSubnet(subnet.Scope, subnet.ID)
	})
}

func readSubnet(ctx context.Context, r Reader, scope arn.Scope, id string) (*Subnet, error) {
	subnet, err := r.Subnet(ctx, scope, id)
	if isMissing(err) {
		err = subnetKind.missing(id)
	}
	return subnet, err
}

type modifySubnetAttributeInput struct {
	SubnetId                             string
	MapPublicIpOnLaunch                  *flag
	AssignIpv6AddressOnCreation          *flag
	EnableDns64                          *flag
	MapCustomerOwnedIpOnLaunch           *flag
	PrivateDnsHostnameTypeOnLaunch       string
	EnableResourceNameDnsARecordOnLaunch *flag

	EnableResourceNameDnsAAAARecordOnLaunch *flag
}

// modifySubnetAttribute changes one attribute, as EC2 has it. Those that need IPv6 can only be what they are.
func (s *Service) modifySubnetAttribute(ctx context.Context, call *operation.Call, in *modifySubnetAttributeInput) (*operation.Void, error) {
	if err := required(named{"subnetId", in.SubnetId}); err != nil {
		return nil, err
	}
	for name, f := range map[string]*flag{
		"assignIpv6AddressOnCreation": in.AssignIpv6AddressOnCreation, "enableDns64": in.EnableDns64,
		"mapCustomerOwnedIpOnLaunch":              in.MapCustomerOwnedIpOnLaunch,
		"enableResourceNameDnsAAAARecordOnLaunch": in.EnableResourceNameDnsAAAARecordOnLaunch,
	} {
		if f != nil && f.Value {
			return nil, fault.New("InvalidParameterValue", "Invalid value 'true' for %s. The subnet has neither IPv6 nor customer-owned addresses.", name)
		}
	}
	return nil, s.write(ctx, call, false, func(tx Tx) error {
		subnet, err := readSubnet(ctx, tx, call.Scope, in.SubnetId)
		if err != nil {
			return err
		}
		if f := in.MapPublicIpOnLaunch; f != nil {
			subnet.Options.MapPublicIP = f.Value
		}
		if f := in.EnableResourceNameDnsARecordOnLaunch; f != nil {
			subnet.Options.HostnameA = f.Value
		}
		switch t := in.PrivateDnsHostnameTypeOnLaunch; t {
		case "":
		case ipName, "resource-name":
			subnet.Options.HostnameType = t
		default:
			return invalidValue(t, "privateDnsHostnameTypeOnLaunch", "Use ip-name or resource-name.")
		}
		return tx.UpdateSubnet(subnet)
	})
}
