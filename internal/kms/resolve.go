package kms

import (
	"context"
	"errors"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// form is the set of key identifiers that an operation accepts (AWS KMS API Reference, KeyId of each operation).
type form bool

const (
	byKey     form = false // key id or key ARN
	byAnyName form = true  // these, alias name and alias ARN
)

const (
	keyType     = "AWS::KMS::Key" // CloudTrail's resource type of keys and of aliases
	aliasPrefix = "alias/"
	keyPrefix   = "key/"
	// multiRegionPrefix begins the id of a multi-Region key; 32 hex digits follow.
	multiRegionPrefix = "mrk-"
)

// resolve finds the key that a caller named. Names without an account are looked up in the caller's own. action is the
// IAM action, for the text of refusals.
func (s *Service) resolve(ctx context.Context, call *operation.Call, action, name string, accepts form) (*snapshot, error) {
	if arn.Is(name) {
		resource, err := localResource(call, action, name)
		if err != nil {
			return nil, err
		}
		id, isKey := strings.CutPrefix(resource, keyPrefix)
		if isKey && wellFormed(id) {
			return s.keyByID(ctx, call.Scope, id)
		}
		if !isKey && strings.HasPrefix(resource, aliasPrefix) {
			return s.keyByAlias(ctx, call.Scope, resource, accepts)
		}
		return nil, invalidKeyID(name)
	}
	if strings.HasPrefix(name, aliasPrefix) {
		return s.keyByAlias(ctx, call.Scope, name, accepts)
	}
	if !wellFormed(name) {
		return nil, invalidKeyID(name)
	}
	return s.keyByID(ctx, call.Scope, name)
}

// localResource takes an ARN apart and refuses those of other Regions and accounts.
func localResource(call *operation.Call, action, name string) (string, error) {
	a, err := arn.Parse(name)
	if err != nil || a.Partition != arn.Partition || a.Service != "kms" {
		return "", fault.New("InvalidArnException", "Invalid arn '%s'", name)
	}
	if a.Region != call.Scope.Region {
		return "", fault.New("NotFoundException", "Invalid arn %s", a.Region)
	}
	if a.Account != call.Scope.Account {
		return "", foreign(call.Caller, action)
	}
	return a.Resource, nil
}

func (s *Service) keyByID(ctx context.Context, scope arn.Scope, id string) (*snapshot, error) {
	k, err := s.snapshots.key(ctx, keyRef{scope, id})
	if errors.Is(err, fault.ErrNotFound) {
		return nil, keyNotFound(scope, id)
	}
	if err != nil {
		return nil, unexpected("reading a key", err)
	}
	return k, nil
}

func (s *Service) keyByAlias(ctx context.Context, scope arn.Scope, name string, accepts form) (*snapshot, error) {
	if accepts != byAnyName {
		return nil, errAlias
	}
	id, err := s.snapshots.target(ctx, aliasRef{scope, name})
	if errors.Is(err, fault.ErrNotFound) {
		return nil, aliasNotFound(scope, name)
	}
	if err != nil {
		return nil, unexpected("reading an alias", err)
	}
	return s.keyByID(ctx, scope, id)
}

// wellFormed reports whether id is a UUID or a multi-Region key id ("mrk-" and 32 hex digits).
func wellFormed(id string) bool {
	if digits, ok := strings.CutPrefix(id, multiRegionPrefix); ok {
		return len(digits) == 32 && isHex(digits)
	}
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (id[i] == '-') || !dash && !isHexDigit(id[i]) {
			return false
		}
	}
	return true
}

func isHex(s string) bool {
	for i := range len(s) {
		if !isHexDigit(s[i]) {
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
