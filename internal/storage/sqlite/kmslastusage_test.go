package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
)

// insertKeys makes a number of keys whose ids count up in 8 hex digits.
const insertKeys = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
	INSERT INTO kms_key (account, region, id, version, created_ms, description, spec, usage, origin, state, deletion_ms, store_id,
		policy, tags, material_id, wrapped, backing_key_id)
	SELECT '1', 'r', printf('%08x', i), 1, 1, '', '', '', '', '', 0, '', '', '[]', '', x'', '' FROM n`

// TestTrackingBeginsWithTheMigration opens a database of a version that did not track uses yet.
func TestTrackingBeginsWithTheMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	old := openOld(t, path, 13)
	_, err := old.Exec(insertKeys, 1)
	if err := errors.Join(err, old.Close()); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Truncate(time.Millisecond)
	db := open(t, path, false)
	last, tracked, err := db.KMS().LastUse(t.Context(), arn.Scope{Account: "1", Region: "r"}, "00000000")
	if err != nil || last.Operation != "" || tracked.Before(before) || tracked.After(time.Now()) {
		t.Errorf("%v tracked since %v, %v; want now, %v", last, tracked, err, before)
	}
}

// TestLastUseIsKeptWithItsEvent looks at relaxed events, which are answered before they are written.
func TestLastUseIsKeptWithItsEvent(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "keyward.db"), Options{Create: true, RelaxedAudit: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := db.write.Exec(insertKeys, 1); err != nil {
		t.Fatal(err)
	}
	scope := arn.Scope{Account: "1", Region: "r"}
	e := event("used")
	e.Used = []audit.Use{{Scope: scope, KeyID: "00000000"}}
	if err := db.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	last, _, err := db.KMS().LastUse(t.Context(), scope, "00000000")
	if err != nil || last.EventID != "used" || string(last.Operation) != e.Name || !last.Time.Equal(e.Time) {
		t.Errorf("%v, %v", last, err)
	}
}

// TestUsesOutliveTheirEvents: what a batch tells of keys is known when its events are packed, and after a restart.
func TestUsesOutliveTheirEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	db := open(t, path, true)
	if _, err := db.write.Exec(insertKeys, 2); err != nil {
		t.Fatal(err)
	}
	scope := arn.Scope{Account: "1", Region: "r"}
	use := func(id, key string) {
		e := event(id)
		e.Used = []audit.Use{{Scope: scope, KeyID: key}}
		if err := db.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	lastUsed := func(key, by string) {
		t.Helper()
		last, _, err := db.KMS().LastUse(t.Context(), scope, key)
		if err != nil || last.EventID != by {
			t.Errorf("%s was last used by %q, %v; want %s", key, last.EventID, err, by)
		}
	}
	use("packed", "00000000")
	pack(t, db)
	use("asked for", "00000001")
	lastUsed("00000000", "packed")
	lastUsed("00000001", "asked for")
	use("waiting", "00000001")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, false)
	lastUsed("00000001", "waiting")
	pack(t, db)
	lastUsed("00000000", "packed")
	lastUsed("00000001", "waiting")
}

// pack removes all waiting events, as the trail does once it has them in segments.
func pack(t *testing.T, db *DB) {
	t.Helper()
	upTo, more, err := db.Trail().Waiting(t.Context(), func([]byte) bool { return true })
	if err == nil {
		err = db.Trail().Pack(t.Context(), nil, upTo)
	}
	if err != nil || more {
		t.Fatal(more, err)
	}
}

// BenchmarkRecordUse is BenchmarkRecord for events that tell of keys' uses: of one key, and of another key each.
func BenchmarkRecordUse(b *testing.B) {
	for name, keys := range map[string]int{"one key": 1, "10,000 keys": 10_000} {
		b.Run(name, func(b *testing.B) {
			db := open(b, filepath.Join(b.TempDir(), "keyward.db"), true)
			if _, err := db.write.Exec(insertKeys, keys); err != nil {
				b.Fatal(err)
			}
			var next atomic.Int64
			b.SetParallelism(32)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e := event("1234abcd-12ab-34cd-56ef-1234567890ab")
					e.Used = []audit.Use{{Scope: arn.Scope{Account: "1", Region: "r"}, KeyID: fmt.Sprintf("%08x", next.Add(1)%int64(keys))}}
					if err := db.Record(context.Background(), e); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
