package hsmnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"keyward/internal/durable"
	"keyward/internal/hsmproto"
)

// The audit log is a folder of segments, each named by the sequence number of its first record. A segment is a row of
// frames: its length and the length's complement (4 bytes each, big endian), so that a damaged length does not pass for a
// torn write; then a sealed auditFrame, bound to the HSM, the segment and its place in it.
// A frame is written at once and synced, so only the last one of all can be torn: then nothing that it says was answered.
const (
	auditFolder  = "audit"
	auditSuffix  = ".sealed"
	auditPrefix  = 8         // bytes before a frame
	auditBatch   = 256       // records of a frame, at most
	maxAuditSize = 1 << 20   // bytes of a sealed frame
	maxSegment   = 64 << 20  // bytes read of one; segments are far smaller
	auditRoom    = 256 << 10 // bytes held on the disk in advance, so that a full one refuses commands before they are agreed on
	replyRecords = 512 << 10 // bytes of records that end a page
	maxAuditName = 64        // characters kept of a user's name in a failed login
)

// auditLimits bound a log: segments of size bytes, that many of them.
type auditLimits struct {
	size     int64
	segments int
}

// defaultAudit keeps at least the newest 60 MiB.
var defaultAudit = auditLimits{size: 4 << 20, segments: 16}

// auditPosition is a place in a replication log, which is named by its folder.
type auditPosition struct {
	Dir   string `cbor:"1,keyasint"`
	Index uint64 `cbor:"2,keyasint"`
}

// auditFrame is what is written at once. All but Records is how things stand after it.
type auditFrame struct {
	Next    uint64                 `cbor:"1,keyasint"` // sequence number
	Reboot  uint32                 `cbor:"2,keyasint"`
	Applied auditPosition          `cbor:"3,keyasint"` // what the log has of what the cluster agreed on
	Records []hsmproto.AuditRecord `cbor:"4,keyasint"`
}

// auditEntry waits to be written: a record, or the word that everything up to a position is.
type auditEntry struct {
	record *hsmproto.AuditRecord
	at     auditPosition // zero: none
}

// auditLog is the HSM's own record of management commands. Entries are queued in the order in which things happened;
// settle makes them durable, and must be called before anybody hears of what they record; prepare before that happens.
type auditLog struct {
	dir    string
	hsmID  string
	sealer sealer
	now    func() time.Time
	limits auditLimits

	mu      sync.Mutex // guards what follows
	pending []auditEntry
	applied auditPosition   // the newest queued
	leaving map[string]bool // sessions whose user asked to log out

	disk     sync.Mutex // guards what follows; taken before mu
	starts   []uint64   // of the segments
	file     *os.File   // the last segment
	size     int64      // of what is valid in it
	frames   uint64     // in it
	reserved int64      // bytes of it that the disk has promised
	torn     bool       // there may be more bytes than size
	head     auditFrame // how things stand, without records
}

var errAuditDamaged = errors.New("hsmnode: the audit log is damaged")

// openAuditLog opens the log, or begins it, and counts one more start of the HSM. fresh says that there was none.
func openAuditLog(dir, hsmID string, s sealer, limits auditLimits) (l *auditLog, fresh bool, err error) {
	l = &auditLog{dir: dir, hsmID: hsmID, sealer: s, limits: limits, now: time.Now, leaving: make(map[string]bool)}
	if err := durable.Mkdir(dir); err != nil {
		return nil, false, err
	}
	if l.starts, err = l.list(); err != nil {
		return nil, false, err
	}
	if err := l.resume(); err != nil {
		return nil, false, errors.Join(err, l.close())
	}
	l.applied = l.head.Applied
	if fresh = len(l.starts) == 0; fresh {
		l.head.Reboot = 1
		return l, true, l.begin()
	}
	frame := l.head
	frame.Reboot++
	return l, false, l.write(&frame)
}

func (l *auditLog) path(start uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("%016x", start)+auditSuffix)
}

func (l *auditLog) list() ([]uint64, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	var starts []uint64
	for _, e := range entries { // sorted by name, which sorts by number
		if strings.HasPrefix(e.Name(), ".") { // a segment that was being made
			if err := os.Remove(filepath.Join(l.dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		start, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), auditSuffix), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: it holds %s", errAuditDamaged, e.Name())
		}
		starts = append(starts, start)
	}
	return starts, nil
}

// resume finds the end of the log. A segment whose first frame is torn was never begun.
func (l *auditLog) resume() error {
	for len(l.starts) > 0 {
		last := l.starts[len(l.starts)-1]
		data, err := l.load(last, maxSegment)
		if err != nil {
			return err
		}
		frames, good, err := l.parse(data, last, func(f *auditFrame) bool { l.head = *f; return true })
		if err != nil {
			return err
		}
		l.head.Records = nil
		if frames > 0 {
			l.frames, l.size, l.torn = frames, int64(good), good < len(data)
			l.file, err = os.OpenFile(l.path(last), os.O_RDWR, 0)
			return err
		}
		if err := errors.Join(os.Remove(l.path(last)), durable.SyncDir(l.dir)); err != nil {
			return err
		}
		l.starts = l.starts[:len(l.starts)-1]
	}
	return nil
}

// load reads the first bytes of a segment.
func (l *auditLog) load(start uint64, limit int64) ([]byte, error) {
	in, err := os.Open(l.path(start))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(in, limit))
	return data, errors.Join(err, in.Close())
}

// place binds a frame to where it is.
func (l *auditLog) place(start, frame uint64) []byte {
	return fmt.Appendf(nil, "%s\x00%016x\x00%d", l.hsmID, start, frame)
}

// parse gives the frames of a segment to each until that says no. It counts them and their bytes; fewer bytes than
// data has means that the rest is one torn frame. Anything else that is no frame is damage.
func (l *auditLog) parse(data []byte, start uint64, each func(*auditFrame) bool) (frames uint64, good int, err error) {
	next := start
	for {
		body, whole := cutFrame(data[good:])
		if body == nil {
			return frames, good, whole
		}
		end := good + auditPrefix + len(body)
		plain, err := l.sealer.open(body, l.place(start, frames))
		if err != nil && end == len(data) {
			return frames, good, nil
		}
		f := new(auditFrame)
		if err != nil || hsmproto.Unmarshal(plain, f) != nil || f.Next != next+uint64(len(f.Records)) {
			return frames, good, fmt.Errorf("%w: frame %d of %016x", errAuditDamaged, frames, start)
		}
		next, good, frames = f.Next, end, frames+1
		if !each(f) {
			return frames, good, nil
		}
	}
}

// cutFrame returns the sealed frame at the start of data; nil if there is only a torn one, or, with an error, if this
// cannot have come from a torn write.
func cutFrame(data []byte) ([]byte, error) {
	if len(data) < auditPrefix {
		return nil, nil
	}
	length, inverse := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
	size := int(length)
	switch {
	case (length == 0 || inverse == 0) && len(data) <= auditPrefix+maxAuditSize: // the file's length became durable, its contents did not
		return nil, nil
	case inverse != ^length || size == 0 || size > maxAuditSize:
		return nil, fmt.Errorf("%w: no frame where one begins", errAuditDamaged)
	case len(data) < auditPrefix+size:
		return nil, nil
	}
	return data[auditPrefix : auditPrefix+size], nil
}

// encode seals a frame for a place.
func (l *auditLog) encode(f *auditFrame, start, frame uint64) ([]byte, error) {
	plain, err := hsmproto.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: encoding an audit frame: %w", err)
	}
	sealed := l.sealer.seal(plain, l.place(start, frame))
	length := uint32(len(sealed))
	out := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, length), ^length)
	return append(out, sealed...), nil
}

// write appends a frame. After a failure the frame is not there.
func (l *auditLog) write(f *auditFrame) error {
	data, err := l.encode(f, l.starts[len(l.starts)-1], l.frames)
	if err != nil {
		return err
	}
	if l.torn {
		if err := l.file.Truncate(l.size); err != nil {
			return fmt.Errorf("hsmnode: repairing the audit log: %w", err)
		}
		l.reserved = 0
	}
	l.torn = true
	if _, err = l.file.WriteAt(data, l.size); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("hsmnode: writing the audit log: %w", err)
	}
	l.torn = false
	l.accept(f, len(data))
	return nil
}

func (l *auditLog) accept(f *auditFrame, size int) {
	l.head = *f
	l.head.Records = nil
	l.frames++
	l.size += int64(size)
}

// begin makes a new last segment, and removes the oldest ones beyond the bound; its first record then says so.
func (l *auditLog) begin() (err error) {
	start, frame := l.head.Next, l.head
	excess := max(0, len(l.starts)+1-l.limits.segments)
	if excess > 0 {
		frame.Records = []hsmproto.AuditRecord{{
			Sequence: start, Reboot: frame.Reboot, Micros: l.now().UnixMicro(), Opcode: hsmproto.AuditTrimmed,
			Through: append(l.starts, start)[excess] - 1,
		}}
		frame.Next++
	}
	data, err := l.encode(&frame, start, 0)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(l.path(start), data); err != nil {
		return err
	}
	file, err := os.OpenFile(l.path(start), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	old := l.file
	l.file, l.size, l.frames, l.reserved, l.torn = file, 0, 0, 0, false
	l.starts = append(l.starts, start)
	l.accept(&frame, len(data))
	if old != nil {
		err = old.Close()
	}
	return errors.Join(err, l.trim(excess))
}

func (l *auditLog) trim(n int) error {
	for range n {
		if err := os.Remove(l.path(l.starts[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.starts = l.starts[1:]
	}
	return durable.SyncDir(l.dir)
}

// reserve makes sure of the disk's room for what commands under way may have to say. A disk that cannot promise is not
// asked again until the end.
func (l *auditLog) reserve() error {
	if l.reserved-l.size >= auditRoom/2 {
		return nil
	}
	const keepSize = 1 // FALLOC_FL_KEEP_SIZE
	err := syscall.Fallocate(int(l.file.Fd()), keepSize, l.size, auditRoom)
	if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOSYS) {
		return fmt.Errorf("hsmnode: making room for the audit log: %w", err)
	}
	l.reserved = l.size + auditRoom
	return nil
}

// queue adds records that stem from a position of the replication log, zero for none. They are durable after settle.
func (l *auditLog) queue(at auditPosition, records ...hsmproto.AuditRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now().UnixMicro()
	for i := range records {
		records[i].Micros = now
		l.pending = append(l.pending, auditEntry{record: &records[i]})
	}
	if at == (auditPosition{}) {
		return
	}
	// Last, so that the position becomes durable with the last record at the earliest.
	l.applied = at
	if len(records) == 0 {
		l.pending = append(l.pending, auditEntry{at: at})
		return
	}
	l.pending[len(l.pending)-1].at = at
}

// misses reports whether a position of the replication log is later than what the log has.
func (l *auditLog) misses(at auditPosition) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return at.Dir != l.applied.Dir || at.Index > l.applied.Index
}

// prepare settles, and makes sure that there is room for more: before a command is begun.
func (l *auditLog) prepare() error {
	if err := l.settle(); err != nil {
		return err
	}
	l.disk.Lock()
	defer l.disk.Unlock()
	return l.reserve()
}

// settle returns once everything that was queued before is durable.
func (l *auditLog) settle() error {
	l.disk.Lock()
	defer l.disk.Unlock()
	for {
		batch := l.batch()
		if len(batch) == 0 {
			return nil
		}
		if err := l.append(batch); err != nil {
			return err
		}
		l.mu.Lock()
		l.pending = slices.Delete(l.pending, 0, len(batch))
		l.mu.Unlock()
	}
}

func (l *auditLog) batch() []auditEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.pending[:min(len(l.pending), auditBatch)])
}

// append numbers and writes entries.
func (l *auditLog) append(batch []auditEntry) error {
	if l.size >= l.limits.size && l.head.Next > l.starts[len(l.starts)-1] {
		if err := l.begin(); err != nil {
			return err
		}
	}
	frame := l.head
	for _, e := range batch {
		if e.record != nil {
			record := *e.record
			record.Sequence, record.Reboot = frame.Next, frame.Reboot
			frame.Records = append(frame.Records, record)
			frame.Next++
		}
		if e.at != (auditPosition{}) {
			frame.Applied = e.at
		}
	}
	return l.write(&frame)
}

// note records what only this HSM knows of, durably. What cannot be recorded is not queued either.
func (l *auditLog) note(records ...hsmproto.AuditRecord) error {
	if err := l.prepare(); err != nil {
		return err
	}
	l.queue(auditPosition{}, records...)
	return l.settle()
}

// read returns a page of records.
func (l *auditLog) read(from uint64) (*hsmproto.AuditLogReply, error) {
	if err := l.settle(); err != nil {
		return nil, err
	}
	l.disk.Lock()
	defer l.disk.Unlock()
	page := &hsmproto.AuditLogReply{First: l.starts[0], Next: l.head.Next}
	from = max(from, page.First)
	for i, start := range l.starts {
		if i+1 < len(l.starts) && l.starts[i+1] <= from {
			continue
		}
		full, err := l.readSegment(start, i+1 == len(l.starts), from, page)
		if full || err != nil {
			return page, err
		}
	}
	return page, nil
}

// readSegment adds a segment's records; full says that the page took no more.
func (l *auditLog) readSegment(start uint64, last bool, from uint64, page *hsmproto.AuditLogReply) (full bool, err error) {
	limit := int64(maxSegment)
	if last {
		limit = l.size
	}
	data, err := l.load(start, limit)
	if err != nil {
		return false, err
	}
	bytes := 0
	_, good, err := l.parse(data, start, func(f *auditFrame) bool {
		for _, r := range f.Records {
			if r.Sequence < from {
				continue
			}
			if full = len(page.Records) == hsmproto.AuditPage || bytes > replyRecords; full {
				return false
			}
			page.Records = append(page.Records, r)
			bytes += 64 + len(r.User) + len(r.KeyID)
		}
		return true
	})
	if err == nil && !full && good < len(data) {
		err = fmt.Errorf("%w: the end of %016x", errAuditDamaged, start)
	}
	return full, err
}

func (l *auditLog) close() error {
	l.disk.Lock()
	defer l.disk.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// leave marks a session whose user logs out: that it ends is not the connection's doing.
func (l *auditLog) leave(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving[session] = true
}

func (l *auditLog) left(session string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.leaving[session]
	delete(l.leaving, session)
	return asked
}
