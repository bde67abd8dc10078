// Package journal keeps records in files, in the order in which they were appended, until they are taken out from the
// oldest on. It knows nothing of what records hold.
//
// A record is on the disk when Append returns, at the cost of one write and one sync. A journal is a row of segments,
// files of at most SegmentSize bytes. Those whose records were all dropped are written over as later segments: a write
// into a file that need not grow costs the disk half as much. Each record begins with its position, which no two
// records ever share, so what is left of a segment's earlier life is told from what it holds now.
//
// A record that Append refused may still be found after a restart: nobody can take back what a failing disk may have
// kept. Nothing is ever appended behind it, since a file whose sync has failed is not to be trusted; the next record
// opens a new segment.
package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"keyward/internal/durable"
)

// Position is a place in the journal, in bytes since its beginning: a segment's number times SegmentSize, and the place
// in the segment. It never goes back, whatever is dropped. The zero Position is before all records.
type Position int64

// Sizes in bytes.
const (
	SegmentSize = 16 << 20
	// block is what records are aligned to, so that no write touches a page of the disk that holds an earlier one.
	block = 4 << 10
	// MaxRecord is the longest record.
	MaxRecord = SegmentSize - 2*block
)

// maxSpares bounds the dropped segments that are kept to be written over.
const maxSpares = 2

// Journal is an open journal. Append must not be called concurrently; everything else may be.
type Journal struct {
	dir    string
	buffer []byte       // Append's
	files  sync.RWMutex // held for reading while records are read, for writing while segments are dropped

	mu       sync.Mutex // guards what follows
	segments []*segment // oldest first
	active   *segment   // the one that is appended to; nil before the first record and after a failure. Append alone sets it
	end      Position   // of the last record
	next     int64      // the number of the next segment
	spares   []string   // paths
}

// Open opens the journal in a folder, which is made if it is missing, and drops what is before from. It fails if a
// record is damaged that others follow: an unfinished one at the end is nobody's.
func Open(dir string, from Position) (*Journal, error) {
	if err := durable.Mkdir(dir); err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &Journal{dir: dir, end: from, next: int64(from/SegmentSize) + 1}
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the journal: %w", err), j.Close())
	}
	if err := j.Drop(from); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the journal: %w", err), j.Close())
	}
	return j, nil
}

// load finds the segments and their ends.
func (j *Journal) load() error {
	numbers, spares, err := list(j.dir)
	if err != nil {
		return err
	}
	j.spares = spares
	for _, n := range numbers {
		s, before, err := openSegment(j.dir, n)
		if err != nil {
			return err
		}
		if s == nil { // a segment that was never begun
			continue
		}
		j.segments = append(j.segments, s)
		j.next = max(j.next, n+1)
		if len(j.segments) > 1 {
			if err := j.segments[len(j.segments)-2].endsAt(before); err != nil {
				return err
			}
		}
	}
	if last := len(j.segments) - 1; last >= 0 {
		j.end = max(j.end, j.segments[last].end)
		return j.segments[last].endsHere()
	}
	return nil
}

// Append adds a record, of parts that are joined. It is on the disk when Append returns. The record is from 1 to
// MaxRecord bytes long.
func (j *Journal) Append(parts ...[]byte) error {
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	if length == 0 || length > MaxRecord {
		return fmt.Errorf("a journal's record cannot have %d bytes", length)
	}
	if j.active == nil || !j.active.holds(length) {
		if err := j.begin(); err != nil {
			return err
		}
	}
	s := j.active
	frame := appendFrame(j.buffer[:0], s.end, parts...)
	if cap(frame) <= maxBuffer {
		j.buffer = frame
	}
	err := s.write(frame)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.active = nil
		return err
	}
	s.end += Position(len(frame))
	j.end = s.end
	return nil
}

// maxBuffer is the largest buffer, in bytes, that is kept for the next record.
const maxBuffer = 1 << 20

// begin opens the next segment.
func (j *Journal) begin() error {
	j.mu.Lock()
	number, before, spare := j.next, j.end, ""
	j.next++
	j.active = nil
	if last := len(j.spares) - 1; last >= 0 {
		spare = j.spares[last]
		j.spares = j.spares[:last]
	}
	j.mu.Unlock()
	s, err := createSegment(j.dir, number, before, spare)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.active, j.segments = s, append(j.segments, s)
	return nil
}

// End is where the last record ends.
func (j *Journal) End() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.end
}

// Size is how many bytes the journal holds, those included that were dropped from a segment that holds others.
func (j *Journal) Size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) == 0 {
		return 0
	}
	return int64(j.end - j.segments[0].start)
}

// Read yields the records that end after from, which is a record's end or zero, oldest first, each with its end, until
// yield returns false. It sees every record whose Append has returned before. Records are the caller's to keep.
func (j *Journal) Read(from Position, yield func(record []byte, end Position) bool) error {
	j.files.RLock()
	defer j.files.RUnlock()
	j.mu.Lock()
	pieces := make([]piece, 0, len(j.segments))
	for _, s := range j.segments {
		pieces = append(pieces, piece{s, s.end})
	}
	j.mu.Unlock()
	for _, p := range pieces {
		if more, err := p.read(from, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

// Drop gives up the records that end at before or earlier, whose files are written over or removed.
func (j *Journal) Drop(before Position) error {
	j.files.Lock()
	defer j.files.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for n < len(j.segments) && j.segments[n].end <= before && j.segments[n] != j.active {
		n++
	}
	var err error
	for _, s := range j.segments[:n] {
		err = errors.Join(err, j.retire(s))
	}
	j.segments = j.segments[n:]
	return err
}

// retire makes a segment's file a spare, or removes it.
func (j *Journal) retire(s *segment) error {
	err := s.file.Close()
	if len(j.spares) >= maxSpares {
		return errors.Join(err, os.Remove(s.path))
	}
	spare := s.path + spareSuffix
	if err := errors.Join(err, os.Rename(s.path, spare)); err != nil {
		return err
	}
	j.spares = append(j.spares, spare)
	return nil
}

// Close closes the journal's files.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	for _, s := range j.segments {
		err = errors.Join(err, s.file.Close())
	}
	j.active, j.segments = nil, nil
	return err
}

// path is where a segment is.
func path(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, suffix))
}
