package kms_test

import (
	"sync"
	"testing"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/keystatetest"
	"keyward/internal/kms"
)

// stateAPI is the service as package keystatetest plays the table of key states against it. Nothing happens to keys in
// the background, so transient states last until Settle.
type stateAPI struct{ *world }

func (a stateAPI) Invoke(region, name string, in any) (out any, err error) {
	a.in(region, func() { out, err = a.invoke(a.call(name), name, in) })
	return out, err
}

func (a stateAPI) Refusal(err error) (code, message string) {
	if f, ok := fault.As(err); ok {
		return f.Code, f.Message
	}
	return "", err.Error()
}

func (a stateAPI) Store() string { return storeID }
func (a stateAPI) Disconnect()   { a.stores.connect(false) }
func (a stateAPI) Settle()       { a.settleAll() }

// TestEveryRowOfTheStateTable plays each row of key-states.csv.
func TestEveryRowOfTheStateTable(t *testing.T) {
	keystatetest.Play(t, stateAPI{slow(t)}, admin.ARN, "key-states.csv")
}

func TestReEncryptChecksBothKeysSourceFirst(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	first, second := w.createKey(), w.createKey()
	blob := w.encrypt(*first.KeyId, "x", nil)
	w.must("DisableKey", &awskms.DisableKeyInput{KeyId: second.KeyId})
	in := &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: second.KeyId}
	w.refused("ReEncrypt", in, "DisabledException", *second.Arn+" is disabled.")
	w.must("DisableKey", &awskms.DisableKeyInput{KeyId: first.KeyId})
	w.refused("ReEncrypt", in, "DisabledException", *first.Arn+" is disabled.")
}

func TestUnavailableKeepsWhatIsUnderneath(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createStoreKey().KeyId
	w.stores.connect(false)
	reads := func(want types.KeyState, enabled bool) {
		t.Helper()
		if m := w.describe(id); m.KeyState != want || m.Enabled != enabled {
			t.Errorf("state %s, enabled %v; want %s, %v", m.KeyState, m.Enabled, want, enabled)
		}
	}
	reads(types.KeyStateUnavailable, false)
	w.must("DisableKey", &awskms.DisableKeyInput{KeyId: &id})
	reads(types.KeyStateUnavailable, false)
	w.stores.connect(true)
	reads(types.KeyStateDisabled, false)
	w.stores.connect(false)
	w.must("EnableKey", &awskms.EnableKeyInput{KeyId: &id})
	w.stores.connect(true)
	reads(types.KeyStateEnabled, true)

	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: &id})
	w.stores.connect(false)
	reads(types.KeyStatePendingDeletion, false)
	w.must("CancelKeyDeletion", &awskms.CancelKeyDeletionInput{KeyId: &id})
	reads(types.KeyStateUnavailable, false)
	w.stores.connect(true)
	reads(types.KeyStateDisabled, false)
}

// TestAcknowledgedStateCountsAtOnce: as soon as DisableKey or EnableKey has answered, every further call sees it,
// however many others are reading the key meanwhile.
func TestAcknowledgedStateCountsAtOnce(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := w.createKey().KeyId
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					w.describe(*id)
				}
			}
		})
	}
	defer readers.Wait()
	defer close(done) // also if one of the calls below ends the test
	for range 10 {
		w.must("DisableKey", &awskms.DisableKeyInput{KeyId: id})
		w.refused("Encrypt", &awskms.EncryptInput{KeyId: id, Plaintext: []byte("x")}, "DisabledException", home.Key(*id)+" is disabled.")
		w.must("EnableKey", &awskms.EnableKeyInput{KeyId: id})
		w.encrypt(*id, "x", nil)
	}
}
