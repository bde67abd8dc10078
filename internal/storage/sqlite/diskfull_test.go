package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// small mounts a file system of a size in bytes, which only root may do.
func small(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all space that is left.
func fill(t *testing.T, dir string) (release func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// untilRefused calls write until it fails, as it must before the log that SQLite has written ahead fits no more.
func untilRefused(t *testing.T, write func(i int) error) {
	t.Helper()
	for i := range 10_000 {
		err := write(i)
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), "free some") {
			t.Errorf("refused without a reason or a way out: %v", err)
		}
		return
	}
	t.Fatal("a full disk takes everything")
}

func TestAFullDiskLosesNothing(t *testing.T) {
	dir := small(t, 2<<20)
	path := filepath.Join(dir, "keyward.db")
	db := open(t, path, true)
	var kept []string
	record := func(i int) error {
		e := event(fmt.Sprint("recorded", i))
		err := db.Record(t.Context(), e)
		if err == nil {
			kept = append(kept, e.ID)
		}
		return err
	}
	change := func(i int) error {
		e := event(fmt.Sprint("changed", i))
		err := db.Change(t.Context(), e, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), `INSERT INTO setting (name, value) VALUES (?, ?)`, e.ID, bytes.Repeat([]byte{1}, 3000))
			return err
		})
		if err == nil {
			kept = append(kept, e.ID)
		}
		return err
	}
	if err := errors.Join(record(-1), change(-1)); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		release := fill(t, dir)
		untilRefused(t, func(i int) error { return record(round<<16 + i) })
		untilRefused(t, func(i int) error { return change(round<<16 + i) })
		if err := db.Ping(t.Context()); err != nil {
			t.Errorf("reading on a full disk: %v", err)
		}
		release()
		if err := errors.Join(change(-2-2*round), record(-3-2*round)); err != nil {
			t.Errorf("with space again: %v", err)
		}
	}
	if got := ids(t, db); !slices.Equal(got, kept) {
		t.Errorf("%d events kept, %d there", len(kept), len(got))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, open(t, path, false)); !slices.Equal(got, kept) {
		t.Errorf("opened again: %d events kept, %d there", len(kept), len(got))
	}
}

// TestRelaxedEventsOutlastAFullDisk answers before events are kept: what was answered is kept when there is space, and
// nothing more is answered until then.
func TestRelaxedEventsOutlastAFullDisk(t *testing.T) {
	dir := small(t, 32<<20) // a batch must fit once there is space
	db, err := Open(t.Context(), filepath.Join(dir, "keyward.db"), Options{Create: true, RelaxedAudit: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	var kept []string
	record := func(i int) error {
		e := event(fmt.Sprint("e", i))
		err := db.Record(t.Context(), e)
		if err == nil {
			kept = append(kept, e.ID)
		}
		return err
	}
	release := fill(t, dir)
	untilRefused(t, func(i int) error {
		if err := record(i); err != nil {
			return err
		}
		return db.audit.flush(t.Context())
	})
	if record(-1) == nil {
		t.Error("an event is taken while older ones cannot be kept")
	}
	release()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for db.audit.flush(ctx) != nil { // until the retry has come through
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the events that were answered are never kept")
		}
	}
	if got := ids(t, db); !slices.Equal(got, kept) {
		t.Errorf("%d events answered, %d kept", len(kept), len(got))
	}
}
