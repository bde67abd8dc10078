package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/kms"
)

// usages are the last uses of keys that a batch of events tells of: one for each key, however often it was used.
type usages map[audit.Use]kms.LastUse

// add takes in what e tells, if its call succeeded.
func (u *usages) add(e *audit.Event) {
	if len(e.Used) == 0 || e.ErrorCode != "" {
		return
	}
	if *u == nil {
		*u = usages{}
	}
	for _, key := range e.Used {
		if last, ok := (*u)[key]; ok && last.Time.After(e.Time) {
			continue // its event was made later, but joined the batch earlier
		}
		(*u)[key] = kms.LastUse{
			Operation: types.KeyLastUsageTrackingOperation(e.Name), Time: e.Time, EventID: e.IDFor(key.Scope.Account), RequestID: e.RequestID,
		}
	}
}

// json is how usages are kept beside their batch: an array for each key.
func (u usages) json() (string, error) {
	all := make([][7]any, 0, len(u))
	for key, last := range u {
		all = append(all, [7]any{
			key.Scope.Account, key.Scope.Region, key.KeyID, last.Operation, millis(last.Time), last.EventID, last.RequestID,
		})
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// settleUsages takes over what batches tell of keys. The last use of a key that is gone, and one before another that is
// known already, are left out; taking a batch over again changes nothing.
const settleUsages = `INSERT INTO kms_last_usage (account, region, key_id, operation, used_ms, event_id, request_id)
	SELECT k.account, k.region, k.id, u.value ->> 3, u.value ->> 4, u.value ->> 5, u.value ->> 6
	FROM audit_batch b CROSS JOIN json_each(b.used) u CROSS JOIN kms_key k
	WHERE b.seq > ? AND b.seq <= ? AND k.account = u.value ->> 0 AND k.region = u.value ->> 1 AND k.id = u.value ->> 2
	ORDER BY b.seq
	ON CONFLICT (account, region, key_id) DO UPDATE SET operation = excluded.operation, used_ms = excluded.used_ms,
		event_id = excluded.event_id, request_id = excluded.request_id
	WHERE excluded.used_ms >= used_ms`

// settle takes over the usages of all batches up to one, which is among those that are waiting.
func (r *recorder) settle(ctx context.Context, tx *sql.Tx, upTo int64) error {
	if _, err := tx.ExecContext(ctx, settleUsages, r.settled.Load(), upTo); err != nil {
		return fmt.Errorf("taking over the last uses of keys: %w", err)
	}
	return nil
}

// hasSettled notes that settle's transaction is kept. What packs and who asks may come at the same time.
func (r *recorder) hasSettled(upTo int64) {
	for {
		before := r.settled.Load()
		if before >= upTo || r.settled.CompareAndSwap(before, upTo) {
			return
		}
	}
}

// settleAll takes over the usages of all events that were answered before. Events whose calls were answered early, with
// Options.RelaxedAudit, are written first.
func (db *DB) settleAll(ctx context.Context) error {
	if err := db.audit.flush(ctx); err != nil {
		return err
	}
	var last int64
	if err := db.read.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM audit_batch`).Scan(&last); err != nil {
		return err
	}
	if last <= db.audit.settled.Load() {
		return nil
	}
	err := db.Change(ctx, nil, func(tx *sql.Tx) error { return db.audit.settle(ctx, tx, last) })
	if err == nil {
		db.audit.hasSettled(last)
	}
	return err
}

// LastUse implements kms.Store.
func (s *kmsStore) LastUse(ctx context.Context, scope arn.Scope, id string) (last kms.LastUse, tracked time.Time, err error) {
	if err := s.db.settleAll(ctx); err != nil {
		return last, tracked, err
	}
	var started, used int64
	err = s.db.read.QueryRowContext(ctx, `SELECT coalesce((SELECT max(started_ms) FROM kms_usage_tracking), 0),
		coalesce(operation, ''), coalesce(used_ms, 0), coalesce(event_id, ''), coalesce(request_id, '')
		FROM (SELECT 1) LEFT JOIN kms_last_usage ON account = ? AND region = ? AND key_id = ?`,
		scope.Account, scope.Region, id).Scan(&started, &last.Operation, &used, &last.EventID, &last.RequestID)
	last.Time = fromMillis(used)
	return last, fromMillis(started), err
}
