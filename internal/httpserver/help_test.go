package httpserver_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"keyward/internal/httpserver"
)

// echo answers with all that it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Method", r.Method)
	fmt.Fprintf(w, "%s %s %s host=%q length=%d encoding=%q close=%v\n",
		r.Method, r.URL, r.Proto, r.Host, r.ContentLength, r.TransferEncoding, r.Close)
	var fields []string
	for name, values := range r.Header {
		fields = append(fields, fmt.Sprintf("%s: %q\n", name, values))
	}
	slices.Sort(fields)
	fmt.Fprintf(w, "%s%q %v %q", strings.Join(fields, ""), body, err, r.Trailer)
}

// marked tells in the answer which handler gave it.
func marked(by string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-By", by)
		h(w, r)
	})
}

// logBook is a log that tests read.
type logBook struct {
	first chan struct{} // closed when there is something

	mu   sync.Mutex
	text bytes.Buffer
}

func newLogBook() *logBook { return &logBook{first: make(chan struct{})} }

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() == 0 {
		close(l.first)
	}
	return l.text.Write(p)
}

// wait returns what there is once there is something.
func (l *logBook) wait() string {
	<-l.first
	return l.String()
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var discard = log.New(io.Discard, "", 0)

// site is a server under test.
type site struct {
	*httpserver.Server
	listener net.Listener
	log      *logBook
	served   chan error
}

// serve answers ordinary requests, and others, with h.
func serve(t testing.TB, h http.HandlerFunc) *site {
	t.Helper()
	return serveOn(t, listen(t), &http.Server{Handler: marked("other", h)}, marked("calls", h))
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func serveOn(t testing.TB, l net.Listener, other *http.Server, calls http.Handler) *site {
	t.Helper()
	s := &site{listener: l, log: newLogBook(), served: make(chan error, 1)}
	other.ErrorLog = log.New(s.log, "", 0)
	s.Server = httpserver.New(calls, other)
	go func() { s.served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx) // closes what the test left open
	})
	return s
}

// client is a connection on which bytes are sent as they are.
type client struct {
	*net.TCPConn
	t      testing.TB
	reader *bufio.Reader
}

func (s *site) dial(t testing.TB) *client {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &client{c.(*net.TCPConn), t, bufio.NewReader(c)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// reply is an answer whose body was read.
type reply struct {
	*http.Response
	body string
}

func (c *client) read() reply {
	c.t.Helper()
	r, err := readReply(c.reader, http.MethodPost)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func readReply(from *bufio.Reader, method string) (reply, error) {
	r, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(r.Body)
	return reply{r, string(body)}, errors.Join(err, r.Body.Close())
}

// ended requires that the server closed the connection.
func (c *client) ended() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.reader); len(rest) > 0 {
		c.t.Fatalf("after the last answer came %q, %v", rest, err)
	}
}

// post is an ordinary request.
func post(body string, fields ...string) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: kms.test\r\n%sContent-Length: %d\r\n\r\n%s",
		strings.Join(append(fields, ""), "\r\n"), len(body), body)
}
