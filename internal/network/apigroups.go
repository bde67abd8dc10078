package network

import (
	"cmp"
	"context"
	"slices"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

type describeGroupsInput struct {
	GroupId    []string
	GroupName  []string
	Filter     []Filter
	MaxResults int
	NextToken  string
	DryRun     bool
}

type describeGroupsOutput struct {
	Groups    []groupItem `xml:"securityGroupInfo"`
	NextToken *string     `xml:"nextToken"`
}

type groupItem struct {
	OwnerID     string       `xml:"ownerId"`
	GroupID     string       `xml:"groupId"`
	Name        string       `xml:"groupName"`
	Description string       `xml:"groupDescription"`
	VpcID       string       `xml:"vpcId"`
	ARN         string       `xml:"securityGroupArn"`
	Ingress     []permission `xml:"ipPermissions"`
	Egress      []permission `xml:"ipPermissionsEgress"`
	Tags        []Tag        `xml:"tagSet"`
}

type permission struct {
	Protocol      string       `xml:"ipProtocol"`
	FromPort      *int         `xml:"fromPort"`
	ToPort        *int         `xml:"toPort"`
	Groups        []peerGroup  `xml:"groups"`
	Ranges        []rangeItem  `xml:"ipRanges"`
	IPv6Ranges    []rangeItem  `xml:"ipv6Ranges"`
	PrefixListIDs []prefixList `xml:"prefixListIds"`
}

type peerGroup struct {
	GroupID string `xml:"groupId"`
	UserID  string `xml:"userId"`
}

type rangeItem struct {
	CIDR string `xml:"cidrIp"`
}

type prefixList struct {
	ID string `xml:"prefixListId"`
}

var groupKind = kind[*Group]{
	id:   func(g *Group) string { return g.ID },
	tags: func(g *Group) []Tag { return g.Tags },
	attributes: map[string]func(*Group) []string{
		"group-id":                      func(g *Group) []string { return []string{g.ID} },
		"group-name":                    func(g *Group) []string { return []string{g.Name} },
		"vpc-id":                        func(g *Group) []string { return []string{g.VpcID} },
		"description":                   func(g *Group) []string { return []string{g.Description} },
		"owner-id":                      func(g *Group) []string { return []string{g.Scope.Account} },
		"ip-permission.group-id":        func(g *Group) []string { return g.peers(false) },
		"egress.ip-permission.group-id": func(g *Group) []string { return g.peers(true) },
	},
	missing: func(id string) error {
		return fault.New("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
	},
}

// peers lists the groups that the rules of one direction name.
func (g *Group) peers(egress bool) []string {
	var ids []string
	for _, r := range g.Rules {
		if r.Egress == egress && r.Group != "" {
			ids = append(ids, r.Group)
		}
	}
	return ids
}

func (s *Service) describeGroups(ctx context.Context, call *operation.Call, in *describeGroupsInput) (*describeGroupsOutput, error) {
	all, err := s.store.Groups(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	ids, err := s.groupIDs(ctx, call.Scope, all, in)
	if err != nil {
		return nil, err
	}
	page, next, err := groupKind.selectFrom(all, listing{ids, in.Filter, in.MaxResults, in.NextToken})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	out := &describeGroupsOutput{Groups: []groupItem{}, NextToken: optional(next)}
	for _, g := range page {
		out.Groups = append(out.Groups, groupItem{
			OwnerID: g.Scope.Account, GroupID: g.ID, Name: g.Name, Description: g.Description, VpcID: g.VpcID,
			ARN:     arn.ARN{Partition: arn.Partition, Service: "ec2", Region: g.Scope.Region, Account: g.Scope.Account, Resource: "security-group/" + g.ID}.String(),
			Ingress: g.permissions(false), Egress: g.permissions(true), Tags: list(g.Tags),
		})
	}
	return out, nil
}

// groupIDs adds to the ids asked for those of the names asked for, which mean groups of the default VPC.
func (s *Service) groupIDs(ctx context.Context, scope arn.Scope, all []*Group, in *describeGroupsInput) ([]string, error) {
	ids := slices.Clone(in.GroupId)
	if len(in.GroupName) == 0 {
		return ids, nil
	}
	vpcs, err := s.store.VPCs(ctx, scope)
	if err != nil {
		return nil, err
	}
	for _, name := range in.GroupName {
		at := slices.IndexFunc(all, func(g *Group) bool {
			return g.Name == name && slices.ContainsFunc(vpcs, func(v *VPC) bool { return v.Default && v.ID == g.VpcID })
		})
		if at < 0 {
			return nil, groupKind.missing(name)
		}
		ids = append(ids, all[at].ID)
	}
	return ids, nil
}

// permissions shows the rules of one direction, those of the same protocol and ports together.
func (g *Group) permissions(egress bool) []permission {
	shown := []permission{}
	var like []Rule // the first rule of each
	for _, r := range g.Rules {
		if r.Egress != egress {
			continue
		}
		at := slices.IndexFunc(like, func(o Rule) bool {
			return o.Protocol == r.Protocol && o.FromPort == r.FromPort && o.ToPort == r.ToPort
		})
		if at < 0 {
			at = len(shown)
			like = append(like, r)
			shown = append(shown, newPermission(r))
		}
		if r.Group != "" {
			shown[at].Groups = append(shown[at].Groups, peerGroup{r.Group, g.Scope.Account})
		} else {
			shown[at].Ranges = append(shown[at].Ranges, rangeItem{r.CIDR.String()})
		}
	}
	return shown
}

func newPermission(r Rule) permission {
	p := permission{
		Protocol: r.Protocol, Groups: []peerGroup{}, Ranges: []rangeItem{}, IPv6Ranges: []rangeItem{},
		PrefixListIDs: []prefixList{},
	}
	if r.Protocol != "-1" {
		p.FromPort, p.ToPort = &r.FromPort, &r.ToPort
	}
	return p
}

type describeInterfacesInput struct {
	NetworkInterfaceId []string
	Filter             []Filter
	MaxResults         int
	NextToken          string
	DryRun             bool
}

type describeInterfacesOutput struct {
	Interfaces []interfaceItem `xml:"networkInterfaceSet"`
	NextToken  *string         `xml:"nextToken"`
}

type interfaceItem struct {
	ID               string           `xml:"networkInterfaceId"`
	SubnetID         string           `xml:"subnetId"`
	VpcID            string           `xml:"vpcId"`
	Zone             string           `xml:"availabilityZone"`
	Description      string           `xml:"description"`
	OwnerID          string           `xml:"ownerId"`
	RequesterID      *string          `xml:"requesterId"`
	RequesterManaged bool             `xml:"requesterManaged"`
	Status           string           `xml:"status"`
	MAC              string           `xml:"macAddress"`
	Address          string           `xml:"privateIpAddress"`
	Addresses        []addressItem    `xml:"privateIpAddressesSet"`
	SourceDestCheck  bool             `xml:"sourceDestCheck"`
	Groups           []groupReference `xml:"groupSet"`
	Type             string           `xml:"interfaceType"`
	IPv6Addresses    []addressItem    `xml:"ipv6AddressesSet"`
	Tags             []Tag            `xml:"tagSet"`
}

type addressItem struct {
	Address string `xml:"privateIpAddress"`
	Primary bool   `xml:"primary"`
}

type groupReference struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

var interfaceKind = kind[*Interface]{
	id:   func(i *Interface) string { return i.ID },
	tags: func(i *Interface) []Tag { return i.Tags },
	attributes: map[string]func(*Interface) []string{
		"network-interface-id": func(i *Interface) []string { return []string{i.ID} },
		"subnet-id":            func(i *Interface) []string { return []string{i.SubnetID} },
		"vpc-id":               func(i *Interface) []string { return []string{i.VpcID} },
		"group-id":             func(i *Interface) []string { return i.Groups },
		"private-ip-address":   func(i *Interface) []string { return []string{i.Address.String()} },
		"description":          func(i *Interface) []string { return []string{i.Description} },
		"status":               func(i *Interface) []string { return []string{i.status()} },
		"requester-managed":    func(i *Interface) []string { return yesNo(i.Requester != "") },
		"requester-id":         func(i *Interface) []string { return []string{i.Requester} },
		"availability-zone":    func(i *Interface) []string { return []string{i.Zone} },
		"owner-id":             func(i *Interface) []string { return []string{i.Scope.Account} },
	},
	missing: func(id string) error {
		return fault.New("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
	},
}

// status of an interface: those that services made for themselves are attached to what they made them for.
func (i *Interface) status() string {
	if i.Requester != "" {
		return "in-use"
	}
	return "available"
}

func (s *Service) describeInterfaces(ctx context.Context, call *operation.Call, in *describeInterfacesInput) (*describeInterfacesOutput, error) {
	all, err := s.store.Interfaces(ctx, call.Scope, "")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *Interface) int { return cmp.Compare(a.ID, b.ID) })
	groups, err := s.store.Groups(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	page, next, err := interfaceKind.selectFrom(all, listing{in.NetworkInterfaceId, in.Filter, in.MaxResults, in.NextToken})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	out := &describeInterfacesOutput{Interfaces: []interfaceItem{}, NextToken: optional(next)}
	for _, i := range page {
		out.Interfaces = append(out.Interfaces, i.item(groups))
	}
	return out, nil
}

func (i *Interface) item(groups []*Group) interfaceItem {
	shown := interfaceItem{
		ID: i.ID, SubnetID: i.SubnetID, VpcID: i.VpcID, Zone: i.Zone, Description: i.Description, OwnerID: i.Scope.Account,
		RequesterID: optional(i.Requester), RequesterManaged: i.Requester != "", Status: i.status(), MAC: i.MAC,
		Address: i.Address.String(), Addresses: []addressItem{{i.Address.String(), true}}, SourceDestCheck: true,
		Groups: []groupReference{}, Type: "interface", IPv6Addresses: []addressItem{}, Tags: list(i.Tags),
	}
	for _, g := range groups {
		if slices.Contains(i.Groups, g.ID) {
			shown.Groups = append(shown.Groups, groupReference{g.ID, g.Name})
		}
	}
	return shown
}
