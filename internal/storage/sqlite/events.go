package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"keyward/internal/audit"
	"keyward/internal/cloudtrail"
	"keyward/internal/journal"
)

// insertEvent keeps one event in the transaction of its change. It comes after all that the journal holds now.
func (db *DB) insertEvent(ctx context.Context, tx *sql.Tx, e *audit.Event) error {
	line, err := e.AppendJSON(nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO audit_batch (events, after) VALUES (?, ?)`, append(line, '\n'), int64(db.journal.End()))
	if err != nil {
		return fmt.Errorf("keeping an event: %w", err)
	}
	return nil
}

// changes are the events of changes that wait to be packed, from the oldest on.
type changes struct {
	rows []change
	next int
	more bool // the table holds more than rows
}

type change struct {
	seq, after int64
	events     []byte
}

// maxChanges bounds how many events of changes are read at once.
const maxChanges = 1000

func (db *DB) waitingChanges(ctx context.Context) (*changes, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT seq, after, events FROM audit_batch ORDER BY seq LIMIT ?`, maxChanges)
	all, err := collect(rows, err, func(row scanner) (c change, err error) {
		return c, row.Scan(&c.seq, &c.after, &c.events)
	})
	return &changes{rows: all, more: len(all) == maxChanges}, err
}

// until yields the events of changes that were kept before the journal reached end. It reports whether the journal's
// record that ends there is next.
func (c *changes) until(end int64, mark *cloudtrail.Mark, yield func(lines []byte) bool) bool {
	for c.next < len(c.rows) && c.rows[c.next].after < end {
		mark.Change = c.rows[c.next].seq
		c.next++
		if !yield(c.rows[c.next-1].events) {
			return false
		}
	}
	return c.next < len(c.rows) || !c.more
}

// waiting yields the batches of kept events that are not packed yet, in the order in which they were kept, until yield
// returns false or it is time to pack. It reports how far it came, and whether there may be more.
func (db *DB) waiting(ctx context.Context, yield func(lines []byte) bool) (mark cloudtrail.Mark, more bool, err error) {
	if err := db.audit.flush(ctx); err != nil {
		return mark, false, err
	}
	changed, err := db.waitingChanges(ctx)
	if err != nil {
		return mark, false, err
	}
	packed, err := packedPosition(ctx, db.read)
	if err != nil {
		return mark, false, err
	}
	more = true
	err = db.journal.Read(packed, func(record []byte, end journal.Position) bool {
		if more = changed.until(int64(end), &mark, yield); !more {
			return false
		}
		mark.Call = int64(end)
		_, lines, _ := bytes.Cut(record, []byte{'\n'})
		more = yield(lines)
		return more
	})
	if err != nil || !more {
		return mark, true, err
	}
	return mark, !changed.until(math.MaxInt64, &mark, yield), nil
}

// packedPosition is how far the journal is packed.
func packedPosition(ctx context.Context, q queryer) (journal.Position, error) {
	var at int64
	err := q.QueryRowContext(ctx, `SELECT position FROM audit_packed`).Scan(&at)
	return journal.Position(at), err
}

// removePacked removes what waiting has yielded up to mark. What the journal held is dropped once the transaction is
// kept.
func removePacked(ctx context.Context, tx *sql.Tx, mark cloudtrail.Mark) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM audit_batch WHERE seq <= ?`, mark.Change); err != nil {
		return fmt.Errorf("removing packed events of changes: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE audit_packed SET position = ?1 WHERE position < ?1`, mark.Call); err != nil {
		return fmt.Errorf("noting how far the journal is packed: %w", err)
	}
	return nil
}

// Events calls yield with the stored form of every kept event that is not packed into the trail yet, oldest first, until
// yield returns an error.
func (db *DB) Events(ctx context.Context, yield func(line []byte) error) error {
	var refused error
	_, more, err := db.waiting(ctx, func(lines []byte) bool {
		refused = eachLine(lines, yield)
		return refused == nil
	})
	if err = errors.Join(err, refused); err == nil && more {
		err = fmt.Errorf("more than %d changes wait to be packed", maxChanges)
	}
	return err
}
