package sqlite

import (
	"context"
	"encoding/json"
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

// json is what audit_write takes: an array for each key.
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
