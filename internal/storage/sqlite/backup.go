package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"keyward/internal/arn"
	"keyward/internal/cloudhsm"
)

const (
	backupColumns = `account, region, id, version, created_ms, body`
	selectBackup  = `SELECT ` + backupColumns + ` FROM backup WHERE account = ? AND region = ? AND id = ?`
	listBackups   = `SELECT ` + backupColumns + ` FROM backup WHERE account = ? AND region = ? ORDER BY created_ms, id`
	allBackups    = `SELECT ` + backupColumns + ` FROM backup ORDER BY created_ms, id`
	insertBackup  = `INSERT INTO backup (` + backupColumns + `) VALUES (?, ?, ?, ?, ?, ?)`
	updateBackup  = `UPDATE backup SET version = version + 1, body = ?
		WHERE account = ? AND region = ? AND id = ? AND version = ?`
	deleteBackup = `DELETE FROM backup WHERE account = ? AND region = ? AND id = ? AND version = ?`
)

func (s clusters) Backup(ctx context.Context, scope arn.Scope, id string) (*cloudhsm.Backup, error) {
	return readBackup(ctx, s.db.read, scope, id)
}

func (s clusters) Backups(ctx context.Context, scope arn.Scope) ([]*cloudhsm.Backup, error) {
	return readBackups(ctx, s.db.read, scope)
}

func (s clusters) AllBackups(ctx context.Context) ([]*cloudhsm.Backup, error) {
	rows, err := s.db.read.QueryContext(ctx, allBackups)
	return collect(rows, err, scanBackup)
}

func readBackup(ctx context.Context, q queryer, scope arn.Scope, id string) (*cloudhsm.Backup, error) {
	b, err := scanBackup(q.QueryRowContext(ctx, selectBackup, scope.Account, scope.Region, id))
	return b, notFound(err)
}

func readBackups(ctx context.Context, q queryer, scope arn.Scope) ([]*cloudhsm.Backup, error) {
	rows, err := q.QueryContext(ctx, listBackups, scope.Account, scope.Region)
	return collect(rows, err, scanBackup)
}

func scanBackup(row scanner) (*cloudhsm.Backup, error) {
	var b cloudhsm.Backup
	var created int64
	var body []byte
	if err := row.Scan(&b.Scope.Account, &b.Scope.Region, &b.ID, &b.Version, &created, &body); err != nil {
		return nil, err
	}
	b.Created = fromMillis(created)
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fmt.Errorf("reading backup %s: %w", b.ID, err)
	}
	return &b, nil
}

func (t clusterTx) Backup(scope arn.Scope, id string) (*cloudhsm.Backup, error) {
	return readBackup(t.ctx, t.tx, scope, id)
}

func (t clusterTx) Backups(scope arn.Scope) ([]*cloudhsm.Backup, error) {
	return readBackups(t.ctx, t.tx, scope)
}

func (t clusterTx) InsertBackup(b *cloudhsm.Backup) error {
	body, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("writing backup %s: %w", b.ID, err)
	}
	_, err = t.tx.ExecContext(t.ctx, insertBackup, b.Scope.Account, b.Scope.Region, b.ID, b.Version, millis(b.Created), string(body))
	return exists(err)
}

func (t clusterTx) UpdateBackup(b *cloudhsm.Backup) error {
	body, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("writing backup %s: %w", b.ID, err)
	}
	err = swapped(t.tx.ExecContext(t.ctx, updateBackup, string(body), b.Scope.Account, b.Scope.Region, b.ID, b.Version))
	if err == nil {
		b.Version++
	}
	return err
}

func (t clusterTx) DeleteBackup(b *cloudhsm.Backup) error {
	return swapped(t.tx.ExecContext(t.ctx, deleteBackup, b.Scope.Account, b.Scope.Region, b.ID, b.Version))
}
