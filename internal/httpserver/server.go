package httpserver

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves HTTP on one listener.
type Server struct {
	calls http.Handler
	other *http.Server
	hands *hands
	stop  atomic.Bool // no further request is begun

	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    map[*conn]struct{} // those that are not net/http's
	gone     chan struct{}      // closed once stop is set and conns is empty; nil before Shutdown
}

// New makes a Server whose ordinary requests calls answers, and other all others, whose time limits and log are those
// of the whole. Answers of calls are gathered in memory before they are sent. other must not be used elsewhere.
func New(calls http.Handler, other *http.Server) *Server {
	s := &Server{calls: calls, other: other, conns: map[*conn]struct{}{}}
	other.Handler = withTLS(other.Handler)
	other.ConnContext = rememberTLS
	return s
}

// Serve accepts connections until Shutdown, and then returns http.ErrServerClosed. Connections of a listener of
// crypto/tls may speak HTTP/2, if its configuration offers it.
func (s *Server) Serve(l net.Listener) error {
	if !s.begin(l) {
		return errors.Join(http.ErrServerClosed, l.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- s.other.Serve(s.hands) }()
	err := s.accept(l)
	_ = s.hands.Close() // never fails
	other := <-ended
	if s.stop.Load() {
		return http.ErrServerClosed
	}
	return errors.Join(err, other)
}

// begin reports whether the server may serve l.
func (s *Server) begin(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener, s.hands = l, newHands(l.Addr())
	return !s.stop.Load()
}

// Waits after a refused accept, as of net/http: the process has too many open files, as a rule.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

func (s *Server) accept(l net.Listener) error {
	pause := firstPause
	for {
		c, err := l.Accept()
		if err == nil {
			pause = firstPause
			s.welcome(c)
			continue
		}
		if passing, ok := errors.AsType[net.Error](err); !ok || !passing.Temporary() || s.stop.Load() { //nolint:staticcheck // deprecated for want of a better word
			return err
		}
		s.logf("http: accepting a connection: %v; trying again in %v", err, pause)
		time.Sleep(pause)
		pause = min(2*pause, maxPause)
	}
}

// welcome serves a new connection, unless the server is stopping.
func (s *Server) welcome(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	stopping := s.stop.Load()
	if !stopping {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if stopping {
		_ = nc.Close()
		return
	}
	go c.run()
}

// forget takes a connection off the list: it is closed, or net/http's.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkGone()
}

func (s *Server) checkGone() {
	if s.gone != nil && len(s.conns) == 0 {
		close(s.gone)
		s.gone = nil
	}
}

// Shutdown begins no further request, waits for those that were begun and closes all connections. When ctx ends
// before, it closes them at once and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	gone := s.stopAccepting()
	err := s.other.Shutdown(ctx)
	select {
	case <-gone:
		return err
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.Close()
		}
		return errors.Join(err, s.other.Close(), ctx.Err())
	}
}

func (s *Server) stopAccepting() (gone chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop.Store(true)
	if s.listener != nil {
		_ = s.listener.Close() // a second Shutdown closes it again
	}
	gone = make(chan struct{})
	s.gone = gone
	for c := range s.conns {
		c.closeIdle()
	}
	s.checkGone()
	return gone
}

func (s *Server) logf(format string, args ...any) {
	if s.other.ErrorLog != nil {
		s.other.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// panicked logs what a handler threw, as net/http does, and keeps the process.
func (s *Server) panicked(c *conn, thrown any) {
	if thrown != http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		s.logf("http: panic serving %s: %v\n%s", c.remote, thrown, debug.Stack())
	}
}
