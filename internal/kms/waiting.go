package kms

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// agree brings the state of material that waits for a rotation to what the family has got, and keeps what that changes:
// it may become current once every member has it (AWS KMS API Reference, RotationsListEntry). Members in kept are kept by
// the caller.
func agree(tx Tx, family []*Key, kept ...*Key) error {
	state := types.KeyMaterialStatePendingRotation
	for _, member := range family {
		if m := member.waiting(); m != nil && !m.held() {
			state = types.KeyMaterialStatePendingMultiRegionImportAndRotation
		}
	}
	for _, member := range family {
		m := member.waiting()
		if m == nil || m.State == state {
			continue
		}
		member.Others = slices.Clone(member.Others)
		member.waiting().State = state
		if slices.Contains(kept, member) {
			continue
		}
		if err := tx.UpdateKey(member); err != nil {
			return err
		}
	}
	return nil
}
