package identity

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// isMissing reports whether err says that a record is not there.
func isMissing(err error) bool { return errors.Is(err, fault.ErrNotFound) }

// quotas of entities, by kind.
var quotas = map[Kind]struct {
	name string
	most int
}{User: {"UsersPerAccount", maxUsers}, Group: {"GroupsPerAccount", maxGroups}, Role: {"RolesPerAccount", maxRoles}}

// insertEntity adds an entity, unless the account has as many as it may have or the name is taken.
func insertEntity(ctx context.Context, tx Tx, e *Entity) error {
	all, err := tx.Entities(ctx, e.Account, e.Kind)
	if err != nil {
		return err
	}
	if q := quotas[e.Kind]; len(all) >= q.most {
		return overQuota(q.name, q.most)
	}
	if e.Boundary != "" {
		if err := bounding(ctx, tx, e.Account, e.Boundary); err != nil {
			return err
		}
	}
	return taken(tx.InsertEntity(e), e)
}

// taken words the refusal of a name that is there.
func taken(err error, e *Entity) error {
	if errors.Is(err, fault.ErrExists) {
		return alreadyExists("%s with name %s already exists.", e.Kind.word(), e.Name)
	}
	return err
}

// checkUnused refuses to delete what still has policies.
func checkUnused(e *Entity) error {
	switch {
	case len(e.Attached) > 0:
		return deleteConflict("Cannot delete entity, must detach all policies first.")
	case len(e.Inline) > 0:
		return deleteConflict("Cannot delete entity, must delete policies first.")
	default:
		return nil
	}
}

// order is that of entities in lists.
func (e *Entity) order() string { return strings.ToLower(e.Name) }

// under keeps those whose path begins with prefix.
func under(all []*Entity, prefix *string) []*Entity {
	return slices.DeleteFunc(all, func(e *Entity) bool { return !strings.HasPrefix(e.Path, value(prefix)) })
}

// list reads one page of the account's entities of a kind.
func (s *Service) list(ctx context.Context, c *operation.Call, kind Kind, prefix, marker *string, most *int32) (page[*Entity], error) {
	all, err := s.config.Store.Entities(ctx, c.Scope.Account, kind)
	if err != nil {
		return page[*Entity]{}, err
	}
	return paged(under(all, prefix), marker, most, (*Entity).order)
}

// casing says whether the keys of something's tags are told apart by case (IAM User Guide, "Tags for IAM resources").
type casing struct {
	same  func(a, b string) bool
	twice string // the refusal of a key that is there twice
}

var (
	anyCase   = casing{strings.EqualFold, "Duplicate tag keys found. Please note that Tag keys are case insensitive."} // users, roles, sessions
	exactCase = casing{func(a, b string) bool { return a == b }, "Duplicate tag keys found."}                          // policies, providers
)

// tagsOf reads the tags of a request.
func tagsOf(in []types.Tag, keys casing) ([]Tag, error) {
	var tags []Tag
	for _, t := range in {
		for _, other := range tags {
			if keys.same(other.Key, value(t.Key)) {
				return nil, invalidInput("%s", keys.twice)
			}
		}
		if strings.HasPrefix(strings.ToLower(value(t.Key)), "aws:") {
			return nil, invalidInput("Tag keys beginning with aws: are reserved for system use.")
		}
		tags = append(tags, Tag{value(t.Key), value(t.Value)})
	}
	return tags, nil
}

// anyTags are tags as most answers have them: left out where there are none.
func anyTags(tags []Tag) []types.Tag {
	if len(tags) == 0 {
		return nil
	}
	return each(tags, renderTag)
}

func renderTag(t Tag) types.Tag { return types.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)} }

func (e *Entity) boundary() *types.AttachedPermissionsBoundary {
	if e.Boundary == "" {
		return nil
	}
	return &types.AttachedPermissionsBoundary{
		PermissionsBoundaryArn: aws.String(e.Boundary), PermissionsBoundaryType: types.PermissionsBoundaryAttachmentTypePolicy,
	}
}

func (e *Entity) user() *types.User {
	return &types.User{
		Arn: aws.String(e.ARN()), CreateDate: whole(e.Created), Path: aws.String(e.Path), UserId: aws.String(e.ID), UserName: aws.String(e.Name),
		PermissionsBoundary: e.boundary(), Tags: anyTags(e.Tags),
	}
}

func (e *Entity) group() *types.Group {
	return &types.Group{
		Arn: aws.String(e.ARN()), CreateDate: whole(e.Created), GroupId: aws.String(e.ID), GroupName: aws.String(e.Name), Path: aws.String(e.Path),
	}
}

func (e *Entity) role(document string) *types.Role {
	return &types.Role{
		Arn: aws.String(e.ARN()), CreateDate: whole(e.Created), Path: aws.String(e.Path), RoleId: aws.String(e.ID), RoleName: aws.String(e.Name),
		AssumeRolePolicyDocument: encoded(document), Description: optional(e.Role.Description),
		MaxSessionDuration: aws.Int32(e.Role.MaxSession), PermissionsBoundary: e.boundary(), Tags: anyTags(e.Tags),
	}
}

// logged is what an event says of an entity that was made.
func (e *Entity) logged() audit.Members {
	kind := string(e.Kind)
	return audit.Members{
		{Name: "path", Value: e.Path}, {Name: kind + "Name", Value: e.Name}, {Name: kind + "Id", Value: e.ID},
		{Name: "arn", Value: e.ARN()}, {Name: "createDate", Value: e.Created},
	}
}

// about adds the entity to the call's event.
func about(c *operation.Call, e *Entity) { c.About("AWS::IAM::"+e.Kind.word(), e.ARN()) }

// checkPath holds a path to IAM's form, which the model leaves half open.
func checkPath(path *string) (string, error) {
	p := or(value(path), "/")
	if strings.Contains(p, "//") {
		return "", validationError("The specified value for path is invalid. It must begin and end with / and contain only " +
			"alphanumeric characters and/or / characters.")
	}
	return p, nil
}
