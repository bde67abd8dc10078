package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// The states of a connection. From idle it goes on one way only, so that a request that was begun is answered.
const (
	idle int32 = iota
	busy
	closed
)

// refresh is the part of a time limit, for idleness or for an answer, that may pass before a standing one is moved:
// setting one costs as much as parsing a header field.
const refresh = 64

// conn is one connection.
type conn struct {
	net.Conn
	server  *Server
	reader  *bufio.Reader // 4 KiB: heads that are longer are not ordinary
	remote  string
	tls     *tls.ConnectionState // nil for connections in clear
	state   atomic.Int32
	used    bool // a request was answered on it
	answer  response
	bounded time.Time // when the standing time limit for idleness was set; zero if another one stands
	writing time.Time // when the standing time limit for an answer was set
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
			c.answer.forget()
		}
		if !kept {
			_ = c.Close() // the client is gone, or will be
		}
		c.server.forget(c)
	}()
	if !c.handshake() {
		kept = c.begin() == nil && c.server.hands.over(c)
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
		case !c.exchange(head):
			return
		}
	}
}

var errStopping = errors.New("httpserver: stopping")

// handshake is TLS's, where there is one. It reports whether HTTP/1.1 is spoken from here on. If not, the connection is
// for net/http, which gets the same error from it and has a word for clients that do not speak TLS.
func (c *conn) handshake() bool {
	secure, ok := c.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	if err := c.SetDeadline(deadline(c.server.headTime())); err != nil {
		return false
	}
	if err := secure.HandshakeContext(context.Background()); err != nil {
		return false
	}
	state := secure.ConnectionState()
	c.tls = &state
	spoken := state.NegotiatedProtocol
	return (spoken == "" || spoken == "http/1.1") && c.SetDeadline(time.Time{}) == nil
}

// await returns the head of the next request, of which nothing is taken yet, or something that is not ordinary.
func (c *conn) await() ([]byte, error) {
	if err := c.awaitFirst(); err != nil {
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
		case !begun(text), len(text) == c.reader.Size():
			return nil, nil
		}
		if err := c.boundHead(); err != nil {
			return nil, err
		}
		switch _, err := c.reader.Peek(len(text) + 1); {
		case err == io.EOF:
			return nil, nil // net/http has an answer to it
		case err != nil:
			return nil, err
		}
	}
}

// awaitFirst waits for the first bytes of a request and makes the connection busy. After the first request net/http
// waits for four of them, and takes them for nothing if they are line ends: RFC 9112, section 2.2, tells of old clients
// that send some after a POST's body.
func (c *conn) awaitFirst() error {
	if !c.used {
		if err := c.SetReadDeadline(deadline(c.server.headTime())); err != nil {
			return err
		}
		if _, err := c.reader.Peek(1); err != nil {
			return err
		}
		return c.begin()
	}
	if err := c.boundIdle(); err != nil {
		return err
	}
	first, err := c.reader.Peek(4)
	if err != nil {
		return err
	}
	if _, err := c.reader.Discard(len(first) - len(bytes.TrimLeft(first, "\r\n"))); err != nil {
		return err
	}
	return c.begin()
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

// deadline is when a time limit that begins now ends; never, if there is none.
func deadline(limit time.Duration) time.Time {
	if limit <= 0 {
		return time.Time{}
	}
	return time.Now().Add(limit)
}

func (c *conn) boundIdle() error {
	now, limit := time.Now(), c.server.idleTime()
	if now.Sub(c.bounded) < limit/refresh {
		return nil
	}
	c.bounded = now
	return c.Conn.SetReadDeadline(deadline(limit))
}

// boundHead gives the rest of a head its time, counted from its first part.
func (c *conn) boundHead() error {
	if c.bounded.IsZero() {
		return nil
	}
	return c.SetReadDeadline(deadline(c.server.headTime()))
}

// boundBody gives a body its time, if there is any of it to wait for.
func (c *conn) boundBody() error {
	if c.answer.arrived {
		return nil
	}
	return c.SetReadDeadline(deadline(c.server.other.ReadTimeout))
}

// boundAnswer gives an answer its time.
func (c *conn) boundAnswer() error {
	now, limit := time.Now(), c.server.other.WriteTimeout
	if limit <= 0 || now.Sub(c.writing) < limit/refresh {
		return nil
	}
	c.writing = now
	return c.SetWriteDeadline(now.Add(limit))
}

// SetReadDeadline is set by anyone but boundIdle.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.bounded = time.Time{}
	return c.Conn.SetReadDeadline(t)
}

// exchange answers the ordinary request of a head and reports whether another one may follow.
func (c *conn) exchange(head []byte) (again bool) {
	r := newRequest(head)
	if _, err := c.reader.Discard(len(head)); err != nil {
		return false // cannot be: it is in the buffer
	}
	b := &body{from: c.reader, left: r.ContentLength}
	r.RemoteAddr, r.TLS, r.Body = c.remote, c.tls, b
	c.answer.begin(int64(c.reader.Buffered()) >= r.ContentLength)
	err := c.boundBody()
	if err == nil {
		c.server.calls.ServeHTTP(&c.answer, r)
		err = c.drain(b)
	}
	again, err = c.answer.send(err == nil && !c.server.stop.Load())
	c.used = true
	c.state.Store(idle)
	// Again: whoever stopped the server after the first look found the connection busy, and left it to itself.
	return again && err == nil && !c.server.stop.Load()
}

// drain reads what the handler left of a body, so that the next request begins where it ends.
func (c *conn) drain(b *body) error {
	if b.broken {
		return errBroken
	}
	if err := c.boundBody(); err != nil { // the handler may have moved it
		return err
	}
	return b.Close()
}
