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

// target is what a caller's name led to.
type target struct {
	key     *snapshot // nil where a name in another account leads to no key
	arn     string    // of the key, or of what was named in its place
	account string    // which owns it
	alias   string    // that the caller named; empty if it named the key
	on      string    // how refusals name it, see policy.Decision.Message; empty: by its ARN
}

// resolve finds the key that a caller named. Names without an account are looked up in the caller's own. What is not
// there in another account is no error: the caller is to be refused as if it were there and closed to it.
func (s *Service) resolve(ctx context.Context, call *operation.Call, name string, accepts form) (target, error) {
	scope, resource := call.Scope, name
	if arn.Is(name) {
		a, err := localARN(call, name)
		if err != nil {
			return target{}, err
		}
		scope, resource = a.Scope(), a.Resource
		if id, isKey := strings.CutPrefix(resource, keyPrefix); isKey {
			resource = id
		} else if !strings.HasPrefix(resource, aliasPrefix) {
			return target{}, invalidKeyID(name)
		}
	}
	t, err := s.lookup(ctx, scope, resource, name, accepts)
	if err != nil && scope.Account != call.Scope.Account && fault.Is(err, "NotFoundException") {
		return target{arn: name, account: scope.Account}, nil
	}
	return t, err
}

// lookup finds a key by its id or, where the operation accepts them, an alias. name is how the caller put it.
func (s *Service) lookup(ctx context.Context, scope arn.Scope, resource, name string, accepts form) (t target, err error) {
	id := resource
	switch {
	case !strings.HasPrefix(resource, aliasPrefix):
		if !wellFormed(id) {
			return t, invalidKeyID(name)
		}
	case accepts != byAnyName:
		return t, errAlias
	default:
		if id, err = s.aliased(ctx, scope, resource); err != nil {
			return t, err
		}
		t.alias = resource
	}
	if t.key, err = s.keyByID(ctx, scope, id); err != nil {
		return target{}, err
	}
	t.arn, t.account = t.key.arn, scope.Account
	return t, nil
}

// localARN takes an ARN apart and refuses those of other Regions.
func localARN(call *operation.Call, name string) (arn.ARN, error) {
	a, err := arn.Parse(name)
	if err != nil || a.Partition != arn.Partition || a.Service != "kms" {
		return a, fault.New("InvalidArnException", "Invalid arn '%s'", name)
	}
	if a.Region != call.Scope.Region {
		return a, fault.New("NotFoundException", "Invalid arn %s", a.Region)
	}
	return a, nil
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

// aliased is the id of the key that an alias points to.
func (s *Service) aliased(ctx context.Context, scope arn.Scope, name string) (string, error) {
	id, err := s.snapshots.target(ctx, aliasRef{scope, name})
	if errors.Is(err, fault.ErrNotFound) {
		return "", aliasNotFound(scope, name)
	}
	if err != nil {
		return "", unexpected("reading an alias", err)
	}
	return id, nil
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
