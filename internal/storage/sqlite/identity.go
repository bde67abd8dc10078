package sqlite

import (
	"context"
	"database/sql"

	"keyward/internal/identity"
)

// Identity is the store of package identity.
func (db *DB) Identity() identity.Store { return identityStore{db} }

type identityStore struct{ db *DB }

func (s identityStore) AccessKey(ctx context.Context, id string) (*identity.AccessKey, error) {
	k := identity.AccessKey{AccessKeyID: id}
	var created int64
	err := s.db.read.QueryRowContext(ctx,
		`SELECT account, user_name, principal_id, arn, status, sealed_secret, created_ms FROM access_key WHERE id = ?`, id).
		Scan(&k.Account, &k.UserName, &k.PrincipalID, &k.ARN, &k.Status, &k.SealedSecret, &created)
	if err != nil {
		return nil, notFound(err)
	}
	k.Created = fromMillis(created)
	return &k, nil
}

func (s identityStore) InsertAccessKey(ctx context.Context, k *identity.AccessKey) error {
	return s.db.Change(ctx, nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx,
			`INSERT INTO access_key (id, account, user_name, principal_id, arn, status, sealed_secret, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			k.AccessKeyID, k.Account, k.UserName, k.PrincipalID, k.ARN, k.Status, k.SealedSecret, millis(k.Created))
		return exists(err)
	})
}
