package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"keyward/internal/cloudtrail"
	"keyward/internal/journal"
)

// Trail keeps the audit trail's segments and files. It implements cloudtrail.Store.
type Trail struct{ *DB }

// Trail is the part of the database that keeps the audit trail.
func (db *DB) Trail() Trail { return Trail{db} }

// Waiting implements cloudtrail.Store. Events whose calls were answered early, with Options.RelaxedAudit, are written
// first.
func (t Trail) Waiting(ctx context.Context, yield func(lines []byte) bool) (cloudtrail.Mark, bool, error) {
	return t.waiting(ctx, yield)
}

// Backlog implements cloudtrail.Store. Events of changes are few beside others.
func (t Trail) Backlog() int64 { return t.journal.Size() }

// Pack implements cloudtrail.Store.
func (t Trail) Pack(ctx context.Context, segments []*cloudtrail.Segment, mark cloudtrail.Mark) error {
	err := t.settle(ctx, func(tx *sql.Tx) error {
		for _, s := range segments {
			if err := insertSegment(ctx, tx, s); err != nil {
				return err
			}
		}
		return removePacked(ctx, tx, mark)
	})
	if err != nil {
		return err
	}
	return t.journal.Drop(journal.Position(mark.Call))
}

// one checks that a statement changed exactly one row.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows changed instead of one", n)
	}
	return err
}

func insertSegment(ctx context.Context, tx *sql.Tx, s *cloudtrail.Segment) error {
	result, err := tx.ExecContext(ctx, `INSERT INTO trail_segment (account, region, first_ms, last_ms, count, file, ids, data)
		VALUES (?, ?, ?, ?, ?, 0, ?, ?)`, s.Scope.Account, s.Scope.Region, millis(s.First), millis(s.Last), s.Count, blob(s.IDs), s.Data)
	if err != nil {
		return err
	}
	seq, err := result.LastInsertId()
	if err != nil {
		return err
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO trail_term (term, last_ms, segment) VALUES (?, ?, ?)`)
	if err != nil {
		return err
	}
	for _, term := range s.Terms {
		if _, err := insert.ExecContext(ctx, term, millis(s.Last), seq); err != nil {
			return errors.Join(err, insert.Close())
		}
	}
	return insert.Close()
}

const (
	segmentColumns = `s.seq, s.account, s.region, s.first_ms, s.last_ms, s.count, s.file, s.ids, s.data`
	// expiredSegments goes from the oldest on, and asks of each whether its file is written.
	expiredSegments = `SELECT ` + segmentColumns + ` FROM trail_segment s
		WHERE s.last_ms < ? AND EXISTS (SELECT 1 FROM trail_file f WHERE f.seq = s.file AND f.written = 1) ORDER BY s.last_ms LIMIT ?`
)

func scanSegment(row scanner) (*cloudtrail.Segment, error) {
	var s cloudtrail.Segment
	var first, last int64
	err := row.Scan(&s.Seq, &s.Scope.Account, &s.Scope.Region, &first, &last, &s.Count, &s.File, &s.IDs, &s.Data)
	s.First, s.Last = fromMillis(first), fromMillis(last)
	return &s, err
}

// Search implements cloudtrail.Store.
func (t Trail) Search(ctx context.Context, q cloudtrail.Search, yield func(*cloudtrail.Segment) (bool, error)) (err error) {
	// CROSS JOIN keeps the order of the tables, and with it the order of the index.
	rows, err := t.read.QueryContext(ctx, `SELECT `+segmentColumns+` FROM trail_term t CROSS JOIN trail_segment s ON s.seq = t.segment
		WHERE t.term = ? AND t.last_ms >= ? AND s.first_ms <= ? AND (length(?4) = 0 OR instr(s.ids, ?4) > 0)
		ORDER BY t.last_ms DESC, t.segment DESC`, q.Term, millis(q.Start), millis(q.End), blob(q.ID))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		s, err := scanSegment(rows)
		if err != nil {
			return err
		}
		if more, err := yield(s); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// Expired implements cloudtrail.Store.
func (t Trail) Expired(ctx context.Context, before time.Time, limit int) ([]*cloudtrail.Segment, error) {
	rows, err := t.read.QueryContext(ctx, expiredSegments, millis(before), limit)
	return collect(rows, err, scanSegment)
}

// Prune implements cloudtrail.Store.
func (t Trail) Prune(ctx context.Context, segments []*cloudtrail.Segment) error {
	return t.Change(ctx, nil, func(tx *sql.Tx) error {
		for _, s := range segments {
			for _, term := range s.Terms {
				_, err := tx.ExecContext(ctx, `DELETE FROM trail_term WHERE term = ? AND last_ms = ? AND segment = ?`, term, millis(s.Last), s.Seq)
				if err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM trail_segment WHERE seq = ?`, s.Seq); err != nil {
				return err
			}
		}
		return nil
	})
}
