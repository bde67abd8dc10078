package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

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
	PrivateDNSName   string           `xml:"privateDnsName"`
	Attachment       *attachmentItem  `xml:"attachment"`
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

// attachmentItem says what a service's interface is attached to: something of the service's own.
type attachmentItem struct {
	ID                  string `xml:"attachmentId"`
	InstanceOwner       string `xml:"instanceOwnerId"`
	DeviceIndex         int    `xml:"deviceIndex"`
	Status              string `xml:"status"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
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
		"mac-address":          func(i *Interface) []string { return []string{i.MAC} },
		"interface-type":       func(*Interface) []string { return []string{"interface"} },
		"source-dest-check":    func(i *Interface) []string { return yesNo(i.SourceDestCheck) },

		"addresses.private-ip-address":     func(i *Interface) []string { return []string{i.Address.String()} },
		"attachment.attachment-id":         func(i *Interface) []string { return i.attached(i.attachment().ID) },
		"attachment.instance-owner-id":     func(i *Interface) []string { return i.attached(i.Requester) },
		"attachment.status":                func(i *Interface) []string { return i.attached("attached") },
		"attachment.device-index":          func(i *Interface) []string { return i.attached("0") },
		"attachment.instance-id":           func(*Interface) []string { return nil },
		"attachment.delete-on-termination": func(i *Interface) []string { return i.attached("true") },
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

func (i *Interface) attachment() *attachmentItem {
	if i.Requester == "" {
		return &attachmentItem{}
	}
	return &attachmentItem{"eni-attach" + i.ID[len("eni"):], i.Requester, 0, "attached", true}
}

// attached is the value of a filter on attachments.
func (i *Interface) attached(value string) []string {
	if i.Requester == "" {
		return nil
	}
	return []string{value}
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
		Address: i.Address.String(), Addresses: []addressItem{{i.Address.String(), true}}, SourceDestCheck: i.SourceDestCheck,
		PrivateDNSName: i.hostname(), Groups: []groupReference{}, Type: "interface", IPv6Addresses: []addressItem{}, Tags: list(i.Tags),
	}
	if i.Requester != "" {
		shown.Attachment = i.attachment()
	}
	for _, g := range groups {
		if slices.Contains(i.Groups, g.ID) {
			shown.Groups = append(shown.Groups, groupReference{g.ID, g.Name})
		}
	}
	return shown
}

// hostname is the name that EC2 derives from an address: ip-10-0-0-4.ec2.internal.
func (i *Interface) hostname() string {
	domain := i.Scope.Region + ".compute.internal"
	if i.Scope.Region == "us-east-1" {
		domain = "ec2.internal"
	}
	a := i.Address.As4()
	return fmt.Sprintf("ip-%d-%d-%d-%d.%s", a[0], a[1], a[2], a[3], domain)
}

type createInterfaceInput struct {
	SubnetId         string
	PrivateIpAddress string
	// PrivateIpAddresses is the longer way to name the address; an interface has exactly one.
	PrivateIpAddresses []privateAddress
	Description        string
	SecurityGroupId    []string
	ClientToken        string
	TagSpecification   []tagSpecification
	DryRun             bool

	SecondaryPrivateIpAddressCount int
	Ipv6AddressCount               int
}

type privateAddress struct {
	PrivateIpAddress string
	Primary          bool
}

type createInterfaceOutput struct {
	Interface   interfaceItem `xml:"networkInterface"`
	ClientToken *string       `xml:"clientToken"`
}

func (in *createInterfaceInput) address() (string, error) {
	asked := len(in.PrivateIpAddresses)
	if in.PrivateIpAddress != "" {
		asked++
	}
	switch {
	case asked > 1 || in.SecondaryPrivateIpAddressCount > 0 || in.Ipv6AddressCount > 0:
		return "", fault.New("PrivateIpAddressLimitExceeded", "The maximum number of private IP addresses for a network interface is 1.")
	case len(in.PrivateIpAddresses) == 1:
		return in.PrivateIpAddresses[0].PrivateIpAddress, nil
	}
	return in.PrivateIpAddress, nil
}

// maxDescription is EC2's bound for the description of an interface.
const maxDescription = 255

func (s *Service) createInterface(ctx context.Context, call *operation.Call, in *createInterfaceInput) (*createInterfaceOutput, error) {
	if err := required(named{"subnetId", in.SubnetId}); err != nil {
		return nil, err
	}
	if len(in.Description) > maxDescription {
		return nil, invalidValue(in.Description[:maxDescription], "description", "It has more than 255 characters.")
	}
	if len(in.ClientToken) > 64 {
		return nil, invalidValue(in.ClientToken[:64], "clientToken", "It has more than 64 characters.")
	}
	address, err := in.address()
	if err != nil {
		return nil, err
	}
	tags, err := tagsFor("network-interface", in.TagSpecification)
	if err != nil {
		return nil, err
	}
	i := &Interface{
		Scope: call.Scope, ID: newID("eni"), SubnetID: in.SubnetId, MAC: newMAC(), Groups: in.SecurityGroupId,
		Description: in.Description, SourceDestCheck: true, ClientToken: in.ClientToken, Created: s.now(), Tags: tags,
	}
	var groups []*Group
	err = s.write(ctx, call, in.DryRun, func(tx Tx) error {
		if err := connect(ctx, tx, i, address); err != nil {
			return err
		}
		call.Event.Response = nil
		call.Event.Response.Add("networkInterfaceId", i.ID)
		groups, err = tx.Groups(ctx, i.Scope)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &createInterfaceOutput{i.item(groups), optional(in.ClientToken)}, nil
}

// connect puts a user's interface in. If its token was used before, i becomes the interface of then.
func connect(ctx context.Context, tx Tx, i *Interface, address string) error {
	all, err := tx.Interfaces(ctx, i.Scope, "")
	if err != nil {
		return err
	}
	if at := slices.IndexFunc(all, func(o *Interface) bool { return i.ClientToken != "" && o.ClientToken == i.ClientToken }); at >= 0 {
		if all[at].SubnetID != i.SubnetID || all[at].Description != i.Description {
			return fault.New("IdempotentParameterMismatch", "The client token was used with other parameters before.")
		}
		*i = *all[at]
		return nil
	}
	if len(all) >= maxInterfaces {
		return overLimit("NetworkInterfaceLimitExceeded", "network interfaces")
	}
	subnet, err := readSubnet(ctx, tx, i.Scope, i.SubnetID)
	if err != nil {
		return err
	}
	if i.Groups, err = groupsFor(ctx, tx, i.Scope, subnet.VpcID, i.Groups); err != nil {
		return err
	}
	if err := place(ctx, tx, i, address); err != nil {
		return err
	}
	return tx.InsertInterface(i)
}

// groupsFor checks the groups that an interface is to carry; none asked for means the VPC's default group.
func groupsFor(ctx context.Context, tx Tx, scope arn.Scope, vpcID string, asked []string) ([]string, error) {
	all, err := tx.Groups(ctx, scope)
	if err != nil {
		return nil, err
	}
	if len(asked) > maxInterfaceGroups {
		return nil, overLimit("SecurityGroupsPerInterfaceLimitExceeded", "security groups per interface")
	}
	if len(asked) == 0 {
		at := slices.IndexFunc(all, func(g *Group) bool { return g.VpcID == vpcID && g.Name == "default" })
		if at < 0 {
			return nil, fmt.Errorf("network: VPC %s has no default group", vpcID)
		}
		return []string{all[at].ID}, nil
	}
	for _, id := range asked {
		at := slices.IndexFunc(all, func(g *Group) bool { return g.ID == id })
		if at < 0 {
			return nil, groupKind.missing(id)
		}
		if all[at].VpcID != vpcID {
			return nil, fault.New("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(asked))), nil
}

type modifyInterfaceInput struct {
	NetworkInterfaceId string
	SecurityGroupId    []string
	Description        *struct{ Value string }
	SourceDestCheck    *flag
	DryRun             bool
}

func (s *Service) modifyInterface(ctx context.Context, call *operation.Call, in *modifyInterfaceInput) (*operation.Void, error) {
	if err := required(named{"networkInterfaceId", in.NetworkInterfaceId}); err != nil {
		return nil, err
	}
	if in.Description == nil && in.SourceDestCheck == nil && len(in.SecurityGroupId) == 0 {
		return nil, fault.New("InvalidParameterCombination", "No attributes specified.")
	}
	return nil, s.write(ctx, call, in.DryRun, func(tx Tx) error {
		i, err := usersInterface(ctx, tx, call.Scope, in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if in.Description != nil {
			if len(in.Description.Value) > maxDescription {
				return invalidValue(in.Description.Value[:maxDescription], "description", "It has more than 255 characters.")
			}
			i.Description = in.Description.Value
		}
		if in.SourceDestCheck != nil {
			i.SourceDestCheck = in.SourceDestCheck.Value
		}
		if len(in.SecurityGroupId) > 0 {
			if i.Groups, err = groupsFor(ctx, tx, i.Scope, i.VpcID, in.SecurityGroupId); err != nil {
				return err
			}
		}
		return errors.Join(tx.UpdateInterface(i), sweep(ctx, tx, i.Scope))
	})
}

// usersInterface finds an interface that a user may change: not one that a service made for itself.
func usersInterface(ctx context.Context, tx Tx, scope arn.Scope, id string) (*Interface, error) {
	i, err := tx.Interface(ctx, scope, id)
	if i, err = interfaceKind.found(i, err, id); err != nil {
		return nil, err
	}
	if i.Requester != "" {
		return nil, fault.New("OperationNotPermitted", "You are not allowed to manage '%s', which is managed by its requester.", id)
	}
	return i, nil
}

type deleteInterfaceInput struct {
	NetworkInterfaceId string
	DryRun             bool
}

func (s *Service) deleteInterface(ctx context.Context, call *operation.Call, in *deleteInterfaceInput) (*operation.Void, error) {
	if err := required(named{"networkInterfaceId", in.NetworkInterfaceId}); err != nil {
		return nil, err
	}
	return nil, s.write(ctx, call, in.DryRun, func(tx Tx) error {
		i, err := usersInterface(ctx, tx, call.Scope, in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		return release(ctx, tx, i)
	})
}

// release takes an interface out, and the retired groups of which it was the last user.
func release(ctx context.Context, tx Tx, i *Interface) error {
	if err := tx.DeleteInterface(i.Scope, i.ID); err != nil {
		return err
	}
	return sweep(ctx, tx, i.Scope)
}
