package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/journal"
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

// usage is one key's last use as it is written down.
type usage struct {
	Account   string                              `json:"account"`
	Region    string                              `json:"region"`
	KeyID     string                              `json:"keyId"`
	Operation types.KeyLastUsageTrackingOperation `json:"operation"`
	Used      int64                               `json:"used"` // milliseconds since 1970
	EventID   string                              `json:"eventId"`
	RequestID string                              `json:"requestId"`
}

// json is an array without line feeds.
func (u usages) json() ([]byte, error) {
	all := make([]usage, 0, len(u))
	for key, last := range u {
		all = append(all, usage{
			key.Scope.Account, key.Scope.Region, key.KeyID, last.Operation, millis(last.Time), last.EventID, last.RequestID,
		})
	}
	return json.Marshal(all)
}

func readUsages(text []byte) (usages, error) {
	var all []usage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading the last uses of keys: %w", err)
	}
	u := usages{}
	for _, one := range all {
		key := audit.Use{Scope: arn.Scope{Account: one.Account, Region: one.Region}, KeyID: one.KeyID}
		u[key] = kms.LastUse{Operation: one.Operation, Time: fromMillis(one.Used), EventID: one.EventID, RequestID: one.RequestID}
	}
	return u, nil
}

// merge takes in later ones.
func (u *usages) merge(later usages) {
	if *u == nil {
		*u = usages{}
	}
	for key, last := range later {
		if before, ok := (*u)[key]; !ok || !before.Time.After(last.Time) {
			(*u)[key] = last
		}
	}
}

// unsettled are the last uses that the journal tells of and the database does not yet.
type unsettled struct {
	settling sync.Mutex // held while a transaction takes them over

	mu     sync.Mutex // guards what follows
	usages usages
}

func (u *unsettled) learn(later usages) {
	if len(later) == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.usages.merge(later)
}

func (u *unsettled) take() usages {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.usages
	u.usages = nil
	return taken
}

// giveBack undoes take; what was learnt since is later.
func (u *unsettled) giveBack(taken usages) {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken.merge(u.usages)
	u.usages = taken
}

// recover learns what a journal tells that was not packed when the process ended.
func (u *unsettled) recover(j *journal.Journal, packed journal.Position) error {
	var damaged error
	err := j.Read(packed, func(record []byte, _ journal.Position) bool {
		var used usages
		head, _, _ := bytes.Cut(record, []byte{'\n'})
		used, damaged = readUsages(head)
		u.learn(used)
		return damaged == nil
	})
	return errors.Join(err, damaged)
}

// insertUsages takes usages over. The last use of a key that is gone, and one before another that is known already, are
// left out; taking one over again changes nothing.
const insertUsages = `INSERT INTO kms_last_usage (account, region, key_id, operation, used_ms, event_id, request_id)
	SELECT k.account, k.region, k.id, u.value ->> 'operation', u.value ->> 'used', u.value ->> 'eventId', u.value ->> 'requestId'
	FROM json_each(?) u CROSS JOIN kms_key k
	WHERE k.account = u.value ->> 'account' AND k.region = u.value ->> 'region' AND k.id = u.value ->> 'keyId'
	ON CONFLICT (account, region, key_id) DO UPDATE SET operation = excluded.operation, used_ms = excluded.used_ms,
		event_id = excluded.event_id, request_id = excluded.request_id
	WHERE excluded.used_ms >= used_ms`

// settle takes over the last uses of all events that were answered before, in one transaction with fn, which may be nil.
func (db *DB) settle(ctx context.Context, fn func(tx *sql.Tx) error) error {
	db.unsettled.settling.Lock()
	defer db.unsettled.settling.Unlock()
	taken := db.unsettled.take()
	if len(taken) == 0 && fn == nil {
		return nil
	}
	text, err := taken.json()
	if err != nil {
		return err
	}
	err = db.Change(ctx, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, insertUsages, string(text)); err != nil {
			return fmt.Errorf("taking over the last uses of keys: %w", err)
		}
		if fn == nil {
			return nil
		}
		return fn(tx)
	})
	if err != nil {
		db.unsettled.giveBack(taken)
	}
	return err
}

// LastUse implements kms.Store. Events whose calls were answered early, with Options.RelaxedAudit, are written first.
func (s *kmsStore) LastUse(ctx context.Context, scope arn.Scope, id string) (last kms.LastUse, tracked time.Time, err error) {
	if err := s.db.audit.flush(ctx); err != nil {
		return last, tracked, err
	}
	if err := s.db.settle(ctx, nil); err != nil {
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
