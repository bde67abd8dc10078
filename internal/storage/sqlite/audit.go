package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"keyward/internal/audit"
	"keyward/internal/journal"
)

// Limits of the events waiting for the disk.
const (
	// maxBatch is the size, in bytes, at which a batch takes no further event while it waits for its turn.
	maxBatch = 4 << 20
	// retryTime passes before an answered batch that could not be written is tried again.
	retryTime = time.Second
	// relaxedGather is how long a relaxed log gathers events before it writes them: nobody waits for them, and a write
	// costs about as much for one event as for fifty.
	relaxedGather = 20 * time.Millisecond
	// maxYields bounds how often a batch waits for calls that are ready to run.
	maxYields = 8
	// maxSpare is the largest buffer, in bytes, that is kept for another batch or event.
	maxSpare = 1 << 20
	// maxSpares is the number of batches' buffers that are kept.
	maxSpares = 2
)

// lines are buffers in which events are written down before they join a batch, so that the lock is held for a copy only.
var lines = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// errAuditClosed is what Record answers after Close.
var errAuditClosed = errors.New("storage: the audit log is closed")

// recorder gathers the events of concurrent calls: while one batch is being synced to the disk the next one fills, so
// that a write's cost is shared by all calls that arrived during the one before.
type recorder struct {
	journal *journal.Journal
	learn   func(usages) // told what a kept batch tells of keys, before anybody is answered
	relaxed bool
	wake    chan struct{} // capacity 1: current holds events
	closing chan struct{} // closed when there is no use in gathering on
	stopped chan struct{} // closed when the writer has ended

	mu      sync.Mutex // guards what follows
	current *batch
	writing *batch   // the last one that was taken to the disk
	failing error    // why it is not there yet, in relaxed mode
	spare   [][]byte // buffers for the next batches: one fills while another is written
	closed  bool
}

// batch is a group of events that become durable together.
type batch struct {
	events []byte // JSON objects, a line each
	used   usages // what the events tell of keys
	count  int
	tried  chan struct{} // closed after the first attempt to write
	done   chan struct{} // closed when err is set and the batch is durable or lost
	err    error
}

func newRecorder(j *journal.Journal, learn func(usages), relaxed bool) *recorder {
	r := &recorder{
		journal: j, learn: learn, relaxed: relaxed,
		wake: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	r.current, r.writing = newBatch(), newBatch()
	close(r.writing.tried)
	go r.run()
	return r
}

func newBatch() *batch { return &batch{tried: make(chan struct{}), done: make(chan struct{})} }

// Record implements audit.Recorder.
func (db *DB) Record(ctx context.Context, e *audit.Event) error {
	b, err := db.audit.add(ctx, e)
	if err != nil {
		return err
	}
	if db.audit.relaxed {
		return nil
	}
	select {
	case <-b.done:
		if b.err != nil {
			return fmt.Errorf("keeping an event: %w", b.err)
		}
		e.Kept = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// add waits while the batch that is being gathered is full: the disk does not keep up.
func (r *recorder) add(ctx context.Context, e *audit.Event) (*batch, error) {
	buffer := lines.Get().(*[]byte)
	defer lines.Put(buffer)
	line, err := e.AppendJSON((*buffer)[:0])
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	if cap(line) <= maxSpare {
		*buffer = line
	}
	for {
		b, joined, err := r.join(e, line)
		if joined || err != nil {
			return b, err
		}
		select {
		case <-b.tried:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// join adds an event, written down as a line, to the batch that is being gathered, unless that is full.
func (r *recorder) join(e *audit.Event, line []byte) (b *batch, joined bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false, errAuditClosed
	}
	if r.failing != nil {
		return nil, false, fmt.Errorf("events answered before are still to be kept: %w", r.failing)
	}
	b = r.current
	if len(b.events) > maxBatch {
		return b, false, nil
	}
	if b.count == 0 {
		b.events = r.buffer()
	}
	b.events = append(b.events, line...)
	b.used.add(e)
	b.count++
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return b, true, nil
}

// buffer is for a new batch.
func (r *recorder) buffer() []byte {
	last := len(r.spare) - 1
	if last < 0 {
		return nil
	}
	b := r.spare[last]
	r.spare = r.spare[:last]
	return b[:0]
}

// run writes batches until close.
func (r *recorder) run() {
	defer close(r.stopped)
	for range r.wake {
		if r.relaxed {
			r.gather()
		} else {
			r.yield()
		}
		r.mu.Lock()
		b := r.current
		r.current, r.writing = newBatch(), b
		r.mu.Unlock()
		if b.count > 0 {
			b.err = r.write(b)
		}
		r.insist(b)
		close(b.done)
		r.recycle(b)
	}
}

// flush waits until the events that were answered before are on the disk, or says why they are not. With durable
// answers there are none that were answered and are not.
func (r *recorder) flush(ctx context.Context) error {
	if !r.relaxed {
		return nil
	}
	r.mu.Lock()
	last := r.writing
	if r.current.count > 0 {
		last = r.current
	}
	failing := r.failing
	r.mu.Unlock()
	if failing != nil {
		return failing
	}
	select {
	case <-last.tried:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failing
}

// insist writes a batch again until it is on the disk: its calls were answered before. Until then, no further event is
// taken. Nobody was promised anything about the events of a batch in durable mode, whose calls are refused.
func (r *recorder) insist(b *batch) {
	if r.relaxed {
		r.fail(b.err)
	}
	close(b.tried)
	if !r.relaxed || b.err == nil {
		return
	}
	tick := time.NewTicker(retryTime)
	defer tick.Stop()
	for last := false; b.err != nil && !last; {
		select {
		case <-tick.C:
		case <-r.closing:
			last = true
		}
		b.err = r.write(b)
	}
	r.fail(b.err)
}

// fail says why no event is taken; nil ends that.
func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing = err
}

// yield lets calls that are ready to run go first, as long as some of them join the batch: each that does saves a write. A
// call that is alone is not kept waiting.
func (r *recorder) yield() {
	for before, rounds := 0, 0; rounds < maxYields; rounds++ {
		r.mu.Lock()
		n := r.current.count
		r.mu.Unlock()
		if n == before {
			return
		}
		before = n
		runtime.Gosched()
	}
}

// gather lets relaxedGather pass, or less when the log is being closed.
func (r *recorder) gather() {
	timer := time.NewTimer(relaxedGather)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.closing:
	}
}

// recycle keeps the buffer of a batch that has been written: only its writer looks at a batch's events.
func (r *recorder) recycle(b *batch) {
	if cap(b.events) > maxSpare {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spare) < maxSpares {
		r.spare = append(r.spare, b.events)
	}
	b.events = nil
}

// write keeps a batch as one record of the journal: what it tells of keys on the first line, an event on each other one.
func (r *recorder) write(b *batch) error {
	used, err := b.used.json()
	if err != nil {
		return err
	}
	if err := r.journal.Append(used, []byte{'\n'}, b.events); err != nil {
		return fmt.Errorf("writing the events' journal: %w", explain(err))
	}
	r.learn(b.used)
	return nil
}

func (r *recorder) close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	last := r.current
	close(r.wake)
	close(r.closing)
	r.mu.Unlock()
	<-r.stopped
	r.mu.Lock()
	lost := r.failing
	r.mu.Unlock()
	if lost != nil {
		lost = fmt.Errorf("storage: answered events are lost: %w", lost)
	}
	// A batch whose wake-up was still in the channel has been written; one that filled after it has not.
	select {
	case <-last.done:
	default:
		if last.count > 0 {
			last.err = r.write(last)
		}
		close(last.tried)
		close(last.done)
	}
	return errors.Join(lost, last.err, r.journal.Close())
}
