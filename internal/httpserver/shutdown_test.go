package httpserver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
)

// kinds are the two ways of a request: answered here, and handed over.
var kinds = map[string]string{
	"ordinary":    post("x"),
	"handed over": "GET / HTTP/1.1\r\nHost: kms.test\r\n\r\n",
}

func TestShutdownClosesIdleConnections(t *testing.T) {
	for kind, text := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := serve(t, echo)
			used, fresh := s.dial(t), s.dial(t)
			used.send(text)
			used.read()
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			used.ended()
			fresh.ended()
			if err := <-s.served; err != http.ErrServerClosed { //nolint:errorlint // as net/http's, not wrapped
				t.Errorf("Serve returned %v", err)
			}
			if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.listener.Addr().String()); err == nil {
				_ = c.Close()
				t.Error("a connection is accepted afterwards")
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// held is a handler that waits in the middle of a request.
type held struct{ begun, release chan struct{} }

func hold() held { return held{make(chan struct{}), make(chan struct{})} }

func (h held) serve(w http.ResponseWriter, r *http.Request) {
	close(h.begun)
	<-h.release
	echo(w, r)
}

func TestShutdownWaitsForRequests(t *testing.T) {
	for kind, text := range kinds {
		t.Run(kind, func(t *testing.T) {
			h := hold()
			s := serve(t, h.serve)
			idle, c := s.dial(t), s.dial(t)
			c.send(text)
			<-h.begun
			ended := make(chan error, 2)
			for range cap(ended) {
				go func() { ended <- s.Shutdown(context.Background()) }()
			}
			idle.ended() // so it is on its way
			select {
			case err := <-ended:
				t.Fatalf("did not wait: %v", err)
			default:
			}
			close(h.release)
			if r := c.read(); r.StatusCode != http.StatusOK || !r.Close {
				t.Errorf("%s, closed: %v", r.Status, r.Close)
			}
			c.ended()
			for range cap(ended) {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestShutdownWithoutTime(t *testing.T) {
	for kind, text := range kinds {
		t.Run(kind, func(t *testing.T) {
			h := hold()
			defer close(h.release)
			s := serve(t, h.serve)
			c := s.dial(t)
			c.send(text)
			<-h.begun
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("returned %v", err)
			}
			if got, _ := io.ReadAll(c.reader); len(got) > 0 {
				t.Errorf("%q came", got)
			}
		})
	}
}

// TestShutdownMeetsRequests lets requests end while the server stops: none may be left waiting for another one.
func TestShutdownMeetsRequests(t *testing.T) {
	for range 200 {
		s := serve(t, echo)
		c := s.dial(t)
		c.send(post("x"))
		c.read() // its connection is about to be idle
		if err := s.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.ended()
	}
}

func TestServeAfterShutdown(t *testing.T) {
	s := serve(t, echo)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	if err := s.Serve(l); err != http.ErrServerClosed { //nolint:errorlint // as net/http's, not wrapped
		t.Errorf("returned %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

// lame is a listener that fails.
type lame struct {
	net.Listener
	errs chan error
}

func (l lame) Accept() (net.Conn, error) {
	if err, ok := <-l.errs; ok {
		return nil, err
	}
	return l.Listener.Accept()
}

type passing struct{ error }

func (passing) Timeout() bool   { return false }
func (passing) Temporary() bool { return true }

func TestAcceptErrors(t *testing.T) {
	errs := make(chan error, 1)
	errs <- passing{errors.New("too many open files")}
	close(errs)
	s := serveOn(t, lame{listen(t), errs}, &http.Server{Handler: http.HandlerFunc(echo)}, http.HandlerFunc(echo))
	c := s.dial(t)
	c.send(post("x"))
	c.read()

	broken := errors.New("broken")
	errs = make(chan error, 1)
	errs <- broken
	s = serveOn(t, lame{listen(t), errs}, &http.Server{Handler: http.HandlerFunc(echo)}, http.HandlerFunc(echo))
	if err := <-s.served; !errors.Is(err, broken) {
		t.Errorf("Serve returned %v", err)
	}
}
