package kms

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// symmetric is the only algorithm of symmetric encryption keys.
const symmetric = types.EncryptionAlgorithmSpecSymmetricDefault

// use is one key in a cryptographic call.
type use struct {
	question
	usage     types.KeyUsageType
	algorithm string
	// prefix of the key's member in the event: "", "source", "destination".
	prefix string
}

// encryption is the use of a key to encrypt or decrypt.
func encryption(q question, algorithm types.EncryptionAlgorithmSpec, prefix string) use {
	q.accepts, q.request = byAnyName, withEncryption(algorithm)
	return use{q, types.KeyUsageTypeEncryptDecrypt, string(algorithm), prefix}
}

// usable finds a key for cryptography and checks all that does not depend on the data.
func (s *Service) usable(ctx context.Context, call *operation.Call, u use, name string) (*snapshot, error) {
	k, err := s.key(ctx, call, u.question, name)
	if err != nil {
		return nil, err
	}
	return k, s.fit(call, u, k)
}

// fit goes through key state, usage and algorithm, in this order (AWS does not document the order of state and usage).
// Keys in custom key stores are for encryption only: what they are not for they refuse in any state.
func (s *Service) fit(call *operation.Call, u use, k *snapshot) error {
	noteMaterial(call, k, &k.Material, u.prefix)
	noteUse(call, u.operation, k)
	if k.StoreID != "" && k.Usage != u.usage {
		return wrongUsage(k.Key, u.operation)
	}
	if err := s.permits(u.operation, k.Key); err != nil {
		return err
	}
	if k.Usage != u.usage {
		return wrongUsage(k.Key, u.operation)
	}
	if !algorithmsOf(k.Key).include(u.algorithm) {
		return u.wrongAlgorithm(k.Key)
	}
	return nil
}

// wrongAlgorithm answers for an algorithm that k does not have.
func (u *use) wrongAlgorithm(k *Key) error {
	if strings.HasPrefix(u.operation, "GenerateDataKey") { // whose caller chooses none
		return errAsymmetric
	}
	return fault.New("InvalidKeyUsageException", "Algorithm %s is incompatible with key spec %s.", u.algorithm, k.Spec)
}

// noteMaterial notes in the event of a cryptographic call which of the key's materials it uses and where that is; the
// first note counts. m is nil if the key has no such material; imported material has no id before it came. Only symmetric
// encryption keys can have several, and events of others tell of none.
func noteMaterial(call *operation.Call, k *snapshot, m *MaterialRecord, prefix string) {
	if m == nil || k.Spec != types.KeySpecSymmetricDefault || m.ID == "" && k.StoreID == "" {
		return
	}
	if k.StoreID == "" {
		name := "keyMaterialId"
		if prefix != "" {
			name = prefix + "KeyMaterialId"
		}
		addOnce(&call.Event.Additional, name, m.ID)
		return
	}
	addOnce(&call.Event.Additional, "customKeyStoreId", k.StoreID)
	addOnce(&call.Event.Additional, "backingKey", backingKey(k.Key))
}

// backingKey is JSON inside a string, as CloudTrail has it.
func backingKey(k *Key) string { return `{"backingKeyId":"` + k.Material.BackingKeyID + `"}` }

func backingKeys(k *Key) string { return "[" + backingKey(k) + "]" }

// addOnce adds a member whose name is not there yet.
func addOnce(to *audit.Members, name string, value any) {
	for _, m := range *to {
		if m.Name == name {
			return
		}
	}
	to.Add(name, value)
}

// seal encrypts under k, bound to the encryption context.
func (s *Service) seal(ctx context.Context, k *snapshot, context map[string]string, plaintext []byte) ([]byte, error) {
	sealed, err := s.material(k.Key).Seal(ctx, k.Key, authenticated(&k.header, k.identity, context), plaintext)
	if err != nil {
		return nil, unexpected("encrypting", err)
	}
	blob := make([]byte, 0, headerSize+markSize+len(sealed))
	blob = append(append(blob, k.header[:]...), s.marks.current(k)[:]...)
	return append(blob, sealed...), nil
}

// open reverses seal for a ciphertext whose header names k.
func (s *Service) open(ctx context.Context, k *snapshot, h *header, sealed []byte, context map[string]string) ([]byte, error) {
	m := k.sealedBy(h)
	if m == nil {
		return nil, invalidCiphertext(errBlob) // not a material of this key
	}
	plaintext, err := s.material(k.Key).Open(ctx, k.Key, m, authenticated(h, k.identity, context), sealed)
	if errors.Is(err, ErrBadCiphertext) {
		return nil, invalidCiphertext(err)
	}
	if err != nil {
		return nil, unexpected("decrypting", err)
	}
	return plaintext, nil
}
