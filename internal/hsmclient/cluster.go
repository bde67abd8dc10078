package hsmclient

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keyward/internal/hsmproto"
)

// Cluster is this client's side of a cluster of HSMs. Its methods may be called by any number of goroutines at once.
type Cluster struct {
	cfg    Config
	tls    *tls.Config
	timing timing

	view     atomic.Pointer[view]
	next     atomic.Uint64 // round robin
	inFlight atomic.Int64  // calls that hold a session

	// auth holds a token that is taken by whoever changes who is logged in or with which password, so that a wrong
	// password is offered once and not by several goroutines at the same time. It is taken before mu, never under it.
	auth chan struct{}
	miss chan struct{} // capacity 1: an HSM is missing, ask for the addresses again

	life context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex // guards what follows and the publication of views; never held while waiting
	started bool
	members map[string]*member // by address
	login   *login             // nil while logged out
}

// member is one HSM as this client knows it; guarded by Cluster.mu.
type member struct {
	address string
	stop    context.CancelFunc
	poke    chan struct{} // capacity 1: the login is to be looked at again

	link     *link // nil while not connected
	loggedIn bool
	loginErr error // the last refusal of a login, nil after a success
	err      error // why it is not connected
	since    time.Time
}

// link is one connection.
type link struct {
	member *member
	conn   *hsmproto.Conn
}

// view is a picture of the live connections, ordered by address. It is never changed, only replaced.
type view struct {
	connected group
	loggedIn  group
	changed   chan struct{} // closed when a newer view stands
}

// group is a set of connections that a call may choose from.
type group struct {
	links      []*link
	emptySince time.Time // zero: it has members, or never had
}

func newCluster(cfg Config, config *tls.Config) *Cluster {
	c := &Cluster{
		cfg:     cfg,
		tls:     config,
		timing:  defaultTiming,
		auth:    make(chan struct{}, 1),
		miss:    make(chan struct{}, 1),
		members: make(map[string]*member),
	}
	c.life, c.stop = context.WithCancel(context.Background())
	c.view.Store(&view{changed: make(chan struct{})})
	return c
}

// Connect dials all addresses at once; one HSM that answers is enough, the others are tried again in the background.
// Otherwise it fails with ErrUnreachable or ErrUntrusted and says per address why, or with the error of
// Config.Addresses, and may be called again. On a connected Cluster it does nothing.
func (c *Cluster) Connect(ctx context.Context) error {
	release, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if c.isStarted() {
		return nil
	}
	addresses, err := c.addresses(ctx)
	if err != nil {
		return err
	}
	results := c.dialAll(ctx, addresses)
	if err := anyConnected(results); err != nil {
		return err
	}
	return c.start(results)
}

// dialled is the outcome of one attempt to connect.
type dialled struct {
	address string
	conn    *hsmproto.Conn
	err     error
}

func (c *Cluster) dialAll(ctx context.Context, addresses []string) []dialled {
	results := make([]dialled, len(addresses))
	var wg sync.WaitGroup
	for i, address := range addresses {
		wg.Go(func() {
			conn, err := c.dial(ctx, address)
			results[i] = dialled{address, conn, err}
		})
	}
	wg.Wait()
	return results
}

func anyConnected(results []dialled) error {
	var reasons []reason
	for _, r := range results {
		if r.err == nil {
			return nil
		}
		reasons = append(reasons, reason{r.address, r.err})
	}
	return unreachable(reasons)
}

// start hands each HSM to a goroutine of its own.
func (c *Cluster) start(results []dialled) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		for _, r := range results {
			if r.conn != nil {
				r.conn.Close()
			}
		}
		return ErrClosed
	}
	c.started = true
	for _, r := range results {
		c.addLocked(r)
	}
	c.publishLocked()
	c.wg.Go(c.follow)
	return nil
}

func (c *Cluster) isStarted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started
}

// addLocked begins to look after one HSM.
func (c *Cluster) addLocked(r dialled) {
	life, stop := context.WithCancel(c.life)
	m := &member{address: r.address, stop: stop, poke: make(chan struct{}, 1), err: r.err, since: c.cfg.Now()}
	if r.conn != nil {
		m.link = &link{m, r.conn}
	}
	c.members[r.address] = m
	first := m.link
	c.wg.Go(func() { c.serve(life, m, first) })
}

// publishLocked replaces the view by one of how things stand.
func (c *Cluster) publishLocked() {
	old := c.view.Load()
	fresh := &view{changed: make(chan struct{})}
	for _, m := range c.sortedLocked() {
		if m.link == nil {
			continue
		}
		fresh.connected.links = append(fresh.connected.links, m.link)
		if m.loggedIn {
			fresh.loggedIn.links = append(fresh.loggedIn.links, m.link)
		}
	}
	fresh.connected.emptyAfter(old.connected)
	fresh.loggedIn.emptyAfter(old.loggedIn)
	c.view.Store(fresh)
	close(old.changed)
}

// emptyAfter notes since when nobody is left.
func (g *group) emptyAfter(old group) {
	switch {
	case len(g.links) > 0:
	case len(old.links) > 0:
		g.emptySince = time.Now()
	default:
		g.emptySince = old.emptySince
	}
}

func (c *Cluster) sortedLocked() []*member {
	list := make([]*member, 0, len(c.members))
	for _, m := range c.members {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *member) int { return strings.Compare(a.address, b.address) })
	return list
}

// follow keeps to the addresses that Config.Addresses gives: it asks when an HSM goes missing, steadily while one is,
// and every Config.Refresh.
func (c *Cluster) follow() {
	for {
		var due <-chan time.Time
		if wait := c.nextQuestion(); wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-c.life.Done():
			return
		case <-due:
		case <-c.miss:
		}
		addresses, err := c.addresses(c.life)
		if err != nil {
			c.cfg.Log.Warn("asking for the addresses of the HSMs failed", "error", err)
			continue
		}
		c.keepOnly(addresses)
	}
}

// nextQuestion is how long to wait before asking for addresses; not positive means until an HSM goes missing.
func (c *Cluster) nextQuestion() time.Duration {
	if c.incomplete() {
		return c.timing.refresh
	}
	return c.cfg.Refresh
}

// incomplete reports whether an HSM that should be connected is not.
func (c *Cluster) incomplete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.link == nil {
			return true
		}
	}
	return false
}

// keepOnly takes in the HSMs that are new and lets go those that are no longer named.
func (c *Cluster) keepOnly(addresses []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return
	}
	for address, m := range c.members {
		if !slices.Contains(addresses, address) {
			m.stop()
			delete(c.members, address)
		}
	}
	for _, address := range addresses {
		if c.members[address] == nil {
			c.addLocked(dialled{address: address, err: errNotDialled})
		}
	}
	c.publishLocked()
}

// Close ends all connections, and with them the logins, and waits until nothing runs any more. Calls in progress fail.
// It returns nil, always; the error makes a Cluster an io.Closer.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.wg.Wait()
	c.auth <- struct{}{} // whoever is logging in has noticed by now that the connections are gone
	defer func() { <-c.auth }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLoginLocked(nil)
	return nil
}
