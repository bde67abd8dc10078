package network

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// tagSpecification are the tags that a new resource of a type is to have.
type tagSpecification struct {
	ResourceType string
	Tag          []Tag
}

// tagsFor gathers the tags for a new resource.
func tagsFor(resourceType string, given []tagSpecification) ([]Tag, error) {
	var tags []Tag
	for _, spec := range given {
		if spec.ResourceType != resourceType {
			return nil, fault.New("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", spec.ResourceType)
		}
		for _, t := range spec.Tag {
			if slices.ContainsFunc(tags, func(o Tag) bool { return o.Key == t.Key }) {
				return nil, fault.New("InvalidParameterValue", "Duplicate tag key '%s' specified.", t.Key)
			}
			tags = append(tags, t)
		}
	}
	return merged(nil, tags)
}

// Bounds of tags, in characters (EC2 user guide, "Tag restrictions").
const (
	maxTagKey   = 127
	maxTagValue = 255
)

// merged adds tags to others; of the same key the new one counts.
func merged(tags, added []Tag) ([]Tag, error) {
	tags = slices.Clone(tags)
	for _, t := range added {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTagKey:
			return nil, fault.New("InvalidParameterValue", "Tag key must be between 1 and %d characters long.", maxTagKey)
		case utf8.RuneCountInString(t.Value) > maxTagValue:
			return nil, fault.New("InvalidParameterValue", "Tag value must be at most %d characters long.", maxTagValue)
		case strings.HasPrefix(t.Key, "aws:"):
			return nil, fault.New("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
		tags = slices.DeleteFunc(tags, func(o Tag) bool { return o.Key == t.Key })
		tags = append(tags, t)
	}
	if len(tags) > maxTags {
		return nil, overLimit("TagLimitExceeded", "tags per resource")
	}
	slices.SortFunc(tags, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
	return tags, nil
}

// tagged is a resource as far as its tags go: where they are, and how it is put back.
type tagged struct {
	tags *[]Tag
	save func() error
}

// taggable finds a resource by its id, whose prefix tells its kind.
var taggable = map[string]func(ctx context.Context, tx Tx, scope arn.Scope, id string) (tagged, error){
	"vpc": func(ctx context.Context, tx Tx, scope arn.Scope, id string) (tagged, error) {
		v, err := readVPC(ctx, tx, scope, id)
		if err != nil {
			return tagged{}, err
		}
		return tagged{&v.Tags, func() error { return tx.UpdateVPC(v) }}, nil
	},
	"subnet": func(ctx context.Context, tx Tx, scope arn.Scope, id string) (tagged, error) {
		s, err := readSubnet(ctx, tx, scope, id)
		if err != nil {
			return tagged{}, err
		}
		return tagged{&s.Tags, func() error { return tx.UpdateSubnet(s) }}, nil
	},
	"sg": func(ctx context.Context, tx Tx, scope arn.Scope, id string) (tagged, error) {
		g, err := groupRef{id: id}.find(ctx, tx, scope)
		if err != nil {
			return tagged{}, err
		}
		return tagged{&g.Tags, func() error { return tx.UpdateGroup(g) }}, nil
	},
	"sgr": taggedRule,
	"acl": func(ctx context.Context, tx Tx, scope arn.Scope, id string) (tagged, error) {
		a, err := readACL(ctx, tx, scope, id)
		if err != nil {
			return tagged{}, err
		}
		return tagged{&a.Tags, func() error { return tx.UpdateACL(a) }}, nil
	},
	"eni": func(ctx context.Context, tx Tx, scope arn.Scope, id string) (tagged, error) {
		i, err := tx.Interface(ctx, scope, id)
		if i, err = interfaceKind.found(i, err, id); err != nil {
			return tagged{}, err
		}
		return tagged{&i.Tags, func() error { return tx.UpdateInterface(i) }}, nil
	},
}

func taggedRule(ctx context.Context, tx Tx, scope arn.Scope, id string) (tagged, error) {
	all, err := tx.Groups(ctx, scope)
	if err != nil {
		return tagged{}, err
	}
	for _, g := range all {
		if at := slices.IndexFunc(g.Rules, func(r Rule) bool { return r.ID == id }); at >= 0 {
			return tagged{&g.Rules[at].Tags, func() error { return tx.UpdateGroup(g) }}, nil
		}
	}
	return tagged{}, ruleKind.missing(id)
}

// tagAll changes the tags of all resources that a request names, or of none.
func (s *Service) tagAll(ctx context.Context, call *operation.Call, ids []string, try bool, edit func([]Tag) ([]Tag, error)) error {
	if len(ids) == 0 {
		return missing("resourceIdSet")
	}
	return s.write(ctx, call, try, func(tx Tx) error {
		for _, id := range ids {
			if err := editTags(ctx, tx, call.Scope, id, edit); err != nil {
				return err
			}
		}
		return nil
	})
}

func editTags(ctx context.Context, tx Tx, scope arn.Scope, id string, edit func([]Tag) ([]Tag, error)) error {
	prefix, _, _ := strings.Cut(id, "-")
	find := taggable[prefix]
	if find == nil {
		return fault.New("InvalidID", "The ID '%s' is not valid", id)
	}
	resource, err := find(ctx, tx, scope, id)
	if err != nil {
		return err
	}
	if *resource.tags, err = edit(*resource.tags); err != nil {
		return err
	}
	return resource.save()
}

type createTagsInput struct {
	ResourceId []string
	Tag        []Tag
	DryRun     bool
}

func (s *Service) createTags(ctx context.Context, call *operation.Call, in *createTagsInput) (*operation.Void, error) {
	if len(in.Tag) == 0 {
		return nil, missing("tagSet")
	}
	return nil, s.tagAll(ctx, call, in.ResourceId, in.DryRun, func(tags []Tag) ([]Tag, error) { return merged(tags, in.Tag) })
}

type deleteTagsInput struct {
	ResourceId []string
	Tag        []tagToDelete
	DryRun     bool
}

// tagToDelete goes only with the value named, if one is.
type tagToDelete struct {
	Key   string
	Value *string
}

func (t tagToDelete) means(o Tag) bool {
	return o.Key == t.Key && (t.Value == nil || *t.Value == o.Value)
}

// deleteTags removes the tags named, or all when none is.
func (s *Service) deleteTags(ctx context.Context, call *operation.Call, in *deleteTagsInput) (*operation.Void, error) {
	return nil, s.tagAll(ctx, call, in.ResourceId, in.DryRun, func(tags []Tag) ([]Tag, error) {
		if len(in.Tag) == 0 {
			return nil, nil
		}
		return slices.DeleteFunc(slices.Clone(tags), func(o Tag) bool {
			return slices.ContainsFunc(in.Tag, func(t tagToDelete) bool { return t.means(o) })
		}), nil
	})
}

type tagItem struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

var tagKind = kind[tagItem]{
	id:   func(t tagItem) string { return t.ResourceID + " " + t.Key },
	tags: func(t tagItem) []Tag { return []Tag{{t.Key, t.Value}} },
	attributes: map[string]func(tagItem) []string{
		"resource-id":   func(t tagItem) []string { return []string{t.ResourceID} },
		"resource-type": func(t tagItem) []string { return []string{t.ResourceType} },
		"key":           func(t tagItem) []string { return []string{t.Key} },
		"value":         func(t tagItem) []string { return []string{t.Value} },
	},
}

type describeTagsInput struct {
	Filter     []Filter
	MaxResults int
	NextToken  string
	DryRun     bool
}

type describeTagsOutput struct {
	Tags      []tagItem `xml:"tagSet"`
	NextToken *string   `xml:"nextToken"`
}

func (s *Service) describeTags(ctx context.Context, call *operation.Call, in *describeTagsInput) (*describeTagsOutput, error) {
	all, err := s.allTags(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b tagItem) int { return cmp.Compare(tagKind.id(a), tagKind.id(b)) })
	page, next, err := tagKind.selectFrom(all, listing{nil, in.Filter, in.MaxResults, in.NextToken})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	return &describeTagsOutput{list(page), optional(next)}, nil
}

func (s *Service) allTags(ctx context.Context, scope arn.Scope) (all []tagItem, err error) {
	add := func(id, kind string, tags []Tag) {
		for _, t := range tags {
			all = append(all, tagItem{id, kind, t.Key, t.Value})
		}
	}
	vpcs, err := s.store.VPCs(ctx, scope)
	if err != nil {
		return nil, err
	}
	for _, v := range vpcs {
		add(v.ID, "vpc", v.Tags)
	}
	subnets, err := s.store.Subnets(ctx, scope)
	if err != nil {
		return nil, err
	}
	for _, o := range subnets {
		add(o.ID, "subnet", o.Tags)
	}
	groups, err := s.store.Groups(ctx, scope)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		add(g.ID, "security-group", g.Tags)
		for _, r := range g.Rules {
			add(r.ID, "security-group-rule", r.Tags)
		}
	}
	acls, err := s.store.ACLs(ctx, scope)
	if err != nil {
		return nil, err
	}
	for _, a := range acls {
		add(a.ID, "network-acl", a.Tags)
	}
	interfaces, err := s.store.Interfaces(ctx, scope, "")
	for _, i := range interfaces {
		add(i.ID, "network-interface", i.Tags)
	}
	return all, err
}
