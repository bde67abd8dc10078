package keystore

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
)

// kmsuser is the crypto user as whom key stores log in; nobody else does while one is connected (spec key-stores 6).
const kmsuser = "kmsuser"

// link is a store's connection from CONNECTING, or from a start that finds CONNECTED, to the disconnect. One goroutine
// leads it through its life.
type link struct {
	m      *Manager
	record *Record // as it was when the link began
	cancel context.CancelFunc
	ended  chan struct{} // closed when the pool is closed and nothing runs any longer

	settled chan struct{} // closed when one of the next two is set
	pool    Pool
	refusal error // why there will be no pool

	inventory atomic.Pointer[inventory] // nil until the first one is taken
}

// startLink begins what the record's state demands.
func (m *Manager) startLink(r *Record) *link {
	ctx, cancel := context.WithCancel(m.life)
	l := &link{m: m, record: r, cancel: cancel, ended: make(chan struct{}), settled: make(chan struct{})}
	m.work.Go(func() {
		defer close(l.ended)
		defer cancel()
		if r.State == connection.Connecting {
			l.connect(ctx)
		} else {
			l.restore(ctx)
		}
	})
	return l
}

// settle shows the outcome to those who wait for it.
func (l *link) settle(pool Pool, refusal error) {
	l.pool, l.refusal = pool, refusal
	close(l.settled)
}

// connect runs the attempt and keeps its outcome.
func (l *link) connect(ctx context.Context) {
	a := &attempt{m: l.m, record: l.record}
	err := l.try(ctx, a)
	if ctx.Err() != nil { // whoever cancelled has moved the record on, or the next start resumes
		l.close(a.pool)
		return
	}
	if err != nil {
		l.close(a.pool)
		l.fail(ctx, a, err)
		return
	}
	l.settle(a.pool, nil)
	if l.m.advance(l.record, connection.Succeeded, func(r *Record) { r.Password, r.Candidate = r.Candidate, nil }) {
		l.m.log.Info("key store connected", "keyStore", l.record.ID, "cluster", l.record.ClusterID)
		l.hold(ctx)
	}
	l.close(a.pool)
}

func (l *link) try(ctx context.Context, a *attempt) (err error) {
	ctx, cancel := context.WithTimeout(ctx, l.m.timing.Attempt)
	defer cancel()
	if a.pool, err = l.open(); err != nil {
		return err
	}
	return a.run(ctx)
}

func (l *link) fail(ctx context.Context, a *attempt, err error) {
	code := errorCode(err)
	l.m.log.Warn("connecting a key store failed", "keyStore", l.record.ID, "code", code, "error", err)
	l.settle(nil, err)
	// A failed connection takes up no addresses while it waits for its operator.
	l.m.detach(ctx, l.record)
	l.m.advance(l.record, connection.Broke, func(r *Record) {
		r.ErrorCode, r.LastErrorCode = code, code
		if a.dropCandidate {
			r.Candidate = nil
		}
	})
}

// restore brings the sessions of a store back that was CONNECTED when the process ended: with the password it has,
// without rotation and for as long as it takes. Only a refusal of the password ends it, because HSMs count those.
func (l *link) restore(ctx context.Context) {
	pool, err := l.open()
	if err == nil {
		err = l.resume(ctx, pool)
	}
	if ctx.Err() != nil {
		l.close(pool)
		return
	}
	if err != nil {
		l.close(pool)
		l.m.log.Error("a connected key store cannot log in to its cluster: disconnect it, set the kmsuser password, connect it",
			"keyStore", l.record.ID, "error", err)
		l.settle(nil, err)
		<-ctx.Done()
		return
	}
	l.settle(pool, nil)
	l.hold(ctx)
	l.close(pool)
}

func (l *link) resume(ctx context.Context, pool Pool) error {
	password, err := l.m.openPassword(l.record.ID, l.record.Password)
	if err != nil {
		return err
	}
	defer password.Wipe()
	pause := l.m.timing.pause()
	for told := false; ; {
		if err = pool.Connect(ctx); err == nil {
			_, err = pool.Login(ctx, hsmclient.Credentials{
				User: kmsuser, Role: hsmproto.RoleCryptoUser, Password: password, Exclusive: true,
			})
		}
		if err == nil || refusedPassword(err) {
			return err
		}
		if !told {
			told = true
			l.m.log.Warn("a connected key store waits for its cluster", "keyStore", l.record.ID, "error", err)
		}
		if pause.wait(ctx) != nil {
			return err
		}
	}
}

// hold keeps the link until it is cancelled and compares keys with the cluster's in the meantime.
func (l *link) hold(ctx context.Context) {
	ticker := time.NewTicker(l.m.timing.Inventory)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.takeInventory(ctx)
		}
	}
}

// closeTime bounds a logout; closing the connections ends the login as well.
const closeTime = 3 * time.Second

func (l *link) close(pool Pool) {
	if pool == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := pool.Logout(ctx); err != nil && !errors.Is(err, hsmclient.ErrNotLoggedIn) {
		l.m.log.Warn("logging kmsuser out failed; its connections are closed instead", "keyStore", l.record.ID, "error", err)
	}
	if err := pool.Close(); err != nil {
		l.m.log.Warn("closing the connections to a cluster failed", "keyStore", l.record.ID, "error", err)
	}
}

// open prepares the connections and dials nothing.
func (l *link) open() (Pool, error) {
	client, err := l.m.sealer.Open(purposeClient(l.record.ID), l.record.Client)
	if err != nil {
		return nil, fmt.Errorf("opening the client identity of %s: %w", l.record.ID, err)
	}
	return l.m.open(hsmclient.Config{
		Addresses:          l.addresses,
		Dial:               l.dialler(),
		TrustAnchor:        []byte(l.record.TrustAnchor),
		ClusterCertificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.record.ClusterCertificate}),
		Client:             client,
		Now:                l.m.now,
		Log:                l.m.log.With("keyStore", l.record.ID),
	})
}

// dialler leads through the cluster's VPC; nil, which is the client's own way, where stores have no presence in it.
func (l *link) dialler() func(ctx context.Context, network, address string) (net.Conn, error) {
	if l.m.network == nil {
		return nil
	}
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		return l.m.network.Dial(ctx, l.record.Scope, l.record.ID, address)
	}
}

// addresses asks the control plane which HSMs there are, so that the pool follows as HSMs are added, removed and
// replaced. A deleted cluster has none.
func (l *link) addresses(ctx context.Context) ([]string, error) {
	c, err := l.m.clusters.Cluster(ctx, l.record.Scope, l.record.ClusterID)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make([]string, len(c.Hsms))
	for i, h := range c.Hsms {
		all[i] = h.Address
	}
	return all, nil
}

// errArriving is why an operation fails whose store has not got its connections back yet.
var errArriving = fmt.Errorf("%w: the connections are being restored", hsmclient.ErrUnreachable)

// ready gives the pool, waiting a bounded time for one that is being restored.
func (l *link) ready(ctx context.Context) (Pool, error) {
	select {
	case <-l.settled:
		return l.pool, l.refusal
	default:
	}
	timer := time.NewTimer(l.m.timing.Arrival)
	defer timer.Stop()
	select {
	case <-l.settled:
		return l.pool, l.refusal
	case <-timer.C:
		return nil, errArriving
	case <-l.ended:
		return nil, errArriving
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startTeardown ends a link, gives the network back and makes the store DISCONNECTED. The channel is closed when that
// is done, or Close came first and the next start will finish it.
func (m *Manager) startTeardown(r *Record, l *link) chan struct{} {
	done := make(chan struct{})
	m.work.Go(func() {
		defer close(done)
		if l != nil {
			l.cancel()
			<-l.ended
		}
		m.detach(m.life, r)
		m.advance(r, connection.TornDown, func(*Record) {})
	})
	return done
}

// detach gives the store's addresses back. What fails is tried again at the next disconnect or start.
func (m *Manager) detach(ctx context.Context, r *Record) {
	if m.network == nil {
		return
	}
	if err := m.network.Detach(ctx, r.Scope, r.ID); err != nil {
		m.log.Error("a key store's network interfaces could not be removed", "keyStore", r.ID, "error", err)
	}
}
