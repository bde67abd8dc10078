package cloudtrail

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"keyward/internal/arn"
)

// maxSegment bounds a segment's text, in bytes, against damaged ones: packing stops far below.
const maxSegment = 64 << 20

// Segment is a number of one scope's records in the order in which they were kept, compressed. It never changes.
type Segment struct {
	Seq   int64 // storage's number; larger is later
	Scope arn.Scope
	First time.Time // of the oldest event
	Last  time.Time // of the newest event
	Count int
	IDs   []byte  // eight bytes of each event's id
	Terms []int64 // what the segment is found by; not kept in the segment itself
	Data  []byte  // gzip of a line each: milliseconds since 1970, a space, the record
	File  int64   // the log file that holds the records; 0 before delivery
}

// entry is one record of a segment.
type entry struct {
	ms     int64
	record []byte
}

// builder makes a segment.
type builder struct {
	segment Segment
	text    []byte
	terms   map[int64]bool
	last    facts // of the latest record
}

func (b *builder) add(r *rendered) {
	if b.segment.Count == 0 || r.time.Before(b.segment.First) {
		b.segment.First = r.time
	}
	if b.segment.Count == 0 || r.time.After(b.segment.Last) {
		b.segment.Last = r.time
	}
	b.segment.Count++
	b.segment.IDs = appendIDPrefix(b.segment.IDs, r.eventID)
	b.addTerms(&r.facts)
	b.text = strconv.AppendInt(b.text, r.time.UnixMilli(), 10)
	b.text = append(append(append(b.text, ' '), r.json...), '\n')
}

// addTerms spares itself the work where the record before had the same: calls come in rows.
func (b *builder) addTerms(f *facts) {
	if len(b.terms) > 0 && f.likewise(&b.last) {
		return
	}
	b.last = *f
	b.terms[attribute{}.term(b.segment.Scope)] = true
	for _, a := range attributesOf(f) {
		b.terms[a.termKey().term(b.segment.Scope)] = true
	}
}

// compressors are used again: each has more than a megabyte of tables.
var compressors = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil { // the level is known to the library
		panic(err)
	}
	return w
}}

// compress makes one gzip member, fast rather than small: it is done beside calls.
func compress(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w := compressors.Get().(*gzip.Writer)
	defer compressors.Put(w)
	w.Reset(&out)
	_, err := w.Write(text)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cloudtrail: compressing: %w", err)
	}
	return out.Bytes(), nil
}

func (b *builder) finish() (_ *Segment, err error) {
	if b.segment.Data, err = compress(b.text); err != nil {
		return nil, err
	}
	b.segment.Terms = b.sortedTerms()
	return &b.segment, nil
}

func (b *builder) sortedTerms() []int64 {
	all := make([]int64, 0, len(b.terms))
	for t := range b.terms {
		all = append(all, t)
	}
	slices.Sort(all)
	return all
}

// pack renders kept events and gathers them by scope.
func pack(lines [][]byte) ([]*Segment, error) {
	builders := map[arn.Scope]*builder{}
	var order []arn.Scope
	left := 0
	for _, line := range lines {
		left += len(line)
	}
	var each renderer
	for _, line := range lines {
		err := each.render(line, func(r *rendered) {
			b := builders[r.scope]
			if b == nil {
				// Rendered, an event is about half as long again, and as a rule most are of one scope.
				b = &builder{segment: Segment{Scope: r.scope}, terms: map[int64]bool{}, text: make([]byte, 0, left*3/2)}
				builders[r.scope] = b
				order = append(order, r.scope)
			}
			b.add(r)
		})
		if err != nil {
			return nil, err
		}
		left -= len(line)
	}
	segments := make([]*Segment, 0, len(order))
	for _, scope := range order {
		s, err := builders[scope].finish()
		if err != nil {
			return nil, err
		}
		segments = append(segments, s)
	}
	return segments, nil
}

var errSegment = errors.New("cloudtrail: a segment is damaged")

// entries unpacks the segment.
func (s *Segment) entries() ([]entry, error) {
	text, err := gunzip(s.Data, maxSegment)
	if err != nil {
		return nil, fmt.Errorf("%w: %d: %w", errSegment, s.Seq, err)
	}
	all := make([]entry, 0, s.Count)
	for line := range bytes.Lines(text) {
		ms, record, ok := bytes.Cut(bytes.TrimSuffix(line, []byte{'\n'}), []byte{' '})
		n, err := strconv.ParseInt(string(ms), 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("%w: %d", errSegment, s.Seq)
		}
		all = append(all, entry{n, record})
	}
	if len(all) != s.Count {
		return nil, fmt.Errorf("%w: %d has %d records instead of %d", errSegment, s.Seq, len(all), s.Count)
	}
	return all, nil
}

// terms finds out again what the segment is found by.
func (s *Segment) terms() ([]int64, error) {
	all, err := s.entries()
	if err != nil {
		return nil, err
	}
	b := builder{segment: Segment{Scope: s.Scope}, terms: map[int64]bool{}}
	for _, e := range all {
		f, err := readRecord(e.record)
		if err != nil {
			return nil, err
		}
		b.addTerms(&f)
	}
	return b.sortedTerms(), nil
}

// gunzip reads one gzip member that is the whole of data, at most limit bytes of text.
func gunzip(data []byte, limit int64) ([]byte, error) {
	in := bytes.NewReader(data)
	r, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("more than %d bytes", limit)
	case in.Len() > 0:
		return nil, fmt.Errorf("%d bytes after the end", in.Len())
	}
	return text, nil
}
