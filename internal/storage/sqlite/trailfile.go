package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"keyward/internal/arn"
	"keyward/internal/cloudtrail"
)

// PlanLog implements cloudtrail.Store.
func (t Trail) PlanLog(ctx context.Context, f *cloudtrail.File, limit int) (some bool, err error) {
	err = t.Change(ctx, nil, func(tx *sql.Tx) error {
		// The first segment belongs to the file whatever its size.
		var last sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT MAX(seq) FROM (
				SELECT seq, SUM(count) OVER (ORDER BY seq) - count AS before FROM trail_segment WHERE file = 0 AND account = ? AND region = ?
			) WHERE before < ?`, f.Scope.Account, f.Scope.Region, limit).Scan(&last)
		if err != nil || !last.Valid {
			return err
		}
		if f.Seq, err = insertFile(ctx, tx, f); err != nil {
			return err
		}
		some = true
		_, err = tx.ExecContext(ctx, `UPDATE trail_segment SET file = ? WHERE file = 0 AND account = ? AND region = ? AND seq <= ?`,
			f.Seq, f.Scope.Account, f.Scope.Region, last.Int64)
		return err
	})
	return some, err
}

// PlanDigest implements cloudtrail.Store.
func (t Trail) PlanDigest(ctx context.Context, f *cloudtrail.File) error {
	return t.Change(ctx, nil, func(tx *sql.Tx) (err error) {
		if f.Seq, err = insertFile(ctx, tx, f); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, listLogs, f.Seq, f.Scope.Account, f.Scope.Region)
		return err
	})
}

// listLogs puts into a digest what none lists. SQLite would rather look through all logs that the scope ever had.
const listLogs = `UPDATE trail_file INDEXED BY trail_file_digest SET digest = ?
	WHERE kind = 'log' AND digest = 0 AND written = 1 AND account = ? AND region = ?`

func insertFile(ctx context.Context, tx *sql.Tx, f *cloudtrail.File) (int64, error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO trail_file
		(account, region, kind, path, start_ms, end_ms, digest, written, hash, file_hash, oldest_ms, newest_ms, signature)
		VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', '', 0, 0, '')`,
		f.Scope.Account, f.Scope.Region, string(f.Kind), f.Path, millis(f.Start), millis(f.End))
	if err != nil {
		return 0, exists(err)
	}
	return result.LastInsertId()
}

// Written implements cloudtrail.Store.
func (t Trail) Written(ctx context.Context, f *cloudtrail.File) error {
	err := t.Change(ctx, nil, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE trail_file SET written = 1, hash = ?, file_hash = ?, oldest_ms = ?, newest_ms = ?, signature = ?
			WHERE seq = ?`, f.Hash, f.FileHash, millis(f.Oldest), millis(f.Newest), f.Signature, f.Seq))
	})
	if err == nil {
		f.Written = true
	}
	return err
}

const selectFile = `SELECT seq, account, region, kind, path, start_ms, end_ms, digest, written, hash, file_hash, oldest_ms, newest_ms, signature
	FROM trail_file `

func scanFile(row scanner) (*cloudtrail.File, error) {
	var f cloudtrail.File
	var start, end, oldest, newest int64
	err := row.Scan(&f.Seq, &f.Scope.Account, &f.Scope.Region, &f.Kind, &f.Path, &start, &end, &f.Digest, &f.Written,
		&f.Hash, &f.FileHash, &oldest, &newest, &f.Signature)
	f.Start, f.End, f.Oldest, f.Newest = fromMillis(start), fromMillis(end), fromMillis(oldest), fromMillis(newest)
	return &f, err
}

// Planned implements cloudtrail.Store.
func (t Trail) Planned(ctx context.Context) ([]*cloudtrail.File, error) {
	rows, err := t.read.QueryContext(ctx, selectFile+`WHERE written = 0 ORDER BY seq`)
	return collect(rows, err, scanFile)
}

// Contents implements cloudtrail.Store.
func (t Trail) Contents(ctx context.Context, f *cloudtrail.File) ([]*cloudtrail.Segment, error) {
	rows, err := t.read.QueryContext(ctx, `SELECT `+segmentColumns+` FROM trail_segment s
		WHERE s.file = ? AND s.account = ? AND s.region = ? ORDER BY s.seq`, f.Seq, f.Scope.Account, f.Scope.Region)
	return collect(rows, err, scanSegment)
}

// Listed implements cloudtrail.Store.
func (t Trail) Listed(ctx context.Context, digest *cloudtrail.File) ([]*cloudtrail.File, error) {
	rows, err := t.read.QueryContext(ctx, selectFile+`WHERE kind = 'log' AND digest = ? ORDER BY seq`, digest.Seq)
	return collect(rows, err, scanFile)
}

// LastDigest implements cloudtrail.Store.
func (t Trail) LastDigest(ctx context.Context, scope arn.Scope, before int64) (*cloudtrail.File, error) {
	f, err := scanFile(t.read.QueryRowContext(ctx, selectFile+`WHERE account = ? AND region = ? AND kind = 'digest' AND (?3 = 0 OR seq < ?3)
		ORDER BY seq DESC LIMIT 1`, scope.Account, scope.Region, before))
	if err != nil {
		return nil, notFound(err)
	}
	return f, nil
}

// Undelivered implements cloudtrail.Store.
func (t Trail) Undelivered(ctx context.Context) ([]arn.Scope, error) {
	rows, err := t.read.QueryContext(ctx, `SELECT DISTINCT account, region FROM trail_segment WHERE file = 0 ORDER BY account, region`)
	return collect(rows, err, func(row scanner) (scope arn.Scope, err error) {
		return scope, row.Scan(&scope.Account, &scope.Region)
	})
}

// Scopes implements cloudtrail.Store.
func (t Trail) Scopes(ctx context.Context) (map[arn.Scope]time.Time, error) {
	all := map[arn.Scope]time.Time{}
	rows, err := t.read.QueryContext(ctx, `SELECT account, region, MIN(oldest_ms) FROM trail_file
		WHERE kind = 'log' AND written = 1 GROUP BY account, region`)
	_, err = collect(rows, err, func(row scanner) (struct{}, error) {
		var scope arn.Scope
		var first int64
		err := row.Scan(&scope.Account, &scope.Region, &first)
		all[scope] = fromMillis(first)
		return struct{}{}, err
	})
	return all, err
}

// Files implements cloudtrail.Store.
func (t Trail) Files(ctx context.Context, yield func(*cloudtrail.File) error) (err error) {
	rows, err := t.read.QueryContext(ctx, selectFile+`ORDER BY seq`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		f, err := scanFile(rows)
		if err != nil {
			return err
		}
		if err := yield(f); err != nil {
			return err
		}
	}
	return rows.Err()
}
