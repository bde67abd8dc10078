package kms

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// Rotation periods in days (AWS KMS API Reference, EnableKeyRotation).
const (
	minPeriod   = 90
	maxPeriod   = 2560
	usualPeriod = 365
)

// quietTime before an automatic rotation admits none on demand (AWS KMS API Reference, RotateKeyOnDemand).
const quietTime = 20 * time.Minute

var errRotating = fault.New("ConflictException",
	"The request was rejected because an automatic rotation of this key is currently in progress or scheduled to begin within the next 20 minutes.")

// rotatable refuses keys that never get other material: all but symmetric encryption keys. AWS sends no sentence. Which
// origins are refused, and when, the table of key states says.
func rotatable(k *Key) error {
	if k.Spec != types.KeySpecSymmetricDefault {
		return unsupported("")
	}
	return nil
}

// rotated finds the key that an operation rotates or schedules rotations of: a symmetric encryption key that is no replica.
func (s *Service) rotated(ctx context.Context, call *operation.Call, q question, name string) (*snapshot, error) {
	k, err := s.key(ctx, call, q, name)
	if err != nil {
		return nil, err
	}
	if err := s.permits(q.operation, k.Key); err != nil {
		return nil, err
	}
	if err := rotatable(k.Key); err != nil {
		return nil, err
	}
	return k, onlyPrimary(k.Key)
}

func (s *Service) enableKeyRotation(ctx context.Context, call *operation.Call, in *kms.EnableKeyRotationInput) (*operation.Void, error) {
	period := int(aws.ToInt32(in.RotationPeriodInDays))
	if in.RotationPeriodInDays == nil {
		period = usualPeriod
	}
	call.Event.Request.Add("rotationPeriodInDays", period)
	if period < minPeriod || period > maxPeriod {
		return nil, invalid("RotationPeriodInDays must be between %d and %d", minPeriod, maxPeriod)
	}
	q := about("EnableKeyRotation", with(keyRotationPeriod, strconv.Itoa(period))...)
	return s.schedule(ctx, call, q, *in.KeyId, func(r *Rotation) {
		r.Enabled, r.Period, r.Next = true, period, s.instant().AddDate(0, 0, period)
	})
}

func (s *Service) disableKeyRotation(ctx context.Context, call *operation.Call, in *kms.DisableKeyRotationInput) (*operation.Void, error) {
	return s.schedule(ctx, call, about("DisableKeyRotation"), *in.KeyId, func(r *Rotation) {
		r.Enabled, r.Next = false, time.Time{}
	})
}

// schedule changes when a key and its relatives rotate.
func (s *Service) schedule(ctx context.Context, call *operation.Call, q question, name string, change func(*Rotation)) (*operation.Void, error) {
	k, err := s.rotated(ctx, call, q, name)
	if err != nil {
		return nil, err
	}
	_, err = s.alterFamily(ctx, call, q.operation, k, func(tx Tx, k *Key, family []*Key, _ *audit.Members) error {
		change(&k.Rotation)
		return s.share(tx, k, family)
	})
	return nil, err
}

func (s *Service) getKeyRotationStatus(
	ctx context.Context, call *operation.Call, in *kms.GetKeyRotationStatusInput,
) (*kms.GetKeyRotationStatusOutput, error) {
	k, err := s.key(ctx, call, about("GetKeyRotationStatus"), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := s.permits("GetKeyRotationStatus", k.Key); err != nil {
		return nil, err
	}
	out := &kms.GetKeyRotationStatusOutput{KeyId: &k.arn}
	if r := k.Rotation; r.Enabled && !doomed(k.State) {
		out.KeyRotationEnabled = true
		out.RotationPeriodInDays, out.NextRotationDate = aws.Int32(int32(r.Period)), &r.Next
	}
	if started := k.Rotation.Started; !started.IsZero() {
		out.OnDemandRotationStartDate = &started
	}
	return out, nil
}

// doomed reports whether a key waits for its deletion.
func doomed(state types.KeyState) bool {
	return state == types.KeyStatePendingDeletion || state == types.KeyStatePendingReplicaDeletion
}

// rotateKeyOnDemand notes that the key is to rotate; happen does it, at once but outside of the call.
func (s *Service) rotateKeyOnDemand(
	ctx context.Context, call *operation.Call, in *kms.RotateKeyOnDemandInput,
) (*kms.RotateKeyOnDemandOutput, error) {
	const op = "RotateKeyOnDemand"
	k, err := s.rotated(ctx, call, about(op), *in.KeyId)
	if err != nil {
		return nil, err
	}
	_, err = s.alterFamily(ctx, call, op, k, func(tx Tx, k *Key, family []*Key, _ *audit.Members) error {
		if err := s.mayRotate(k); err != nil {
			return err
		}
		k.Rotation.Started = s.instant()
		k.Rotation.OnDemand++
		return s.share(tx, k, family)
	})
	if err != nil {
		return nil, err
	}
	s.Wake()
	return &kms.RotateKeyOnDemandOutput{KeyId: &k.arn}, nil
}

// mayRotate refuses a rotation on demand that the table of key states admits. Its sentences, but for errRotating, are
// what LocalStack recorded of the live service.
func (s *Service) mayRotate(k *Key) error {
	soon := s.now().Add(quietTime)
	switch r := &k.Rotation; {
	case !r.Started.IsZero(), r.Enabled && !r.Next.After(soon):
		return errRotating
	case r.OnDemand >= s.limits.OnDemandRotations:
		return limitExceeded("The on-demand rotations limit has been reached for the given keyId. "+
			"No more on-demand rotations can be performed for this key: %s", k.ARN())
	case k.imported() && !k.ready():
		return fault.New("KMSInvalidStateException", "No available key material pending rotation for the key: %s.", k.ARN())
	default:
		return nil
	}
}
