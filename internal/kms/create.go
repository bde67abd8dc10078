//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated in AWS's model and still sent by old clients.

package kms

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/uuid"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// discardTime bounds the removal of material whose key could not be kept.
const discardTime = 30 * time.Second

func (s *Service) createKey(ctx context.Context, call *operation.Call, in *kms.CreateKeyInput) (*kms.CreateKeyOutput, error) {
	w, err := wish(in)
	logCreate(call, in, w)
	if err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags, s.limits.TagsPerKey); err != nil {
		return nil, err
	}
	asked := append(w.conditions("PRIMARY"), bypassConditions(in.BypassPolicyLockoutSafetyCheck)...)
	if err := s.mayCreate(ctx, call, asked, in.Tags); err != nil {
		return nil, err
	}
	k := s.newKey(call, in, w)
	if in.Policy != nil {
		if err := s.adopt(ctx, call, k, asked, *in.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
			return nil, err
		}
	}
	if err := w.supported(); err != nil {
		return nil, err
	}
	if k.StoreID != "" {
		if err := s.stores.Admit(ctx, k.Scope, k.StoreID); err != nil {
			return nil, err
		}
	}
	// Asked again when the key is kept; here, nobody over the quota has material made that costs a second or an HSM's room.
	if err := s.room(s.store.CountKeys(ctx, k.Scope)); err != nil {
		return nil, unexpected("counting keys", err)
	}
	made, err := s.keep(ctx, call, k)
	if err != nil {
		return nil, err
	}
	return &kms.CreateKeyOutput{KeyMetadata: made}, nil
}

// mayCreate asks for CreateKey and, where there are tags, for TagResource. There is no key yet whose policy could tell, and
// IAM policies must allow tags on all keys of the account and Region (AWS KMS Developer Guide, "Controlling access to tags").
func (s *Service) mayCreate(ctx context.Context, call *operation.Call, asked []condition, tags []types.Tag) error {
	asked = append(slices.Clone(asked), tagConditions(tags)...)
	create, tag := about("CreateKey", asked...), about("TagResource", asked...)
	err := s.byIdentity(ctx, call, &create, &target{arn: "*", account: call.Scope.Account})
	if err != nil || len(tags) == 0 {
		return err
	}
	return s.byIdentity(ctx, call, &tag, &target{arn: call.Scope.Key("*"), account: call.Scope.Account, on: policy.OnNothing})
}

// conditions are the condition keys of a new key; kind is that of a multi-Region key.
func (w wished) conditions(kind string) []condition {
	all := []condition{
		{"kms:keyspec", []string{string(w.spec)}},
		{"kms:customermasterkeyspec", []string{string(w.spec)}},
		{"kms:keyusage", []string{string(w.usage)}},
		{"kms:customermasterkeyusage", []string{string(w.usage)}},
		{"kms:keyorigin", []string{string(w.origin)}},
		{"kms:multiregion", []string{strconv.FormatBool(w.multiRegion)}},
	}
	if w.multiRegion {
		all = append(all, condition{"kms:multiregionkeytype", []string{kind}})
	}
	return all
}

// bypassConditions tell that the lock-out check is waived. A request that does not say so has no such key.
func bypassConditions(waived bool) []condition {
	if !waived {
		return nil
	}
	return []condition{{"kms:bypasspolicylockoutsafetycheck", []string{"true"}}}
}

// wished is what a caller of CreateKey wants, defaults filled in.
type wished struct {
	spec        types.KeySpec
	usage       types.KeyUsageType
	origin      types.OriginType
	multiRegion bool
}

// wish reads the members that depend on one another (AWS KMS API Reference, CreateKey).
func wish(in *kms.CreateKeyInput) (wished, error) {
	w := wished{in.KeySpec, in.KeyUsage, in.Origin, aws.ToBool(in.MultiRegion)}
	if w.spec == "" {
		w.spec = types.KeySpec(in.CustomerMasterKeySpec)
	}
	if w.spec == "" {
		w.spec = types.KeySpecSymmetricDefault
	}
	usageGiven := w.usage != ""
	if !usageGiven {
		w.usage = types.KeyUsageTypeEncryptDecrypt
	}
	if w.origin == "" {
		w.origin = types.OriginTypeAwsKms
	}
	switch {
	case in.CustomerMasterKeySpec != "" && string(in.CustomerMasterKeySpec) != string(w.spec):
		return w, invalid("You cannot specify KeySpec and CustomerMasterKeySpec with different values. CustomerMasterKeySpec is deprecated.")
	case w.spec != types.KeySpecSymmetricDefault && !usageGiven:
		return w, invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case !fits(w.spec, w.usage):
		return w, invalid("KeyUsage %s is not compatible with KeySpec %s", w.usage, w.spec)
	}
	return w, checkPlace(in, w.origin)
}

// checkPlace checks that origin and key store go together.
func checkPlace(in *kms.CreateKeyInput, origin types.OriginType) error {
	inStore := origin == types.OriginTypeAwsCloudhsm || origin == types.OriginTypeExternalKeyStore
	switch {
	case inStore && in.CustomKeyStoreId == nil:
		return invalid("You must specify a CustomKeyStoreId when Origin is %s.", origin)
	case !inStore && in.CustomKeyStoreId != nil:
		return invalid("You cannot specify a CustomKeyStoreId when Origin is %s.", origin)
	case in.XksKeyId != nil && origin != types.OriginTypeExternalKeyStore:
		return invalid("You cannot specify an XksKeyId when Origin is %s.", origin)
	default:
		return nil
	}
}

// supported refuses what AWS KMS offers and this service does not.
func (w wished) supported() error {
	switch {
	case w.spec == types.KeySpecSm2:
		return elsewhere("KeySpec", string(w.spec))
	case w.spec != types.KeySpecSymmetricDefault && w.origin == types.OriginTypeAwsCloudhsm:
		return unsupported("KeySpec %s is not supported in a custom key store.", w.spec)
	case w.multiRegion && w.origin == types.OriginTypeAwsCloudhsm:
		return unsupported("A multi-Region key cannot be created in a custom key store.")
	case w.origin == types.OriginTypeExternalKeyStore:
		return unsupported("Origin %s is not supported.", w.origin)
	default:
		return nil
	}
}

// logCreate notes the request with its defaults, as CloudTrail does.
func logCreate(call *operation.Call, in *kms.CreateKeyInput, w wished) {
	call.Event.Request = append(call.Event.Request, audit.Members{
		{Name: "description", Value: aws.ToString(in.Description)},
		{Name: "origin", Value: w.origin},
		{Name: "keySpec", Value: w.spec},
		{Name: "customerMasterKeySpec", Value: w.spec},
		{Name: "keyUsage", Value: w.usage},
		{Name: "multiRegion", Value: w.multiRegion},
		{Name: "bypassPolicyLockoutSafetyCheck", Value: in.BypassPolicyLockoutSafetyCheck},
		{Name: "tags", Value: tagMembers(in.Tags)},
		{Name: "customKeyStoreId", Value: in.CustomKeyStoreId},
		{Name: "xksKeyId", Value: in.XksKeyId},
		{Name: "policy", Value: in.Policy},
	}...)
}

func (s *Service) newKey(call *operation.Call, in *kms.CreateKeyInput, w wished) *Key {
	k := &Key{
		Scope:       call.Scope,
		ID:          uuid.NewString(),
		Version:     1,
		Created:     s.instant(),
		Description: aws.ToString(in.Description),
		Spec:        w.spec,
		Usage:       w.usage,
		Origin:      w.origin,
		State:       types.KeyStateEnabled,
		StoreID:     aws.ToString(in.CustomKeyStoreId),
		Policy:      defaultPolicy(call.Scope.Account),
		Tags:        sortTags(in.Tags),
	}
	if w.multiRegion {
		id := uuid.New()
		k.ID, k.PrimaryRegion = multiRegionPrefix+hex.EncodeToString(id[:]), call.Scope.Region
	}
	if k.imported() {
		k.State = types.KeyStatePendingImport
	}
	return k
}

// keep makes the key's material and keeps the key. If it cannot be kept, its material is discarded.
func (s *Service) keep(ctx context.Context, call *operation.Call, k *Key) (*types.KeyMetadata, error) {
	var err error
	if !k.imported() {
		if k.Material, err = s.material(k).Generate(ctx, k); err != nil {
			return nil, unexpected("making key material", err)
		}
	}
	made, err := s.snapshots.prepare(k, []*Key{k})
	if err != nil {
		s.abandon(ctx, k, err)
		return nil, err
	}
	metadata := s.metadata(made)
	call.About(keyType, made.arn)
	if k.StoreID != "" {
		call.Event.Additional.Add("backingKey", backingKey(k))
	}
	err = s.snapshots.change(ctx, call.Event, oneKey(k), func(tx Tx) error {
		call.Event.Response = audit.Members{{Name: "keyMetadata", Value: metadataMembers(metadata)}}
		return s.insert(tx, k)
	})
	if err != nil {
		call.Event.Resources, call.Event.Additional = nil, nil // they tell of what is not there
		s.abandon(ctx, k, err)
		return nil, unexpected("keeping a key", err)
	}
	return metadata, nil
}

// room checks that an account may have one more key than n in a Region, if these could be counted.
func (s *Service) room(n int, err error) error {
	if err == nil && n >= s.limits.Keys {
		err = overQuota("Key", s.limits.Keys, n)
	}
	return err
}

// insert adds a key if there is room for it.
func (s *Service) insert(tx Tx, k *Key) error {
	if err := s.room(tx.CountKeys(k.Scope)); err != nil {
		return err
	}
	return tx.InsertKey(k)
}

// abandon discards the material of a key that was not kept. A failed commit may have happened all the same, so it makes
// sure first; the caller may have gone, so its context does not count.
func (s *Service) abandon(ctx context.Context, k *Key, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	_, err := s.store.Key(ctx, k.Scope, k.ID)
	if errors.Is(err, fault.ErrNotFound) {
		err = s.material(k).Discard(ctx, k)
	}
	if err != nil || k.StoreID == "" {
		s.logDiscard(k, err)
		return
	}
	s.log.Info("discarded the material of a key that could not be kept", "key", k.ARN(), "because", why)
}

func (s *Service) logDiscard(k *Key, err error) {
	if err != nil {
		s.log.Error("key material may be left behind", "key", k.ARN(), "store", k.StoreID,
			"backingKeyId", k.Material.BackingKeyID, "error", err)
	}
}
