package kms

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

func (s *Service) createAlias(ctx context.Context, call *operation.Call, in *kms.CreateAliasInput) (*operation.Void, error) {
	name := *in.AliasName
	if err := checkAliasName(name); err != nil {
		return nil, err
	}
	k, err := s.aliasTarget(ctx, call, "CreateAlias", *in.TargetKeyId, name)
	if err != nil {
		return nil, err
	}
	return nil, s.changeAlias(ctx, call, k, nil, name, func(tx Tx) error {
		if _, err := tx.Alias(k.Scope, name); err == nil {
			return aliasExists(k.Scope, name)
		} else if !errors.Is(err, fault.ErrNotFound) {
			return err
		}
		if err := s.target(tx, "CreateAlias", k); err != nil {
			return err
		}
		now := s.now().UTC().Truncate(time.Millisecond)
		err := tx.InsertAlias(&Alias{Scope: k.Scope, Name: name, KeyID: k.ID, Created: now, Updated: now})
		if errors.Is(err, fault.ErrExists) {
			return aliasExists(k.Scope, name)
		}
		return err
	})
}

func aliasExists(scope arn.Scope, name string) error {
	return fault.New("AlreadyExistsException", "An alias with the name %s already exists", scope.Alias(name))
}

// checkAliasName allows what callers may name: not AWS's own aliases, and no colon although the model's pattern has it.
func checkAliasName(name string) error {
	rest, ok := strings.CutPrefix(name, aliasPrefix)
	switch {
	case !ok:
		return invalid(`Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
	case strings.HasPrefix(rest, "aws/"):
		return fault.New("InvalidAliasNameException", "Alias names that begin with alias/aws/ are reserved.")
	case strings.Contains(rest, ":"):
		return invalid("%s contains invalid characters for an alias", name)
	case rest == "":
		return fault.New("InvalidAliasNameException", "The request was rejected because the specified alias name is not valid.")
	default:
		return nil
	}
}

// aliasTarget resolves the key that an alias is to point to. Both have to be permitted (AWS KMS Developer Guide,
// "Controlling access to aliases").
func (s *Service) aliasTarget(ctx context.Context, call *operation.Call, operation, to, name string) (*snapshot, error) {
	if strings.HasPrefix(to, aliasPrefix) || strings.Contains(to, ":"+aliasPrefix) {
		return nil, invalid("Aliases must refer to keys. Not aliases")
	}
	k, err := s.key(ctx, call, about(operation), to)
	if err != nil {
		return nil, err
	}
	if err := s.aliasPermitted(ctx, call, operation, name); err != nil {
		return nil, err
	}
	return k, s.permits(operation, k.Key)
}

// aliasPermitted asks for an action on an alias, which has no policy of its own.
func (s *Service) aliasPermitted(ctx context.Context, call *operation.Call, operation, name string) error {
	alias := call.Scope.Alias(name)
	call.About(keyType, alias)
	q := about(operation)
	return s.byIdentity(ctx, call, &q, &target{arn: alias, account: call.Scope.Account})
}

// target checks, inside a transaction, that one more alias may point to k.
func (s *Service) target(tx Tx, operation string, k *snapshot) error {
	current, err := tx.Key(k.Scope, k.ID)
	if errors.Is(err, fault.ErrNotFound) {
		return keyNotFound(k.Scope, k.ID)
	}
	if err != nil {
		return err
	}
	if err := s.permits(operation, current); err != nil {
		return err
	}
	n, err := tx.CountAliases(k.Scope, k.ID)
	if err != nil {
		return err
	}
	if n >= s.limits.AliasesPerKey {
		return overQuota("Aliases per key", s.limits.AliasesPerKey, n)
	}
	return nil
}

// changeAlias runs a change of an alias that is to point to k. left is the key that it pointed to, if that is another.
func (s *Service) changeAlias(ctx context.Context, call *operation.Call, k, left *snapshot, name string, fn func(Tx) error) error {
	t := touched{aliases: []aliasRef{{k.Scope, name}}, labels: []keyRef{k.ref()}}
	if left != nil {
		t.labels = append(t.labels, left.ref())
	}
	err := s.snapshots.change(ctx, call.Event, t, func(tx Tx) error {
		call.Event.Response = audit.Members{{Name: "keyId", Value: k.arn}}
		return fn(tx)
	})
	if err != nil {
		return unexpected("changing an alias", err)
	}
	return nil
}

// updateAlias moves an alias to another key of the same kind. The state of the key that it leaves does not matter.
func (s *Service) updateAlias(ctx context.Context, call *operation.Call, in *kms.UpdateAliasInput) (*operation.Void, error) {
	name := *in.AliasName
	if err := checkAliasName(name); err != nil {
		return nil, err
	}
	k, err := s.aliasTarget(ctx, call, "UpdateAlias", *in.TargetKeyId, name)
	if err != nil {
		return nil, err
	}
	for range attempts {
		if err = s.moveAlias(ctx, call, k, name); !errors.Is(err, errMoved) {
			break
		}
	}
	return nil, err
}

// errMoved is the discovery that an alias no longer points to the key that was asked about.
var errMoved = errors.New("kms: the alias was moved meanwhile")

func (s *Service) moveAlias(ctx context.Context, call *operation.Call, k *snapshot, name string) error {
	left, err := s.aliasOwner(ctx, call, "UpdateAlias", name)
	if err != nil {
		return err
	}
	return s.changeAlias(ctx, call, k, left, name, func(tx Tx) error {
		a, err := existingAlias(tx, k.Scope, name)
		if err != nil {
			return err
		}
		if a.KeyID != left.ID {
			return errMoved
		}
		if a.KeyID != k.ID {
			if err := s.move(tx, a, k); err != nil {
				return err
			}
		}
		a.Updated = s.instant()
		return tx.UpdateAlias(a)
	})
}

// aliasOwner is the key that an alias points to, if the caller may take it away from there.
func (s *Service) aliasOwner(ctx context.Context, call *operation.Call, operation, name string) (*snapshot, error) {
	t, err := s.lookup(ctx, call.Scope, name, name, byAnyName)
	if err != nil {
		return nil, err
	}
	t.alias = "" // the alias was named for its own sake, not to use its key: kms:RequestAlias must not match
	q := about(operation)
	return t.key, s.authorize(ctx, call, &q, &t)
}

func existingAlias(tx Tx, scope arn.Scope, name string) (*Alias, error) {
	a, err := tx.Alias(scope, name)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, aliasNotFound(scope, name)
	}
	return a, err
}

func (s *Service) move(tx Tx, a *Alias, to *snapshot) error {
	from, err := tx.Key(a.Scope, a.KeyID)
	if err != nil {
		return err
	}
	if kindOf(from.Spec) != kindOf(to.Spec) || from.Usage != to.Usage {
		return invalid("The current and the new KMS key of an alias must be the same type (both symmetric, both asymmetric or " +
			"both HMAC), and they must have the same key usage.")
	}
	a.KeyID = to.ID
	return s.target(tx, "UpdateAlias", to)
}

// kindOf is the type of a key as far as aliases care.
func kindOf(spec types.KeySpec) string {
	switch {
	case spec == types.KeySpecSymmetricDefault:
		return "symmetric"
	case strings.HasPrefix(string(spec), "HMAC_"):
		return "HMAC"
	default:
		return "asymmetric"
	}
}

func (s *Service) deleteAlias(ctx context.Context, call *operation.Call, in *kms.DeleteAliasInput) (*operation.Void, error) {
	name := *in.AliasName
	if err := checkAliasName(name); err != nil {
		return nil, err
	}
	k, err := s.aliasOwner(ctx, call, "DeleteAlias", name)
	if k != nil {
		call.About(keyType, k.arn)
	}
	if err != nil {
		return nil, err
	}
	if err := s.aliasPermitted(ctx, call, "DeleteAlias", name); err != nil {
		return nil, err
	}
	if err := s.permits("DeleteAlias", k.Key); err != nil {
		return nil, err
	}
	return nil, s.changeAlias(ctx, call, k, nil, name, func(tx Tx) error {
		a, err := existingAlias(tx, k.Scope, name)
		if err != nil {
			return err
		}
		if a.KeyID != k.ID {
			return aliasNotFound(k.Scope, name) // as it was when the caller asked
		}
		return tx.DeleteAlias(k.Scope, name)
	})
}

func (s *Service) listAliases(ctx context.Context, call *operation.Call, in *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
	size, err := pageSize(in.Limit, 50, 100)
	if err != nil {
		return nil, err
	}
	keyID := ""
	if in.KeyId != nil {
		if keyID, err = s.listedKey(ctx, call, *in.KeyId); err != nil {
			return nil, err
		}
	}
	l := newListing("ListAliases", call.Scope, keyID)
	after, err := l.after(in.Marker)
	if err != nil {
		return nil, err
	}
	found, err := s.store.Aliases(ctx, call.Scope, keyID, after, size+1)
	if err != nil {
		return nil, unexpected("listing aliases", err)
	}
	found, truncated := page(found, size)
	out := &kms.ListAliasesOutput{Aliases: make([]types.AliasListEntry, len(found)), Truncated: truncated}
	for i := range found {
		out.Aliases[i] = aliasEntry(&found[i])
	}
	if truncated {
		out.NextMarker = l.marker(found[size-1].Name)
	}
	return out, nil
}

// listedKey is the id of the caller's key that ListAliases is restricted to. Its policy has no say, since the operation
// is one on all aliases.
func (s *Service) listedKey(ctx context.Context, call *operation.Call, name string) (string, error) {
	t, err := s.resolve(ctx, call, name, byKey)
	if err != nil {
		return "", err
	}
	if t.account != call.Scope.Account {
		q := about("ListAliases")
		return "", s.inquiry(ctx, call, &q, &t).decide("")
	}
	return t.key.ID, nil
}

func aliasEntry(a *Alias) types.AliasListEntry {
	return types.AliasListEntry{
		AliasName:       &a.Name,
		AliasArn:        aws.String(a.Scope.Alias(a.Name)),
		TargetKeyId:     &a.KeyID,
		CreationDate:    &a.Created,
		LastUpdatedDate: &a.Updated,
	}
}
