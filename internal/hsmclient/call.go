package hsmclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/internal/hsmproto"
)

// errNoneLeft: every connection that could have been used broke or lost its login.
var errNoneLeft = errors.New("hsmclient: no usable connection")

// access is which of a view's connections a call needs.
type access uint8

const (
	anyone  access = iota // open to everyone who connects
	session               // needs a login
)

func (v *view) group(a access) *group {
	if a == session {
		return &v.loggedIn
	}
	return &v.connected
}

// call makes a request that may be repeated without harm: connections take turns, and where one is lost, has lost its
// login, or its HSM cannot serve it, the next is tried. When none is left it waits a moment for one to come back.
func (c *Cluster) call(ctx context.Context, need access, op hsmproto.Op, in, out any) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	var waited patience
	for {
		v := c.view.Load()
		err := c.round(ctx, v.group(need).links, op, in, out)
		if err != errNoneLeft {
			return err
		}
		if err := c.await(ctx, v, need, &waited); err != nil {
			return err
		}
	}
}

// callOnce makes a request on the first connection and does not repeat it. An error with ErrAmbiguous means that it
// may have been carried out.
func (c *Cluster) callOnce(ctx context.Context, need access, op hsmproto.Op, in, out any) error {
	_, err := c.callNth(ctx, 0, need, op, in, out)
	return err
}

// callNth is callOnce on the nth connection, counted round and round; it also tells how many there were.
func (c *Cluster) callNth(ctx context.Context, n int, need access, op hsmproto.Op, in, out any) (of int, err error) {
	if err := c.enter(); err != nil {
		return 0, err
	}
	defer c.leave()
	links, err := c.awaitLinks(ctx, need)
	if err != nil {
		return 0, err
	}
	l := links[n%len(links)]
	ctx, cancel := context.WithTimeout(ctx, c.timing.change)
	defer cancel()
	err = l.conn.Call(ctx, op, in, out)
	if need == session && errors.Is(err, ErrNotLoggedIn) {
		c.expire(l)
	}
	return len(links), settle(err)
}

// enter takes one of the client's sessions; there is no queue for them (hsm.md section 3).
func (c *Cluster) enter() error {
	if c.inFlight.Add(1) > int64(c.cfg.MaxSessions) {
		c.inFlight.Add(-1)
		return ErrNoSession
	}
	return nil
}

func (c *Cluster) leave() { c.inFlight.Add(-1) }

// round tries each connection once, starting with the one whose turn it is. If any of them answered that it cannot
// serve the request, that is the result; errNoneLeft if no answer came at all.
func (c *Cluster) round(ctx context.Context, links []*link, op hsmproto.Op, in, out any) error {
	result := errNoneLeft
	start := c.next.Add(1)
	for i := range links {
		l := links[(start+uint64(i))%uint64(len(links))]
		err := l.conn.Call(ctx, op, in, out)
		switch {
		case err == nil:
			return nil
		case lost(err):
		case errors.Is(err, ErrNotLoggedIn):
			c.expire(l)
		case errors.Is(err, errUnavailable), errors.Is(err, errKeyNotFound):
			result = err // the HSM may be behind the others (hsm.md section 8)
		default:
			return err
		}
	}
	return result
}

// patience bounds all waits of one call together.
type patience struct{ until time.Time }

func (p *patience) left(limit time.Duration) time.Duration {
	if p.until.IsZero() {
		p.until = time.Now().Add(limit)
	}
	return time.Until(p.until)
}

// await returns when a newer view than v stands, or at once with the reason why waiting would be in vain: nobody is
// logged in, the login was refused, or the HSMs have been gone for longer than a restart of a connection takes.
func (c *Cluster) await(ctx context.Context, v *view, need access, waited *patience) error {
	if err := c.hopeless(need); err != nil {
		return err
	}
	left := waited.left(c.timing.patience)
	if g := v.group(need); len(g.links) == 0 {
		if g.emptySince.IsZero() {
			return c.outage()
		}
		left = min(left, c.timing.patience-time.Since(g.emptySince))
	}
	if left <= 0 {
		return c.outage()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-v.changed:
		return nil
	case <-timer.C:
		return c.outage()
	case <-c.life.Done():
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
	}
}

// awaitLinks gives all live connections, at least one, in the order of their addresses.
func (c *Cluster) awaitLinks(ctx context.Context, need access) ([]*link, error) {
	var waited patience
	for {
		v := c.view.Load()
		var live []*link
		for _, l := range v.group(need).links {
			if l.conn.Err() == nil {
				live = append(live, l)
			}
		}
		if len(live) > 0 {
			return live, nil
		}
		if err := c.await(ctx, v, need, &waited); err != nil {
			return nil, err
		}
	}
}

// hopeless is why a session will not come by waiting.
func (c *Cluster) hopeless(need access) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.life.Err() != nil:
		return ErrClosed
	case need == anyone:
		return nil
	case c.login == nil:
		return ErrNotLoggedIn
	case c.login.refused != nil:
		return c.login.refused
	}
	return c.lockedOutLocked()
}

// lockedOutLocked is the refusal of an HSM on which the user is locked, if there is no other HSM to hope for.
func (c *Cluster) lockedOutLocked() error {
	var locked error
	for _, m := range c.members {
		switch {
		case m.link == nil:
		case !errors.Is(m.loginErr, errLocked):
			return nil
		default:
			locked = m.loginErr
		}
	}
	return locked
}

// outage says why there is no connection: a refused login if there was one, else what each HSM's last failure was.
func (c *Cluster) outage() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var reasons []reason
	for _, m := range c.sortedLocked() {
		switch {
		case m.link != nil && m.loginErr != nil && refusal(m.loginErr):
			return m.loginErr
		case m.link != nil && m.loginErr != nil:
			reasons = append(reasons, reason{m.address, m.loginErr})
		case m.link == nil:
			reasons = append(reasons, reason{m.address, m.err})
		}
	}
	return unreachable(reasons)
}

// refusal reports whether err came from an HSM.
func refusal(err error) bool {
	var r *hsmproto.Error
	return errors.As(err, &r)
}
