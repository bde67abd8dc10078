package httpserver

import (
	"cmp"
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
	gone     chan struct{}      // closed once stop is set and conns is empty
}

// New makes a Server whose ordinary requests calls answers, and other all others, whose time limits and log are those
// of the whole: ReadTimeout is a body's, counted from the end of its head, and once more from the end of the handler
// for what that left of it; WriteTimeout is an answer's. Answers of calls are gathered in memory before they are sent.
// other must not be used elsewhere.
func New(calls http.Handler, other *http.Server) *Server {
	return &Server{calls: calls, other: other, conns: map[*conn]struct{}{}, gone: make(chan struct{})}
}

// headTime is how long a request's head may take, and idleTime how long none need come. As in net/http, ReadTimeout
// stands for those that are not set.
func (s *Server) headTime() time.Duration {
	return cmp.Or(s.other.ReadHeaderTimeout, s.other.ReadTimeout)
}

func (s *Server) idleTime() time.Duration { return cmp.Or(s.other.IdleTimeout, s.other.ReadTimeout) }

// Serve accepts connections until Shutdown, and then returns http.ErrServerClosed. Connections of a listener of
// crypto/tls may speak HTTP/2, if its configuration offers it.
func (s *Server) Serve(l net.Listener) error {
	if !s.begin(l) {
		_ = l.Close() // nobody was promised anything
		return http.ErrServerClosed
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
	if s.stop.Load() {
		return false // an earlier Serve may still be ending, with what is its own
	}
	s.listener, s.hands = l, newHands(l.Addr())
	return true
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
		//lint:ignore SA1019 deprecated for want of a better word, and what net/http asks
		if passing, ok := errors.AsType[net.Error](err); !ok || !passing.Temporary() || s.stop.Load() {
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
	if !s.stop.Load() || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.gone: // by an earlier Shutdown
	default:
		close(s.gone)
	}
}

// Shutdown begins no further request, waits for those that were begun and closes all connections. When ctx ends
// before, it closes them at once and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.other.SetKeepAlivesEnabled(false) // first: who sees a connection closed may rely on every answer saying so
	s.stopAccepting()
	err := s.other.Shutdown(ctx)
	if err == nil {
		err = s.wait(ctx)
	}
	if err != nil {
		return errors.Join(err, s.closeAll())
	}
	return nil
}

func (s *Server) stopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop.Store(true)
	if s.listener != nil {
		_ = s.listener.Close() // a second Shutdown closes it again
	}
	for c := range s.conns {
		c.closeIdle()
	}
	s.checkGone()
}

// wait waits for the connections that are not net/http's.
func (s *Server) wait(ctx context.Context) error {
	select {
	case <-s.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) closeAll() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // its client gets no answer either way
	}
	return s.other.Close()
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
