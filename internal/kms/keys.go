package kms

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

func (s *Service) describeKey(ctx context.Context, call *operation.Call, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
	q := question{operation: "DescribeKey", accepts: byAnyName, tokens: in.GrantTokens}
	k, err := s.key(ctx, call, q, *in.KeyId)
	if err != nil {
		return nil, err
	}
	return &kms.DescribeKeyOutput{KeyMetadata: s.metadata(k)}, nil
}

func (s *Service) listKeys(ctx context.Context, call *operation.Call, in *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
	size, err := pageSize(in.Limit, 100, 1000)
	if err != nil {
		return nil, err
	}
	l := newListing("ListKeys", call.Scope, "")
	after, err := l.after(in.Marker)
	if err != nil {
		return nil, err
	}
	ids, err := s.store.Keys(ctx, call.Scope, after, size+1)
	if err != nil {
		return nil, unexpected("listing keys", err)
	}
	ids, truncated := page(ids, size)
	out := &kms.ListKeysOutput{Keys: make([]types.KeyListEntry, len(ids)), Truncated: truncated}
	for i, id := range ids {
		out.Keys[i] = types.KeyListEntry{KeyId: aws.String(id), KeyArn: aws.String(call.Scope.Key(id))}
	}
	if truncated {
		out.NextMarker = l.marker(ids[size-1])
	}
	return out, nil
}

// edit makes the new key out of the old, a copy that it may change, and adds to the event's response, which already
// holds the key's ARN as keyId.
type edit func(k *Key, response *audit.Members) error

// mutate runs an operation that changes one key, named by id or ARN.
func (s *Service) mutate(ctx context.Context, call *operation.Call, q question, name string, change edit) (*Key, error) {
	seen, err := s.key(ctx, call, q, name)
	if err != nil {
		return nil, err
	}
	return s.alter(ctx, call, q.operation, seen, change)
}

// alter changes one key that was found. The key's state is checked twice: on the way in, and again on what the
// transaction finds.
func (s *Service) alter(ctx context.Context, call *operation.Call, op string, seen *snapshot, change edit) (*Key, error) {
	if err := s.permits(op, seen.Key); err != nil {
		return nil, err
	}
	var changed Key
	err := s.snapshots.change(ctx, call.Event, oneKey(seen.Key), func(tx Tx) error {
		current, err := tx.Key(seen.Scope, seen.ID)
		if errors.Is(err, fault.ErrNotFound) {
			return keyNotFound(seen.Scope, seen.ID)
		}
		if err != nil {
			return err
		}
		if err := s.permits(op, current); err != nil {
			return err
		}
		changed = *current
		call.Event.Response = audit.Members{{Name: "keyId", Value: seen.arn}}
		if err := change(&changed, &call.Event.Response); err != nil {
			return err
		}
		return tx.UpdateKey(&changed)
	})
	if err != nil {
		return nil, unexpected("changing a key", err)
	}
	return &changed, nil
}

func (s *Service) enableKey(ctx context.Context, call *operation.Call, in *kms.EnableKeyInput) (*operation.Void, error) {
	return s.setState(ctx, call, "EnableKey", *in.KeyId, types.KeyStateEnabled)
}

func (s *Service) disableKey(ctx context.Context, call *operation.Call, in *kms.DisableKeyInput) (*operation.Void, error) {
	return s.setState(ctx, call, "DisableKey", *in.KeyId, types.KeyStateDisabled)
}

// setState changes the underlying state, which an unavailable key shows once it is available again.
func (s *Service) setState(ctx context.Context, call *operation.Call, op, name string, to types.KeyState) (*operation.Void, error) {
	_, err := s.mutate(ctx, call, about(op), name, func(k *Key, _ *audit.Members) error {
		k.State = to
		return nil
	})
	return nil, err
}

func (s *Service) updateKeyDescription(ctx context.Context, call *operation.Call, in *kms.UpdateKeyDescriptionInput) (*operation.Void, error) {
	_, err := s.mutate(ctx, call, about("UpdateKeyDescription"), *in.KeyId, func(k *Key, _ *audit.Members) error {
		k.Description = *in.Description
		return nil
	})
	return nil, err
}
