// Package sqlite keeps all of an installation's metadata and audit events in one SQLite file, but for the newest events of
// calls that change nothing: they are in a journal beside it until they are packed into the trail. Each service's store is
// one file here (kms.go, cloudhsm.go, …) with its own numbered migration; this file opens the database, audit.go
// gathers events, events.go brings those of both places together.
//
// There is one writing connection and a pool of reading ones. Every write is a transaction that is on the disk before
// it is answered (WAL, synchronous=FULL). Instants are stored as integers, milliseconds since 1970.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	sqlite3 "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/journal"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers is the number of reading connections: reads are short and mostly cached above, so a few suffice.
const readers = 4

// DB is an open database.
type DB struct {
	write *sql.DB // one connection: SQLite has one writer at a time, and waiting here costs less than in the library
	read  *sql.DB

	// Events of calls that change nothing.
	journal   *journal.Journal
	audit     *recorder
	unsettled unsettled
}

// Options of Open.
type Options struct {
	// Create makes the file; opening without it refuses to start an empty history in a wrong place.
	Create bool
	// RelaxedAudit lets Record return before its event is on the disk.
	RelaxedAudit bool
}

// Open opens the database at path and brings its schema up to date. With Options.Create the file must not exist yet,
// without it must.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	flags := os.O_RDWR
	if o.Create {
		flags |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0o600) // SQLite would make it readable to others
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db := &DB{}
	if db.write, err = sql.Open("sqlite", dsn(path, "_txlock=immediate")); err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db.write.SetMaxOpenConns(1)
	if err := migrate(ctx, db.write); err != nil {
		return nil, errors.Join(err, db.write.Close())
	}
	if db.read, err = sql.Open("sqlite", dsn(path, "_pragma=query_only(1)")); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database: %w", err), db.write.Close())
	}
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	if err := db.openJournal(ctx, filepath.Join(filepath.Dir(path), journalFolder)); err != nil {
		return nil, errors.Join(err, db.read.Close(), db.write.Close())
	}
	db.audit = newRecorder(db.journal, db.unsettled.learn, o.RelaxedAudit)
	return db, nil
}

// journalFolder is beside the database and belongs to it.
const journalFolder = "events"

func (db *DB) openJournal(ctx context.Context, dir string) error {
	packed, err := packedPosition(ctx, db.read)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if db.journal, err = journal.Open(dir, packed); err != nil {
		return err
	}
	if err := db.unsettled.recover(db.journal, packed); err != nil {
		return errors.Join(err, db.journal.Close())
	}
	return nil
}

// OpenReadOnly opens the database at path beside the process that serves it, or without one. Only what reads may be
// called: there is no writing connection, and the schema is taken as it is.
func OpenReadOnly(path string) (*DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	read, err := sql.Open("sqlite", dsn(path, "_pragma=query_only(1)"))
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	read.SetMaxOpenConns(readers)
	return &DB{read: read}, nil
}

func dsn(path, extra string) string {
	return "file:" + path + "?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(1)" +
		"&_pragma=busy_timeout(10000)&_pragma=temp_store(memory)&" + extra
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bringing the database's schema up to date: %w", err)
	}
	return nil
}

// Close waits for events being written and closes the database.
func (db *DB) Close() error {
	if db.write == nil {
		return db.read.Close()
	}
	return errors.Join(db.audit.close(), db.read.Close(), db.write.Close())
}

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.read.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// Change runs fn in one transaction and keeps event in it: either both are on the disk when Change returns nil, or
// neither is there. Work that belongs to no API call passes a nil event. fn must not keep tx.
func (db *DB) Change(ctx context.Context, event *audit.Event, fn func(tx *sql.Tx) error) (err error) {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", explain(err))
	}
	defer func() {
		if err != nil {
			// After a failed commit the transaction is over already; the first error says what happened.
			_ = tx.Rollback()
			err = explain(err)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if event != nil {
		if err := db.insertEvent(ctx, tx, event); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	if event != nil {
		event.Kept = true
	}
	return nil
}

// queryer is what reads need: the reading pool, or a transaction, which sees its own writes.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }

// collect reads all rows with scan.
func collect[T any](rows *sql.Rows, err error, scan func(scanner) (T, error)) (all []T, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err, below, tells of what went wrong
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// notFound turns SQL's empty result into the stores' word for it.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.ErrNotFound
	}
	return err
}

// exists turns a violated uniqueness into the stores' word for it.
func exists(err error) error {
	var e *sqlite3.Error
	if errors.As(err, &e) && (e.Code() == lib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == lib.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return fault.ErrExists
	}
	return err
}

// explain says what to do about a disk that takes nothing. Nothing was written then, and the next write is tried afresh.
func explain(err error) error {
	switch {
	case isFull(err):
		return fmt.Errorf("the disk with the database is full, and calls are refused until there is space: free some: %w", err)
	case cannotWrite(err):
		return fmt.Errorf("the database cannot be written, and calls are refused until it can: look at its disk and its limits: %w", err)
	default:
		return err
	}
}

func isFull(err error) bool {
	return primaryCode(err) == lib.SQLITE_FULL || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func cannotWrite(err error) bool {
	return primaryCode(err) == lib.SQLITE_IOERR || errors.Is(err, unix.EIO) || errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EROFS)
}

// primaryCode is SQLite's, 0 for errors that are not its own.
func primaryCode(err error) int {
	var e *sqlite3.Error
	if !errors.As(err, &e) {
		return 0
	}
	const primary = 0xff // extended codes hold the primary one in the lowest byte
	return e.Code() & primary
}

// swapped checks the outcome of an UPDATE or DELETE whose WHERE names the version that was read.
func swapped(result sql.Result, err error) error {
	if err != nil {
		return exists(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.ErrConflict
	}
	return nil
}

// millis is an instant as stored; zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
