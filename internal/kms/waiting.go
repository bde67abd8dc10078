package kms

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// waiting is the imported material that a rotation would make current, once all related keys have it; nil if there is none.
func (k *Key) waiting() *MaterialRecord {
	i := slices.IndexFunc(k.Others, func(m MaterialRecord) bool { return m.State != types.KeyMaterialStateNonCurrent })
	if i < 0 {
		return nil
	}
	return &k.Others[i]
}

// ready reports whether the waiting material may become current.
func (k *Key) ready() bool {
	m := k.waiting()
	return m != nil && m.State == types.KeyMaterialStatePendingRotation
}

// agree gives material that waits for a rotation the state that follows from which members of the family have it: it may
// become current once all have (AWS KMS API Reference, RotationsListEntry). A rotation that was asked for and can no longer
// happen is called off. Members that this changes are stored, but for those in kept, which the caller stores anyway.
func agree(tx Tx, family []*Key, kept ...*Key) error {
	state := types.KeyMaterialStatePendingRotation
	for _, member := range family {
		if m := member.waiting(); m != nil && !m.held() {
			state = types.KeyMaterialStatePendingMultiRegionImportAndRotation
		}
	}
	for _, member := range family {
		if !member.imported() || !member.settleWaiting(state) || slices.Contains(kept, member) {
			continue
		}
		if err := tx.UpdateKey(member); err != nil {
			return err
		}
	}
	return nil
}

// settleWaiting puts k's waiting material, if any, into a state, and says whether that changed k.
func (k *Key) settleWaiting(state types.KeyMaterialState) (changed bool) {
	if m := k.waiting(); m != nil && m.State != state {
		k.Others = slices.Clone(k.Others)
		k.waiting().State = state
		changed = true
	}
	if !k.ready() && !k.Rotation.Started.IsZero() {
		k.Rotation.Started = time.Time{}
		k.Rotation.OnDemand--
		changed = true
	}
	return changed
}
