package sqlite

import (
	"context"
	"database/sql"
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
			Operation: types.KeyLastUsageTrackingOperation(e.Name), Time: e.Time, EventID: e.ID, RequestID: e.RequestID,
		}
	}
}

// upsertUsage keeps a key's last use unless a later one is known already or the key is gone.
const upsertUsage = `INSERT INTO kms_last_usage (account, region, key_id, operation, used_ms, event_id, request_id)
	SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM kms_key WHERE account = ?1 AND region = ?2 AND id = ?3)
	ON CONFLICT (account, region, key_id) DO UPDATE SET
		operation = excluded.operation, used_ms = excluded.used_ms, event_id = excluded.event_id, request_id = excluded.request_id
	WHERE excluded.used_ms >= used_ms`

// write keeps all of them with a statement that was prepared from upsertUsage.
func (u usages) write(ctx context.Context, upsert *sql.Stmt) error {
	for key, last := range u {
		_, err := upsert.ExecContext(ctx, key.Scope.Account, key.Scope.Region, key.KeyID,
			string(last.Operation), millis(last.Time), last.EventID, last.RequestID)
		if err != nil {
			return fmt.Errorf("keeping the last use of a key: %w", err)
		}
	}
	return nil
}

// LastUse implements kms.Store. Events whose calls were answered early, with Options.RelaxedAudit, are written first.
func (s *kmsStore) LastUse(ctx context.Context, scope arn.Scope, id string) (last kms.LastUse, tracked time.Time, err error) {
	if err := s.db.audit.flush(ctx); err != nil {
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
