package sqlite

import (
	"context"
	"database/sql"
)

// Setting returns what was kept under name, or fault.ErrNotFound.
func (db *DB) Setting(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := db.read.QueryRowContext(ctx, `SELECT value FROM setting WHERE name = ?`, name).Scan(&value)
	return value, notFound(err)
}

// PutSetting keeps value under name, replacing what was there. Secrets must come sealed.
func (db *DB) PutSetting(ctx context.Context, name string, value []byte) error {
	return db.Change(ctx, nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx,
			`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
		return err
	})
}
