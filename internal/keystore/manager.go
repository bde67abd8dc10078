// Package keystore connects custom key stores of type AWS_CLOUDHSM to their clusters. The Manager serves the six
// operations on key stores (rows.go and the files named after them), runs the connections behind them (link.go,
// attempt.go, rotation.go) and performs the cryptography of the keys in them (material.go), for which it is a
// kms.KeyStores.
//
// The state of a store is its Record; what may happen to it in which state is the table of package connection. Whatever
// changes a record goes through Manager.change, which makes the running connection follow what was committed, so that
// the same code serves an operation, the end of background work and the start after a crash.
//
// Passwords of kmsuser are in the open only inside one attempt to connect and in package hsmclient.
package keystore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/hsmclient"
	"keyward/internal/quota"
)

// maxStores is AWS's quota of custom key stores per account and Region.
const maxStores = 10

// Config says what a Manager works with. Store, Clusters and Sealer are needed, the rest has defaults.
type Config struct {
	Store    Store
	Clusters Clusters
	Network  Network // nil: stores have no presence of their own in the VPC
	Sealer   Sealer
	// Open makes the connections to a cluster; nil means hsmclient.New.
	Open func(hsmclient.Config) (Pool, error)
	Now  func() time.Time
	Log  *slog.Logger
	// OperationsPerSecond bounds the cryptographic operations of each store; zero sets no bound. AWS's quota is 1,800.
	OperationsPerSecond float64
	// MaxStores is the quota of custom key stores per account and Region; zero means AWS's, 10.
	MaxStores int
	Timing    Timing
}

// Timing are a Manager's waits. They measure elapsed time on the machine's own clock. Zero values mean the defaults in
// parentheses.
type Timing struct {
	// Patience is how long an attempt to connect insists when no HSM answers or the HSMs cannot agree (15 s). A
	// cluster that lost one of two HSMs needs some seconds to go on.
	Patience time.Duration
	// Attempt bounds one attempt to connect (2 min).
	Attempt time.Duration
	// Backoff is the first pause between repetitions; it doubles up to BackoffTo (50 ms, 1 s).
	Backoff, BackoffTo time.Duration
	// Arrival is how long an operation waits for connections that are being restored after a start (5 s).
	Arrival time.Duration
	// Teardown is how long DisconnectCustomKeyStore waits for the logout before it answers anyway (3 s).
	Teardown time.Duration
	// Inventory is how often a connected store's keys are compared with what its cluster holds (5 min).
	Inventory time.Duration
}

func (t *Timing) complete() {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&t.Patience, 15 * time.Second}, {&t.Attempt, 2 * time.Minute},
		{&t.Backoff, 50 * time.Millisecond}, {&t.BackoffTo, time.Second},
		{&t.Arrival, 5 * time.Second}, {&t.Teardown, 3 * time.Second}, {&t.Inventory, 5 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
}

// Manager holds the custom key stores of an installation. Its methods may be called by any number of goroutines.
type Manager struct {
	store    Store
	clusters Clusters
	network  Network
	sealer   Sealer
	open     func(hsmclient.Config) (Pool, error)
	now      func() time.Time
	log      *slog.Logger
	rate     float64
	maximum  int // of stores in an account and Region
	timing   Timing

	life context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup // goroutines of links and teardowns

	// view is what the hot path reads. It is replaced, never changed.
	view atomic.Pointer[map[string]*entry]
	// mu is held over every transaction on records and the publication of its outcome, so that views follow each other
	// as the commits did.
	mu sync.Mutex
}

// entry is one store in a view.
type entry struct {
	record *Record
	usable bool          // keys can be used: what the table says of Use in the record's state
	link   *link         // while CONNECTING and CONNECTED
	torn   chan struct{} // while DISCONNECTING: closed when the teardown is over
	limit  *quota.Limiter
}

// New makes a Manager; Start makes it go on where the last one stopped.
func New(c Config) *Manager {
	m := &Manager{
		store: c.Store, clusters: c.Clusters, network: c.Network, sealer: c.Sealer, open: c.Open,
		now: c.Now, log: c.Log, rate: c.OperationsPerSecond, maximum: cmp.Or(c.MaxStores, maxStores), timing: c.Timing,
	}
	m.timing.complete()
	if m.open == nil {
		m.open = func(c hsmclient.Config) (Pool, error) { return hsmclient.New(c) }
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.life, m.stop = context.WithCancel(context.Background())
	m.view.Store(&map[string]*entry{})
	return m
}

// Start reads all records and takes up what they say was under way: attempts to connect go on, connected stores get
// their sessions back in the background with the password they have, disconnecting is finished. It must be called once,
// before operations are served.
func (m *Manager) Start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	records, err := m.store.AllKeyStores(ctx)
	if err != nil {
		return fmt.Errorf("reading the custom key stores: %w", err)
	}
	for _, r := range records {
		m.follow(r)
		if r.State == connection.Failed || r.State == connection.Disconnected {
			m.detach(ctx, r) // what could not be removed in its time
		}
	}
	return nil
}

// Close ends all connections and returns when their goroutines have ended. Records stay as they are.
func (m *Manager) Close() {
	m.stop()
	m.work.Wait()
}

func (m *Manager) entry(storeID string) *entry { return (*m.view.Load())[storeID] }

// maxConflicts bounds how often a change is tried again because another node changed the record meanwhile.
const maxConflicts = 5

// change runs fn in a transaction with the event (nil for background work) and makes the running connection follow
// the record that fn returns; nil means that nothing changed. fn may run more than once.
func (m *Manager) change(ctx context.Context, event *audit.Event, fn func(Tx) (*Record, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for conflicts := 0; ; conflicts++ {
		var after *Record
		err := m.store.Change(ctx, event, func(tx Tx) (err error) {
			after, err = fn(tx)
			return err
		})
		if errors.Is(err, fault.ErrConflict) && conflicts < maxConflicts {
			continue
		}
		if err == nil && after != nil {
			m.follow(after)
		}
		return err
	}
}

// follow makes what runs agree with the record. m.mu is held.
func (m *Manager) follow(r *Record) {
	old := m.entry(r.ID)
	next := &entry{record: r, usable: connection.Next(r.State, connection.Use).Verdict == connection.Go}
	if old != nil {
		next.link, next.torn, next.limit = old.link, old.torn, old.limit
	} else {
		next.limit = quota.NewLimiter(m.rate)
	}
	switch r.State {
	case connection.Gone:
		next = nil
	case connection.Connecting, connection.Connected:
		if next.link == nil {
			next.link = m.startLink(r)
		}
		next.torn = nil
	case connection.Disconnecting:
		if next.torn == nil {
			next.torn = m.startTeardown(r, next.link)
		}
		next.link = nil
	default:
		next.link, next.torn = nil, nil
	}
	m.publish(r.ID, next)
}

// publish shows an entry to the hot path; nil takes the store out. m.mu is held.
func (m *Manager) publish(id string, e *entry) {
	view := maps.Clone(*m.view.Load())
	if e == nil {
		delete(view, id)
	} else {
		view[id] = e
	}
	m.view.Store(&view)
}

// advance moves a store on in a transaction of background work. edit may add to the record. It reports false, and
// changes nothing, if the record has left the attempt or the table calls the trigger stale. Failures of the store are
// tried again until Close.
func (m *Manager) advance(r *Record, t connection.Trigger, edit func(*Record)) (moved bool) {
	pause := m.timing.pause()
	for {
		err := m.change(m.life, nil, func(tx Tx) (*Record, error) {
			moved = false
			now, err := current(tx, r)
			if err != nil || now == nil {
				return nil, err
			}
			step := connection.Next(now.State, t)
			if step.Verdict != connection.Go {
				return nil, nil
			}
			now.State = step.To
			edit(now)
			moved = true
			return now, tx.Update(now)
		})
		if err == nil {
			return moved
		}
		m.log.Error("a key store's state could not be kept", "keyStore", r.ID, "error", err)
		if pause.wait(m.life) != nil {
			return false
		}
	}
}

// current reads the record again; nil if it is gone or has left the attempt.
func current(tx Tx, r *Record) (*Record, error) {
	now, err := tx.KeyStore(r.Scope, r.ID)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, nil
	}
	if err != nil || now.Attempt != r.Attempt {
		return nil, err
	}
	return now, nil
}

// read finds a store for an operation.
func (m *Manager) read(ctx context.Context, scope arn.Scope, id string) (*Record, error) {
	r, err := m.store.KeyStore(ctx, scope, id)
	return r, known(err, id)
}

// known turns the store's absence of a record into AWS's exception.
func known(err error, id string) error {
	if errors.Is(err, fault.ErrNotFound) {
		return notFound(id)
	}
	return err
}
