package kms

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/operation"
)

// LastUse is the last successful cryptographic use of a key.
type LastUse struct {
	Operation types.KeyLastUsageTrackingOperation // empty for a key that was never used
	Time      time.Time
	EventID   string // of CloudTrail's record of the call
	RequestID string
}

// tracked are the operations whose success counts as a use of their keys (AWS KMS API Reference, GetKeyLastUsage).
var tracked = types.KeyLastUsageTrackingOperation("").Values()

// noteUse notes in the event that k is what the call works with. It counts once the event of the call's success is
// kept; a refusal and a dry run, which never succeeds, are no uses.
func noteUse(call *operation.Call, operation string, k *snapshot) {
	if slices.Contains(tracked, types.KeyLastUsageTrackingOperation(operation)) {
		call.Event.Used = append(call.Event.Used, audit.Use{Scope: k.Scope, KeyID: k.ID})
	}
}

func (s *Service) getKeyLastUsage(ctx context.Context, call *operation.Call, in *kms.GetKeyLastUsageInput) (*kms.GetKeyLastUsageOutput, error) {
	k, err := s.key(ctx, call, about("GetKeyLastUsage"), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := s.permits("GetKeyLastUsage", k.Key); err != nil {
		return nil, err
	}
	last, started, err := s.store.LastUse(ctx, k.Scope, k.ID)
	if err != nil {
		return nil, unexpected("reading the last use of a key", err)
	}
	if started.Before(k.Created) {
		started = k.Created
	}
	return &kms.GetKeyLastUsageOutput{
		KeyId: &k.arn, KeyCreationDate: &k.Created, TrackingStartDate: &started, KeyLastUsage: last.data(),
	}, nil
}

// data is the answer's form; of a key that was never used it is an empty object (AWS KMS API Reference,
// GetKeyLastUsage), not an absent one.
func (l *LastUse) data() *types.KeyLastUsageData {
	if l.Operation == "" {
		return &types.KeyLastUsageData{}
	}
	return &types.KeyLastUsageData{
		Operation: l.Operation, Timestamp: &l.Time, CloudTrailEventId: &l.EventID, KmsRequestId: &l.RequestID,
	}
}
