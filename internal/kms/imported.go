package kms

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// imported reports whether the key's material comes from its owner.
func (k *Key) imported() bool { return k.Origin == types.OriginTypeExternal }

// told is the id of one of the key's materials as callers and events see it. Only symmetric encryption keys, which can
// have several, show such ids (AWS KMS API Reference, ImportKeyMaterial); for all others it is nil.
func (k *Key) told(materialID string) *string {
	if k.Spec != types.KeySpecSymmetricDefault {
		return nil
	}
	return optional(materialID)
}

// held reports whether the material itself is there; imported material can be gone while its record stays.
func (m *MaterialRecord) held() bool { return len(m.Wrapped) > 0 }

// expiration of imported material that is there.
func (m *MaterialRecord) expiration() (types.ExpirationModelType, *time.Time) {
	if m.ValidTo.IsZero() {
		return types.ExpirationModelTypeKeyMaterialDoesNotExpire, nil
	}
	return types.ExpirationModelTypeKeyMaterialExpires, &m.ValidTo
}

// expiration of the first of the key's imported materials that expires; nothing for keys whose current material is gone,
// or was never there. Material that waits for a rotation does not count: it does not belong to the key for good (AWS KMS
// API Reference, KeyMetadata).
func (k *Key) expiration() (model types.ExpirationModelType, validTo *time.Time) {
	if !k.imported() || !k.Material.held() {
		return "", nil
	}
	model, validTo = k.Material.expiration()
	for i := range k.Others {
		m := &k.Others[i]
		if m.State != types.KeyMaterialStateNonCurrent || m.ValidTo.IsZero() {
			continue
		}
		if validTo == nil || m.ValidTo.Before(*validTo) {
			model, validTo = m.expiration()
		}
	}
	return model, validTo
}

// drop forgets the material and keeps what it was.
func (m *MaterialRecord) drop() { m.Wrapped, m.ValidTo = nil, time.Time{} }

// complete reports whether all material is there that belongs to the key for good: what is current and what was. Only
// imported material is ever missing.
func (k *Key) complete() bool {
	if !k.imported() {
		return true
	}
	for i := range k.Others {
		if k.Others[i].State == types.KeyMaterialStateNonCurrent && !k.Others[i].held() {
			return false
		}
	}
	return k.Material.held()
}
