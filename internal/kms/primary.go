package kms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/uuid"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/operation"
)

// updatePrimaryRegion makes the replica in another Region the primary, and the primary a replica.
func (s *Service) updatePrimaryRegion(ctx context.Context, call *operation.Call, in *kms.UpdatePrimaryRegionInput) (*operation.Void, error) {
	const op = "UpdatePrimaryRegion"
	if err := checkRegion("PrimaryRegion", *in.PrimaryRegion); err != nil {
		return nil, err
	}
	if err := s.requests.admitIn(call, *in.PrimaryRegion, op, 1); err != nil {
		return nil, err
	}
	k, err := s.primary(ctx, call, op, *in.KeyId, condition{"kms:primaryregion", []string{*in.PrimaryRegion}})
	if err != nil {
		return nil, err
	}
	if *in.PrimaryRegion == k.Scope.Region {
		return nil, unsupported("%s is the primary key already.", k.arn)
	}
	to := Key{Scope: arn.Scope{Account: k.Scope.Account, Region: *in.PrimaryRegion}, ID: k.ID}
	if err := s.elsewhere(ctx, call, about(op, condition{"kms:primaryregion", []string{*in.PrimaryRegion}}), &to); err != nil {
		return nil, err
	}
	_, err = s.alterFamily(ctx, call, op, k, func(tx Tx, old *Key, family []*Key, _ *audit.Members) error {
		next := memberIn(family, &to)
		if next == nil {
			return keyNotFound(to.Scope, to.ID)
		}
		if err := s.permits(op, next); err != nil {
			return err
		}
		if err := onlyPrimary(old); err != nil {
			return err
		}
		s.update(old)
		s.update(next)
		for _, member := range family {
			member.PrimaryRegion = to.Scope.Region
			if member == old {
				continue // kept by alterFamily
			}
			if err := tx.UpdateKey(member); err != nil {
				return err
			}
		}
		return tx.AddEvent(becamePrimary(call, next))
	})
	if err == nil {
		s.settleAtOnce(ctx, k.Key, &to)
	}
	return nil, err
}

// elsewhere asks for what q wants of a key of the caller's account in another Region.
func (s *Service) elsewhere(ctx context.Context, call *operation.Call, q question, k *Key) error {
	found, err := s.keyByID(ctx, k.Scope, k.ID)
	if err != nil {
		return err
	}
	return s.authorize(ctx, callIn(call, k.Scope.Region), &q, &target{key: found, arn: found.arn, account: k.Scope.Account})
}

// callIn is the call as policies see it in another Region.
func callIn(call *operation.Call, region string) *operation.Call {
	there := *call
	there.Scope.Region = region
	return &there
}

// update makes the key Updating; it becomes afterwards what it was before.
func (s *Service) update(k *Key) {
	if k.State != types.KeyStateUpdating {
		k.Settled = k.State
	}
	k.State, k.Settles = types.KeyStateUpdating, s.settles()
}

// becamePrimary is the event of the new primary's Region (AWS KMS Developer Guide, "UpdatePrimaryRegion").
func becamePrimary(call *operation.Call, k *Key) *audit.Event {
	event := *call.Event
	event.ID, event.Region, event.InvokedBy = uuid.NewString(), k.Scope.Region, "kms.amazonaws.com"
	event.Response = audit.Members{{Name: "keyId", Value: k.ARN()}}
	event.Resources = []audit.Resource{{Type: keyType, ARN: k.ARN()}}
	return &event
}
