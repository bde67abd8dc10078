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
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"keyward/internal/audit"
	"keyward/internal/cloudtrail"
	"keyward/internal/fault"
	"keyward/internal/journal"
)

func open(t testing.TB, path string, create bool) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, Options{Create: create})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// openOld makes a database as it was after an earlier migration. The test closes it.
func openOld(t *testing.T, path string, version int64) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "_txlock=immediate"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return db
}

func event(id string) *audit.Event {
	return &audit.Event{ID: id, Name: "Test", Time: time.UnixMilli(1e12)}
}

// ids lists the ids of kept events in order.
func ids(t testing.TB, db *DB) (all []string) {
	t.Helper()
	err := db.Events(context.Background(), func(line []byte) error {
		all = append(all, idsOf(t, line)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// idsOf lists the ids of events, of which each is a line.
func idsOf(t testing.TB, lines []byte) (all []string) {
	t.Helper()
	err := eachLine(lines, func(line []byte) error {
		id, _, _ := strings.Cut(strings.TrimPrefix(string(line), `{"eventID":"`), `"`)
		all = append(all, id)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEventsOfOlderBuildsGoOn opens what two builds left whose sixteenth migrations were not the same: events that waited are
// there, also after the numbers of those that were packed, and more are taken.
func TestEventsOfOlderBuildsGoOn(t *testing.T) {
	for build, columns := range map[string][]string{"with times": nil, "without": {"first_ms", "last_ms", "count"}} {
		t.Run(build, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyward.db")
			old := openOld(t, path, 16)
			statements := []string{
				`INSERT INTO audit_batch (seq, first_ms, last_ms, count, events, after) VALUES
					(7, 1, 1, 1, CAST('{"eventID":"waits"}' || char(10) AS BLOB), 0), (9, 1, 1, 1, x'00', 0)`,
				`DELETE FROM audit_batch WHERE seq = 9`,
			}
			for _, c := range columns {
				statements = append(statements, `ALTER TABLE audit_batch DROP COLUMN `+c)
			}
			for _, s := range statements {
				if _, err := old.Exec(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			db := open(t, path, false)
			if err := db.Change(t.Context(), event("new"), func(*sql.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if got := ids(t, db); !slices.Equal(got, []string{"waits", "new"}) {
				t.Errorf("events %q", got)
			}
			var newest int
			if err := db.read.QueryRow(`SELECT max(seq) FROM audit_batch`).Scan(&newest); err != nil || newest != 10 {
				t.Errorf("the new one is number %d, %v", newest, err)
			}
		})
	}
}

func TestOpenRefusesToStartAnEmptyHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening nothing: %v", err)
	}
	open(t, path, true)
	if _, err := Open(t.Context(), path, Options{Create: true}); !errors.Is(err, os.ErrExist) {
		t.Errorf("creating twice: %v", err)
	}
	entries, err := filepath.Glob(path + "*")
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if info, err := os.Stat(e); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", e, info.Mode(), err)
		}
	}
}

func TestChangeKeepsBothOrNeither(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "keyward.db"), true)
	put := func(name string) func(*sql.Tx) error {
		return func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, x'01')`, name)
			return exists(err)
		}
	}
	kept := event("kept")
	if err := db.Change(t.Context(), kept, put("a")); err != nil || !kept.Kept {
		t.Fatal(err, kept.Kept)
	}
	refused := event("refused")
	if err := db.Change(t.Context(), refused, put("a")); !errors.Is(err, fault.ErrExists) || refused.Kept {
		t.Fatal(err, refused.Kept)
	}
	unkeepable := event("unkeepable")
	unkeepable.Request.Add("plaintext", []byte("x"))
	if err := db.Change(t.Context(), unkeepable, put("b")); err == nil {
		t.Fatal("a change went through without its event")
	}
	if _, err := db.Setting(t.Context(), "b"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the change whose event was refused is there: %v", err)
	}
	if got := fmt.Sprint(ids(t, db)); got != "[kept]" {
		t.Errorf("events %v", got)
	}
}

func TestRecordIsDurableWhenItReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	db := open(t, path, true)
	var all sync.WaitGroup
	const calls = 200
	for i := range calls {
		all.Go(func() {
			e := event(fmt.Sprint("e", i))
			if err := db.Record(t.Context(), e); err != nil || !e.Kept {
				t.Error(err, e.Kept)
			}
		})
	}
	all.Wait()
	// What a crash now would leave: the files as they are, without closing.
	copied := filepath.Join(t.TempDir(), "left")
	if err := os.CopyFS(copied, os.DirFS(filepath.Dir(path))); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, id := range ids(t, open(t, filepath.Join(copied, "keyward.db"), false)) {
		if seen[id] {
			t.Errorf("event %s is there twice", id)
		}
		seen[id] = true
	}
	if len(seen) != calls {
		t.Errorf("%d of %d events survived", len(seen), calls)
	}
}

func TestRelaxedEventsAreKeptByClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	db, err := Open(t.Context(), path, Options{Create: true, RelaxedAudit: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := db.Record(t.Context(), event(fmt.Sprint("e", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Record(t.Context(), event("late")); !errors.Is(err, errAuditClosed) {
		t.Errorf("after Close: %v", err)
	}
	if got := ids(t, open(t, path, false)); len(got) != 50 {
		t.Errorf("%d of 50 events kept", len(got))
	}
}

// TestRelaxedEventsWaitForASlowDisk holds up the first batch while more events come than a batch takes.
func TestRelaxedEventsWaitForASlowDisk(t *testing.T) {
	j, err := journal.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r := newRecorder(j, func(usages) { once.Do(func() { close(held) }); <-release }, true)
	record := func(id string, length int) {
		e := event(id)
		e.Request.Add("big", strings.Repeat("x", length))
		if _, err := r.add(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	record("first", 1)
	<-held
	const events = 40 // of half a megabyte: four batches and more
	var recorded atomic.Int64
	var all sync.WaitGroup
	for i := range events {
		all.Go(func() {
			record(fmt.Sprint("e", i), 1<<19)
			recorded.Add(1)
		})
	}
	const fit = maxBatch / (1 << 19)
	for recorded.Load() < fit {
		runtime.Gosched()
	}
	if n := recorded.Load(); n > fit {
		t.Errorf("%d events were taken, more than memory is meant for", n)
	}
	close(release)
	all.Wait()
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
}

func TestMigrationsRunOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	db := open(t, path, true)
	if err := db.PutSetting(t.Context(), "x", []byte("1")); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, false)
	if got, err := again.Setting(t.Context(), "x"); err != nil || !bytes.Equal(got, []byte("1")) {
		t.Errorf("%q, %v", got, err)
	}
}

func BenchmarkRecord(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "keyward.db"), true)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := db.Record(context.Background(), event("1234abcd-12ab-34cd-56ef-1234567890ab")); err != nil {
				b.Error(err)
			}
		}
	})
}

// packAll takes all waiting events out as packing does, a round at a time, and lists their ids.
func packAll(t *testing.T, db *DB) (all []string) {
	t.Helper()
	for more := true; more; {
		var upTo cloudtrail.Mark
		var err error
		upTo, more, err = db.Trail().Waiting(t.Context(), func(lines []byte) bool {
			all = append(all, idsOf(t, lines)...)
			return len(all)%7 != 0
		})
		if err == nil {
			err = db.Trail().Pack(t.Context(), nil, upTo)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestEventsKeepOneOrder mixes calls, changes and more changes than are read at once.
func TestEventsKeepOneOrder(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "keyward.db"), true)
	var kept []string
	call := func(id string) {
		if err := db.Record(t.Context(), event(id)); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, id)
	}
	changes := func(name string, n int) {
		err := db.Change(t.Context(), nil, func(tx *sql.Tx) error {
			for i := range n {
				kept = append(kept, fmt.Sprint(name, i))
				if err := db.insertEvent(t.Context(), tx, event(kept[len(kept)-1])); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for round := range 4 {
		call(fmt.Sprint("a", round))
		changes(fmt.Sprint("b", round, "-"), 1+700*(round%2))
		call(fmt.Sprint("c", round))
		call(fmt.Sprint("d", round))
	}
	changes("e", maxChanges)
	if got := packAll(t, db); !slices.Equal(got, kept) {
		t.Errorf("%d events are packed of %d, or not in their order", len(got), len(kept))
	}
	if got := ids(t, db); len(got) != 0 {
		t.Errorf("%v wait after they were packed", got)
	}
}

// TestPackedEventsAreNotPackedAgain puts the journal back as it was before it was packed, as a process does that is killed
// before it drops what is packed.
func TestPackedEventsAreNotPackedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	db := open(t, path, true)
	record := func(id string) {
		if err := db.Record(t.Context(), event(id)); err != nil {
			t.Fatal(err)
		}
	}
	record("packed")
	journal := filepath.Join(filepath.Dir(path), journalFolder)
	before := filepath.Join(t.TempDir(), "before")
	if err := os.CopyFS(before, os.DirFS(journal)); err != nil {
		t.Fatal(err)
	}
	if got := packAll(t, db); !slices.Equal(got, []string{"packed"}) {
		t.Errorf("packed %v", got)
	}
	if err := errors.Join(db.Close(), os.RemoveAll(journal), os.Rename(before, journal)); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, false)
	record("later")
	if got := packAll(t, db); !slices.Equal(got, []string{"later"}) {
		t.Errorf("packed %v after a restart", got)
	}
}
