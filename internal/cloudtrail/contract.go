package cloudtrail

import (
	"context"
	"time"

	"keyward/internal/arn"
)

// Store keeps the trail. Instants are kept to the millisecond.
type Store interface {
	// Waiting yields the batches of kept events that are not packed yet, a line each, oldest first, until yield returns
	// false or the store has read enough at once. It sees every event that was answered before, and reports how far it
	// came and whether there may be more. Lines are the caller's to keep.
	Waiting(ctx context.Context, yield func(lines []byte) bool) (upTo Mark, more bool, err error)
	// Pack adds segments with their terms and removes the events up to a mark of Waiting's, in one transaction.
	Pack(ctx context.Context, segments []*Segment, upTo Mark) error
	// Backlog is about how many bytes of events wait to be packed.
	Backlog() int64
	// Search yields the segments found by Search, those with the latest Last first and of these the latest Seq, until
	// yield returns false.
	Search(ctx context.Context, q Search, yield func(*Segment) (bool, error)) error
	// Expired lists delivered segments whose Last is before t, at most limit.
	Expired(ctx context.Context, t time.Time, limit int) ([]*Segment, error)
	// Prune removes segments and what they are found by; Terms must be set.
	Prune(ctx context.Context, segments []*Segment) error

	// PlanLog chooses the file of the oldest segments of f.Scope that are in none, at most limit. It sets f.Seq, and
	// reports whether there were any.
	PlanLog(ctx context.Context, f *File, limit int) (bool, error)
	// PlanDigest puts all written log files of f.Scope that are in no digest into f and sets f.Seq.
	PlanDigest(ctx context.Context, f *File) error
	// Planned lists the files that may not have been written yet, oldest first.
	Planned(ctx context.Context) ([]*File, error)
	// Written notes that the file is durable, with what is known of it since.
	Written(ctx context.Context, f *File) error
	// Contents lists a log file's segments in order.
	Contents(ctx context.Context, f *File) ([]*Segment, error)
	// Listed lists a digest's log files in order.
	Listed(ctx context.Context, digest *File) ([]*File, error)
	// LastDigest is the scope's newest digest planned before a file, or fault.ErrNotFound. A zero seq means the newest.
	LastDigest(ctx context.Context, scope arn.Scope, before int64) (*File, error)
	// Undelivered lists the scopes with segments that are in no file.
	Undelivered(ctx context.Context) ([]arn.Scope, error)
	// Scopes lists the scopes that have files, each with the time of its first.
	Scopes(ctx context.Context) (map[arn.Scope]time.Time, error)
	// Files yields all files, oldest first.
	Files(ctx context.Context, yield func(*File) error) error
	// Setting and PutSetting keep small values, as package sqlite says.
	Setting(ctx context.Context, name string) ([]byte, error)
	PutSetting(ctx context.Context, name string, value []byte) error
}

// Mark is a place among the kept events, in storage's own numbers. Events of changes and events of all other calls are
// numbered apart: a mark has the last number of either kind before it.
type Mark struct{ Change, Call int64 }

// Search is what Store.Search looks for: segments with the term that hold events from Start to End, both inclusive.
type Search struct {
	Term       int64
	ID         []byte // if there are any: bytes that IDs must hold
	Start, End time.Time
}

// Kind of a delivered file.
type Kind string

// The kinds.
const (
	Log    Kind = "log"
	Digest Kind = "digest"
)

// File is a delivered file, or one that is about to be.
type File struct {
	Seq    int64 // storage's number; larger is later
	Scope  arn.Scope
	Kind   Kind
	Path   string    // below the trail's folder, with slashes: CloudTrail's object key
	Start  time.Time // digests: from here
	End    time.Time // digests: to here; logs: time of delivery
	Digest int64     // logs: the digest that lists the file; 0 before

	Written   bool      // what follows is known once it is
	Hash      string    // hex SHA-256 of the text
	FileHash  string    // hex SHA-256 of the file as it is, compressed
	Oldest    time.Time // of the events; zero in a digest that lists no file
	Newest    time.Time
	Signature string // digests: hex
}
