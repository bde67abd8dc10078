package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// The states of a connection. From idle it goes on one way only, so that a request that was begun is answered.
const (
	idle int32 = iota
	busy
	closed
)

// refresh is how old the time limit of an idle connection gets before it is moved: setting one costs as much as
// parsing a header field.
const refresh = time.Second

// conn is one connection.
type conn struct {
	net.Conn
	server  *Server
	reader  *bufio.Reader // 4 KiB: heads that are longer are not ordinary
	remote  string
	tls     *tls.ConnectionState // nil for connections in clear
	state   atomic.Int32
	answer  response
	bounded time.Time // when the standing time limit for idleness was set; zero if another one stands
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{Conn: nc, server: s, reader: bufio.NewReader(nc), remote: nc.RemoteAddr().String()}
	c.answer.conn = c
	return c
}

// run serves the connection until it closes or is net/http's.
func (c *conn) run() {
	kept := false
	defer func() {
		if thrown := recover(); thrown != nil {
			c.server.panicked(c, thrown)
		}
		if !kept {
			_ = c.Close() // the client is gone, or will be
		}
		c.server.forget(c)
	}()
	if err := c.handshake(); err != nil {
		return
	}
	for !kept {
		head, err := c.await()
		switch {
		case err != nil:
			return
		case !ordinary(head):
			kept = c.server.hands.over(c)
			return
		case !c.exchange():
			return
		}
	}
}

var errStopping = errors.New("httpserver: stopping")

// handshake is TLS's, where there is one.
func (c *conn) handshake() error {
	secure, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.other.ReadHeaderTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		c.server.logf("http: TLS handshake error from %s: %v", c.remote, err)
		return err
	}
	state := secure.ConnectionState()
	c.tls = &state
	return nil
}

// await returns the head of the next request, of which nothing is taken yet, or something that is not ordinary.
func (c *conn) await() ([]byte, error) {
	if c.tls != nil && c.tls.NegotiatedProtocol == "h2" {
		return nil, c.begin()
	}
	if err := c.boundIdle(); err != nil {
		return nil, err
	}
	if _, err := c.reader.Peek(1); err != nil {
		return nil, err
	}
	if err := c.begin(); err != nil {
		return nil, err
	}
	for {
		text, err := c.reader.Peek(c.reader.Buffered())
		if err != nil {
			return nil, err
		}
		end := bytes.Index(text, headEnd)
		switch {
		case end >= 0:
			return text[:end+len(headEnd)], nil
		case !begun(text), len(text) == c.reader.Size(), bytes.Contains(text, []byte("\n\n")):
			return nil, nil
		}
		if err := c.boundHead(); err != nil {
			return nil, err
		}
		if _, err := c.reader.Peek(len(text) + 1); err != nil {
			return nil, err
		}
	}
}

// begin makes an idle connection busy.
func (c *conn) begin() error {
	if !c.state.CompareAndSwap(idle, busy) {
		return errStopping
	}
	return nil
}

// closeIdle closes a connection that no request has come on.
func (c *conn) closeIdle() {
	if c.state.CompareAndSwap(idle, closed) {
		_ = c.Close() // nothing was promised to anyone
	}
}

func (c *conn) boundIdle() error {
	now := time.Now()
	if now.Sub(c.bounded) < refresh {
		return nil
	}
	c.bounded = now
	return c.Conn.SetReadDeadline(now.Add(c.server.other.IdleTimeout))
}

// boundHead gives the rest of a head its time, counted from its first part.
func (c *conn) boundHead() error {
	if c.bounded.IsZero() {
		return nil
	}
	return c.SetReadDeadline(time.Now().Add(c.server.other.ReadHeaderTimeout))
}

// boundBody gives a body its time, if there is any of it to wait for.
func (c *conn) boundBody() error {
	if c.answer.arrived {
		return nil
	}
	return c.SetReadDeadline(time.Now().Add(c.server.other.ReadTimeout))
}

// SetReadDeadline is set by anyone but boundIdle.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.bounded = time.Time{}
	return c.Conn.SetReadDeadline(t)
}

const badRequest = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"

// exchange answers one ordinary request and reports whether another one may follow.
func (c *conn) exchange() (again bool) {
	r, err := http.ReadRequest(c.reader)
	if err != nil {
		_, _ = c.Write([]byte(badRequest)) // the connection is closed either way
		return false
	}
	r.RemoteAddr, r.TLS = c.remote, c.tls
	c.answer.begin(int64(c.reader.Buffered()) >= r.ContentLength)
	if err = c.boundBody(); err == nil {
		c.server.calls.ServeHTTP(&c.answer, r)
		err = c.boundBody() // again: the handler may have moved it
	}
	if err == nil {
		err = r.Body.Close() // reads what the handler left
	}
	again = err == nil && !c.server.stop.Load()
	again, err = c.answer.send(again)
	c.state.Store(idle)
	return again && err == nil
}
