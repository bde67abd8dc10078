package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/kms"
)

// KMS is the store of keys and aliases.
func (db *DB) KMS() kms.Store { return &kmsStore{db: db} }

type kmsStore struct {
	db *DB
	// The reads of calls that miss the cache, prepared once; they end with the database's connections.
	key, alias, grants statement
}

// statement is prepared at its first use.
type statement struct {
	once sync.Once
	stmt *sql.Stmt
	err  error
}

func (s *statement) on(db *sql.DB, query string) (*sql.Stmt, error) {
	s.once.Do(func() { s.stmt, s.err = db.Prepare(query) })
	return s.stmt, s.err
}

const (
	keyColumns = `account, region, id, version, created_ms, description, spec, usage, origin, state, deletion_ms, store_id,
		policy, tags, material_id, wrapped, backing_key_id, primary_region, details`
	selectKey = `SELECT ` + keyColumns + ` FROM kms_key WHERE account = ? AND region = ? AND id = ?`
	// SQLite would rather look through all keys of the account, which are in the order of their Regions already.
	selectRelated = `SELECT ` + keyColumns + ` FROM kms_key INDEXED BY kms_key_id WHERE id = ? AND account = ? AND primary_region <> ''
		ORDER BY region`
	aliasColumns  = `account, region, name, key_id, created_ms, updated_ms`
	selectAlias   = `SELECT ` + aliasColumns + ` FROM kms_alias WHERE account = ? AND region = ? AND name = ?`
	selectAliases = `SELECT ` + aliasColumns + ` FROM kms_alias WHERE account = ? AND region = ? AND name > ? ORDER BY name LIMIT ?`
	// SQLite would rather look through all aliases of the account.
	aliasesOfKey = `SELECT ` + aliasColumns + ` FROM kms_alias INDEXED BY kms_alias_key
		WHERE account = ? AND region = ? AND key_id = ? AND name > ? ORDER BY name LIMIT ?`
	countAliases = `SELECT count(*) FROM kms_alias WHERE account = ? AND region = ? AND key_id = ?`
)

func (s *kmsStore) Key(ctx context.Context, scope arn.Scope, id string) (*kms.Key, error) {
	stmt, err := s.key.on(s.db.read, selectKey)
	if err != nil {
		return nil, err
	}
	return scanKey(stmt.QueryRowContext(ctx, scope.Account, scope.Region, id))
}

func (s *kmsStore) Alias(ctx context.Context, scope arn.Scope, name string) (*kms.Alias, error) {
	stmt, err := s.alias.on(s.db.read, selectAlias)
	if err != nil {
		return nil, err
	}
	return scanAlias(stmt.QueryRowContext(ctx, scope.Account, scope.Region, name))
}

func (s *kmsStore) Keys(ctx context.Context, scope arn.Scope, after string, limit int) ([]string, error) {
	rows, err := s.db.read.QueryContext(ctx,
		`SELECT id FROM kms_key WHERE account = ? AND region = ? AND id > ? ORDER BY id LIMIT ?`,
		scope.Account, scope.Region, after, limit)
	return collect(rows, err, func(row scanner) (id string, err error) { return id, row.Scan(&id) })
}

func (s *kmsStore) Aliases(ctx context.Context, scope arn.Scope, keyID, after string, limit int) ([]kms.Alias, error) {
	query, args := selectAliases, []any{scope.Account, scope.Region, after, limit}
	if keyID != "" {
		query, args = aliasesOfKey, []any{scope.Account, scope.Region, keyID, after, limit}
	}
	rows, err := s.db.read.QueryContext(ctx, query, args...)
	return collect(rows, err, func(row scanner) (kms.Alias, error) {
		a, err := scanAlias(row)
		if err != nil {
			return kms.Alias{}, err
		}
		return *a, nil
	})
}

func (s *kmsStore) Find(ctx context.Context, region, id string) (*kms.Key, error) {
	return scanKey(s.db.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM kms_key WHERE id = ? AND region = ?`, id, region))
}

func (s *kmsStore) Related(ctx context.Context, account, id string) ([]*kms.Key, error) {
	return related(ctx, s.db.read, account, id)
}

func related(ctx context.Context, from queryer, account, id string) ([]*kms.Key, error) {
	rows, err := from.QueryContext(ctx, selectRelated, id, account)
	return collect(rows, err, scanKey)
}

func (s *kmsStore) Due(ctx context.Context, now time.Time, limit int) ([]*kms.Key, error) {
	rows, err := s.db.read.QueryContext(ctx,
		`SELECT `+keyColumns+` FROM kms_key WHERE due_ms > 0 AND due_ms <= ? ORDER BY due_ms LIMIT ?`, millis(now), limit)
	return collect(rows, err, scanKey)
}

func (s *kmsStore) Discards(ctx context.Context, limit int) ([]*kms.Key, error) {
	rows, err := s.db.read.QueryContext(ctx,
		`SELECT account, region, id, origin, store_id, backing_key_id FROM kms_discard ORDER BY seq LIMIT ?`, limit)
	return collect(rows, err, func(row scanner) (*kms.Key, error) {
		var k kms.Key
		err := row.Scan(&k.Scope.Account, &k.Scope.Region, &k.ID, &k.Origin, &k.StoreID, &k.Material.BackingKeyID)
		return &k, err
	})
}

func (s *kmsStore) Change(ctx context.Context, event *audit.Event, fn func(kms.Tx) error) error {
	return s.db.Change(ctx, event, func(tx *sql.Tx) error { return fn(kmsTx{ctx, tx, s.db}) })
}

// kmsTx implements kms.Tx; it lives as long as the transaction, so it may carry the transaction's context.
type kmsTx struct {
	ctx context.Context
	tx  *sql.Tx
	db  *DB
}

func (t kmsTx) Key(scope arn.Scope, id string) (*kms.Key, error) {
	return scanKey(t.tx.QueryRowContext(t.ctx, selectKey, scope.Account, scope.Region, id))
}

func (t kmsTx) Related(account, id string) ([]*kms.Key, error) {
	return related(t.ctx, t.tx, account, id)
}

func (t kmsTx) Alias(scope arn.Scope, name string) (*kms.Alias, error) {
	return scanAlias(t.tx.QueryRowContext(t.ctx, selectAlias, scope.Account, scope.Region, name))
}

func (t kmsTx) CountAliases(scope arn.Scope, keyID string) (n int, err error) {
	err = t.tx.QueryRowContext(t.ctx, countAliases, scope.Account, scope.Region, keyID).Scan(&n)
	return n, err
}

func (t kmsTx) CountKeys(scope arn.Scope) (int, error) { return countKeys(t.ctx, t.tx, scope) }

// CountKeys implements kms.Store.
func (s *kmsStore) CountKeys(ctx context.Context, scope arn.Scope) (int, error) {
	return countKeys(ctx, s.db.read, scope)
}

func countKeys(ctx context.Context, q queryer, scope arn.Scope) (n int, err error) {
	err = q.QueryRowContext(ctx,
		`SELECT coalesce(max(keys), 0) FROM kms_key_count WHERE account = ? AND region = ?`, scope.Account, scope.Region).Scan(&n)
	return n, err
}

func (t kmsTx) InsertKey(k *kms.Key) error {
	tags, details, err := encodeKey(k)
	if err != nil {
		return err
	}
	_, err = t.tx.ExecContext(t.ctx, `INSERT INTO kms_key (`+keyColumns+`, due_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		k.Scope.Account, k.Scope.Region, k.ID, k.Version, millis(k.Created), k.Description, k.Spec, k.Usage, k.Origin,
		k.State, millis(k.DeletionDate), k.StoreID, k.Policy, tags, k.Material.ID, wrapped(&k.Material), k.Material.BackingKeyID,
		k.PrimaryRegion, details, millis(k.Due()))
	return exists(err)
}

func (t kmsTx) UpdateKey(k *kms.Key) error {
	tags, details, err := encodeKey(k)
	if err != nil {
		return err
	}
	err = swapped(t.tx.ExecContext(t.ctx, `UPDATE kms_key SET version = version + 1, description = ?, state = ?,
		deletion_ms = ?, policy = ?, tags = ?, material_id = ?, wrapped = ?, backing_key_id = ?, primary_region = ?, details = ?,
		due_ms = ? WHERE account = ? AND region = ? AND id = ? AND version = ?`,
		k.Description, k.State, millis(k.DeletionDate), k.Policy, tags, k.Material.ID, wrapped(&k.Material), k.Material.BackingKeyID,
		k.PrimaryRegion, details, millis(k.Due()), k.Scope.Account, k.Scope.Region, k.ID, k.Version))
	if err != nil {
		return err
	}
	k.Version++
	return nil
}

func (t kmsTx) DeleteKey(k *kms.Key) error {
	return swapped(t.tx.ExecContext(t.ctx, `DELETE FROM kms_key WHERE account = ? AND region = ? AND id = ? AND version = ?`,
		k.Scope.Account, k.Scope.Region, k.ID, k.Version))
}

func (t kmsTx) InsertAlias(a *kms.Alias) error {
	_, err := t.tx.ExecContext(t.ctx, `INSERT INTO kms_alias (`+aliasColumns+`) VALUES (?,?,?,?,?,?)`,
		a.Scope.Account, a.Scope.Region, a.Name, a.KeyID, millis(a.Created), millis(a.Updated))
	return exists(err)
}

func (t kmsTx) UpdateAlias(a *kms.Alias) error {
	return found(t.tx.ExecContext(t.ctx,
		`UPDATE kms_alias SET key_id = ?, updated_ms = ? WHERE account = ? AND region = ? AND name = ?`,
		a.KeyID, millis(a.Updated), a.Scope.Account, a.Scope.Region, a.Name))
}

func (t kmsTx) DeleteAlias(scope arn.Scope, name string) error {
	return found(t.tx.ExecContext(t.ctx, `DELETE FROM kms_alias WHERE account = ? AND region = ? AND name = ?`,
		scope.Account, scope.Region, name))
}

func (t kmsTx) InsertDiscard(k *kms.Key) error {
	_, err := t.tx.ExecContext(t.ctx,
		`INSERT INTO kms_discard (account, region, id, origin, store_id, backing_key_id) VALUES (?,?,?,?,?,?)`,
		k.Scope.Account, k.Scope.Region, k.ID, k.Origin, k.StoreID, k.Material.BackingKeyID)
	return exists(err)
}

func (t kmsTx) DeleteDiscard(scope arn.Scope, id string) error {
	return found(t.tx.ExecContext(t.ctx, `DELETE FROM kms_discard WHERE account = ? AND region = ? AND id = ?`,
		scope.Account, scope.Region, id))
}

// found is swapped for records without a version.
func found(result sql.Result, err error) error {
	if err := swapped(result, err); err != fault.ErrConflict {
		return err
	}
	return fault.ErrNotFound
}

func (t kmsTx) AddEvent(e *audit.Event) error { return t.db.insertEvent(t.ctx, t.tx, e) }

// wrapped is never NULL.
func wrapped(m *kms.MaterialRecord) []byte {
	if m.Wrapped == nil {
		return []byte{}
	}
	return m.Wrapped
}

func scanKey(row scanner) (*kms.Key, error) {
	var k kms.Key
	var created, deletion int64
	var tags, details string
	err := row.Scan(&k.Scope.Account, &k.Scope.Region, &k.ID, &k.Version, &created, &k.Description, &k.Spec, &k.Usage,
		&k.Origin, &k.State, &deletion, &k.StoreID, &k.Policy, &tags, &k.Material.ID, &k.Material.Wrapped, &k.Material.BackingKeyID,
		&k.PrimaryRegion, &details)
	if err != nil {
		return nil, notFound(err)
	}
	k.Created, k.DeletionDate = fromMillis(created), fromMillis(deletion)
	if k.Tags, err = decodeTags(tags); err != nil {
		return nil, fmt.Errorf("key %s: %w", k.ID, err)
	}
	if err := decodeDetails(details, &k); err != nil {
		return nil, fmt.Errorf("key %s: its details are damaged: %w", k.ID, err)
	}
	return &k, nil
}

func scanAlias(row scanner) (*kms.Alias, error) {
	var a kms.Alias
	var created, updated int64
	if err := row.Scan(&a.Scope.Account, &a.Scope.Region, &a.Name, &a.KeyID, &created, &updated); err != nil {
		return nil, notFound(err)
	}
	a.Created, a.Updated = fromMillis(created), fromMillis(updated)
	return &a, nil
}

func encodeTags(tags []types.Tag) (string, error) {
	pairs := make([][2]string, len(tags))
	for i, t := range tags {
		pairs[i] = [2]string{aws.ToString(t.TagKey), aws.ToString(t.TagValue)}
	}
	text, err := json.Marshal(pairs)
	return string(text), err
}

func decodeTags(text string) ([]types.Tag, error) {
	if text == "[]" {
		return nil, nil
	}
	var pairs [][2]string
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, fmt.Errorf("its tags are damaged: %w", err)
	}
	tags := make([]types.Tag, len(pairs))
	for i, p := range pairs {
		tags[i] = types.Tag{TagKey: aws.String(p[0]), TagValue: aws.String(p[1])}
	}
	return tags, nil
}
