package network

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

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

		"cidr-block-association.cidr-block": func(v *VPC) []string { return []string{v.CIDR.String()} },
		"dhcp-options-id":                   func(*VPC) []string { return []string{"default"} },
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
		out.Vpcs = append(out.Vpcs, v.item())
	}
	return out, nil
}

func (v *VPC) item() vpcItem {
	return vpcItem{
		VpcID: v.ID, State: "available", CIDR: v.CIDR.String(),
		CIDRAssociations:     []cidrAssociation{{v.CIDR.String(), derived("vpc-cidr-assoc", v.ID), cidrState{"associated"}}},
		IPv6CIDRAssociations: []cidrAssociation{},
		DHCPOptionsID:        "default", InstanceTenancy: "default", IsDefault: v.Default, OwnerID: v.Scope.Account,
		Tags: list(v.Tags),
	}
}

type createVpcInput struct {
	CidrBlock                   string
	InstanceTenancy             string
	AmazonProvidedIpv6CidrBlock bool
	TagSpecification            []tagSpecification
	DryRun                      bool
}

type createVpcOutput struct {
	Vpc vpcItem `xml:"vpc"`
}

func (s *Service) createVpc(ctx context.Context, call *operation.Call, in *createVpcInput) (*createVpcOutput, error) {
	if err := required(named{"cidrBlock", in.CidrBlock}); err != nil {
		return nil, err
	}
	block, err := parseBlock(in.CidrBlock, "InvalidVpc.Range")
	if err != nil {
		return nil, err
	}
	if in.AmazonProvidedIpv6CidrBlock {
		return nil, invalidValue(true, "amazonProvidedIpv6CidrBlock", "There are no IPv6 addresses to give.")
	}
	if in.InstanceTenancy != "" && in.InstanceTenancy != "default" {
		return nil, invalidValue(in.InstanceTenancy, "instanceTenancy", "Only default tenancy is offered.")
	}
	vpc := &VPC{Scope: call.Scope, ID: newID("vpc"), CIDR: block, DNS: DNS{Support: true}}
	if vpc.Tags, err = tagsFor("vpc", in.TagSpecification); err != nil {
		return nil, err
	}
	if err := apart(ctx, s.store, vpc); err != nil { // before claiming, to tell one's own addresses from others'
		return nil, err
	}
	release, err := s.claimed(block)
	if err != nil {
		return nil, err
	}
	err = s.write(ctx, call, in.DryRun, func(tx Tx) error {
		call.Event.Response = nil
		call.Event.Response.Add("vpcId", vpc.ID)
		return s.found(ctx, tx, vpc)
	})
	if err != nil {
		release()
		return nil, err
	}
	return &createVpcOutput{vpc.item()}, nil
}

// found puts a new VPC in, with what every VPC has from the beginning: a default security group and network ACL.
func (s *Service) found(ctx context.Context, tx Tx, vpc *VPC) error {
	all, err := tx.VPCs(ctx, vpc.Scope)
	if err != nil {
		return err
	}
	if len(all) >= maxVPCs {
		return overLimit("VpcLimitExceeded", "VPCs")
	}
	if err := apart(ctx, tx, vpc); err != nil {
		return err
	}
	if err := tx.InsertVPC(vpc); err != nil {
		return err
	}
	if err := tx.InsertACL(defaultACL(vpc)); err != nil {
		return err
	}
	return tx.InsertGroup(defaultGroup(vpc))
}

// apart refuses a VPC of loopback addresses that overlaps another one of the installation: HSMs bind such addresses, and
// the machine has each of them once. VPCs of other addresses may overlap, as on AWS.
func apart(ctx context.Context, r Reader, vpc *VPC) error {
	if !vpc.CIDR.Addr().IsLoopback() {
		return nil
	}
	all, err := r.AllVPCs(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(o *VPC) bool { return o.CIDR.Overlaps(vpc.CIDR) })
	if at < 0 {
		return nil
	}
	return fault.New("InvalidVpc.Range", "The CIDR '%s' is invalid: these loopback addresses belong to the VPC %s (%s).",
		vpc.CIDR, all[at].ID, all[at].CIDR)
}

// parseBlock reads an IPv4 block, /16 to /28. Host bits are dropped, as EC2 does.
func parseBlock(text, rangeCode string) (netip.Prefix, error) {
	block, err := netip.ParsePrefix(text)
	if err != nil || !block.Addr().Is4() {
		return netip.Prefix{}, invalidValue(text, "cidrBlock", "This is not a valid CIDR block.")
	}
	if block.Bits() < 16 || block.Bits() > 28 {
		return netip.Prefix{}, fault.New(rangeCode, "The CIDR '%s' is invalid.", text)
	}
	return block.Masked(), nil
}

type vpcInput struct {
	VpcId  string
	DryRun bool
}

func (s *Service) deleteVpc(ctx context.Context, call *operation.Call, in *vpcInput) (*operation.Void, error) {
	if err := required(named{"vpcId", in.VpcId}); err != nil {
		return nil, err
	}
	var vpc *VPC
	err := s.write(ctx, call, in.DryRun, func(tx Tx) (err error) {
		if vpc, err = readVPC(ctx, tx, call.Scope, in.VpcId); err != nil {
			return err
		}
		return removeVPC(ctx, tx, vpc)
	})
	if err == nil {
		s.unclaim(vpc.CIDR)
	}
	return nil, err
}

func readVPC(ctx context.Context, r Reader, scope arn.Scope, id string) (*VPC, error) {
	v, err := r.VPC(ctx, scope, id)
	return vpcKind.found(v, err, id)
}

// removeVPC takes a VPC out with its default group and ACL; anything else in it stands in the way. Interfaces need a
// subnet, so they are not looked for.
func removeVPC(ctx context.Context, tx Tx, vpc *VPC) error {
	subnets, err := tx.Subnets(ctx, vpc.Scope)
	if err != nil {
		return err
	}
	groups, err := tx.Groups(ctx, vpc.Scope)
	if err != nil {
		return err
	}
	acls, err := tx.ACLs(ctx, vpc.Scope)
	if err != nil {
		return err
	}
	groups = slices.DeleteFunc(groups, func(g *Group) bool { return g.VpcID != vpc.ID })
	acls = slices.DeleteFunc(acls, func(a *ACL) bool { return a.VpcID != vpc.ID })
	if slices.ContainsFunc(subnets, func(o *Subnet) bool { return o.VpcID == vpc.ID }) || len(groups) > 1 || len(acls) > 1 {
		return dependency("vpc", vpc.ID)
	}
	for _, g := range groups {
		if err := tx.DeleteGroup(g.Scope, g.ID); err != nil {
			return err
		}
	}
	for _, a := range acls {
		if err := tx.DeleteACL(a.Scope, a.ID); err != nil {
			return err
		}
	}
	return tx.DeleteVPC(vpc.Scope, vpc.ID)
}

type describeVpcAttributeInput struct {
	VpcId     string
	Attribute string
	DryRun    bool
}

type describeVpcAttributeOutput struct {
	VpcID        string     `xml:"vpcId"`
	DNSSupport   *attribute `xml:"enableDnsSupport"`
	DNSHostnames *attribute `xml:"enableDnsHostnames"`
	UsageMetrics *attribute `xml:"enableNetworkAddressUsageMetrics"`
}

type attribute struct {
	Value bool `xml:"value"`
}

func (s *Service) describeVpcAttribute(ctx context.Context, call *operation.Call, in *describeVpcAttributeInput) (*describeVpcAttributeOutput, error) {
	if err := required(named{"vpcId", in.VpcId}, named{"attribute", in.Attribute}); err != nil {
		return nil, err
	}
	v, err := readVPC(ctx, s.store, call.Scope, in.VpcId)
	if err != nil {
		return nil, err
	}
	out := &describeVpcAttributeOutput{VpcID: v.ID}
	switch in.Attribute {
	case "enableDnsSupport":
		out.DNSSupport = &attribute{v.DNS.Support}
	case "enableDnsHostnames":
		out.DNSHostnames = &attribute{v.DNS.Hostnames}
	case "enableNetworkAddressUsageMetrics":
		out.UsageMetrics = &attribute{v.DNS.UsageMetrics}
	default:
		return nil, invalidValue(in.Attribute, "attribute", "Unknown attribute.")
	}
	return out, dryRun(in.DryRun)
}

type modifyVpcAttributeInput struct {
	VpcId                            string
	EnableDnsSupport                 *flag
	EnableDnsHostnames               *flag
	EnableNetworkAddressUsageMetrics *flag
}

func (s *Service) modifyVpcAttribute(ctx context.Context, call *operation.Call, in *modifyVpcAttributeInput) (*operation.Void, error) {
	if err := required(named{"vpcId", in.VpcId}); err != nil {
		return nil, err
	}
	return nil, s.write(ctx, call, false, func(tx Tx) error {
		v, err := readVPC(ctx, tx, call.Scope, in.VpcId)
		if err != nil {
			return err
		}
		set := 0
		for _, one := range []struct {
			to   *flag
			from *bool
		}{{in.EnableDnsSupport, &v.DNS.Support}, {in.EnableDnsHostnames, &v.DNS.Hostnames}, {in.EnableNetworkAddressUsageMetrics, &v.DNS.UsageMetrics}} {
			if one.to != nil {
				*one.from = one.to.Value
				set++
			}
		}
		if set != 1 {
			return fault.New("InvalidParameterCombination", "Exactly one attribute can be modified in a request; %s are given.", strconv.Itoa(set))
		}
		return tx.UpdateVPC(v)
	})
}
