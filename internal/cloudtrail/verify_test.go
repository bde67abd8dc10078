package cloudtrail_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	trail "keyward/internal/cloudtrail"
)

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestVerifyFindsAnyChangedByte changes single bytes of delivered files: each is found, and the file is named.
func TestVerifyFindsAnyChangedByte(t *testing.T) {
	w := newWorld(t)
	w.deliveries(3)
	files := w.files()
	rapid.Check(t, func(r *rapid.T) {
		path := rapid.SampledFrom(files).Draw(r, "file")
		full := filepath.Join(w.trailDir(), path)
		intact, err := os.ReadFile(full)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(intact)
		// Ends of files hold bits that decompressors ignore.
		at := rapid.OneOf(rapid.IntRange(0, len(intact)-1), rapid.IntRange(max(0, len(intact)-12), len(intact)-1), rapid.IntRange(0, 11)).Draw(r, "at")
		changed[at] ^= byte(1 << rapid.IntRange(0, 7).Draw(r, "bit"))
		replace(t, full, changed)
		defer replace(t, full, intact)
		for _, withDatabase := range []bool{true, false} {
			if !finds(w.verify(withDatabase), strings.TrimSuffix(path, ".sig")) {
				r.Errorf("database %v: a changed byte is not found", withDatabase)
			}
		}
	})
	if got := w.verify(true); len(got.Findings) != 0 {
		t.Errorf("put back: %+v", got.Findings)
	}
}

func replace(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func finds(r trail.Report, path string) bool {
	for _, f := range r.Findings {
		if strings.TrimSuffix(f.Path, ".sig") == path {
			return true
		}
	}
	return false
}

func TestVerifyFindsRemovedFiles(t *testing.T) {
	w := newWorld(t)
	w.deliveries(3)
	for _, path := range w.files() {
		full := filepath.Join(w.trailDir(), path)
		if err := os.Rename(full, filepath.Join(w.dir, "aside")); err != nil {
			t.Fatal(err)
		}
		if r := w.verify(true); !finds(r, strings.TrimSuffix(path, ".sig")) {
			t.Errorf("%s is missing and not found: %+v", path, r.Findings)
		}
		if err := os.Rename(filepath.Join(w.dir, "aside"), full); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyFindsRemovedMiddles removes files in the middle, which shows without the database too.
func TestVerifyFindsRemovedMiddles(t *testing.T) {
	w := newWorld(t)
	w.deliveries(3)
	var digests []string
	for _, path := range w.files() {
		if strings.Contains(path, "Digest") && !strings.HasSuffix(path, ".sig") {
			digests = append(digests, path)
		}
	}
	for _, suffix := range []string{"", ".sig"} {
		if err := os.Remove(filepath.Join(w.trailDir(), digests[1]+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.verify(false); !finds(r, digests[1]) {
		t.Errorf("%+v", r.Findings)
	}
}

func TestVerifyFindsAddedFiles(t *testing.T) {
	w := newWorld(t)
	w.deliveries(2)
	named := func(part string) string {
		return w.files()[slices.IndexFunc(w.files(), func(path string) bool { return strings.Contains(path, part) })]
	}
	log, digest := named("_CloudTrail_us-east-1_20260304T05"), named("_20260304T061107Z.json.gz")
	unlike := "A"
	if strings.HasSuffix(log, "A.json.gz") {
		unlike = "B"
	}
	for name, c := range map[string]struct{ from, to string }{
		"a copy of a log":    {log, log[:len(log)-len("A.json.gz")] + unlike + ".json.gz"},
		"an older log":       {log, strings.Replace(log, "_20260304T05", "_20260304T01", 1)},
		"a stranger":         {log, "AWSLogs/notes.txt"},
		"a copy of a digest": {digest, strings.Replace(digest, "T061107Z", "T061108Z", 1)},
		"an older digest":    {digest, strings.Replace(digest, "_20260304T", "_20250304T", 1)},
		"a digest alone":     {digest, strings.Replace(digest, "_20260304T", "_20260305T", 1)},
	} {
		data, err := os.ReadFile(filepath.Join(w.trailDir(), c.from))
		if err != nil {
			t.Fatal(err)
		}
		added := filepath.Join(w.trailDir(), c.to)
		if _, err := os.Stat(added); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: %s is there already", name, c.to)
		}
		replace(t, added, data)
		for _, withDatabase := range []bool{true, false} {
			if r := w.verify(withDatabase); !finds(r, c.to) {
				t.Errorf("%s (%s), database %v, is not found: %+v", name, c.to, withDatabase, r.Findings)
			}
		}
		if err := os.Remove(added); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.verify(true); len(r.Findings) != 0 {
		t.Errorf("all removed again: %+v", r.Findings)
	}
}

// TestVerifyReadsOnlyWhatMayBeDelivered puts in the place of files what would be read for good: a file that takes no space
// on the disk, and a pipe that nobody writes to.
func TestVerifyReadsOnlyWhatMayBeDelivered(t *testing.T) {
	w := newWorld(t)
	w.deliveries(1)
	for _, path := range w.files() {
		full := filepath.Join(w.trailDir(), path)
		intact, err := os.ReadFile(full)
		if err != nil {
			t.Fatal(err)
		}
		for what, put := range map[string]func() error{
			"long": func() error { return errors.Join(os.WriteFile(full, nil, 0o600), os.Truncate(full, 1<<40)) },
			"pipe": func() error { return unix.Mkfifo(full, 0o600) },
		} {
			if err := errors.Join(os.Remove(full), put()); err != nil {
				t.Fatal(err)
			}
			for _, withDatabase := range []bool{true, false} {
				if r := w.verify(withDatabase); !finds(r, strings.TrimSuffix(path, ".sig")) {
					t.Errorf("%s for %s, database %v: %+v", what, path, withDatabase, r.Findings)
				}
			}
		}
		if err := os.Remove(full); err != nil {
			t.Fatal(err)
		}
		replace(t, full, intact)
	}
	if r := w.verify(true); len(r.Findings) != 0 {
		t.Errorf("all put back: %+v", r.Findings)
	}
}

// TestVerifyFindsForgery replaces an event and makes all hashes fit, which only lacks the signature.
func TestVerifyFindsForgery(t *testing.T) {
	w := newWorld(t)
	w.deliveries(1)
	forger := newWorld(t)
	forger.deliveries(1)
	for _, path := range w.files() {
		if err := os.Remove(filepath.Join(w.trailDir(), path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range forger.files() {
		data, err := os.ReadFile(filepath.Join(forger.trailDir(), path))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(w.trailDir(), path)), 0o700); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(w.trailDir(), path), data)
	}
	r := w.verify(false)
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].What, "unknown key") {
		t.Errorf("another installation's trail: %+v", r.Findings)
	}
}

// TestVerifyFindsChangedIndex removes events from the database, where lookups find them.
func TestVerifyFindsChangedIndex(t *testing.T) {
	w := newWorld(t)
	w.deliveries(2)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "keyward.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`DELETE FROM trail_segment WHERE seq = (SELECT MIN(seq) FROM trail_segment)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r := w.verify(true)
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].What, "no longer holds the events") {
		t.Errorf("%+v", r.Findings)
	}
}

func TestVerifyARange(t *testing.T) {
	w := newWorld(t)
	start := w.now
	w.deliveries(4)
	text, err := w.db.Setting(t.Context(), trail.PublicKeysSetting)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := trail.ReadPublicKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to time.Duration
		digests  int
	}{{0, 0, 4}, {70 * time.Minute, 0, 3}, {70 * time.Minute, 100 * time.Minute, 1}, {100 * time.Hour, 0, 0}} {
		s := trail.Source{Dir: w.trailDir(), Keys: keys, Store: w.db.Trail(), Now: w.now}
		if c.from > 0 {
			s.From = start.Add(c.from)
		}
		if c.to > 0 {
			s.To = start.Add(c.to)
		}
		r, err := trail.Verify(t.Context(), s)
		if err != nil || len(r.Findings) != 0 || r.Digests != c.digests {
			t.Errorf("%v to %v: %+v, %v; want %d digests", c.from, c.to, r, err, c.digests)
		}
	}
}
