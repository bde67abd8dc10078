package sqlite

import (
	"context"
	"database/sql"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/keystore"
)

// KeyStores is the store of custom key stores.
func (db *DB) KeyStores() keystore.Store { return keyStores{db} }

type keyStores struct{ db *DB }

const (
	keyStoreColumns = `id, account, region, version, name, created_ms, cluster_id, cluster_certificate, trust_anchor,
		state, error_code, last_error_code, attempt, password, candidate, client`
	selectKeyStore = `SELECT ` + keyStoreColumns + ` FROM key_store WHERE account = ? AND region = ? AND id = ?`
	listKeyStores  = `SELECT ` + keyStoreColumns + ` FROM key_store WHERE account = ? AND region = ? ORDER BY created_ms, id`
	allKeyStores   = `SELECT ` + keyStoreColumns + ` FROM key_store ORDER BY created_ms, id`
	insertKeyStore = `INSERT INTO key_store (` + keyStoreColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	updateKeyStore = `UPDATE key_store SET version = version + 1, name = ?, cluster_id = ?, state = ?, error_code = ?,
		last_error_code = ?, attempt = ?, password = ?, candidate = ?
		WHERE account = ? AND region = ? AND id = ? AND version = ?`
	deleteKeyStore  = `DELETE FROM key_store WHERE account = ? AND region = ? AND id = ? AND version = ?`
	keyStoreHasKeys = `SELECT EXISTS (SELECT 1 FROM kms_key WHERE store_id = ? AND store_id <> '' AND account = ? AND region = ?)`
)

func (s keyStores) KeyStore(ctx context.Context, scope arn.Scope, id string) (*keystore.Record, error) {
	return readKeyStore(ctx, s.db.read, scope, id)
}

func (s keyStores) KeyStores(ctx context.Context, scope arn.Scope) ([]*keystore.Record, error) {
	return readKeyStores(ctx, s.db.read, scope)
}

func (s keyStores) AllKeyStores(ctx context.Context) ([]*keystore.Record, error) {
	rows, err := s.db.read.QueryContext(ctx, allKeyStores)
	return collect(rows, err, scanKeyStore)
}

func (s keyStores) Change(ctx context.Context, event *audit.Event, fn func(keystore.Tx) error) error {
	return s.db.Change(ctx, event, func(tx *sql.Tx) error { return fn(keyStoreTx{ctx, tx}) })
}

func readKeyStore(ctx context.Context, q queryer, scope arn.Scope, id string) (*keystore.Record, error) {
	r, err := scanKeyStore(q.QueryRowContext(ctx, selectKeyStore, scope.Account, scope.Region, id))
	return r, notFound(err)
}

func readKeyStores(ctx context.Context, q queryer, scope arn.Scope) ([]*keystore.Record, error) {
	rows, err := q.QueryContext(ctx, listKeyStores, scope.Account, scope.Region)
	return collect(rows, err, scanKeyStore)
}

func scanKeyStore(row scanner) (*keystore.Record, error) {
	var r keystore.Record
	var created int64
	err := row.Scan(&r.ID, &r.Scope.Account, &r.Scope.Region, &r.Version, &r.Name, &created, &r.ClusterID,
		&r.ClusterCertificate, &r.TrustAnchor, &r.State, &r.ErrorCode, &r.LastErrorCode, &r.Attempt,
		&r.Password, &r.Candidate, &r.Client)
	if err != nil {
		return nil, err
	}
	r.Created = fromMillis(created)
	return &r, nil
}

// keyStoreTx lives as long as the transaction.
type keyStoreTx struct {
	ctx context.Context
	tx  *sql.Tx
}

func (t keyStoreTx) KeyStore(scope arn.Scope, id string) (*keystore.Record, error) {
	return readKeyStore(t.ctx, t.tx, scope, id)
}

func (t keyStoreTx) KeyStores(scope arn.Scope) ([]*keystore.Record, error) {
	return readKeyStores(t.ctx, t.tx, scope)
}

func (t keyStoreTx) Insert(r *keystore.Record) error {
	_, err := t.tx.ExecContext(t.ctx, insertKeyStore, r.ID, r.Scope.Account, r.Scope.Region, 1, r.Name, millis(r.Created),
		r.ClusterID, blob(r.ClusterCertificate), r.TrustAnchor, r.State, r.ErrorCode, r.LastErrorCode, r.Attempt,
		blob(r.Password), blob(r.Candidate), blob(r.Client))
	if err != nil {
		return exists(err)
	}
	r.Version = 1
	return nil
}

func (t keyStoreTx) Update(r *keystore.Record) error {
	result, err := t.tx.ExecContext(t.ctx, updateKeyStore, r.Name, r.ClusterID, r.State, r.ErrorCode, r.LastErrorCode,
		r.Attempt, blob(r.Password), blob(r.Candidate), r.Scope.Account, r.Scope.Region, r.ID, r.Version)
	if err := swapped(result, err); err != nil {
		return err
	}
	r.Version++
	return nil
}

func (t keyStoreTx) Delete(r *keystore.Record) error {
	result, err := t.tx.ExecContext(t.ctx, deleteKeyStore, r.Scope.Account, r.Scope.Region, r.ID, r.Version)
	return swapped(result, err)
}

func (t keyStoreTx) HasKeys(scope arn.Scope, id string) (bool, error) {
	var has bool
	err := t.tx.QueryRowContext(t.ctx, keyStoreHasKeys, id, scope.Account, scope.Region).Scan(&has)
	return has, err
}

// blob keeps "nothing" as an empty value: the columns are NOT NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
