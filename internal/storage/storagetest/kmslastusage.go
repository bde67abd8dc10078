package storagetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/kms"
)

// use is the event of a call that used keys, a number of seconds after instant.
func use(operation string, second int, keys ...*kms.Key) *audit.Event {
	e := &audit.Event{
		ID: fmt.Sprint("event-", operation, second), RequestID: fmt.Sprint("request-", second), Name: operation,
		Time: instant.Add(time.Duration(second) * time.Second),
	}
	for _, k := range keys {
		e.Used = append(e.Used, audit.Use{Scope: k.Scope, KeyID: k.ID})
	}
	return e
}

func record(t *testing.T, e KMSEngine, events ...*audit.Event) {
	t.Helper()
	for _, event := range events {
		if err := e.Recorder.Record(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
}

// lastUse checks what is known of a key.
func lastUse(t *testing.T, e KMSEngine, k *kms.Key, want kms.LastUse) {
	t.Helper()
	got, tracked, err := e.Store.LastUse(t.Context(), k.Scope, k.ID)
	if err != nil || !tracked.IsZero() {
		t.Fatal(err, tracked)
	}
	same(t, want, got)
}

func seen(operation string, second int) kms.LastUse {
	e := use(operation, second)
	return kms.LastUse{
		Operation: types.KeyLastUsageTrackingOperation(operation), Time: e.Time, EventID: e.ID, RequestID: e.RequestID,
	}
}

func lastUses(t *testing.T, e KMSEngine) {
	a, b, c := newKey(here), newKey(here), newKey(there)
	c.ID, c.PrimaryRegion = a.ID, here.Region // the same id elsewhere is another key
	insert(t, e.Store, a, b, c)
	refused := use("Encrypt", 9, a)
	refused.ErrorCode = "DisabledException"
	record(t, e, use("Encrypt", 1, a), use("ReEncrypt", 2, a, b), use("Sign", 1, b), refused, use("ListKeys", 9))
	lastUse(t, e, a, seen("ReEncrypt", 2))
	lastUse(t, e, b, seen("ReEncrypt", 2))
	lastUse(t, e, c, kms.LastUse{})
	record(t, e, use("Decrypt", 2, a))
	lastUse(t, e, a, seen("Decrypt", 2))

	change(t, e.Store, func(tx kms.Tx) error { return tx.DeleteKey(a) })
	lastUse(t, e, a, kms.LastUse{})
	gone := use("Encrypt", 3, a, b) // its key was deleted while the call was on its way
	record(t, e, gone)
	lastUse(t, e, a, kms.LastUse{})
	lastUse(t, e, b, seen("Encrypt", 3))
	if events := e.Events(); events[len(events)-1] != gone.ID {
		t.Errorf("the event of a deleted key's use is lost: %v", events)
	}
	insert(t, e.Store, a)
	lastUse(t, e, a, kms.LastUse{})
}

// concurrentUses shares batches among keys and checks that each key keeps its own last use.
func concurrentUses(t *testing.T, e KMSEngine) {
	const keys, calls = 8, 25
	all := make([]*kms.Key, keys)
	for i := range all {
		all[i] = newKey(here)
	}
	insert(t, e.Store, all...)
	var running sync.WaitGroup
	for second := range calls {
		for _, k := range all {
			running.Go(func() {
				if err := e.Recorder.Record(t.Context(), use("Encrypt", second, k)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	running.Wait()
	for _, k := range all {
		lastUse(t, e, k, seen("Encrypt", calls-1))
	}
}
