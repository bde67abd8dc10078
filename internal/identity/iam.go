package identity

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// IAM lists the operations of the IAM subset (API version 2010-05-08).
func (s *Service) IAM() operation.Service {
	var rows []operation.Row
	for _, part := range [][]operation.Row{
		s.userRows(), s.groupRows(), s.roleRows(), s.accessKeyRows(), s.inlineRows(), s.attachmentRows(), s.boundaryRows(),
		s.policyRows(), s.tagRows(), s.providerRows(), s.linkedRows(), s.absentRows(),
	} {
		rows = append(rows, part...)
	}
	return operation.Service{SigningName: "iam", EventSource: "iam.amazonaws.com", Admit: admitToIAM, Rows: rows}
}

// admitToIAM refuses credentials of GetSessionToken and GetFederationToken, which IAM takes only with a second factor (AWS
// STS API Reference, GetSessionToken).
func admitToIAM(c *operation.Call, _ string) error {
	if c.Caller.Temporary != nil && c.Caller.Type != policy.TypeAssumedRole {
		return refusal("InvalidClientTokenId", http.StatusForbidden, "The security token included in the request is invalid")
	}
	return nil
}

// IAM's exceptions.

func refusal(code string, status int, format string, args ...any) *fault.Error {
	f := fault.New(code, format, args...)
	f.Status = status
	return f
}

func noSuchEntity(format string, args ...any) *fault.Error {
	return refusal("NoSuchEntity", http.StatusNotFound, format, args...)
}

func alreadyExists(format string, args ...any) *fault.Error {
	return refusal("EntityAlreadyExists", http.StatusConflict, format, args...)
}

func deleteConflict(format string, args ...any) *fault.Error {
	return refusal("DeleteConflict", http.StatusConflict, format, args...)
}

// overQuota names a quota as IAM does: "AccessKeysPerUser".
func overQuota(quota string, limit int) *fault.Error {
	return limitExceeded("Cannot exceed quota for %s: %d", quota, limit)
}

func limitExceeded(format string, args ...any) *fault.Error {
	return refusal("LimitExceeded", http.StatusConflict, format, args...)
}

func invalidInput(format string, args ...any) *fault.Error {
	return fault.New("InvalidInput", format, args...)
}

func validationError(format string, args ...any) *fault.Error {
	return fault.New("ValidationError", format, args...)
}

// Quotas (IAM guide, "IAM and AWS STS quotas"): the default ones.
const (
	maxUsers            = 5000
	maxGroups           = 300
	maxRoles            = 1000
	maxPolicies         = 1500
	maxProviders        = 100
	maxKeysPerUser      = 2
	maxGroupsPerUser    = 10
	maxAttached         = 10
	maxVersions         = 5
	maxTags             = 50
	maxManagedSize      = 6144
	maxTrustSize        = 2048
	maxClientIDs        = 100
	maxThumbprints      = 5
	defaultRoleDuration = 3600
)

// maxInline is the size of all inline policies of an entity together, without whitespace.
var maxInline = map[Kind]int{User: 2048, Group: 5120, Role: 10240}

// size is that of a document as IAM counts it: in characters, without whitespace.
func size(document string) (n int) {
	for _, c := range document {
		if !strings.ContainsRune(" \t\r\n", c) {
			n++
		}
	}
	return n
}

// word is the kind as messages have it at the beginning of a sentence: "User".
func (k Kind) word() string { return strings.ToUpper(string(k[:1])) + string(k[1:]) }

// entity finds an entity of the caller's account.
func entity(ctx context.Context, r Reader, account string, kind Kind, name string) (*Entity, error) {
	e, err := r.Entity(ctx, account, kind, name)
	if isMissing(err) {
		return nil, noSuchEntity("The %s with name %s cannot be found.", kind, name)
	}
	return e, err
}

// update changes one entity in a transaction with the call's event.
func (s *Service) update(ctx context.Context, c *operation.Call, kind Kind, name *string, fn func(Tx, *Entity) error) error {
	return s.change(ctx, c.Event, func(tx Tx) error {
		e, err := entity(ctx, tx, c.Scope.Account, kind, value(name))
		if err != nil {
			return err
		}
		if err := fn(tx, e); err != nil {
			return err
		}
		return tx.UpdateEntity(e)
	})
}

// updateOwn is update for all but the roles of services, of which the account may change the description and tags only
// (IAM User Guide, "Using service-linked roles").
func (s *Service) updateOwn(ctx context.Context, c *operation.Call, kind Kind, name *string, fn func(Tx, *Entity) error) error {
	return s.update(ctx, c, kind, name, func(tx Tx, e *Entity) error {
		if err := checkOwn(e); err != nil {
			return err
		}
		return fn(tx, e)
	})
}

// on makes the row ask for permission on the entity of a kind that the input names, or else on the caller.
func (s *Service) on(kind Kind, row operation.Row) operation.Row {
	return row.On(func(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		keys := requestKeys(in)
		name := member(in, kind.word()+"Name")
		if name == "" {
			return []operation.Resource{{ARN: c.Caller.ARN, Keys: keys}}, nil
		}
		e, err := s.config.Store.Entity(ctx, c.Scope.Account, kind, name)
		if isMissing(err) {
			path := or(member(in, "Path"), "/")
			e, err = &Entity{Account: c.Scope.Account, Kind: kind, Name: name, Path: path}, nil
		}
		if err != nil {
			return nil, err
		}
		entityKeys(keys, e)
		return []operation.Resource{{ARN: e.ARN(), Keys: keys}}, nil
	})
}

// renamed makes the row ask for permission on the entity under its new name and path as well (IAM API Reference,
// UpdateUser and UpdateGroup): otherwise it could be moved to where others may do more with it, or it with others.
func (s *Service) renamed(kind Kind, row operation.Row) operation.Row {
	row = s.on(kind, row)
	current := row.Resources
	return row.On(func(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		all, err := current(ctx, c, in)
		if err != nil {
			return nil, err
		}
		old := all[0].ARN
		cut := strings.LastIndexByte(old, '/') + 1
		path := or(member(in, "NewPath"), strings.TrimPrefix(old[:cut], arn.IAM(c.Scope.Account, string(kind))))
		name := or(member(in, "New"+kind.word()+"Name"), old[cut:])
		if now := arn.IAM(c.Scope.Account, string(kind)+path+name); now != old {
			all = append(all, operation.Resource{ARN: now, Keys: all[0].Keys})
		}
		return all, nil
	})
}

// entityKeys adds the condition keys that an entity has (Service Authorization Reference, "AWS Identity and Access
// Management").
func entityKeys(keys operation.Keys, e *Entity) {
	for _, t := range e.Tags {
		keys.ResourceTag(t.Key, t.Value)
		keys["iam:resourcetag/"+strings.ToLower(t.Key)] = []string{t.Value}
	}
	if e.Boundary != "" && keys["iam:permissionsboundary"] == nil {
		keys["iam:permissionsboundary"] = []string{e.Boundary}
	}
}

// requestKeys are the condition keys that a request has by its members.
func requestKeys(in any) operation.Keys {
	keys := operation.Keys{}
	for name, key := range map[string]string{
		"PolicyArn": "iam:policyarn", "PermissionsBoundary": "iam:permissionsboundary", "AWSServiceName": "iam:awsservicename",
	} {
		if v := member(in, name); v != "" {
			keys[key] = []string{v}
		}
	}
	v := reflect.ValueOf(in).Elem()
	if tags, ok := field[[]types.Tag](v, "Tags"); ok && tags != nil {
		for _, t := range tags {
			keys.RequestTag(value(t.Key), value(t.Value))
		}
	}
	if names, ok := field[[]string](v, "TagKeys"); ok && names != nil {
		keys["aws:tagkeys"] = names
	}
	return keys
}

func field[T any](v reflect.Value, name string) (T, bool) {
	if f := v.FieldByName(name); f.IsValid() {
		t, ok := f.Interface().(T)
		return t, ok
	}
	var none T
	return none, false
}

// member is an optional text of an input; empty where the input has none.
func member(in any, name string) string {
	text, _ := field[*string](reflect.ValueOf(in).Elem(), name)
	return value(text)
}

// onName makes the row ask for permission on one ARN, which make builds from the caller's account and a member of the input.
func onName(row operation.Row, name string, make func(account, member string) string) operation.Row {
	return row.On(func(_ context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		return []operation.Resource{{ARN: make(c.Scope.Account, member(in, name)), Keys: requestKeys(in)}}, nil
	})
}

// within asks on all entities of a kind under a path prefix, as IAM does for lists.
func within(kind string, row operation.Row) operation.Row {
	return onName(row, "PathPrefix", func(account, prefix string) string { return arn.IAM(account, kind+or(prefix, "/")) })
}

// page is the part of a list that one answer holds.
type page[T any] struct {
	items     []T
	truncated bool
	marker    *string
}

const defaultItems = 100

// paged cuts a list, ordered by key, behind the marker. To clients a marker is opaque; it is the key it goes on after.
func paged[T any](all []T, marker *string, most *int32, key func(T) string) (p page[T], err error) {
	if marker != nil {
		after, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil {
			return p, validationError("Invalid Marker.")
		}
		for len(all) > 0 && key(all[0]) <= string(after) {
			all = all[1:]
		}
	}
	p.items = all
	if n := int(or32(most, defaultItems)); len(all) > n {
		p.items, p.truncated = all[:n], true
		p.marker = aws.String(base64.RawURLEncoding.EncodeToString([]byte(key(all[n-1]))))
	}
	return p, nil
}

// each renders a list. It is never nil: IAM sends empty lists as empty elements.
func each[T, U any](items []T, render func(T) U) []U {
	out := make([]U, len(items))
	for i := range items {
		out[i] = render(items[i])
	}
	return out
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func or32(n *int32, fallback int32) int32 {
	if n == nil {
		return fallback
	}
	return *n
}

// optional is nil for an empty text, which IAM leaves out.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// whole is a time as IAM tells it, without fractions of seconds.
func whole(t time.Time) *time.Time { return aws.Time(t.Truncate(time.Second)) }

// encoded is a document as IAM returns it.
func encoded(document string) *string {
	return aws.String(strings.ReplaceAll(url.QueryEscape(document), "+", "%20"))
}
