package httpserver

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// hands is the listener from which net/http gets connections.
type hands struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	close   sync.Once
}

func newHands(address net.Addr) *hands {
	return &hands{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (h *hands) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *hands) Close() error {
	h.close.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *hands) Addr() net.Addr { return h.address }

// over gives a connection to net/http, with what was read ahead, and reports whether that took it.
func (h *hands) over(c *conn) bool {
	if err := c.SetDeadline(time.Time{}); err != nil {
		return false
	}
	select {
	case h.conns <- given(c):
		return true
	case <-h.closed:
		return false
	}
}

// given is a connection as net/http gets it.
func given(c *conn) net.Conn {
	ahead := readAhead{c.Conn, c.reader}
	switch {
	case c.reader.Buffered() == 0:
		return c.Conn // as it came: HTTP/2 is spoken on connections of crypto/tls only
	case c.tls != nil:
		return &secureReadAhead{ahead, *c.tls}
	default:
		return &ahead
	}
}

// readAhead is a connection of which a part was read before.
type readAhead struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (r *readAhead) Read(p []byte) (int, error) {
	if r.reader.Buffered() > 0 {
		return r.reader.Read(p)
	}
	return r.Conn.Read(p)
}

// CloseWrite ends what is sent. net/http does so after it refused a request that still arrives, lest the refusal be
// lost.
func (r *readAhead) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// secureReadAhead lets net/http see the state of TLS, as a connection of crypto/tls does.
type secureReadAhead struct {
	readAhead
	state tls.ConnectionState
}

// ConnectionState is what net/http gives handlers as Request.TLS.
func (s *secureReadAhead) ConnectionState() tls.ConnectionState { return s.state }
