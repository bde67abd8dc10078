package sqlite

import (
	"context"
	"database/sql"
	"time"

	"keyward/internal/audit"
	"keyward/internal/identity"
)

// Identity is the store of package identity.
func (db *DB) Identity() identity.Store { return identities{identityReader{db.read}, db} }

type identities struct {
	identityReader
	db *DB
}

const (
	entityColumns    = `account, kind, name, id, version, path, created_ms, boundary, attached, inline, groups, tags, role`
	managedColumns   = `account, name, id, version, path, description, created_ms, updated_ms, in_effect, versions, next, tags`
	providerColumns  = `account, url, version, plain, clients, thumbprints, created_ms, tags`
	accessKeyColumns = `id, account, principal_id, status, sealed_secret, created_ms, used_ms, used_service, used_region`
	sessionColumns   = `id, account, principal_id, sealed_secret, token_hash, created_ms, expires_ms, facts`
)

func (s identities) Change(ctx context.Context, event *audit.Event, fn func(identity.Tx) error) error {
	return s.db.Change(ctx, event, func(tx *sql.Tx) error { return fn(identityTx{identityReader{tx}, ctx, tx}) })
}

func (s identities) NoteUses(ctx context.Context, uses map[string]identity.Use) error {
	return s.db.Change(ctx, nil, func(tx *sql.Tx) error {
		for id, u := range uses {
			_, err := tx.ExecContext(ctx, `UPDATE access_key SET used_ms = ?, used_service = ?, used_region = ? WHERE id = ?`,
				millis(u.Time), u.Service, u.Region, id)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s identities) Purge(ctx context.Context, then time.Time) error {
	return s.db.Change(ctx, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM session WHERE expires_ms < ?`, millis(then)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM iam_role_deletion WHERE ended_ms < ?`, millis(then))
		return err
	})
}

// identityReader reads from the reading pool or inside a transaction.
type identityReader struct{ q queryer }

func (r identityReader) Account(ctx context.Context, id string) (*identity.Account, error) {
	a, err := scanAccount(r.q.QueryRowContext(ctx, `SELECT id, name, created_ms FROM account WHERE id = ?`, id))
	return a, notFound(err)
}

func (r identityReader) Accounts(ctx context.Context) ([]*identity.Account, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT id, name, created_ms FROM account ORDER BY id`)
	return collect(rows, err, scanAccount)
}

func (r identityReader) Entity(ctx context.Context, account string, kind identity.Kind, name string) (*identity.Entity, error) {
	e, err := scanEntity(r.q.QueryRowContext(ctx, `SELECT `+entityColumns+` FROM iam_entity WHERE account = ? AND kind = ? AND name = ?`,
		account, kind, name))
	return e, notFound(err)
}

func (r identityReader) EntityByID(ctx context.Context, id string) (*identity.Entity, error) {
	e, err := scanEntity(r.q.QueryRowContext(ctx, `SELECT `+entityColumns+` FROM iam_entity WHERE id = ?`, id))
	return e, notFound(err)
}

func (r identityReader) Entities(ctx context.Context, account string, kind identity.Kind) ([]*identity.Entity, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+entityColumns+` FROM iam_entity WHERE account = ? AND kind = ? ORDER BY name`, account, kind)
	return collect(rows, err, scanEntity)
}

func (r identityReader) Policy(ctx context.Context, account, name string) (*identity.ManagedPolicy, error) {
	p, err := scanPolicy(r.q.QueryRowContext(ctx, `SELECT `+managedColumns+` FROM iam_policy WHERE account = ? AND name = ?`, account, name))
	return p, notFound(err)
}

func (r identityReader) Policies(ctx context.Context, account string) ([]*identity.ManagedPolicy, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+managedColumns+` FROM iam_policy WHERE account = ? ORDER BY name`, account)
	return collect(rows, err, scanPolicy)
}

func (r identityReader) Provider(ctx context.Context, account, url string) (*identity.Provider, error) {
	p, err := scanProvider(r.q.QueryRowContext(ctx, `SELECT `+providerColumns+` FROM iam_provider WHERE account = ? AND url = ?`, account, url))
	return p, notFound(err)
}

func (r identityReader) Providers(ctx context.Context, account string) ([]*identity.Provider, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+providerColumns+` FROM iam_provider WHERE account = ? ORDER BY url`, account)
	return collect(rows, err, scanProvider)
}

func (r identityReader) AccessKey(ctx context.Context, id string) (*identity.AccessKey, error) {
	k, err := scanAccessKey(r.q.QueryRowContext(ctx, `SELECT `+accessKeyColumns+` FROM access_key WHERE id = ?`, id))
	return k, notFound(err)
}

func (r identityReader) AccessKeys(ctx context.Context, account, principalID string) ([]*identity.AccessKey, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+accessKeyColumns+` FROM access_key WHERE account = ? AND principal_id = ? ORDER BY created_ms, id`,
		account, principalID)
	return collect(rows, err, scanAccessKey)
}

func (r identityReader) Session(ctx context.Context, id string) (*identity.Session, error) {
	s, err := scanSession(r.q.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM session WHERE id = ?`, id))
	return s, notFound(err)
}

func (r identityReader) Deletion(ctx context.Context, account, id string) (*identity.Deletion, error) {
	d, err := scanDeletion(r.q.QueryRowContext(ctx, `SELECT account, id, ended_ms FROM iam_role_deletion WHERE account = ? AND id = ?`, account, id))
	return d, notFound(err)
}

func scanAccount(row scanner) (*identity.Account, error) {
	var a identity.Account
	var created int64
	err := row.Scan(&a.ID, &a.Name, &created)
	a.Created = fromMillis(created)
	return &a, err
}

func scanEntity(row scanner) (*identity.Entity, error) {
	var e identity.Entity
	var created int64
	err := row.Scan(&e.Account, &e.Kind, &e.Name, &e.ID, &e.Version, &e.Path, &created, &e.Boundary,
		asJSON(&e.Attached), asJSON(&e.Inline), asJSON(&e.Groups), asJSON(&e.Tags), asJSON(&e.Role))
	e.Created = fromMillis(created)
	return &e, err
}

func scanPolicy(row scanner) (*identity.ManagedPolicy, error) {
	var p identity.ManagedPolicy
	var created, updated int64
	err := row.Scan(&p.Account, &p.Name, &p.ID, &p.Version, &p.Path, &p.Description, &created, &updated, &p.Default,
		asJSON(&p.Versions), &p.Next, asJSON(&p.Tags))
	p.Created, p.Updated = fromMillis(created), fromMillis(updated)
	return &p, err
}

func scanProvider(row scanner) (*identity.Provider, error) {
	var p identity.Provider
	var created int64
	err := row.Scan(&p.Account, &p.URL, &p.Version, &p.Plain, asJSON(&p.Clients), asJSON(&p.Thumbprints), &created, asJSON(&p.Tags))
	p.Created = fromMillis(created)
	return &p, err
}

func scanAccessKey(row scanner) (*identity.AccessKey, error) {
	var k identity.AccessKey
	var created, used int64
	err := row.Scan(&k.AccessKeyID, &k.Account, &k.PrincipalID, &k.Status, &k.SealedSecret, &created, &used, &k.LastUsed.Service, &k.LastUsed.Region)
	k.Created, k.LastUsed.Time = fromMillis(created), fromMillis(used)
	return &k, err
}

func scanSession(row scanner) (*identity.Session, error) {
	var s identity.Session
	var created, expires int64
	err := row.Scan(&s.AccessKeyID, &s.Account, &s.PrincipalID, &s.SealedSecret, &s.TokenHash, &created, &expires, asJSON(&s.SessionFacts))
	s.Created, s.Expires = fromMillis(created), fromMillis(expires)
	return &s, err
}

func scanDeletion(row scanner) (*identity.Deletion, error) {
	var d identity.Deletion
	var ended int64
	err := row.Scan(&d.Account, &d.ID, &ended)
	d.Ended = fromMillis(ended)
	return &d, err
}
