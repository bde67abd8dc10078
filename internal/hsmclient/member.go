package hsmclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sethvargo/go-retry"

	"keyward/internal/hsmproto"
)

var (
	errNotDialled = errors.New("not dialled yet")
	errSilent     = errors.New("the HSM does not answer any more")
)

// serve looks after one HSM until ctx ends: connects, logs in again where the Cluster is logged in, watches.
func (c *Cluster) serve(ctx context.Context, m *member, first *link) {
	pause := c.backoff()
	for l := first; ; l = nil {
		if l == nil {
			if l = c.reconnect(ctx, m, pause); l == nil {
				return
			}
		}
		began := time.Now()
		cause := c.watch(ctx, m, l)
		l.conn.Close()
		c.detach(m, l, cause)
		if time.Since(began) > c.timing.backoffTo { // it was not one of those that break at once
			pause = c.backoff()
		}
	}
}

// backoff makes the pauses between attempts: doubling up to a limit, spread so that clients of a restarted HSM do not
// come all at once.
func (c *Cluster) backoff() retry.Backoff {
	return retry.WithJitterPercent(25, retry.WithCappedDuration(c.timing.backoffTo, retry.NewExponential(c.timing.backoff)))
}

// reconnect dials until it succeeds; nil means that ctx ended.
func (c *Cluster) reconnect(ctx context.Context, m *member, pause retry.Backoff) *link {
	for {
		wait, _ := pause.Next()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		conn, err := c.dial(ctx, m.address)
		if err != nil {
			c.noteFailure(m, err)
			continue
		}
		l := &link{m, conn}
		c.attach(m, l)
		return l
	}
}

// watch keeps the login of a connection alive and finds out when the HSM stops answering, so that calls in progress
// fail over instead of waiting for ever. It returns why the connection is of no more use.
func (c *Cluster) watch(ctx context.Context, m *member, l *link) error {
	pause := c.backoff()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.conn.Done():
			return l.conn.Err()
		case <-m.poke:
		case <-timer.C:
		}
		next := c.timing.heartbeat
		if c.logInAgain(ctx, m, l) {
			next, _ = pause.Next()
		}
		if err := c.beat(ctx, l); err != nil {
			return err
		}
		timer.Reset(next)
	}
}

// beat asks for a sign of life; a refusal is one too.
func (c *Cluster) beat(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timing.silence, errSilent)
	defer cancel()
	err := l.conn.Call(ctx, hsmproto.OpInfo, hsmproto.Empty{}, nil)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil // a lost connection shows in its Done
}

func (c *Cluster) attach(m *member, l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[m.address] != m { // let go meanwhile; its context has ended
		return
	}
	m.link, m.loggedIn, m.err, m.since = l, false, nil, c.cfg.Now()
	c.publishLocked()
	c.cfg.Log.Info("connected to an HSM", "address", m.address)
}

func (c *Cluster) detach(m *member, l *link, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.link != l {
		return
	}
	m.link, m.loggedIn, m.err, m.since = nil, false, fmt.Errorf("connection lost: %w", cause), c.cfg.Now()
	c.publishLocked()
	if c.life.Err() == nil {
		c.cfg.Log.Warn("connection to an HSM lost", "address", m.address, "error", cause)
	}
	nudge(c.miss)
}

func (c *Cluster) noteFailure(m *member, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.err = err
}

// expire is told that the HSM no longer knows the login of l: it is to be renewed.
func (c *Cluster) expire(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.member.link != l || !l.member.loggedIn {
		return
	}
	l.member.loggedIn = false
	c.publishLocked()
	nudge(l.member.poke)
}

// nudge leaves a sign in a channel of capacity 1.
func nudge(sign chan<- struct{}) {
	select {
	case sign <- struct{}{}:
	default:
	}
}
