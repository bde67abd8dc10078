package cloudtrail

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keyward/internal/arn"
)

// What verification reads of one file, in bytes: far more than any holds.
const (
	maxFile    = 512 << 20 // of a log or digest, compressed and not
	maxSidecar = 64 << 10
)

// Source is what is known of the trail beside its files. A nil Store verifies files by themselves: whether the newest
// ones were removed cannot be seen then.
type Source struct {
	Dir   string // the trail's folder
	Keys  []PublicKey
	Store interface {
		Files(ctx context.Context, yield func(*File) error) error
		Contents(ctx context.Context, f *File) ([]*Segment, error)
	}
	From, To time.Time // zero: no bound; only digests that touch the range and their files are verified
	Now      time.Time
}

// Finding is something that is wrong.
type Finding struct {
	Path string // below the trail's folder
	What string
}

// Report is the outcome of Verify.
type Report struct {
	Digests, Logs, Records int
	Undigested             int // log files that no digest lists yet
	Findings               []Finding
}

// Verify checks the trail's files: the chain and signatures of the digests, the hashes of all files, that none is
// missing and none was added, and, with a Store, that the searchable events are those in the files. It returns an error
// only for what it could not look at. Files delivered while it looks are no findings.
func Verify(ctx context.Context, s Source) (Report, error) {
	v := verifier{Source: s, paths: map[string]bool{}, digests: map[arn.Scope][]*chained{}, listed: map[string]bool{}, known: map[string]*File{}}
	// Files before what is known of them: a file is planned before it is written, so whatever is seen is known.
	if err := v.walk(); err != nil {
		return v.report, err
	}
	if err := v.readKnown(ctx); err != nil {
		return v.report, err
	}
	for _, scope := range v.scopes() {
		v.verifyChain(v.digests[scope])
	}
	v.verifyUnlisted()
	err := v.verifyKnown(ctx)
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Path, b.Path) })
	return v.report, err
}

type verifier struct {
	Source
	paths   map[string]bool // all files that were found
	digests map[arn.Scope][]*chained
	listed  map[string]bool // log files that a digest lists
	known   map[string]*File
	report  Report
}

// chained is a digest that was read. file is nil if that failed.
type chained struct {
	path       string
	end        time.Time
	file       *digestFile
	hash       string
	compressed string
	meta       metadata
}

func (v *verifier) found(path, format string, args ...any) {
	v.report.Findings = append(v.report.Findings, Finding{path, fmt.Sprintf(format, args...)})
}

// walk lists the files and reads the digests among them.
func (v *verifier) walk() error {
	err := filepath.WalkDir(v.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // no trail yet, or a temporary file that is gone again
		}
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(v.Dir, path)
		v.paths[filepath.ToSlash(relative)] = true
		return err
	})
	for path := range v.paths {
		if kind, scope, at, ok := readPath(path); ok && kind == Digest {
			v.digests[scope] = append(v.digests[scope], &chained{path: path, end: at})
		}
	}
	for _, chain := range v.digests {
		slices.SortFunc(chain, func(a, b *chained) int { return a.end.Compare(b.end) })
	}
	return err
}

func (v *verifier) scopes() []arn.Scope {
	var all []arn.Scope
	for scope := range v.digests {
		all = append(all, scope)
	}
	slices.SortFunc(all, func(a, b arn.Scope) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Region, b.Region))
	})
	return all
}

func (v *verifier) readKnown(ctx context.Context) error {
	if v.Store == nil {
		return nil
	}
	return v.Store.Files(ctx, func(f *File) error {
		v.known[f.Path] = f
		return nil
	})
}

// pending is a file that is just being written.
func (v *verifier) pending(path string) bool {
	f := v.known[strings.TrimSuffix(path, ".sig")]
	return f != nil && !f.Written
}

// within reports whether a span touches the range that is verified.
func (v *verifier) within(start, end time.Time) bool {
	return (v.From.IsZero() || !end.Before(v.From)) && (v.To.IsZero() || !start.After(v.To))
}

// verifyChain checks one scope's digests, oldest first.
func (v *verifier) verifyChain(chain []*chained) {
	var previous *chained
	for _, c := range chain {
		if v.pending(c.path) {
			continue
		}
		if c.end.Before(v.From) {
			// Read all the same: the first digest in the range names it.
			v.quietly(func() { v.read(c) })
			previous = c
			continue
		}
		if !v.To.IsZero() && c.end.After(v.To) && previous != nil && !previous.end.Before(v.To) {
			return
		}
		v.report.Digests++
		if v.read(c); c.file != nil {
			v.verifySignature(c)
			v.verifyLink(c, previous)
			v.verifyLogs(c)
		}
		previous = c
	}
}

// quietly forgets what is found meanwhile.
func (v *verifier) quietly(look func()) {
	before := v.report.Findings
	look()
	v.report.Findings = before
}

// read reads a digest and its sidecar.
func (v *verifier) read(c *chained) {
	text, raw, err := v.text(c.path)
	if err != nil {
		v.found(c.path, "changed: %v", err)
		return
	}
	side, err := v.bytes(sidecar(c.path), maxSidecar)
	if err != nil {
		v.found(sidecar(c.path), "missing or unreadable, so the digest's signature cannot be checked: %v", err)
		return
	}
	if c.meta, err = readMetadata(side); err != nil {
		v.found(sidecar(c.path), "changed: %v", err)
		return
	}
	d, err := readDigest(text)
	if err != nil {
		v.found(c.path, "changed: %v", err)
		return
	}
	c.file, c.hash, c.compressed = d, hexSHA256(text), hexSHA256(raw)
	if c.compressed != c.meta.FileHash {
		v.found(c.path, "changed: its SHA-256 is %s, the sidecar says %s", c.compressed, c.meta.FileHash)
	}
}

func (v *verifier) file(path string) string { return filepath.Join(v.Dir, filepath.FromSlash(path)) }

// text reads a delivered file and gives its text and its bytes.
func (v *verifier) text(path string) (text, raw []byte, err error) {
	if raw, err = v.bytes(path, maxFile); err != nil {
		return nil, nil, err
	}
	text, err = gunzip(raw, maxFile)
	return text, raw, err
}

// bytes reads a file that is no longer than limit: whoever changed the trail may have put anything there.
func (v *verifier) bytes(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(v.file(path))
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("no regular file") // a pipe would be waited for
	case info.Size() > limit:
		return nil, fmt.Errorf("%d bytes long, and no such file is longer than %d", info.Size(), limit)
	}
	return os.ReadFile(v.file(path))
}

func (v *verifier) verifySignature(c *chained) {
	d := c.file
	if d.Bucket+"/"+d.Object != Bucket+"/"+c.path {
		v.found(c.path, "moved: it was delivered as %s/%s", d.Bucket, d.Object)
	}
	i := slices.IndexFunc(v.Keys, func(k PublicKey) bool { return k.Fingerprint == d.PublicKeyFingerprint })
	if i < 0 {
		v.found(c.path, "signed with the unknown key %s", d.PublicKeyFingerprint)
		return
	}
	if err := v.Keys[i].verify(d.toSign(c.hash), c.meta.Signature); err != nil || c.meta.Algorithm != signatureName {
		v.found(c.path, "changed: the signature does not fit")
	}
}

// verifyLink checks that c names previous, the newest digest before it that is there.
func (v *verifier) verifyLink(c, previous *chained) {
	named := deref(c.file.PreviousObject)
	switch {
	case named == "" && previous != nil:
		v.found(c.path, "begins a new chain, though %s is before it", previous.path)
	case named != "" && (previous == nil || previous.path != named):
		v.found(named, "missing: %s names it as the digest before it", c.path)
	case previous != nil && previous.file != nil && (deref(c.file.PreviousHashValue) != previous.hash ||
		deref(c.file.PreviousFileHash) != previous.compressed || deref(c.file.PreviousSignature) != previous.meta.Signature):
		v.found(previous.path, "changed: %s holds another hash or signature of it", c.path)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (v *verifier) verifyLogs(c *chained) {
	for _, l := range c.file.LogFiles {
		if v.listed[l.Object] {
			v.found(l.Object, "listed by two digests, one of them %s", c.path)
		}
		v.listed[l.Object] = true
		v.verifyLog(l.Object, l.HashValue, l.FileHash, c.path)
	}
}

// verifyLog compares a log file with the hashes that by names.
func (v *verifier) verifyLog(path, hash, fileHash, by string) {
	if !v.paths[path] {
		v.found(path, "missing: %s lists it", by)
		return
	}
	v.report.Logs++
	text, raw, err := v.text(path)
	switch {
	case err != nil:
		v.found(path, "changed: %v", err)
	case hexSHA256(text) != hash:
		v.found(path, "changed: the SHA-256 of its text is %s, %s says %s", hexSHA256(text), by, hash)
	case hexSHA256(raw) != fileHash:
		v.found(path, "changed: its SHA-256 is %s, %s says %s", hexSHA256(raw), by, fileHash)
	default:
		v.report.Records += bytes.Count(text, []byte(`"eventVersion":`))
	}
}

// verifyUnlisted looks at the files that no verified digest lists.
func (v *verifier) verifyUnlisted() {
	for path := range v.paths {
		kind, scope, at, ok := readPath(strings.TrimSuffix(path, ".sig"))
		switch {
		case v.listed[path] || v.pending(path) || v.temporary(path):
		case !ok:
			v.found(path, "not part of the trail")
		case strings.HasSuffix(path, ".sig"):
			if kind != Digest || !v.paths[strings.TrimSuffix(path, ".sig")] {
				v.found(path, "belongs to no digest")
			}
		case kind == Log && v.within(at, at):
			v.verifyUndigested(path, scope, at)
		}
	}
}

// temporary is a file that is being written, which is renamed once it is complete.
func (v *verifier) temporary(path string) bool {
	slash := strings.LastIndexByte(path, '/')
	name, hidden := strings.CutPrefix(path[slash+1:], ".")
	i := strings.Index(name, ".json.gz")
	return hidden && i >= 0 && v.pending(path[:slash+1]+name[:i]+".json.gz")
}

// verifyUndigested judges a log file that no digest in the range lists: the next one will, or it was added.
func (v *verifier) verifyUndigested(path string, scope arn.Scope, at time.Time) {
	f := v.known[path]
	switch chain := v.digests[scope]; {
	case f != nil && f.Digest != 0 && !v.To.IsZero():
		v.verifyLog(path, f.Hash, f.FileHash, "the database") // its digest ends after the range
	case f != nil:
		v.report.Undigested++
		v.verifyLog(path, f.Hash, f.FileHash, "the database")
	case v.Store != nil:
		v.found(path, "added: the database knows of no such file")
	case len(chain) > 0 && at.Before(chain[len(chain)-1].end.Truncate(time.Minute)) && v.To.IsZero():
		v.found(path, "added: no digest lists it")
	default:
		v.report.Undigested++
	}
}

// verifyKnown compares what the database knows with the files that are there.
func (v *verifier) verifyKnown(ctx context.Context) error {
	seen := map[string]bool{}
	for _, f := range v.report.Findings {
		seen[strings.TrimSuffix(f.Path, ".sig")] = true
	}
	for path := range v.paths {
		if kind, _, at, ok := readPath(path); ok && kind == Digest && v.Store != nil && v.known[path] == nil && v.within(at, at) && !seen[path] {
			v.found(path, "added: the database knows of no such file")
		}
	}
	for path, f := range v.known {
		if !f.Written || seen[path] || !v.within(f.Start, f.End) {
			continue
		}
		if err := v.verifyOne(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) verifyOne(ctx context.Context, f *File) error {
	_, raw, err := v.text(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		v.found(f.Path, "missing: the database says that it was delivered")
		return nil
	}
	if err != nil || hexSHA256(raw) != f.FileHash {
		v.found(f.Path, "changed: its SHA-256 is not %s, as the database says", f.FileHash)
		return nil
	}
	if f.Kind != Log {
		return nil
	}
	return v.verifyContents(ctx, f)
}

// verifyContents checks that the events that can be looked up are those in the file.
func (v *verifier) verifyContents(ctx context.Context, f *File) error {
	segments, err := v.Store.Contents(ctx, f)
	if err != nil {
		return err
	}
	if f.Oldest.Before(v.Now.Add(-Retention)) {
		return nil // its segments are being removed, or gone
	}
	text, err := logText(segments)
	if err != nil || hexSHA256(text) != f.Hash {
		v.found(f.Path, "the database no longer holds the events of this file as they were delivered")
	}
	return nil
}
