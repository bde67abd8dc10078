package network

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"keyward/internal/fault"
	"keyward/internal/operation"
)

// identity is what makes two rules of a group the same: everything but their names for it.
type identity struct {
	egress            bool
	protocol          string
	from, to          int
	group, prefixList string
	cidr              netip.Prefix
}

func (r Rule) identity() identity {
	return identity{r.Egress, r.Protocol, r.FromPort, r.ToPort, r.Group, r.PrefixList, r.CIDR}
}

// cidr is the block on the other side, if it is of the family asked for.
func (r Rule) cidr(v6 bool) string {
	if !r.CIDR.IsValid() || r.CIDR.Addr().Is6() != v6 {
		return ""
	}
	return r.CIDR.String()
}

// groupRule is a rule with the group that has it.
type groupRule struct {
	*Group
	Rule
}

type ruleItem struct {
	ID          string           `xml:"securityGroupRuleId"`
	ARN         string           `xml:"securityGroupRuleArn"`
	GroupID     string           `xml:"groupId"`
	OwnerID     string           `xml:"groupOwnerId"`
	Egress      bool             `xml:"isEgress"`
	Protocol    string           `xml:"ipProtocol"`
	FromPort    int              `xml:"fromPort"`
	ToPort      int              `xml:"toPort"`
	CIDR        *string          `xml:"cidrIpv4"`
	CIDRv6      *string          `xml:"cidrIpv6"`
	PrefixList  *string          `xml:"prefixListId"`
	Referenced  *referencedGroup `xml:"referencedGroupInfo"`
	Description *string          `xml:"description"`
	Tags        []Tag            `xml:"tagSet"`
}

type referencedGroup struct {
	GroupID string `xml:"groupId"`
	UserID  string `xml:"userId"`
}

var ruleKind = kind[groupRule]{
	id:   func(r groupRule) string { return r.Rule.ID },
	tags: func(r groupRule) []Tag { return r.Rule.Tags },
	attributes: map[string]func(groupRule) []string{
		"group-id":               func(r groupRule) []string { return []string{r.Group.ID} },
		"security-group-rule-id": func(r groupRule) []string { return []string{r.Rule.ID} },
	},
	missing: func(id string) error {
		return fault.New("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
	},
}

func (r groupRule) item() ruleItem {
	from, to := r.FromPort, r.ToPort
	if r.Protocol == all {
		from, to = -1, -1
	}
	i := ruleItem{
		ID: r.Rule.ID, ARN: ec2ARN(r.Scope, "security-group-rule/"+r.Rule.ID), GroupID: r.Group.ID, OwnerID: r.Scope.Account,
		Egress: r.Egress, Protocol: r.Protocol, FromPort: from, ToPort: to,
		CIDR: optional(r.cidr(false)), CIDRv6: optional(r.cidr(true)), PrefixList: optional(r.PrefixList),
		Description: optional(r.Rule.Description), Tags: list(r.Rule.Tags),
	}
	if r.Rule.Group != "" {
		i.Referenced = &referencedGroup{r.Rule.Group, r.Scope.Account}
	}
	return i
}

func ruleItems(g *Group, rules []Rule) []ruleItem {
	items := []ruleItem{}
	for _, r := range rules {
		items = append(items, groupRule{g, r}.item())
	}
	return items
}

type describeRulesInput struct {
	SecurityGroupRuleId []string
	Filter              []Filter
	MaxResults          int
	NextToken           string
	DryRun              bool
}

type describeRulesOutput struct {
	Rules     []ruleItem `xml:"securityGroupRuleSet"`
	NextToken *string    `xml:"nextToken"`
}

func (s *Service) describeRules(ctx context.Context, call *operation.Call, in *describeRulesInput) (*describeRulesOutput, error) {
	groups, err := s.store.Groups(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	var rules []groupRule
	for _, g := range groups {
		for _, r := range g.Rules {
			rules = append(rules, groupRule{g, r})
		}
	}
	slices.SortFunc(rules, func(a, b groupRule) int { return cmp.Compare(a.Rule.ID, b.Rule.ID) })
	page, next, err := ruleKind.selectFrom(rules, listing{in.SecurityGroupRuleId, in.Filter, in.MaxResults, in.NextToken})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	out := &describeRulesOutput{Rules: []ruleItem{}, NextToken: optional(next)}
	for _, r := range page {
		out.Rules = append(out.Rules, r.item())
	}
	return out, nil
}

// rulesInput says which rules of a group to add or take away: as permissions, as one permission spread over the
// request itself, or, to take away, by their ids.
type rulesInput struct {
	GroupId             string
	GroupName           string
	IpPermissions       []ipPermission
	IpProtocol          string
	FromPort            *int
	ToPort              *int
	CidrIp              string
	SecurityGroupRuleId []string
	TagSpecification    []tagSpecification
	DryRun              bool
}

// rules reads the permissions of a request.
func (in *rulesInput) rules(egress bool) ([]Rule, error) {
	permissions := in.IpPermissions
	if in.IpProtocol != "" || in.CidrIp != "" {
		permissions = append(slices.Clone(permissions), ipPermission{
			IpProtocol: in.IpProtocol, FromPort: in.FromPort, ToPort: in.ToPort, IpRanges: []ipRange{{CidrIp: in.CidrIp}},
		})
	}
	var rules []Rule
	for _, p := range permissions {
		some, err := p.rules(egress)
		if err != nil {
			return nil, err
		}
		rules = append(rules, some...)
	}
	if len(rules) == 0 {
		return nil, missing("ipPermissions")
	}
	return rules, nil
}

type authorizeOutput struct {
	Return bool       `xml:"return"`
	Rules  []ruleItem `xml:"securityGroupRuleSet"`
}

func (s *Service) authorizeIngress(ctx context.Context, call *operation.Call, in *rulesInput) (*authorizeOutput, error) {
	return s.authorize(ctx, call, in, false)
}

func (s *Service) authorizeEgress(ctx context.Context, call *operation.Call, in *rulesInput) (*authorizeOutput, error) {
	return s.authorize(ctx, call, in, true)
}

func (s *Service) authorize(ctx context.Context, call *operation.Call, in *rulesInput, egress bool) (*authorizeOutput, error) {
	rules, err := in.rules(egress)
	if err != nil {
		return nil, err
	}
	tags, err := tagsFor("security-group-rule", in.TagSpecification)
	if err != nil {
		return nil, err
	}
	for i := range rules {
		rules[i].ID, rules[i].Tags = newID("sgr"), tags
	}
	var g *Group
	err = s.write(ctx, call, in.DryRun, func(tx Tx) (err error) {
		if g, err = (groupRef{in.GroupId, in.GroupName}).find(ctx, tx, call.Scope); err != nil {
			return err
		}
		if err := g.admit(ctx, tx, rules, egress); err != nil {
			return err
		}
		return tx.UpdateGroup(g)
	})
	if err != nil {
		return nil, err
	}
	return &authorizeOutput{true, ruleItems(g, rules)}, nil
}

// admit adds rules to the group, all or none.
func (g *Group) admit(ctx context.Context, tx Tx, rules []Rule, egress bool) error {
	for _, r := range rules {
		if err := g.knows(ctx, tx, r.Group); err != nil {
			return err
		}
		if g.index(r) >= 0 {
			return fault.New("InvalidPermission.Duplicate", `the specified rule "%s" already exists`, r)
		}
		g.Rules = append(g.Rules, r)
	}
	if count := len(slices.DeleteFunc(slices.Clone(g.Rules), func(r Rule) bool { return r.Egress != egress })); count > maxRules {
		return overLimit("RulesPerSecurityGroupLimitExceeded", "rules per security group")
	}
	return nil
}

// knows checks that a peer group can be named in rules of this one: it is in the same VPC.
func (g *Group) knows(ctx context.Context, tx Tx, peer string) error {
	if peer == "" || peer == g.ID {
		return nil
	}
	other, err := tx.Group(ctx, g.Scope, peer)
	if other, err = groupKind.found(other, err, peer); err != nil {
		return err
	}
	if other.VpcID != g.VpcID {
		return fault.New("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
	}
	return nil
}

// index finds the rule that is the same; -1 if there is none.
func (g *Group) index(r Rule) int {
	return slices.IndexFunc(g.Rules, func(o Rule) bool { return o.identity() == r.identity() })
}

type revokeOutput struct {
	Return  bool          `xml:"return"`
	Unknown []permission  `xml:"unknownIpPermissionSet"`
	Revoked []revokedItem `xml:"revokedSecurityGroupRuleSet"`
}

type revokedItem struct {
	ID          string  `xml:"securityGroupRuleId"`
	GroupID     string  `xml:"groupId"`
	Egress      bool    `xml:"isEgress"`
	Protocol    string  `xml:"ipProtocol"`
	FromPort    int     `xml:"fromPort"`
	ToPort      int     `xml:"toPort"`
	CIDR        *string `xml:"cidrIpv4"`
	CIDRv6      *string `xml:"cidrIpv6"`
	PrefixList  *string `xml:"prefixListId"`
	Referenced  *string `xml:"referencedGroupId"`
	Description *string `xml:"description"`
}

func (s *Service) revokeIngress(ctx context.Context, call *operation.Call, in *rulesInput) (*revokeOutput, error) {
	return s.revoke(ctx, call, in, false)
}

func (s *Service) revokeEgress(ctx context.Context, call *operation.Call, in *rulesInput) (*revokeOutput, error) {
	return s.revoke(ctx, call, in, true)
}

func (s *Service) revoke(ctx context.Context, call *operation.Call, in *rulesInput, egress bool) (out *revokeOutput, err error) {
	var rules []Rule
	if len(in.SecurityGroupRuleId) == 0 {
		if rules, err = in.rules(egress); err != nil {
			return nil, err
		}
	}
	err = s.write(ctx, call, in.DryRun, func(tx Tx) error {
		out = &revokeOutput{Return: true, Unknown: []permission{}, Revoked: []revokedItem{}}
		g, err := groupRef{in.GroupId, in.GroupName}.find(ctx, tx, call.Scope)
		if err != nil {
			return err
		}
		for _, id := range in.SecurityGroupRuleId {
			if err := out.withdrawByID(g, id, egress); err != nil {
				return err
			}
		}
		vpc, err := tx.VPC(ctx, g.Scope, g.VpcID)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if err := out.withdraw(g, r, vpc.Default); err != nil {
				return err
			}
		}
		if err := tx.UpdateGroup(g); err != nil {
			return err
		}
		return sweep(ctx, tx, g.Scope)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (o *revokeOutput) withdrawByID(g *Group, id string, egress bool) error {
	at := slices.IndexFunc(g.Rules, func(r Rule) bool { return r.ID == id && r.Egress == egress })
	if at < 0 {
		return ruleKind.missing(id)
	}
	o.take(g, at)
	return nil
}

// withdraw takes away the rule that is the same. Where there is none, the default VPC's groups only say so, as on AWS.
func (o *revokeOutput) withdraw(g *Group, r Rule, inDefaultVPC bool) error {
	at := g.index(r)
	switch {
	case at >= 0:
		o.take(g, at)
	case inDefaultVPC:
		o.Unknown = append(o.Unknown, permissions([]Rule{r}, g.Scope.Account)...)
	default:
		return fault.New("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	}
	return nil
}

func (o *revokeOutput) take(g *Group, at int) {
	i := groupRule{g, g.Rules[at]}.item()
	gone := revokedItem{
		ID: i.ID, GroupID: i.GroupID, Egress: i.Egress, Protocol: i.Protocol, FromPort: i.FromPort, ToPort: i.ToPort,
		CIDR: i.CIDR, CIDRv6: i.CIDRv6, PrefixList: i.PrefixList, Description: i.Description,
	}
	if i.Referenced != nil {
		gone.Referenced = &i.Referenced.GroupID
	}
	o.Revoked = append(o.Revoked, gone)
	g.Rules = slices.Delete(g.Rules, at, at+1)
}
