package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"keyward/internal/durable"
)

// What files are called: a segment's number in 16 hex digits, and these.
const (
	suffix      = ".journal"
	spareSuffix = ".spare"
)

// format is how a segment's first record begins; where the segment before ends follows, 8 bytes.
const format = "keyward journal 1\n"

// segment is one file.
type segment struct {
	file  *os.File
	path  string
	start Position
	end   Position // of the last record
}

// list finds a folder's segments, oldest first, and its spares. Spares beyond the bound are removed.
func list(dir string) (numbers []int64, spares []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), spareSuffix) {
			spares = append(spares, filepath.Join(dir, e.Name()))
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(e.Name(), suffix), 16, 64)
		if err == nil && n > 0 && e.Name() == filepath.Base(path(dir, n)) {
			numbers = append(numbers, n)
		}
	}
	for len(spares) > maxSpares {
		last := len(spares) - 1
		if err := os.Remove(spares[last]); err != nil {
			return nil, nil, err
		}
		spares = spares[:last]
	}
	slices.Sort(numbers)
	return numbers, spares, nil
}

// createSegment begins a segment, in a spare's file if there is one. before is where the one before ends.
func createSegment(dir string, number int64, before Position, spare string) (_ *segment, err error) {
	s := &segment{path: path(dir, number), start: Position(number) * SegmentSize}
	if spare != "" {
		if err := os.Rename(spare, s.path); err != nil {
			return nil, err
		}
	}
	if s.file, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	s.end = s.start
	first := appendFrame(nil, s.start, []byte(format), binary.BigEndian.AppendUint64(nil, uint64(before)))
	if err = s.write(first); err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.file.Close(), os.Remove(s.path))
	}
	s.end += Position(len(first))
	return s, nil
}

// openSegment reads a segment through and returns where the one before ends. It is nil where none was begun: the file
// has its name, but no first record yet. Such a file is removed.
func openSegment(dir string, number int64) (_ *segment, before Position, err error) {
	s := &segment{path: path(dir, number), start: Position(number) * SegmentSize}
	if s.file, err = os.OpenFile(s.path, os.O_RDWR, 0); err != nil {
		return nil, 0, err
	}
	s.end = s.start
	first, length, err := readFrame(s.file, s.start, 0)
	if errors.Is(err, errNoFrame) {
		if err := s.endsHere(); err != nil {
			return nil, 0, errors.Join(err, s.file.Close())
		}
		return nil, 0, errors.Join(s.file.Close(), os.Remove(s.path))
	}
	if err == nil && (len(first) != len(format)+8 || string(first[:len(format)]) != format) {
		err = fmt.Errorf("%s is of another version", s.path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, s.file.Close())
	}
	s.end = s.start + Position(length)
	for err == nil {
		_, length, err = readFrame(s.file, s.end, int64(s.end-s.start))
		s.end += Position(length)
	}
	if !errors.Is(err, errNoFrame) {
		return nil, 0, errors.Join(err, s.file.Close())
	}
	return s, Position(binary.BigEndian.Uint64(first[len(format):])), nil //nolint:gosec // as it was written
}

// endsAt takes the word of the segment that follows for where this one ends: records beyond were refused.
func (s *segment) endsAt(end Position) error {
	if end > s.end {
		return s.damaged()
	}
	s.end = max(end, s.start)
	return nil
}

// endsHere makes sure that no record follows the last one that was found: then what is between is damaged.
func (s *segment) endsHere() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	for at := s.end + block; int64(at-s.start) < info.Size(); at += block {
		_, _, err := readFrame(s.file, at, int64(at-s.start))
		if err == nil {
			return s.damaged()
		}
		if !errors.Is(err, errNoFrame) {
			return err
		}
	}
	return nil
}

func (s *segment) damaged() error {
	return fmt.Errorf("%s is damaged at byte %d, and records follow: put the file back from a copy, or move it away to go on without "+
		"what it holds", s.path, s.end-s.start)
}

// holds reports whether a record of a length still fits.
func (s *segment) holds(length int) bool {
	used := int64(s.end-s.start) + headerSize + int64(length)
	return used+int64(padding(int(used))) <= SegmentSize
}

// write puts frames behind the last record. Syncing the data alone includes what is needed to find it.
func (s *segment) write(frames []byte) error {
	if _, err := s.file.WriteAt(frames, int64(s.end-s.start)); err != nil {
		return err
	}
	for {
		err := unix.Fdatasync(int(s.file.Fd())) //nolint:gosec // a descriptor
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// piece is a segment as it was at one time.
type piece struct {
	*segment
	end Position
}

// read yields the records that end after from and reports whether yield wants more.
func (p piece) read(from Position, yield func(record []byte, end Position) bool) (more bool, err error) {
	at := max(from, p.start)
	for at < p.end {
		record, length, err := readFrame(p.file, at, int64(at-p.start))
		if err != nil {
			return false, fmt.Errorf("reading %s at byte %d: %w", p.path, at-p.start, err)
		}
		first := at == p.start
		at += Position(length)
		if !first && !yield(record, at) {
			return false, nil
		}
	}
	return true, nil
}
