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

// lastRule is the number of the entry that every ACL ends with: it denies everything and cannot be changed.
const lastRule = 32767

type aclItem struct {
	ID           string            `xml:"networkAclId"`
	VpcID        string            `xml:"vpcId"`
	Default      bool              `xml:"default"`
	OwnerID      string            `xml:"ownerId"`
	Entries      []entryItem       `xml:"entrySet"`
	Associations []associationItem `xml:"associationSet"`
	Tags         []Tag             `xml:"tagSet"`
}

type entryItem struct {
	Number   int        `xml:"ruleNumber"`
	Protocol string     `xml:"protocol"`
	Action   string     `xml:"ruleAction"`
	Egress   bool       `xml:"egress"`
	CIDR     *string    `xml:"cidrBlock"`
	CIDRv6   *string    `xml:"ipv6CidrBlock"`
	ICMP     *icmpItem  `xml:"icmpTypeCode"`
	Ports    *portsItem `xml:"portRange"`
}

type icmpItem struct {
	Code int `xml:"code"`
	Type int `xml:"type"`
}

type portsItem struct {
	From int `xml:"from"`
	To   int `xml:"to"`
}

type associationItem struct {
	ID       string `xml:"networkAclAssociationId"`
	ACLID    string `xml:"networkAclId"`
	SubnetID string `xml:"subnetId"`
}

// associatedACL is an ACL with its subnets.
type associatedACL struct {
	*ACL
	subnets []*Subnet
}

func (a associatedACL) each(of func(*Subnet) string) []string {
	var values []string
	for _, s := range a.subnets {
		values = append(values, of(s))
	}
	return values
}

func (a associatedACL) entries(of func(Entry) string) []string {
	values := []string{of(Entry{Number: lastRule, Protocol: all, Deny: true, CIDR: everywhere})}
	for _, e := range a.Entries {
		values = append(values, of(e))
	}
	return values
}

var aclKind = kind[associatedACL]{
	id:   func(a associatedACL) string { return a.ID },
	tags: func(a associatedACL) []Tag { return a.Tags },
	attributes: map[string]func(associatedACL) []string{
		"network-acl-id": func(a associatedACL) []string { return []string{a.ID} },
		"vpc-id":         func(a associatedACL) []string { return []string{a.VpcID} },
		"default":        func(a associatedACL) []string { return yesNo(a.Default) },
		"owner-id":       func(a associatedACL) []string { return []string{a.Scope.Account} },

		"association.association-id": func(a associatedACL) []string { return a.each(func(s *Subnet) string { return s.Association }) },
		"association.network-acl-id": func(a associatedACL) []string { return a.each(func(s *Subnet) string { return s.ACL }) },
		"association.subnet-id":      func(a associatedACL) []string { return a.each(func(s *Subnet) string { return s.ID }) },

		"entry.rule-number": func(a associatedACL) []string {
			return a.entries(func(e Entry) string { return strconv.Itoa(e.Number) })
		},
		"entry.protocol":    func(a associatedACL) []string { return a.entries(func(e Entry) string { return e.Protocol }) },
		"entry.rule-action": func(a associatedACL) []string { return a.entries(Entry.action) },
		"entry.egress": func(a associatedACL) []string {
			return a.entries(func(e Entry) string { return strconv.FormatBool(e.Egress) })
		},
		"entry.cidr": func(a associatedACL) []string { return a.entries(func(e Entry) string { return e.CIDR.String() }) },
	},
	missing: func(id string) error {
		return fault.New("InvalidNetworkAclID.NotFound", "The networkAcl ID '%s' does not exist", id)
	},
}

func (e Entry) action() string {
	if e.Deny {
		return "deny"
	}
	return "allow"
}

func (e Entry) item() entryItem {
	i := entryItem{Number: e.Number, Protocol: e.Protocol, Action: e.action(), Egress: e.Egress}
	block := e.CIDR.String()
	if e.CIDR.Addr().Is6() {
		i.CIDRv6 = &block
	} else {
		i.CIDR = &block
	}
	switch e.Protocol {
	case "1", "58":
		i.ICMP = &icmpItem{e.ICMPCode, e.ICMPType}
	case "6", "17":
		i.Ports = &portsItem{e.FromPort, e.ToPort}
	}
	return i
}

func (a associatedACL) item() aclItem {
	shown := aclItem{
		ID: a.ID, VpcID: a.VpcID, Default: a.Default, OwnerID: a.Scope.Account, Entries: []entryItem{},
		Associations: []associationItem{}, Tags: list(a.Tags),
	}
	for _, egress := range []bool{true, false} {
		for _, e := range a.ordered(egress) {
			shown.Entries = append(shown.Entries, e.item())
		}
		last := Entry{Egress: egress, Number: lastRule, Protocol: all, Deny: true, CIDR: everywhere}
		shown.Entries = append(shown.Entries, last.item())
	}
	for _, s := range a.subnets {
		shown.Associations = append(shown.Associations, associationItem{s.Association, a.ID, s.ID})
	}
	return shown
}

// ordered lists the entries of one direction as they are evaluated, without the last.
func (a *ACL) ordered(egress bool) []Entry {
	entries := slices.DeleteFunc(slices.Clone(a.Entries), func(e Entry) bool { return e.Egress != egress })
	slices.SortFunc(entries, func(x, y Entry) int { return cmp.Compare(x.Number, y.Number) })
	return entries
}

type describeACLsInput struct {
	NetworkAclId []string
	Filter       []Filter
	MaxResults   int
	NextToken    string
	DryRun       bool
}

type describeACLsOutput struct {
	ACLs      []aclItem `xml:"networkAclSet"`
	NextToken *string   `xml:"nextToken"`
}

func (s *Service) describeACLs(ctx context.Context, call *operation.Call, in *describeACLsInput) (*describeACLsOutput, error) {
	acls, err := s.store.ACLs(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	subnets, err := s.store.Subnets(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	all := make([]associatedACL, len(acls))
	for n, a := range acls {
		all[n] = associatedACL{a, subnetsOf(a, subnets)}
	}
	page, next, err := aclKind.selectFrom(all, listing{in.NetworkAclId, in.Filter, in.MaxResults, in.NextToken})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	out := &describeACLsOutput{ACLs: []aclItem{}, NextToken: optional(next)}
	for _, a := range page {
		out.ACLs = append(out.ACLs, a.item())
	}
	return out, nil
}

func subnetsOf(a *ACL, all []*Subnet) []*Subnet {
	return slices.DeleteFunc(slices.Clone(all), func(s *Subnet) bool { return s.ACL != a.ID })
}

func readACL(ctx context.Context, r Reader, scope arn.Scope, id string) (*ACL, error) {
	a, err := r.ACL(ctx, scope, id)
	if isMissing(err) {
		err = aclKind.missing(id)
	}
	return a, err
}

// defaultOf is the ACL that new subnets of a VPC get.
func defaultOf(ctx context.Context, r Reader, vpc *VPC) (*ACL, error) {
	acls, err := r.ACLs(ctx, vpc.Scope)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(acls, func(a *ACL) bool { return a.VpcID == vpc.ID && a.Default })
	if at < 0 {
		return nil, fault.ErrNotFound
	}
	return acls[at], nil
}

type createACLInput struct {
	VpcId            string
	TagSpecification []tagSpecification
	DryRun           bool
}

type createACLOutput struct {
	ACL aclItem `xml:"networkAcl"`
}

func (s *Service) createACL(ctx context.Context, call *operation.Call, in *createACLInput) (*createACLOutput, error) {
	if err := required(named{"vpcId", in.VpcId}); err != nil {
		return nil, err
	}
	tags, err := tagsFor("network-acl", in.TagSpecification)
	if err != nil {
		return nil, err
	}
	a := &ACL{Scope: call.Scope, ID: newID("acl"), VpcID: in.VpcId, Tags: tags}
	err = s.write(ctx, call, in.DryRun, func(tx Tx) error {
		call.Event.Response = nil
		call.Event.Response.Add("networkAclId", a.ID)
		if _, err := readVPC(ctx, tx, a.Scope, a.VpcID); err != nil {
			return err
		}
		all, err := tx.ACLs(ctx, a.Scope)
		if err != nil {
			return err
		}
		if len(slices.DeleteFunc(all, func(o *ACL) bool { return o.VpcID != a.VpcID })) >= maxACLs {
			return overLimit("NetworkAclLimitExceeded", "network ACLs")
		}
		return tx.InsertACL(a)
	})
	if err != nil {
		return nil, err
	}
	return &createACLOutput{associatedACL{a, nil}.item()}, nil
}

type deleteACLInput struct {
	NetworkAclId string
	DryRun       bool
}

func (s *Service) deleteACL(ctx context.Context, call *operation.Call, in *deleteACLInput) (*operation.Void, error) {
	if err := required(named{"networkAclId", in.NetworkAclId}); err != nil {
		return nil, err
	}
	return nil, s.write(ctx, call, in.DryRun, func(tx Tx) error {
		a, err := readACL(ctx, tx, call.Scope, in.NetworkAclId)
		if err != nil {
			return err
		}
		if a.Default {
			return fault.New("CannotDelete", "cannot delete default network ACL %s", a.ID)
		}
		subnets, err := tx.Subnets(ctx, a.Scope)
		if err != nil {
			return err
		}
		if len(subnetsOf(a, subnets)) > 0 {
			return dependency("networkAcl", a.ID)
		}
		return tx.DeleteACL(a.Scope, a.ID)
	})
}

type entryInput struct {
	NetworkAclId  string
	RuleNumber    *int
	Protocol      string
	RuleAction    string
	Egress        *bool
	CidrBlock     string
	Ipv6CidrBlock string
	PortRange     *struct{ From, To *int }
	Icmp          *struct{ Type, Code *int }
	DryRun        bool
}

// slot says which entry a request is about.
func (in *entryInput) slot() error {
	switch {
	case in.NetworkAclId == "":
		return missing("networkAclId")
	case in.RuleNumber == nil:
		return missing("ruleNumber")
	case in.Egress == nil:
		return missing("egress")
	case *in.RuleNumber < 1 || *in.RuleNumber >= lastRule:
		return invalidValue(*in.RuleNumber, "ruleNumber", "Rule numbers are between 1 and 32766.")
	}
	return nil
}

// entry reads the whole request.
func (in *entryInput) entry() (Entry, error) {
	if err := in.slot(); err != nil {
		return Entry{}, err
	}
	if err := required(named{"protocol", in.Protocol}, named{"ruleAction", in.RuleAction}); err != nil {
		return Entry{}, err
	}
	e := Entry{Egress: *in.Egress, Number: *in.RuleNumber}
	switch in.RuleAction {
	case "allow":
	case "deny":
		e.Deny = true
	default:
		return e, invalidValue(in.RuleAction, "ruleAction", "Use allow or deny.")
	}
	if err := in.block(&e); err != nil {
		return e, err
	}
	return e, in.traffic(&e)
}

func (in *entryInput) block(e *Entry) error {
	text, v6 := in.CidrBlock, false
	if text == "" {
		text, v6 = in.Ipv6CidrBlock, true
	}
	if text == "" {
		return missing("cidrBlock")
	}
	block, err := netip.ParsePrefix(text)
	if err != nil || block.Addr().Is6() != v6 || in.CidrBlock != "" && in.Ipv6CidrBlock != "" {
		return invalidValue(text, "cidrBlock", "This is not a valid CIDR block.")
	}
	e.CIDR = block.Masked()
	return nil
}

// traffic reads protocol and ports. Protocols are numbers here, unlike in security groups.
func (in *entryInput) traffic(e *Entry) error {
	n, err := strconv.Atoi(in.Protocol)
	if err != nil || n < -1 || n > 255 {
		return invalidValue(in.Protocol, "protocol", "Unknown protocol.")
	}
	e.Protocol = strconv.Itoa(n) // without zeros and signs that mean nothing
	switch e.Protocol {
	case "6", "17":
		if in.PortRange == nil || in.PortRange.From == nil || in.PortRange.To == nil {
			return missing("portRange")
		}
		e.FromPort, e.ToPort = *in.PortRange.From, *in.PortRange.To
		if e.FromPort < 0 || e.ToPort > 65535 || e.FromPort > e.ToPort {
			return fault.New("InvalidParameterValue", "Invalid port range (%d:%d).", e.FromPort, e.ToPort)
		}
	case "1", "58":
		if in.Icmp == nil || in.Icmp.Type == nil || in.Icmp.Code == nil {
			return missing("icmpTypeCode")
		}
		e.ICMPType, e.ICMPCode = *in.Icmp.Type, *in.Icmp.Code
	}
	return nil
}

// at is the place of an entry; -1 if there is none.
func (a *ACL) at(egress bool, number int) int {
	return slices.IndexFunc(a.Entries, func(e Entry) bool { return e.Egress == egress && e.Number == number })
}

// edit changes the entries of the ACL that a request names.
func (s *Service) edit(ctx context.Context, call *operation.Call, in *entryInput, fn func(*ACL) error) error {
	return s.write(ctx, call, in.DryRun, func(tx Tx) error {
		a, err := readACL(ctx, tx, call.Scope, in.NetworkAclId)
		if err != nil {
			return err
		}
		if err := fn(a); err != nil {
			return err
		}
		return tx.UpdateACL(a)
	})
}

func (s *Service) createEntry(ctx context.Context, call *operation.Call, in *entryInput) (*operation.Void, error) {
	e, err := in.entry()
	if err != nil {
		return nil, err
	}
	return nil, s.edit(ctx, call, in, func(a *ACL) error {
		if a.at(e.Egress, e.Number) >= 0 {
			return fault.New("NetworkAclEntryAlreadyExists", "The network acl entry identified by %d already exists.", e.Number)
		}
		if len(a.ordered(e.Egress)) >= maxEntries {
			return overLimit("NetworkAclEntryLimitExceeded", "network ACL entries")
		}
		a.Entries = append(a.Entries, e)
		return nil
	})
}

func (s *Service) replaceEntry(ctx context.Context, call *operation.Call, in *entryInput) (*operation.Void, error) {
	e, err := in.entry()
	if err != nil {
		return nil, err
	}
	return nil, s.edit(ctx, call, in, func(a *ACL) error {
		at := a.at(e.Egress, e.Number)
		if at < 0 {
			return noEntry(e.Number)
		}
		a.Entries[at] = e
		return nil
	})
}

func (s *Service) deleteEntry(ctx context.Context, call *operation.Call, in *entryInput) (*operation.Void, error) {
	if err := in.slot(); err != nil {
		return nil, err
	}
	return nil, s.edit(ctx, call, in, func(a *ACL) error {
		at := a.at(*in.Egress, *in.RuleNumber)
		if at < 0 {
			return noEntry(*in.RuleNumber)
		}
		a.Entries = slices.Delete(a.Entries, at, at+1)
		return nil
	})
}

func noEntry(number int) error {
	return fault.New("InvalidNetworkAclEntry.NotFound", "The network acl entry identified by %d does not exist.", number)
}

type replaceAssociationInput struct {
	AssociationId string
	NetworkAclId  string
	DryRun        bool
}

type replaceAssociationOutput struct {
	ID string `xml:"newAssociationId"`
}

func (s *Service) replaceAssociation(ctx context.Context, call *operation.Call, in *replaceAssociationInput) (*replaceAssociationOutput, error) {
	if err := required(named{"associationId", in.AssociationId}, named{"networkAclId", in.NetworkAclId}); err != nil {
		return nil, err
	}
	out := &replaceAssociationOutput{newID("aclassoc")}
	err := s.write(ctx, call, in.DryRun, func(tx Tx) error {
		call.Event.Response = nil
		call.Event.Response.Add("newAssociationId", out.ID)
		subnets, err := tx.Subnets(ctx, call.Scope)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(subnets, func(s *Subnet) bool { return s.Association == in.AssociationId })
		if at < 0 {
			return fault.New("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", in.AssociationId)
		}
		a, err := readACL(ctx, tx, call.Scope, in.NetworkAclId)
		if err != nil {
			return err
		}
		subnet := subnets[at]
		if a.VpcID != subnet.VpcID {
			return fault.New("InvalidParameterValue", "Network ACL %s and subnet %s belong to different networks", a.ID, subnet.ID)
		}
		subnet.ACL, subnet.Association = a.ID, out.ID
		return tx.UpdateSubnet(subnet)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
