package httpserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
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
	if err := c.Conn.SetReadDeadline(time.Time{}); err != nil {
		return false
	}
	var given net.Conn = &readAhead{c}
	if c.reader.Buffered() == 0 {
		given = c.Conn // as it came: HTTP/2 is spoken on connections of crypto/tls only
	}
	select {
	case h.conns <- given:
		return true
	case <-h.closed:
		return false
	}
}

// readAhead is a connection of which a part was read before.
type readAhead struct{ *conn }

func (r *readAhead) Read(p []byte) (int, error) {
	if r.reader.Buffered() > 0 {
		return r.reader.Read(p)
	}
	return r.Conn.Read(p)
}

// tlsKey is where a context holds the TLS state of a readAhead, which net/http cannot see.
type tlsKey struct{}

func rememberTLS(ctx context.Context, c net.Conn) context.Context {
	if r, ok := c.(*readAhead); ok && r.tls != nil {
		return context.WithValue(ctx, tlsKey{}, r.tls)
	}
	return ctx
}

func withTLS(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(tlsKey{}).(*tls.ConnectionState); ok {
			r.TLS = state
		}
		h.ServeHTTP(w, r)
	})
}
