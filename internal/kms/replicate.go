package kms

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/uuid"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/sigv4"
)

// checkRegion admits every name of the form of a Region: this service is in all of them.
func checkRegion(member, region string) error {
	if !sigv4.ValidRegion(region) {
		return invalid("%s %s is not a Region.", member, region)
	}
	return nil
}

func (s *Service) replicateKey(ctx context.Context, call *operation.Call, in *kms.ReplicateKeyInput) (*kms.ReplicateKeyOutput, error) {
	call.Event.Request.Add("description", aws.ToString(in.Description))
	call.Event.Request.Add("bypassPolicyLockoutSafetyCheck", in.BypassPolicyLockoutSafetyCheck)
	if err := checkRegion("ReplicaRegion", *in.ReplicaRegion); err != nil {
		return nil, err
	}
	// Two, since AWS counts a dry run as well (AWS KMS Developer Guide, "Request quotas").
	if err := s.requests.admitIn(call, *in.ReplicaRegion, "CreateKey", 2); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags, s.limits.TagsPerKey); err != nil {
		return nil, err
	}
	primary, err := s.primary(ctx, call, "ReplicateKey", *in.KeyId, replicateConditions(in)...)
	if err != nil {
		return nil, err
	}
	if err := s.mayCreate(ctx, callIn(call, *in.ReplicaRegion), replicaConditions(in, primary.Key), in.Tags); err != nil {
		return nil, err
	}
	replica, err := s.replica(ctx, call, in, primary.Key)
	if err != nil {
		return nil, err
	}
	return s.keepReplica(ctx, call, primary, replica)
}

// replicateConditions are the condition keys of ReplicateKey's request.
func replicateConditions(in *kms.ReplicateKeyInput) []condition {
	all := []condition{{"kms:replicaregion", []string{*in.ReplicaRegion}}}
	return append(all, bypassConditions(in.BypassPolicyLockoutSafetyCheck)...)
}

// replicaConditions are those of the CreateKey that ReplicateKey is in the other Region.
func replicaConditions(in *kms.ReplicateKeyInput, primary *Key) []condition {
	w := wished{primary.Spec, primary.Usage, primary.Origin, true}
	return append(w.conditions("REPLICA"), bypassConditions(in.BypassPolicyLockoutSafetyCheck)...)
}

// primary finds the primary key of a family for an operation that only it admits.
func (s *Service) primary(ctx context.Context, call *operation.Call, op, name string, request ...condition) (*snapshot, error) {
	k, err := s.key(ctx, call, question{operation: op, request: request}, name)
	if err != nil {
		return nil, err
	}
	if !k.MultiRegion() {
		return nil, notPrimary(k.Key)
	}
	if err := s.permits(op, k.Key); err != nil {
		return nil, err
	}
	return k, onlyPrimary(k.Key)
}

func onlyPrimary(k *Key) error {
	if k.MultiRegion() && !k.Primary() {
		return notPrimary(k)
	}
	return nil
}

func notPrimary(k *Key) error { return unsupported("%s is not a multi-region primary key.", k.ARN()) }

// replica is the new key in another Region, but for what it shares with the primary.
func (s *Service) replica(ctx context.Context, call *operation.Call, in *kms.ReplicateKeyInput, primary *Key) (*Key, error) {
	k := &Key{
		Scope:       arn.Scope{Account: primary.Scope.Account, Region: *in.ReplicaRegion},
		ID:          primary.ID,
		Version:     1,
		Created:     s.instant(),
		Description: aws.ToString(in.Description),
		State:       types.KeyStateCreating,
		Policy:      defaultPolicy(primary.Scope.Account),
		Tags:        sortTags(in.Tags),
	}
	if in.Policy != nil {
		if err := s.adopt(ctx, call, k, replicaConditions(in, primary), *in.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// inherit gives a new replica what its family shares. Imported material is not among it: what the primary has is only
// named, and has to be imported into the replica too.
func (s *Service) inherit(k, primary *Key) {
	k.Spec, k.Usage, k.Origin, k.PrimaryRegion = primary.Spec, primary.Usage, primary.Origin, primary.PrimaryRegion
	k.Rotation = primary.Rotation
	k.Material, k.Others = primary.Material, slices.Clone(primary.Others)
	if k.imported() {
		k.Material.drop()
		for i := range k.Others {
			k.Others[i].drop()
		}
	}
	k.Settles, k.Settled = s.settles(), types.KeyStateEnabled
	if !k.complete() {
		k.Settled = types.KeyStatePendingImport
	}
}

func (s *Service) keepReplica(ctx context.Context, call *operation.Call, seen *snapshot, k *Key) (*kms.ReplicateKeyOutput, error) {
	var made *snapshot
	err := s.changeFamily(ctx, call.Event, seen.Key, func(tx Tx, family []*Key) error {
		primary := memberIn(family, seen.Key)
		if primary == nil {
			return keyNotFound(seen.Scope, seen.ID)
		}
		if err := s.permits("ReplicateKey", primary); err != nil {
			return err
		}
		if err := onlyPrimary(primary); err != nil {
			return err
		}
		if memberIn(family, k) != nil {
			return fault.New("AlreadyExistsException", "Key %s already exists", k.ARN())
		}
		s.inherit(k, primary)
		family = append(family, k)
		if err := agree(tx, family, k); err != nil {
			return err
		}
		var err error
		if made, err = s.snapshots.prepare(k, family); err != nil {
			return err
		}
		if err := s.insert(tx, k); err != nil {
			return err
		}
		call.Event.Response = s.replicaMembers(made)
		return tx.AddEvent(s.replicaCreated(call, made))
	}, keyRef{k.Scope, k.ID})
	if err != nil {
		return nil, unexpected("keeping a replica", err)
	}
	s.settleAtOnce(ctx, k)
	return &kms.ReplicateKeyOutput{
		ReplicaKeyMetadata: s.metadata(made), ReplicaPolicy: &made.Policy, ReplicaTags: made.Tags,
	}, nil
}

func (s *Service) replicaMembers(k *snapshot) audit.Members {
	return audit.Members{
		{Name: "replicaKeyMetadata", Value: metadataMembers(s.metadata(k))},
		{Name: "replicaPolicy", Value: k.Policy},
		{Name: "replicaTags", Value: tagMembers(k.Tags)},
	}
}

// replicaCreated is the event of the replica's Region: the caller made a key there too (AWS KMS Developer Guide,
// "ReplicateKey").
func (s *Service) replicaCreated(call *operation.Call, k *snapshot) *audit.Event {
	event := *call.Event
	event.ID, event.Name, event.Region = uuid.NewString(), "CreateKey", k.Scope.Region
	event.Request = audit.Members{
		{Name: "description", Value: k.Description},
		{Name: "origin", Value: k.Origin},
		{Name: "keySpec", Value: k.Spec},
		{Name: "customerMasterKeySpec", Value: k.Spec},
		{Name: "keyUsage", Value: k.Usage},
		{Name: "multiRegion", Value: true},
		{Name: "tags", Value: tagMembers(k.Tags)},
		{Name: "policy", Value: k.Policy},
	}
	event.Response = audit.Members{{Name: "keyMetadata", Value: metadataMembers(s.metadata(k))}}
	event.Additional = nil
	event.Resources = []audit.Resource{{Type: keyType, ARN: k.arn}}
	return &event
}
