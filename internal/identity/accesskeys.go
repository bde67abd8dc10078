package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/operation"
	"keyward/internal/secret"
)

func (s *Service) accessKeyRows() []operation.Row {
	return []operation.Row{
		s.on(User, operation.Write("CreateAccessKey", s.createAccessKey, "UserName")),
		s.on(User, operation.Read("ListAccessKeys", s.listAccessKeys, "UserName", "Marker", "MaxItems")),
		s.on(User, operation.Write("UpdateAccessKey", s.updateAccessKey, "UserName", "AccessKeyId", "Status")),
		s.on(User, operation.Write("DeleteAccessKey", s.deleteAccessKey, "UserName", "AccessKeyId")),
		operation.Read("GetAccessKeyLastUsed", s.getAccessKeyLastUsed, "AccessKeyId").On(s.onHolder),
	}
}

// onHolder asks for permission on the user whose key the input names (IAM User Guide, "Permissions required to access IAM
// resources"). A key that is not the account's is nobody's to ask about.
func (s *Service) onHolder(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
	id := member(in, "AccessKeyId")
	k, err := s.config.Store.AccessKey(ctx, id)
	switch {
	case isMissing(err) || err == nil && k.Account != c.Scope.Account:
		return nil, accessDenied("User: %s is not authorized to perform iam:GetAccessKeyLastUsed on resource: access key %s", c.Caller.ARN, id)
	case err != nil:
		return nil, err
	case k.PrincipalID == k.Account:
		return []operation.Resource{{ARN: arn.Root(k.Account)}}, nil
	}
	user, err := s.config.Store.EntityByID(ctx, k.PrincipalID)
	if err != nil {
		return nil, err
	}
	keys := operation.Keys{}
	entityKeys(keys, user)
	return []operation.Resource{{ARN: user.ARN(), Keys: keys}}, nil
}

// holder is the principal that access keys belong to: the user that a request names, or the caller.
func holder(ctx context.Context, r Reader, c *operation.Call, name *string) (id, userName string, err error) {
	user, err := own(ctx, r, c, name)
	switch {
	case err != nil:
		return "", "", err
	case user == nil:
		return c.Scope.Account, "", nil
	default:
		return user.ID, user.Name, nil
	}
}

// createAccessKey shows the secret this once.
func (s *Service) createAccessKey(ctx context.Context, c *operation.Call, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	var k AccessKey
	var plain secret.Bytes
	var userName string
	err := s.change(ctx, c.Event, func(tx Tx) error {
		id, name, err := holder(ctx, tx, c, in.UserName)
		if err != nil {
			return err
		}
		keys, err := tx.AccessKeys(ctx, c.Scope.Account, id)
		if err != nil {
			return err
		}
		if len(keys) >= maxKeysPerUser {
			return overQuota("AccessKeysPerUser", maxKeysPerUser)
		}
		userName = name
		k, plain, err = s.insertKey(tx, c.Scope.Account, id)
		c.Event.Response = audit.Members{{Name: "accessKey", Value: audit.Members{
			{Name: "userName", Value: optional(name)}, {Name: "accessKeyId", Value: k.AccessKeyID},
			{Name: "status", Value: string(k.Status)}, {Name: "createDate", Value: k.Created},
		}}}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreateAccessKeyOutput{AccessKey: &types.AccessKey{
		AccessKeyId: aws.String(k.AccessKeyID), SecretAccessKey: aws.String(string(plain.Expose())), Status: types.StatusTypeActive,
		UserName: optional(userName), CreateDate: whole(k.Created),
	}}, nil
}

func (s *Service) listAccessKeys(ctx context.Context, c *operation.Call, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
	id, userName, err := holder(ctx, s.config.Store, c, in.UserName)
	if err != nil {
		return nil, err
	}
	keys, err := s.config.Store.AccessKeys(ctx, c.Scope.Account, id)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys, func(a, b *AccessKey) int { return strings.Compare(a.age(), b.age()) })
	p, err := paged(keys, in.Marker, in.MaxItems, (*AccessKey).age)
	return &iam.ListAccessKeysOutput{
		IsTruncated: p.truncated, Marker: p.marker, AccessKeyMetadata: each(p.items, func(k *AccessKey) types.AccessKeyMetadata {
			return types.AccessKeyMetadata{
				AccessKeyId: aws.String(k.AccessKeyID), Status: types.StatusType(k.Status), UserName: optional(userName), CreateDate: whole(k.Created),
			}
		}),
	}, err
}

// age orders access keys, the oldest first.
func (k *AccessKey) age() string {
	return strings.ToLower(k.Created.UTC().Format("20060102150405.000000000 ") + k.AccessKeyID)
}

// ownKey finds an access key of a principal.
func ownKey(ctx context.Context, tx Tx, c *operation.Call, userName *string, id string) (*AccessKey, error) {
	owner, _, err := holder(ctx, tx, c, userName)
	if err != nil {
		return nil, err
	}
	k, err := tx.AccessKey(ctx, id)
	if isMissing(err) || err == nil && (k.Account != c.Scope.Account || k.PrincipalID != owner) {
		return nil, noSuchEntity("The Access Key with id %s cannot be found.", id)
	}
	return k, err
}

func (s *Service) updateAccessKey(ctx context.Context, c *operation.Call, in *iam.UpdateAccessKeyInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		k, err := ownKey(ctx, tx, c, in.UserName, *in.AccessKeyId)
		if err != nil {
			return err
		}
		k.Status = Status(in.Status)
		return tx.UpdateAccessKey(k)
	})
}

func (s *Service) deleteAccessKey(ctx context.Context, c *operation.Call, in *iam.DeleteAccessKeyInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		k, err := ownKey(ctx, tx, c, in.UserName, *in.AccessKeyId)
		if err != nil {
			return err
		}
		return tx.DeleteAccessKey(k)
	})
}

// getAccessKeyLastUsed says "N/A" of a key that was never used, as IAM does.
func (s *Service) getAccessKeyLastUsed(ctx context.Context, _ *operation.Call, in *iam.GetAccessKeyLastUsedInput) (*iam.GetAccessKeyLastUsedOutput, error) {
	k, err := s.config.Store.AccessKey(ctx, *in.AccessKeyId)
	if err != nil {
		return nil, err // that there is one was seen when permission was asked for
	}
	out := &iam.GetAccessKeyLastUsedOutput{AccessKeyLastUsed: &types.AccessKeyLastUsed{Region: aws.String("N/A"), ServiceName: aws.String("N/A")}}
	if use := s.uses.newest(k); !use.Time.IsZero() {
		out.AccessKeyLastUsed = &types.AccessKeyLastUsed{
			LastUsedDate: whole(use.Time), Region: aws.String(use.Region), ServiceName: aws.String(use.Service),
		}
	}
	if k.PrincipalID != k.Account {
		user, err := s.config.Store.EntityByID(ctx, k.PrincipalID)
		if err != nil {
			return nil, err
		}
		out.UserName = aws.String(user.Name)
	}
	return out, nil
}
