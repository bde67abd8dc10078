package network

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

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

var groupKind = withRuleFilters(kind[*Group]{
	id:   func(g *Group) string { return g.ID },
	tags: func(g *Group) []Tag { return g.Tags },
	attributes: map[string]func(*Group) []string{
		"group-id":    func(g *Group) []string { return []string{g.ID} },
		"group-name":  func(g *Group) []string { return []string{g.Name} },
		"vpc-id":      func(g *Group) []string { return []string{g.VpcID} },
		"description": func(g *Group) []string { return []string{g.Description} },
		"owner-id":    func(g *Group) []string { return []string{g.Scope.Account} },
	},
	missing: func(id string) error {
		if !strings.HasPrefix(id, "sg-") {
			return fault.New("InvalidGroupId.Malformed", "Invalid id: \"%s\" (expecting \"sg-...\")", id)
		}
		return noGroup(id)
	},
})

// noGroup is the answer for a group that is not there, by id or name.
func noGroup(idOrName string) error {
	return fault.New("InvalidGroup.NotFound", "The security group '%s' does not exist", idOrName)
}

// ruleFilters are what the rules of a group can be searched by, in each direction.
var ruleFilters = map[string]func(Rule) string{
	"protocol":       func(r Rule) string { return r.Protocol },
	"from-port":      func(r Rule) string { return strconv.Itoa(r.FromPort) },
	"to-port":        func(r Rule) string { return strconv.Itoa(r.ToPort) },
	"group-id":       func(r Rule) string { return r.Group },
	"prefix-list-id": func(r Rule) string { return r.PrefixList },
	"cidr":           func(r Rule) string { return r.cidr(false) },
	"ipv6-cidr":      func(r Rule) string { return r.cidr(true) },
}

// withRuleFilters adds ip-permission.* and egress.ip-permission.*.
func withRuleFilters(k kind[*Group]) kind[*Group] {
	for name, of := range ruleFilters {
		for prefix, egress := range map[string]bool{"ip-permission.": false, "egress.ip-permission.": true} {
			k.attributes[prefix+name] = func(g *Group) []string {
				var values []string
				for _, r := range g.Rules {
					if v := of(r); r.Egress == egress && v != "" {
						values = append(values, v)
					}
				}
				return values
			}
		}
	}
	return k
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
			OwnerID: g.Scope.Account, GroupID: g.ID, Name: g.Name, Description: g.Description, VpcID: g.VpcID, ARN: g.arn(),
			Ingress: g.permissions(false), Egress: g.permissions(true), Tags: list(g.Tags),
		})
	}
	return out, nil
}

func (g *Group) arn() string { return ec2ARN(g.Scope, "security-group/"+g.ID) }

func ec2ARN(scope arn.Scope, resource string) string {
	return arn.ARN{Partition: arn.Partition, Service: "ec2", Region: scope.Region, Account: scope.Account, Resource: resource}.String()
}

// groupIDs adds to the ids asked for those of the names asked for, which mean groups of the default VPC.
func (s *Service) groupIDs(ctx context.Context, scope arn.Scope, all []*Group, in *describeGroupsInput) ([]string, error) {
	ids := slices.Clone(in.GroupId)
	for _, name := range in.GroupName {
		g, err := byName(ctx, s.store, scope, all, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, g.ID)
	}
	return ids, nil
}

// byName finds a group of the default VPC.
func byName(ctx context.Context, r Reader, scope arn.Scope, all []*Group, name string) (*Group, error) {
	vpc, err := defaultVPC(ctx, r, scope)
	if isMissing(err) {
		return nil, noGroup(name)
	}
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(g *Group) bool { return g.Name == name && g.VpcID == vpc.ID })
	if at < 0 {
		return nil, noGroup(name)
	}
	return all[at], nil
}

// groupRef names the group that a request is about: by id, or by name in the default VPC.
type groupRef struct{ id, name string }

func (r groupRef) find(ctx context.Context, from Reader, scope arn.Scope) (*Group, error) {
	if r.id == "" && r.name == "" {
		return nil, missing("groupId")
	}
	if r.id != "" {
		g, err := from.Group(ctx, scope, r.id)
		return groupKind.found(g, err, r.id)
	}
	all, err := from.Groups(ctx, scope)
	if err != nil {
		return nil, err
	}
	return byName(ctx, from, scope, all, r.name)
}

type createGroupInput struct {
	GroupName        string
	GroupDescription string
	VpcId            string
	TagSpecification []tagSpecification
	DryRun           bool
}

type createGroupOutput struct {
	GroupID string `xml:"groupId"`
	ARN     string `xml:"securityGroupArn"`
	Tags    []Tag  `xml:"tagSet"`
	Return  bool   `xml:"return"`
}

// groupText is what names and descriptions of groups may hold (CreateSecurityGroup).
var groupText = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}$`)

func (s *Service) createGroup(ctx context.Context, call *operation.Call, in *createGroupInput) (*createGroupOutput, error) {
	if err := required(named{"groupName", in.GroupName}, named{"groupDescription", in.GroupDescription}); err != nil {
		return nil, err
	}
	switch {
	case !groupText.MatchString(in.GroupName) || strings.HasPrefix(in.GroupName, "sg-"):
		return nil, invalidValue(in.GroupName, "groupName", "Invalid security group name.")
	case !groupText.MatchString(in.GroupDescription):
		return nil, invalidValue(in.GroupDescription, "groupDescription", "Invalid security group description.")
	case in.GroupName == "default":
		return nil, fault.New("InvalidParameterValue", "Cannot use reserved security group name: default")
	}
	g := &Group{Scope: call.Scope, ID: newID("sg"), Name: in.GroupName, Description: in.GroupDescription, Rules: []Rule{allOut()}}
	var err error
	if g.Tags, err = tagsFor("security-group", in.TagSpecification); err != nil {
		return nil, err
	}
	err = s.write(ctx, call, in.DryRun, func(tx Tx) error {
		call.Event.Response = nil
		call.Event.Response.Add("groupId", g.ID)
		return insertGroup(ctx, tx, g, in.VpcId)
	})
	if err != nil {
		return nil, err
	}
	return &createGroupOutput{GroupID: g.ID, ARN: g.arn(), Tags: list(g.Tags), Return: true}, nil
}

// insertGroup puts a new group into a VPC, the default one if none is named.
func insertGroup(ctx context.Context, tx Tx, g *Group, vpcID string) error {
	vpc, err := vpcOrDefault(ctx, tx, g.Scope, vpcID)
	if err != nil {
		return err
	}
	g.VpcID = vpc.ID
	all, err := tx.Groups(ctx, g.Scope)
	if err != nil {
		return err
	}
	if len(all) >= maxGroups {
		return overLimit("SecurityGroupLimitExceeded", "security groups")
	}
	err = tx.InsertGroup(g)
	if errors.Is(err, fault.ErrExists) {
		return fault.New("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", g.Name, vpc.ID)
	}
	return err
}

func vpcOrDefault(ctx context.Context, r Reader, scope arn.Scope, id string) (*VPC, error) {
	if id != "" {
		return readVPC(ctx, r, scope, id)
	}
	vpc, err := defaultVPC(ctx, r, scope)
	if isMissing(err) {
		return nil, fault.New("VPCIdNotSpecified", "No default VPC for this user")
	}
	return vpc, err
}

type deleteGroupInput struct {
	GroupId   string
	GroupName string
	DryRun    bool
}

type deleteGroupOutput struct {
	Return  bool   `xml:"return"`
	GroupID string `xml:"groupId"`
}

func (s *Service) deleteGroup(ctx context.Context, call *operation.Call, in *deleteGroupInput) (*deleteGroupOutput, error) {
	out := &deleteGroupOutput{Return: true}
	err := s.write(ctx, call, in.DryRun, func(tx Tx) error {
		g, err := groupRef{in.GroupId, in.GroupName}.find(ctx, tx, call.Scope)
		if err != nil {
			return err
		}
		if g.Name == "default" {
			return fault.New("CannotDelete", `the specified group: "%s" name: "default" cannot be deleted by a user`, g.ID)
		}
		out.GroupID = g.ID
		if err := mustBeUnused(ctx, tx, g); err != nil {
			return err
		}
		return discard(ctx, tx, g)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func mustBeUnused(ctx context.Context, tx Tx, g *Group) error {
	used, err := groupInUse(ctx, tx, g.Scope, g.ID)
	if err == nil && used {
		err = fault.New("DependencyViolation", "resource %s has a dependent object", g.ID)
	}
	return err
}

// discard deletes a group, and with it the retired ones of which its rules were the last use.
func discard(ctx context.Context, tx Tx, g *Group) error {
	if err := tx.DeleteGroup(g.Scope, g.ID); err != nil {
		return err
	}
	return sweep(ctx, tx, g.Scope)
}

// sweep deletes the retired groups that nothing uses any more. It follows whatever may have been a last use.
func sweep(ctx context.Context, tx Tx, scope arn.Scope) error {
	all, err := tx.Groups(ctx, scope)
	if err != nil {
		return err
	}
	for _, g := range all {
		if !g.Retired {
			continue
		}
		used, err := groupInUse(ctx, tx, scope, g.ID)
		if err != nil {
			return err
		}
		if !used {
			return discard(ctx, tx, g)
		}
	}
	return nil
}
