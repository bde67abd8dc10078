package kms

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// imported reports whether the key's material comes from its owner.
func (k *Key) imported() bool { return k.Origin == types.OriginTypeExternal }

// held reports whether the material itself is there; imported material can be gone while its record stays.
func (m *MaterialRecord) held() bool { return len(m.Wrapped) > 0 }

// expiration of imported material that is there.
func (m *MaterialRecord) expiration() (types.ExpirationModelType, *time.Time) {
	if m.ValidTo.IsZero() {
		return types.ExpirationModelTypeKeyMaterialDoesNotExpire, nil
	}
	return types.ExpirationModelTypeKeyMaterialExpires, &m.ValidTo
}
