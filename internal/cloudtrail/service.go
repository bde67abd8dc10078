package cloudtrail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"keyward/internal/arn"
	"keyward/internal/operation"
	"keyward/internal/quota"
)

// Retention is how long events can be looked up, by the installation's clock.
const Retention = 90 * 24 * time.Hour

// How much is done at a time.
const (
	packEvents   = 2000    // events of a segment, more only if one batch holds more
	packBytes    = 2 << 20 // and their size
	pruneAtOnce  = 100     // segments
	fileEvents   = 10_000  // events of a log file, more only if one segment holds more
	packInterval = 2 * time.Second
	// share is how much longer the background rests than it works: calls come first. What piles up under load is
	// packed when the load is over; a lookup packs what it needs.
	share = 9
	// maxBacklog is the size, in bytes, of waiting events from which on the background works as long as it rests: a load
	// that never ends must not fill the disk.
	maxBacklog = 256 << 20
)

// When files are delivered, by the installation's clock.
const (
	logEvery    = 5 * time.Minute
	digestEvery = time.Hour
)

// Sealer protects the signing key at rest; purpose is bound to what it sealed.
type Sealer interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// Config is what a Service needs; every field is required.
type Config struct {
	Store  Store
	Sealer Sealer
	Dir    string // of delivered files; made with the first one
	Now    func() time.Time
	Log    *slog.Logger
}

// Service keeps the trail. It may be used concurrently.
type Service struct {
	config  Config
	lookups *quota.Buckets[arn.Scope]
	wake    chan struct{} // capacity 1

	packing    sync.Mutex // held while batches become segments
	delivering sync.Mutex // held while files are planned and written; guards what follows
	delivered  time.Time  // the last delivery of log files by this process
	signer     *signer    // nil until first used
}

// New makes a Service.
func New(c Config) *Service {
	return &Service{config: c, lookups: quota.NewBuckets[arn.Scope](maxLookups), wake: make(chan struct{}, 1)}
}

// API lists the operations of CloudTrail that are served (API version 2013-11-01).
func (s *Service) API() operation.Service {
	return operation.Service{
		SigningName: "cloudtrail",
		Target:      "CloudTrail_20131101",
		EventSource: "cloudtrail.amazonaws.com",
		Rows: []operation.Row{
			operation.Read("LookupEvents", s.lookupEvents,
				"LookupAttributes", "StartTime", "EndTime", "EventCategory", "MaxResults", "NextToken"),
			operation.Read("ListPublicKeys", s.listPublicKeys, "StartTime", "EndTime", "NextToken"),
		},
	}
}

// Wake makes Run look for due work now, for example because the clock was moved.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run packs, delivers and prunes until ctx ends. What fails is logged and tried again.
func (s *Service) Run(ctx context.Context) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		case <-s.wake:
		}
		more, took, err := s.round(ctx)
		if err != nil && ctx.Err() == nil {
			s.config.Log.Error("keeping the audit trail; nothing is lost, and it is tried again", "error", err)
			more = false
		}
		rest.Reset(restAfter(more, took, s.config.Store.Backlog()))
	}
}

func restAfter(more bool, took time.Duration, backlog int64) time.Duration {
	switch {
	case !more:
		return packInterval
	case backlog > maxBacklog:
		return took
	default:
		return share * took
	}
}

// round does a little of everything that is due and reports whether there is more to pack. Files are delivered in their
// time also while packing never comes to an end.
func (s *Service) round(ctx context.Context) (more bool, took time.Duration, err error) {
	began := time.Now()
	more, err = s.packSome(ctx)
	took = time.Since(began)
	if err == nil && (!more || s.logsDue()) {
		err = errors.Join(s.deliverDue(ctx), s.prune(ctx))
	}
	return more, took, err
}

// CatchUp packs everything that was answered before it was called.
func (s *Service) CatchUp(ctx context.Context) error {
	for {
		more, err := s.packSome(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// packSome turns the oldest waiting batches into segments, in one transaction, and reports whether it left any.
func (s *Service) packSome(ctx context.Context) (more bool, err error) {
	s.packing.Lock()
	defer s.packing.Unlock()
	var lines [][]byte
	size := 0
	upTo, more, err := s.config.Store.Waiting(ctx, func(text []byte) bool {
		lines = append(lines, splitLines(text)...)
		size += len(text)
		return len(lines) < packEvents && size < packBytes
	})
	if err != nil || len(lines) == 0 {
		return false, err
	}
	segments, err := pack(lines)
	if err != nil {
		return false, err
	}
	if err := s.config.Store.Pack(ctx, segments, upTo); err != nil {
		return false, fmt.Errorf("cloudtrail: packing %d events: %w", len(lines), err)
	}
	return more, nil
}

// prune removes what can no longer be looked up and is in files.
func (s *Service) prune(ctx context.Context) error {
	old, err := s.config.Store.Expired(ctx, s.config.Now().Add(-Retention), pruneAtOnce)
	if err != nil || len(old) == 0 {
		return err
	}
	for _, segment := range old {
		if segment.Terms, err = segment.terms(); err != nil {
			return err
		}
	}
	return s.config.Store.Prune(ctx, old)
}
