package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// tester is what a test and a property check have in common.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

func open(t tester, dir string, from Position) *Journal {
	t.Helper()
	j, err := Open(dir, from)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func appendAll(t tester, j *Journal, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := j.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

// held lists the records that end after from, and their ends.
func held(t tester, j *Journal, from Position) (records []string, ends []Position) {
	t.Helper()
	err := j.Read(from, func(record []byte, end Position) bool {
		records, ends = append(records, string(record)), append(ends, end)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, ends
}

func expect(t tester, j *Journal, from Position, want ...string) {
	t.Helper()
	if got, _ := held(t, j, from); !slices.Equal(got, want) {
		t.Fatalf("holds %q, want %q", short(got), short(want))
	}
}

func short(records []string) (all []string) {
	for _, r := range records {
		all = append(all, fmt.Sprintf("%.12s…%d", r, len(r)))
	}
	return all
}

// record is n bytes long and unlike others.
func record(name string, n int) string { return name + strings.Repeat("-", max(0, n-len(name))) }

func TestRecordsAreKeptInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := open(t, dir, 0)
	expect(t, j, 0)
	if err := j.Append([]byte("a"), nil, []byte("bc")); err != nil {
		t.Fatal(err)
	}
	long := record("long", 3*block)
	appendAll(t, j, long, "last")
	expect(t, j, 0, "abc", long, "last")
	if n := j.Size(); n < int64(len(long)) || n > int64(len(long))+5*block {
		t.Errorf("%d bytes hold %d", n, len(long))
	}
	_, ends := held(t, j, 0)
	expect(t, j, ends[0], long, "last")
	expect(t, j, ends[2])
	if j.End() != ends[2] {
		t.Errorf("ends at %d, want %d", j.End(), ends[2])
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, ends[0])
	expect(t, j, ends[0], long, "last")
	appendAll(t, j, "after")
	expect(t, j, ends[0], long, "last", "after")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, segmentFiles(t, dir)[0]: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestLengths(t *testing.T) {
	j := open(t, t.TempDir(), 0)
	for _, n := range []int{0, MaxRecord + 1} {
		if err := j.Append(make([]byte, n)); err == nil {
			t.Errorf("a record of %d bytes is taken", n)
		}
	}
	for _, n := range []int{1, block - headerSize, block - headerSize + 1, MaxRecord} {
		before := j.End()
		appendAll(t, j, record("x", n))
		expect(t, j, before, record("x", n))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAsAList plays appends, drops, restarts and restarts after a write that was cut short against a list.
func TestAsAList(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		j := open(r, dir, 0)
		var records []string
		var ends []Position
		var dropped, last Position
		torn := 0
		restart := func() {
			if err := j.Close(); err != nil {
				r.Fatal(err)
			}
			j = open(r, dir, dropped)
			expect(r, j, dropped, records...)
		}
		r.Repeat(map[string]func(*rapid.T){
			"append": func(r *rapid.T) {
				// Long ones go through segments quickly.
				text := record(fmt.Sprint(len(ends), " "), rapid.SampledFrom([]int{1, 1, 1, 700, 700, 700, 5000, 5000, 5000, 5000, 6 << 20}).Draw(r, "length"))
				appendAll(r, j, text)
				if j.End() <= last {
					r.Fatalf("went from %d back to %d", last, j.End())
				}
				records, ends, last = append(records, text), append(ends, j.End()), j.End()
			},
			"drop": func(r *rapid.T) {
				n := rapid.IntRange(0, len(records)).Draw(r, "records")
				if n == 0 {
					return
				}
				dropped = ends[n-1]
				records, ends = records[n:], ends[n:]
				if err := j.Drop(dropped); err != nil {
					r.Fatal(err)
				}
				expect(r, j, dropped, records...)
			},
			"restart": func(*rapid.T) { restart() },
			"cut short": func(r *rapid.T) {
				files := segmentFiles(r, dir)
				if len(files) == 0 {
					return
				}
				torn++ // unlike what earlier ones left behind, which could make this one whole
				frame := appendFrame(nil, j.End(), bytes.Repeat(fmt.Appendf(nil, "%04d", torn), block))
				cut := frame[:rapid.IntRange(1, len(frame)-2*block).Draw(r, "bytes")]
				writeAt(r, files[len(files)-1], cut, int64(j.End()%SegmentSize))
				restart()
			},
			"": func(r *rapid.T) {
				if files, err := os.ReadDir(dir); err != nil || len(files) > len(records)+2+maxSpares {
					r.Fatalf("%d files for %d records, %v", len(files), len(records), err)
				}
			},
		})
		if err := errors.Join(j.Close(), os.RemoveAll(dir)); err != nil {
			r.Fatal(err)
		}
	})
}

func segmentFiles(t tester, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func writeAt(t tester, path string, b []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(b, at)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSegmentsAreWrittenOver: a dropped segment's file is used again, and what it held before is not found in it.
func TestSegmentsAreWrittenOver(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 0)
	big := func(i int) string { return record(fmt.Sprint("r", i), 5<<20) }
	for i := range 12 {
		appendAll(t, j, big(i))
		if n := j.Size(); n > 3*SegmentSize {
			t.Errorf("%d bytes for two records", n)
		}
		_, ends := held(t, j, 0)
		if err := j.Drop(ends[max(0, len(ends)-2)]); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 4 {
		t.Errorf("%d files, %v", len(files), err)
	}
	_, ends := held(t, j, 0)
	from := ends[len(ends)-2]
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, from)
	appendAll(t, j, "short") // in a spare that held long ones
	expect(t, j, from, big(11), "short")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, from)
	expect(t, j, from, big(11), "short")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestARefusedRecordIsNotFollowed: after a failure the next record opens a segment, and what the failure may have left
// behind the last record is not read.
func TestARefusedRecordIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 0)
	appendAll(t, j, "first")
	file := j.active.file
	stored := appendFrame(nil, j.End(), []byte("refused, but stored"))
	writeAt(t, j.active.path, stored, int64(j.End()%SegmentSize))
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]byte("refused")); err == nil {
		t.Fatal("a closed file takes a record")
	}
	reopened, err := os.OpenFile(j.segments[0].path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	j.segments[0].file = reopened
	appendAll(t, j, "second")
	expect(t, j, 0, "first", "second")
	if len(segmentFiles(t, dir)) != 2 {
		t.Errorf("%v", segmentFiles(t, dir))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, 0)
	expect(t, j, 0, "first", "second")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestASegmentThatCannotBeBegun leaves nothing behind.
func TestASegmentThatCannotBeBegun(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 0)
	blocked := path(dir, 1)
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]byte("x")); err == nil {
		t.Fatal("a folder takes a record")
	}
	appendAll(t, j, "y")
	expect(t, j, 0, "y")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsNoticed: a changed byte before other records, in any segment, is not taken for the end.
func TestDamageIsNoticed(t *testing.T) {
	build := func(t *testing.T) string {
		dir := t.TempDir()
		j := open(t, dir, 0)
		appendAll(t, j, "a", record("b", 3*block), "c", record("d", MaxRecord), "e", "f")
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(segmentFiles(t, dir)); n != 3 {
			t.Fatalf("%d segments", n)
		}
		return dir
	}
	for name, c := range map[string]struct {
		segment int
		at      int64
		opens   bool // the damage is to the last record of all, which could as well be unfinished
	}{
		"head of the first segment":    {0, 20, false},
		"a position":                   {0, block + 7, false},
		"a length":                     {0, block + 11, false},
		"a record":                     {0, 2*block + headerSize + block, false},
		"the last of a segment":        {1, block + headerSize + 5, false},
		"head of the last segment":     {2, 3, false},
		"the last but one of all":      {2, block + headerSize, false},
		"the last of all":              {2, 2*block + headerSize, true},
		"behind the last of a segment": {0, 6*block + 100, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := build(t)
			file := segmentFiles(t, dir)[c.segment]
			writeAt(t, file, []byte{0xee}, c.at)
			j, err := Open(dir, 0)
			if c.opens {
				if err != nil {
					t.Fatal(err)
				}
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "is damaged at byte") || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("opens with %v", err)
			}
		})
	}
}

// TestOtherFilesAreLeftAlone, and so are segments of a later version.
func TestOtherFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"README", "1.journal", "zz.journal"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, dir, 0)
	appendAll(t, j, "a")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	later := appendFrame(nil, 9*SegmentSize, []byte("keyward journal 2\n"), binary.BigEndian.AppendUint64(nil, 0))
	if err := os.WriteFile(path(dir, 9), later, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, 0); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("%v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 5 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestPositionsOutliveTheirFiles: where the files are gone, no position is given twice.
func TestPositionsOutliveTheirFiles(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 0)
	appendAll(t, j, "a", "b")
	end := j.End()
	if err := errors.Join(j.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, end)
	appendAll(t, j, "c")
	expect(t, j, end, "c")
	if j.End() <= end {
		t.Errorf("ends at %d after %d", j.End(), end)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadingBesideWriting reads and drops while records come, as packing does.
func TestReadingBesideWriting(t *testing.T) {
	j := open(t, t.TempDir(), 0)
	const n = 200
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range n {
			if err := j.Append([]byte(record(fmt.Sprint(i, " "), 400<<10))); err != nil {
				t.Error(err)
			}
		}
	})
	var from Position
	for next := 0; next < n; {
		err := j.Read(from, func(record []byte, end Position) bool {
			if name, _, _ := bytes.Cut(record, []byte{' '}); string(name) != fmt.Sprint(next) {
				t.Fatalf("record %s comes where %d is due", name, next)
			}
			next, from = next+1, end
			return next%7 != 0
		})
		if err = errors.Join(err, j.Drop(from)); err != nil {
			t.Fatal(err)
		}
	}
	writing.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzOpen takes any bytes for a segment: nothing panics, and what is read is what a frame says.
func FuzzOpen(f *testing.F) {
	head := appendFrame(nil, SegmentSize, []byte(format), binary.BigEndian.AppendUint64(nil, 0))
	f.Add([]byte{})
	f.Add(head)
	f.Add(appendFrame(head, SegmentSize+block, []byte("a record")))
	f.Add(appendFrame(head, SegmentSize+block, []byte("a record"))[:block+20])
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(path(dir, 1), content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(dir, 0)
		if err != nil {
			return
		}
		records, _ := held(t, j, 0)
		for _, r := range records {
			if !bytes.Contains(content, []byte(r)) {
				t.Errorf("%q is not in the file", r)
			}
		}
		appendAll(t, j, "next")
		expect(t, j, 0, append(records, "next")...)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkAppend writes 16 KiB at a time into files that grow, and over files that were used before.
func BenchmarkAppend(b *testing.B) {
	for name, drop := range map[string]bool{"growing": false, "written over": true} {
		b.Run(name, func(b *testing.B) {
			j := open(b, b.TempDir(), 0)
			text := bytes.Repeat([]byte("x"), 16<<10-headerSize)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if err := j.Append(text); err != nil {
					b.Fatal(err)
				}
				if drop {
					if err := j.Drop(j.End()); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
