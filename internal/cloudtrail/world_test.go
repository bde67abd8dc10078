package cloudtrail_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/google/uuid"

	"keyward/internal/arn"
	"keyward/internal/audit"
	trail "keyward/internal/cloudtrail"
	"keyward/internal/operation"
	"keyward/internal/policy"
	"keyward/internal/rootkey"
	"keyward/internal/storage/sqlite"
)

var home = arn.Scope{Account: "111122223333", Region: "us-east-1"}

// alice is the caller of all events that name nobody else.
var alice = policy.Caller{
	Type: "IAMUser", PrincipalID: "AIDAEXAMPLE", ARN: arn.User(home.Account, "Alice"), Account: home.Account,
	AccessKeyID: "AKIAEXAMPLE", UserName: "Alice",
}

// world is a trail on a real database, with a clock that stands still unless it is moved.
type world struct {
	testing.TB
	dir  string
	db   *sqlite.DB
	root rootkey.Key
	now  time.Time
	*trail.Service
	kept []string // ids of events, oldest first
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	var err error
	if w.root, err = rootkey.Create(filepath.Join(w.dir, "root.key"), rootkey.KeyFile(filepath.Join(w.dir, "seal.key"))); err != nil {
		t.Fatal(err)
	}
	w.open(true)
	return w
}

// open opens the database and starts a service, as a new process would.
func (w *world) open(create bool) {
	w.Helper()
	db, err := sqlite.Open(context.Background(), filepath.Join(w.dir, "keyward.db"), sqlite.Options{Create: create})
	if err != nil {
		w.Fatal(err)
	}
	w.db = db
	w.Cleanup(func() {
		if err := db.Close(); err != nil {
			w.Error(err)
		}
	})
	w.Service = w.service(db.Trail())
}

func (w *world) service(store trail.Store) *trail.Service {
	return trail.New(trail.Config{
		Store: store, Sealer: w.root, Dir: w.trailDir(), Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	})
}

func (w *world) trailDir() string { return filepath.Join(w.dir, "trail") }

// keep keeps an event as a call would; change may alter it first.
func (w *world) keep(name string, change func(*audit.Event)) *audit.Event {
	w.Helper()
	e := &audit.Event{
		ID: uuid.NewString(), RequestID: uuid.NewString(), Time: w.now, Region: home.Region, Caller: alice,
		SourceIP: "192.0.2.10", UserAgent: "example", Source: "kms.amazonaws.com", Name: name, ReadOnly: true,
	}
	if change != nil {
		change(e)
	}
	if err := w.db.Record(context.Background(), e); err != nil {
		w.Fatal(err)
	}
	w.kept = append(w.kept, e.ID)
	return e
}

// call invokes an operation of the service.
func (w *world) call(name string, in any) (any, error) {
	w.Helper()
	return w.callIn(home, name, in)
}

func (w *world) callIn(scope arn.Scope, name string, in any) (any, error) {
	w.Helper()
	for _, row := range w.API().Rows {
		if row.Name == name {
			c := &operation.Call{Scope: scope, Caller: alice, Time: w.now, Event: &audit.Event{}}
			return row.Invoke(context.Background(), c, in)
		}
	}
	w.Fatalf("no operation %s", name)
	return nil, nil
}

func (w *world) lookup(in *cloudtrail.LookupEventsInput) *cloudtrail.LookupEventsOutput {
	w.Helper()
	w.now = w.now.Add(time.Second) // within the rate
	out, err := w.call("LookupEvents", in)
	if err != nil {
		w.Fatal(err)
	}
	return out.(*cloudtrail.LookupEventsOutput)
}

// all pages through a lookup and returns the ids of its events.
func (w *world) all(in cloudtrail.LookupEventsInput) (ids []string) {
	w.Helper()
	for {
		out := w.lookup(&in)
		for _, e := range out.Events {
			ids = append(ids, *e.EventId)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return ids
		}
	}
}

func (w *world) deliver() {
	w.Helper()
	if err := w.Deliver(context.Background()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) verify(withDatabase bool) trail.Report {
	w.Helper()
	s := trail.Source{Dir: w.trailDir(), Now: w.now}
	text, err := w.db.Setting(context.Background(), trail.PublicKeysSetting)
	if err != nil {
		w.Fatal(err)
	}
	if s.Keys, err = trail.ReadPublicKeys(text); err != nil {
		w.Fatal(err)
	}
	if withDatabase {
		s.Store = w.db.Trail()
	}
	report, err := trail.Verify(context.Background(), s)
	if err != nil {
		w.Fatal(err)
	}
	return report
}

// files lists the delivered files, below the trail's folder.
func (w *world) files() (all []string) {
	w.Helper()
	err := filepath.WalkDir(w.trailDir(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(w.trailDir(), path)
		all = append(all, relative)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// deliveries makes a trail of n digests with two log files each.
func (w *world) deliveries(n int) {
	w.Helper()
	for i := range n {
		for range 2 {
			for j := range 5 {
				w.keep("Encrypt", func(e *audit.Event) { e.Request.Add("keyId", fmt.Sprint("alias/", i, j)) })
			}
			w.now = w.now.Add(20 * time.Minute)
			w.runOnce()
		}
		w.now = w.now.Add(25 * time.Minute)
		w.runOnce()
	}
}

// runOnce lets the background do what is due.
func (w *world) runOnce() {
	w.Helper()
	if err := w.CatchUp(context.Background()); err != nil {
		w.Fatal(err)
	}
	if err := trail.DeliverDue(w.Service, context.Background()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) prune() {
	w.Helper()
	if err := trail.Prune(w.Service, context.Background()); err != nil {
		w.Fatal(err)
	}
}

// count asks the database behind the service's back.
func (w *world) count(query string) (n int) {
	w.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "keyward.db"))
	if err != nil {
		w.Fatal(err)
	}
	if err := errors.Join(db.QueryRow(query).Scan(&n), db.Close()); err != nil {
		w.Fatal(err)
	}
	return n
}
