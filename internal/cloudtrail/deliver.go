package cloudtrail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keyward/internal/arn"
	"keyward/internal/durable"
	"keyward/internal/fault"
)

// logsDue reports whether log files are to be delivered.
func (s *Service) logsDue() bool {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	return s.config.Now().Sub(s.delivered) >= logEvery
}

// deliverDue delivers log files every five minutes and digests every hour.
func (s *Service) deliverDue(ctx context.Context) error {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	now := s.config.Now()
	if now.Sub(s.delivered) < logEvery {
		return nil
	}
	if err := s.deliverLogs(ctx); err != nil {
		return err
	}
	return s.deliverDigests(ctx, func(last *File, first time.Time) bool {
		if last != nil {
			first = last.End
		}
		return now.Sub(first) >= digestEvery
	})
}

// Deliver writes everything that was answered before it was called into log files, and a digest of what none lists.
func (s *Service) Deliver(ctx context.Context) error {
	if err := s.CatchUp(ctx); err != nil {
		return err
	}
	s.delivering.Lock()
	defer s.delivering.Unlock()
	if err := s.deliverLogs(ctx); err != nil {
		return err
	}
	open, err := s.undigested(ctx)
	if err != nil {
		return err
	}
	return s.deliverDigests(ctx, func(last *File, _ time.Time) bool { return last == nil || open[last.Scope] })
}

// undigested tells the scopes with log files that no digest lists.
func (s *Service) undigested(ctx context.Context) (map[arn.Scope]bool, error) {
	open := map[arn.Scope]bool{}
	err := s.config.Store.Files(ctx, func(f *File) error {
		if f.Kind == Log && f.Digest == 0 {
			open[f.Scope] = true
		}
		return nil
	})
	return open, err
}

// deliverLogs first writes what was planned before, by this process or one that was killed.
func (s *Service) deliverLogs(ctx context.Context) error {
	if err := s.writePlanned(ctx); err != nil {
		return err
	}
	scopes, err := s.config.Store.Undelivered(ctx)
	if err != nil {
		return err
	}
	for _, scope := range scopes {
		if err := s.deliverScope(ctx, scope); err != nil {
			return err
		}
	}
	s.delivered = s.config.Now()
	return nil
}

func (s *Service) deliverScope(ctx context.Context, scope arn.Scope) error {
	for {
		now := s.config.Now()
		f := &File{Scope: scope, Kind: Log, Path: logPath(scope, now), Start: now, End: now}
		some, err := s.config.Store.PlanLog(ctx, f, fileEvents)
		if err != nil || !some {
			return err
		}
		if err := s.write(ctx, f); err != nil {
			return err
		}
	}
}

// deliverDigests writes the digests of the scopes for which due says so; last is nil where there is none yet, and
// first the time of the scope's first event.
func (s *Service) deliverDigests(ctx context.Context, due func(last *File, first time.Time) bool) error {
	scopes, err := s.config.Store.Scopes(ctx)
	if err != nil {
		return err
	}
	for scope, first := range scopes {
		last, err := s.config.Store.LastDigest(ctx, scope, 0)
		if errors.Is(err, fault.ErrNotFound) {
			last, err = nil, nil
		}
		if err != nil {
			return err
		}
		if !due(last, first) {
			continue
		}
		f := s.nextDigest(scope, last, first)
		if err := s.config.Store.PlanDigest(ctx, f); err != nil {
			return err
		}
		if err := s.write(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// nextDigest begins where the last one ended, however long ago that was, and ends later than it.
func (s *Service) nextDigest(scope arn.Scope, last *File, first time.Time) *File {
	f := &File{Scope: scope, Kind: Digest, Start: first.Truncate(time.Second), End: s.config.Now().UTC().Truncate(time.Second)}
	if last != nil {
		f.Start = last.End
	}
	if !f.End.After(f.Start) {
		f.End = f.Start.Add(time.Second)
	}
	f.Path = digestPath(scope, f.End)
	return f
}

func (s *Service) writePlanned(ctx context.Context) error {
	planned, err := s.config.Store.Planned(ctx)
	if err != nil {
		return err
	}
	for _, f := range planned {
		if err := s.removeLeftovers(f); err != nil {
			return err
		}
		if err := s.write(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// removeLeftovers removes temporary files of a write that was cut short.
func (s *Service) removeLeftovers(f *File) error {
	dir, base := filepath.Split(s.file(f.Path))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+base) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// file is where a path below the trail's folder is on disk.
func (s *Service) file(path string) string {
	return filepath.Join(s.config.Dir, filepath.FromSlash(path))
}

// write writes a planned file. Doing it again gives the same bytes in the same place.
func (s *Service) write(ctx context.Context, f *File) error {
	var err error
	if err = durable.Mkdir(filepath.Dir(s.file(f.Path))); err == nil {
		if f.Kind == Log {
			err = s.writeLog(ctx, f)
		} else {
			err = s.writeDigest(ctx, f)
		}
	}
	if err != nil {
		return fmt.Errorf("cloudtrail: delivering %s: %w", f.Path, err)
	}
	return s.config.Store.Written(ctx, f)
}

func (s *Service) writeLog(ctx context.Context, f *File) error {
	segments, err := s.config.Store.Contents(ctx, f)
	if err != nil {
		return err
	}
	text, err := logText(segments)
	if err != nil {
		return err
	}
	for _, segment := range segments {
		widen(f, segment.First, segment.Last)
	}
	return s.writeCompressed(f, text)
}

// logText is a log file's text: its segments' records.
func logText(segments []*Segment) ([]byte, error) {
	text := []byte(`{"Records":[`)
	for _, segment := range segments {
		entries, err := segment.entries()
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if text[len(text)-1] != '[' {
				text = append(text, ',')
			}
			text = append(text, e.record...)
		}
	}
	return append(text, "]}"...), nil
}

func (s *Service) writeDigest(ctx context.Context, f *File) error {
	signer, err := s.openSigner(ctx)
	if err != nil {
		return err
	}
	previous, err := s.config.Store.LastDigest(ctx, f.Scope, f.Seq)
	if errors.Is(err, fault.ErrNotFound) {
		previous, err = nil, nil
	}
	if err != nil {
		return err
	}
	logs, err := s.config.Store.Listed(ctx, f)
	if err != nil {
		return err
	}
	d := newDigest(f, signer.fingerprint, previous, logs)
	text, err := json.Marshal(&d)
	if err != nil {
		return err
	}
	if err := s.writeCompressed(f, text); err != nil {
		return err
	}
	if f.Signature, err = signer.sign(d.toSign(f.Hash)); err != nil {
		return err
	}
	return durable.WriteFile(s.file(sidecar(f.Path)), metadata{f.Signature, signatureName, f.FileHash}.text())
}

func (s *Service) writeCompressed(f *File, text []byte) error {
	compressed, err := compress(text)
	if err != nil {
		return err
	}
	f.Hash, f.FileHash = hexSHA256(text), hexSHA256(compressed)
	return durable.WriteFile(s.file(f.Path), compressed)
}
