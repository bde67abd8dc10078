package network

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// What changes something asks for permission on everything that its request names, and on what it makes, each with its
// tags and those that the request gives (Service Authorization Reference, "Amazon EC2"). What reads is about everything.

// made is what operations make. No id is there yet: permission is asked on all of the kind.
var made = map[string]string{
	"CreateVpc": "vpc", "CreateSubnet": "subnet", "CreateSecurityGroup": "security-group", "CreateNetworkAcl": "network-acl",
	"CreateNetworkInterface": "network-interface",
}

// kindsByPrefix are the words of ARNs for what the prefixes of ids tell.
var kindsByPrefix = map[string]string{
	"vpc": "vpc", "subnet": "subnet", "sg": "security-group", "sgr": "security-group-rule", "acl": "network-acl", "eni": "network-interface",
}

// asking makes the rows ask.
func (s *Service) asking(rows []operation.Row) []operation.Row {
	for i, row := range rows {
		if !row.ReadOnly {
			rows[i] = row.On(func(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
				given := reflect.ValueOf(in).Elem()
				all, err := s.asked(ctx, c.Scope, made[row.Name], given)
				return append(all, tagging(c.Scope, row.Name, given)...), err
			})
		}
	}
	return rows
}

// asked is what a request is about that makes something of a kind; kind is empty if it makes nothing.
func (s *Service) asked(ctx context.Context, scope arn.Scope, kind string, in reflect.Value) (all []operation.Resource, err error) {
	if kind != "" {
		all = append(all, operation.Resource{ARN: ec2ARN(scope, kind+"/*"), Keys: requestTags(in)})
	}
	ids, err := s.mentioned(ctx, scope, kind, in)
	if err != nil {
		return nil, err
	}
	tags, err := s.allTags(ctx, scope)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		prefix, _, _ := strings.Cut(id, "-")
		keys := requestTags(in)
		for _, t := range tags {
			if t.ResourceID == id {
				keys.ResourceTag(t.Key, t.Value)
				name := "ec2:resourcetag/" + strings.ToLower(t.Key)
				keys[name] = append(keys[name], t.Value)
			}
		}
		all = append(all, operation.Resource{ARN: ec2ARN(scope, kindsByPrefix[prefix]+"/"+id), Keys: keys})
	}
	if len(all) == 0 { // what the request lacks, the operation says
		all = []operation.Resource{{ARN: "*", Keys: requestTags(in)}}
	}
	return all, nil
}

// tagging is that what an operation makes may be given tags (EC2 user guide, "Grant permission to tag resources during
// creation").
func tagging(scope arn.Scope, operationName string, in reflect.Value) (all []operation.Resource) {
	specifications := in.FieldByName("TagSpecification")
	if !specifications.IsValid() {
		return nil
	}
	for _, given := range specifications.Interface().([]tagSpecification) {
		if len(given.Tag) == 0 {
			continue
		}
		keys := requestTags(in)
		keys["ec2:createaction"] = []string{operationName}
		all = append(all, operation.Resource{ARN: ec2ARN(scope, given.ResourceType+"/*"), Keys: keys, Action: "ec2:CreateTags"})
	}
	return all
}

// mentioned are the ids of what a request names: by id, a group also by its name, a subnet by its tie to an ACL. What is
// not there by such a name the operation refuses.
func (s *Service) mentioned(ctx context.Context, scope arn.Scope, kind string, in reflect.Value) (ids []string, err error) {
	for _, name := range []string{"VpcId", "SubnetId", "GroupId", "SecurityGroupId", "NetworkInterfaceId", "NetworkAclId", "ResourceId"} {
		ids = append(ids, texts(in, name)...)
	}
	if len(ids) == 0 && kind == "" {
		for _, name := range texts(in, "GroupName") {
			g, err := groupRef{name: name}.find(ctx, s.store, scope)
			if _, absent := fault.As(err); absent {
				continue
			}
			if err != nil {
				return nil, err
			}
			ids = append(ids, g.ID)
		}
	}
	for _, tie := range texts(in, "AssociationId") {
		subnets, err := s.store.Subnets(ctx, scope)
		if err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(subnets, func(s *Subnet) bool { return s.Association == tie }); at >= 0 {
			ids = append(ids, subnets[at].ID)
		}
	}
	return ids, nil
}

// texts are what a member holds that is a text or a list of them.
func texts(in reflect.Value, member string) []string {
	field := in.FieldByName(member)
	if !field.IsValid() {
		return nil
	}
	switch v := field.Interface().(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case []string:
		return v
	}
	return nil
}

// requestTags are the condition keys of the tags in a request.
func requestTags(in reflect.Value) operation.Keys {
	keys := operation.Keys{}
	add := func(tags []Tag) {
		for _, t := range tags {
			keys.RequestTag(t.Key, t.Value)
		}
	}
	if specifications := in.FieldByName("TagSpecification"); specifications.IsValid() {
		for _, given := range specifications.Interface().([]tagSpecification) {
			add(given.Tag)
		}
	}
	if tags := in.FieldByName("Tag"); tags.IsValid() {
		switch given := tags.Interface().(type) {
		case []Tag:
			add(given)
		case []tagToDelete:
			for _, t := range given {
				keys["aws:tagkeys"] = append(keys["aws:tagkeys"], t.Key)
			}
		}
	}
	return keys
}
