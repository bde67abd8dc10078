package keystore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"keyward/internal/arn"
	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/kms"
)

var _ kms.KeyStores = (*Manager)(nil)

// backingKeyIDLength in bytes. Ids are random, so that a key can never be taken for another store's or another key's.
const backingKeyIDLength = 32

// attributes of backing keys beside the defaults (spec hsm 6.2): they never leave, and only encrypt and decrypt.
var attributes = map[string]bool{
	"extractable": false,
	"encrypt":     true,
	"decrypt":     true,
	"sign":        false,
	"verify":      false,
}

// Available implements kms.Material. It takes no lock.
func (m *Manager) Available(k *kms.Key) bool {
	e := m.entry(k.StoreID)
	if e == nil || !e.usable {
		return false
	}
	return !e.link.inventory.Load().lacks(k)
}

// Cluster implements kms.KeyStores; empty for an unknown store.
func (m *Manager) Cluster(storeID string) string {
	if e := m.entry(storeID); e != nil {
		return e.record.ClusterID
	}
	return ""
}

// Admit implements kms.KeyStores, in the order of spec key-stores 7.1.
func (m *Manager) Admit(ctx context.Context, scope arn.Scope, storeID string) error {
	e, err := m.connected(scope, storeID, connection.CreateKey)
	if err != nil {
		return err
	}
	c, err := m.clusters.Cluster(ctx, scope, e.record.ClusterID)
	if errors.Is(err, fault.ErrNotFound) {
		return misconfigured(needTwoHsms)
	}
	if err != nil {
		return err
	}
	if c.zones() < 2 {
		return misconfigured(needTwoHsms)
	}
	return nil
}

// connected finds a store for an operation that names the store itself.
func (m *Manager) connected(scope arn.Scope, storeID string, t connection.Trigger) (*entry, error) {
	e := m.entry(storeID)
	if e == nil || e.record.Scope != scope {
		return nil, notFound(storeID)
	}
	if connection.Next(e.record.State, t).Verdict != connection.Go {
		return nil, invalidState(e.record, t)
	}
	return e, nil
}

// Generate implements kms.Material: an AES-256 key in the cluster, on at least two HSMs, labelled with the key's ARN.
func (m *Manager) Generate(ctx context.Context, k *kms.Key) (kms.MaterialRecord, error) {
	e, err := m.connected(k.Scope, k.StoreID, connection.CreateKey)
	if err != nil {
		return kms.MaterialRecord{}, err
	}
	pool, err := e.link.ready(ctx)
	if err != nil {
		return kms.MaterialRecord{}, m.refusal(err, k)
	}
	id := make([]byte, backingKeyIDLength)
	_, _ = rand.Read(id) // never fails
	_, err = pool.GenerateKey(ctx, hsmproto.GenerateKeyRequest{
		Label: k.ARN(), ID: id, Length: 32, Set: attributes, MinHsms: 2,
	})
	if err != nil {
		m.cleanUp(ctx, pool, k, id, err)
		return kms.MaterialRecord{}, m.refusal(err, k)
	}
	return kms.MaterialRecord{BackingKeyID: hex.EncodeToString(id)}, nil
}

// cleanUpTime bounds the removal of a key that may or may not have come about.
const cleanUpTime = 3 * time.Second

// cleanUp removes what a failed generation may have left. What it cannot remove is reported as an orphan.
func (m *Manager) cleanUp(ctx context.Context, pool Pool, k *kms.Key, id []byte, cause error) {
	var answer *hsmproto.Error
	if !errors.Is(cause, hsmclient.ErrAmbiguous) && (errors.As(cause, &answer) || errors.Is(cause, hsmclient.ErrUnreachable)) {
		return // the HSMs did nothing
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	if err := discard(ctx, pool, id); err != nil {
		m.log.Error("a key may be left in the cluster without a KMS key: look for it by its id",
			"keyStore", k.StoreID, "backingKeyId", hex.EncodeToString(id), "error", err)
	}
}

// Discard implements kms.Material: it deletes the key that carries the KMS key's backing key id, if kmsuser owns it.
// A key that is gone already is no error.
func (m *Manager) Discard(ctx context.Context, k *kms.Key) error {
	pool, id, err := m.access(ctx, k)
	if err != nil {
		return err
	}
	if err := discard(ctx, pool, id); err != nil {
		return m.refusal(err, k)
	}
	return nil
}

func discard(ctx context.Context, pool Pool, id []byte) error {
	found, err := pool.FindKeys(ctx, hsmproto.FindKeysRequest{ID: &id})
	if err != nil {
		return err
	}
	for _, key := range found.Keys {
		if key.Owner != kmsuser {
			continue
		}
		err := pool.DeleteKey(ctx, key.Reference)
		if err != nil && !isCode(err, hsmproto.CodeKeyNotFound) {
			return err
		}
	}
	return nil
}

// Seal implements kms.Material. The IV is made in the HSM.
func (m *Manager) Seal(ctx context.Context, k *kms.Key, aad, plaintext []byte) ([]byte, error) {
	pool, id, err := m.session(ctx, k)
	if err != nil {
		return nil, err
	}
	sealed, err := pool.Encrypt(ctx, cryptRequest(id, aad, plaintext))
	return sealed, m.refusal(err, k)
}

// Open implements kms.Material.
func (m *Manager) Open(ctx context.Context, k *kms.Key, _ *kms.MaterialRecord, aad, sealed []byte) ([]byte, error) {
	pool, id, err := m.session(ctx, k)
	if err != nil {
		return nil, err
	}
	plaintext, err := pool.Decrypt(ctx, cryptRequest(id, aad, sealed))
	return plaintext, m.refusal(err, k)
}

func cryptRequest(id, aad, data []byte) hsmproto.CryptRequest {
	return hsmproto.CryptRequest{ID: id, Mechanism: hsmproto.MechanismXAES256GCM, AAD: aad, Data: data}
}

// Random implements kms.Material.
func (m *Manager) Random(ctx context.Context, k *kms.Key, n int) ([]byte, error) {
	pool, _, err := m.session(ctx, k)
	if err != nil {
		return nil, err
	}
	random, err := pool.Random(ctx, n)
	return random, m.refusal(err, k)
}

// RandomOf implements kms.KeyStores.
func (m *Manager) RandomOf(ctx context.Context, scope arn.Scope, storeID string, n int) ([]byte, error) {
	e, err := m.connected(scope, storeID, connection.Random)
	if err != nil {
		return nil, err
	}
	if !e.limit.Admit(m.now()) {
		return nil, kms.ErrThrottled
	}
	pool, err := e.link.ready(ctx)
	if err != nil {
		return nil, m.refusal(err, nil)
	}
	random, err := pool.Random(ctx, n)
	return random, m.refusal(err, nil)
}

// session is the way of every cryptographic operation: it counts towards the store's rate.
func (m *Manager) session(ctx context.Context, k *kms.Key) (Pool, []byte, error) {
	if e := m.entry(k.StoreID); e != nil && e.usable && !e.limit.Admit(m.now()) {
		return nil, nil, kms.ErrThrottled
	}
	return m.access(ctx, k)
}

// access gives the store's pool and the key's id in the cluster.
func (m *Manager) access(ctx context.Context, k *kms.Key) (Pool, []byte, error) {
	e := m.entry(k.StoreID)
	if e == nil || !e.usable {
		return nil, nil, keyState(nil, "%s is unavailable.", k.ARN())
	}
	id, err := hex.DecodeString(k.Material.BackingKeyID)
	if err != nil || len(id) == 0 {
		return nil, nil, fmt.Errorf("keystore: key %s has no backing key id", k.ID)
	}
	pool, err := e.link.ready(ctx)
	if err != nil {
		return nil, nil, m.refusal(err, k)
	}
	return pool, id, nil
}

// refusal is what the caller is told of a failure in the cluster (spec key-stores 9). k is nil where no key is
// concerned.
func (m *Manager) refusal(err error, k *kms.Key) error {
	var answer *hsmproto.Error
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &answer):
		return m.unanswered(err)
	}
	switch answer.Code {
	case hsmproto.CodeBadCiphertext:
		return kms.ErrBadCiphertext
	case hsmproto.CodeKeyNotFound, hsmproto.CodeKeyAttribute, hsmproto.CodeKeyAccess:
		if k == nil {
			return err
		}
		return keyState(err, textNoKey, k.ARN())
	case hsmproto.CodeLocked:
		return keyState(err, textLockedOut)
	case hsmproto.CodeNoSession:
		return fault.Internal("KMSInternalException", err, textNoSession)
	case hsmproto.CodeKeyAvailability:
		return misconfigured(needTwoHsms)
	case hsmproto.CodeCapacity:
		return fault.New("LimitExceededException", "Your AWS CloudHSM cluster cannot hold any more keys.").Because(err)
	case hsmproto.CodeUnavailable, hsmproto.CodeNotLoggedIn, hsmproto.CodeIncorrectCredentials,
		hsmproto.CodeUserLoggedIn, hsmproto.CodeUserExclusive:
		return keyState(err, textUnreachable)
	default:
		return err
	}
}

// unanswered tells a cluster that cannot be reached from a failure of keyward's own.
func (m *Manager) unanswered(err error) error {
	if passing(err) || errors.Is(err, hsmclient.ErrUntrusted) || errors.Is(err, hsmclient.ErrAmbiguous) ||
		errors.Is(err, hsmclient.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		return keyState(err, textUnreachable)
	}
	return err
}
