package cloudtrail_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/google/go-cmp/cmp"

	"keyward/internal/audit"
	trail "keyward/internal/cloudtrail"
)

// read returns a delivered file's text.
func (w *world) read(path string) []byte {
	w.Helper()
	raw, err := os.ReadFile(filepath.Join(w.trailDir(), path))
	if err != nil {
		w.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		w.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		w.Fatal(err)
	}
	return text
}

// deliveredIDs lists the ids of the events in all log files.
func (w *world) deliveredIDs() (ids []string) {
	w.Helper()
	for _, path := range w.files() {
		if strings.Contains(path, "CloudTrail-Digest") {
			continue
		}
		var file struct{ Records []struct{ EventID string } }
		if err := json.Unmarshal(w.read(path), &file); err != nil {
			w.Fatal(err)
		}
		for _, r := range file.Records {
			ids = append(ids, r.EventID)
		}
	}
	return ids
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d events instead of %d: %s", what, len(got), len(want), cmp.Diff(want, got))
	}
}

func TestDelivery(t *testing.T) {
	w := newWorld(t)
	w.deliveries(3)
	w.keep("X", func(e *audit.Event) { e.Region = "eu-west-1" })
	w.deliver()
	same(t, "delivered", w.deliveredIDs(), w.kept)
	logs := regexp.MustCompile(`^AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/04/111122223333_CloudTrail_us-east-1_20260304T\d{4}Z_[A-Za-z0-9]{16}\.json\.gz$`)
	digests := regexp.MustCompile(
		`^AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/03/04/111122223333_CloudTrail-Digest_us-east-1_keyward_us-east-1_20260304T\d{6}Z\.json\.gz$`)
	count := map[string]int{}
	for _, path := range w.files() {
		switch {
		case strings.Contains(path, "eu-west-1"):
			count["elsewhere"]++
		case logs.MatchString(path):
			count["log"]++
		case digests.MatchString(path):
			count["digest"]++
		case digests.MatchString(strings.TrimSuffix(path, ".sig")):
			count["signature"]++
		default:
			t.Errorf("unexpected file %s", path)
		}
		if info, err := os.Stat(filepath.Join(w.trailDir(), path)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	if want := map[string]int{"log": 6, "digest": 3, "signature": 3, "elsewhere": 3}; !cmp.Equal(count, want) {
		t.Errorf("files %v, want %v", count, want)
	}
	for _, withDatabase := range []bool{true, false} {
		if r := w.verify(withDatabase); len(r.Findings) != 0 || r.Digests != 4 || r.Logs != 7 || r.Records != len(w.kept) {
			t.Errorf("database %v: %+v", withDatabase, r)
		}
	}
}

func TestQuietHoursHaveDigestsToo(t *testing.T) {
	w := newWorld(t)
	w.deliveries(1)
	w.now = w.now.Add(time.Hour)
	w.runOnce()
	w.now = w.now.Add(48 * time.Hour) // nobody was there
	w.runOnce()
	if r := w.verify(true); r.Digests != 3 || len(r.Findings) != 0 {
		t.Errorf("%+v", r)
	}
	w.deliver() // nothing to say
	if r := w.verify(true); r.Digests != 3 {
		t.Errorf("an empty digest was delivered on demand")
	}
}

// cut is a store that fails from its nth write on, as a process does that is killed there.
type cutStore struct {
	trail.Store
	left int
}

var errCut = errors.New("cut off")

func (s *cutStore) spend() error {
	if s.left--; s.left < 0 {
		return errCut
	}
	return nil
}

func (s *cutStore) Pack(ctx context.Context, segments []*trail.Segment, upTo trail.Mark) error {
	return errors.Join(s.spend(), s.Store.Pack(ctx, segments, upTo))
}

func (s *cutStore) PlanLog(ctx context.Context, f *trail.File, limit int) (bool, error) {
	some, err := s.Store.PlanLog(ctx, f, limit)
	if some {
		err = errors.Join(err, s.spend())
	}
	return some, err
}

func (s *cutStore) PlanDigest(ctx context.Context, f *trail.File) error {
	return errors.Join(s.Store.PlanDigest(ctx, f), s.spend())
}

func (s *cutStore) Written(ctx context.Context, f *trail.File) error {
	if err := s.spend(); err != nil {
		return err // the file is there, and nobody knows
	}
	return s.Store.Written(ctx, f)
}

func TestDeliveryIsResumedAfterAKill(t *testing.T) {
	for n := range 5 {
		w := newWorld(t)
		w.deliveries(1)
		for range 3 {
			w.keep("X", nil)
		}
		store := &cutStore{Store: w.db.Trail(), left: n}
		w.Service = w.service(store)
		err := w.Deliver(t.Context())
		if (err == nil) != (store.left >= 0) {
			t.Fatalf("cut after %d writes: %v", n, err)
		}
		before := w.files()
		for _, withDatabase := range []bool{true, false} {
			if r := w.verify(withDatabase); withDatabase && len(r.Findings) != 0 {
				t.Errorf("cut after %d writes: %+v", n, r.Findings)
			}
		}
		w.open(false)
		w.deliver()
		after := w.files()
		for _, path := range before {
			if !slices.Contains(after, path) {
				t.Errorf("cut after %d writes: %s was delivered again under another name", n, path)
			}
		}
		same(t, "delivered", w.deliveredIDs(), w.kept)
		if r := w.verify(true); len(r.Findings) != 0 || r.Digests != 2 {
			t.Errorf("cut after %d writes: %+v", n, r)
		}
	}
}

func TestLeftoversOfAWriteAreRemoved(t *testing.T) {
	w := newWorld(t)
	w.keep("X", nil)
	w.Service = w.service(&cutStore{Store: w.db.Trail(), left: 2})
	if err := w.Deliver(t.Context()); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	path := w.files()[0]
	leftover := filepath.Join(w.trailDir(), filepath.Dir(path), "."+filepath.Base(path)+".123")
	if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.verify1(t); len(r.Findings) != 0 {
		t.Errorf("while it is written: %+v", r.Findings)
	}
	w.open(false)
	w.deliver()
	if _, err := os.Stat(leftover); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("leftover: %v", err)
	}
}

// verify1 verifies before anything was signed.
func (w *world) verify1(t testing.TB) trail.Report {
	t.Helper()
	r, err := trail.Verify(t.Context(), trail.Source{Dir: w.trailDir(), Store: w.db.Trail(), Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOpenSSLVerifiesADigest checks a signature with nothing of keyward's: gunzip, SHA-256, openssl.
func TestOpenSSLVerifiesADigest(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	w := newWorld(t)
	w.deliveries(2)
	i := slices.IndexFunc(w.files(), func(p string) bool { return strings.HasSuffix(p, ".sig") })
	digest := strings.TrimSuffix(w.files()[i+2], ".sig")
	var d struct{ DigestEndTime, DigestS3Bucket, DigestS3Object, PreviousDigestSignature string }
	text := w.read(digest)
	if err := json.Unmarshal(text, &d); err != nil || d.PreviousDigestSignature == "" {
		t.Fatal(err, d)
	}
	side, err := os.ReadFile(filepath.Join(w.trailDir(), digest+".sig"))
	if err != nil {
		t.Fatal(err)
	}
	var meta map[string]string
	if err := json.Unmarshal(side, &meta); err != nil {
		t.Fatal(err)
	}
	signature, err := hex.DecodeString(meta["x-amz-meta-signature"])
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.call("ListPublicKeys", &cloudtrail.ListPublicKeysInput{})
	if err != nil {
		t.Fatal(err)
	}
	der := keys.(*cloudtrail.ListPublicKeysOutput).PublicKeyList[0].Value
	dir := t.TempDir()
	toSign := d.DigestEndTime + "\n" + d.DigestS3Bucket + "/" + d.DigestS3Object + "\n" + sha256Hex(text) + "\n" + d.PreviousDigestSignature
	for name, data := range map[string][]byte{
		"text": []byte(toSign), "signature": signature,
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", "-c", `"$0" rsa -RSAPublicKey_in -in key.pem -pubout -out public.pem && "$0" dgst -sha256 -verify public.pem -signature signature text`, openssl)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Verified OK") {
		t.Errorf("%v: %s", err, out)
	}
}

// busyStore gets another event whenever it is asked for those that wait, and never says that there are no more.
type busyStore struct {
	trail.Store
	world   *world
	written chan struct{}
	once    sync.Once
}

func (s *busyStore) Waiting(ctx context.Context, yield func(lines []byte) bool) (trail.Mark, bool, error) {
	s.world.keep("Encrypt", nil)
	upTo, _, err := s.Store.Waiting(ctx, yield)
	return upTo, true, err
}

func (s *busyStore) Written(ctx context.Context, f *trail.File) error {
	err := s.Store.Written(ctx, f)
	s.once.Do(func() { close(s.written) })
	return err
}

// TestFilesAreDeliveredUnderEndlessLoad, though packing never comes to an end.
func TestFilesAreDeliveredUnderEndlessLoad(t *testing.T) {
	w := newWorld(t)
	store := &busyStore{Store: w.db.Trail(), world: w, written: make(chan struct{})}
	s := w.service(store)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	<-store.written
	cancel()
	running.Wait()
	if len(w.files()) == 0 {
		t.Error("nothing is delivered")
	}
}
