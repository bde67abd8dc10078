package httpserver_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

const (
	headTime = 3 * time.Second
	readTime = 20 * time.Second
	idleTime = time.Minute
)

// limited is a connection to a server with time limits, in a bubble whose clock moves when all wait.
type limited struct {
	net.Conn
	t      *testing.T
	reader *bufio.Reader
}

// within runs a test in a bubble.
func within(t *testing.T, h http.HandlerFunc, test func(limited)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		s := serveOn(t, d, &http.Server{Handler: h, ReadHeaderTimeout: headTime, ReadTimeout: readTime, IdleTimeout: idleTime}, h)
		client, server := net.Pipe()
		d.conns <- server
		test(limited{client, t, bufio.NewReader(client)})
		_ = client.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func (l limited) send(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l, text); err != nil {
		l.t.Fatal(err)
	}
}

func (l limited) read() reply {
	l.t.Helper()
	r, err := readReply(l.reader, http.MethodPost)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// closedAfter requires that the server closes the connection without a word, and when.
func (l limited) closedAfter(since time.Time, want time.Duration) {
	l.t.Helper()
	if rest, err := io.ReadAll(l.reader); err != nil || len(rest) > 0 {
		l.t.Errorf("%q, %v came", rest, err)
	}
	if took := time.Since(since); took != want {
		l.t.Errorf("closed after %v, not %v", took, want)
	}
}

func TestTheFirstHeadHasItsTime(t *testing.T) {
	within(t, echo, func(l limited) { l.closedAfter(time.Now(), headTime) })
}

func TestIdleConnectionsHaveTheirTime(t *testing.T) {
	within(t, echo, func(l limited) {
		for range 3 {
			l.send(post("x"))
			l.read()
			time.Sleep(idleTime - time.Second)
		}
		l.send(post("x"))
		l.read()
		l.closedAfter(time.Now(), idleTime)
	})
}

func TestSlowHeadsHaveTheirTimeOnce(t *testing.T) {
	for name, one := range map[string]struct {
		before int
		want   time.Duration
	}{
		"at first": {0, headTime},
		"later":    {2, 3*time.Second + headTime}, // net/http, too, takes a request for begun with its fourth byte
	} {
		t.Run(name, func(t *testing.T) {
			within(t, echo, func(l limited) {
				for range one.before {
					l.send(post("x"))
					l.read()
				}
				start, dripped := time.Now(), make(chan struct{})
				go func() {
					defer close(dripped)
					for _, c := range post("x") {
						if _, err := l.Write([]byte(string(c))); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				l.closedAfter(start, one.want)
				<-dripped
			})
		})
	}
}

func TestBodiesHaveTheirTime(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{"read": echo, "left": func(http.ResponseWriter, *http.Request) {}} {
		t.Run(name, func(t *testing.T) {
			within(t, h, func(l limited) {
				l.send(post("0123456789")[:60])
				start := time.Now()
				r := l.read()
				if took := time.Since(start); !r.Close || took != readTime {
					t.Errorf("closed: %v, after %v", r.Close, took)
				}
				l.closedAfter(start, readTime)
			})
		})
	}
}

// TestHandlersBoundTheBody: a handler's time limit holds for a body that is on its way, and for nothing else.
func TestHandlersBoundTheBody(t *testing.T) {
	bounding := func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Error(err)
		}
		echo(w, r)
	}
	within(t, bounding, func(l limited) {
		for range 2 { // bodies that came with their heads
			l.send(post("x"))
			l.read()
			time.Sleep(idleTime / 2)
		}
		l.send(post("0123456789")[:60])
		start := time.Now()
		if r := l.read(); !r.Close {
			t.Error("the connection goes on")
		}
		l.closedAfter(start, time.Second)
	})
}

func TestNoLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, h := newDoor(), http.HandlerFunc(echo)
		serveOn(t, d, &http.Server{Handler: h}, h)
		conn, server := net.Pipe()
		d.conns <- server
		l := limited{conn, t, bufio.NewReader(conn)}
		for _, part := range []string{"POST / ", "HTTP/1.1\r\nHost: a\r\nContent-", "Length: 4\r\n\r\n", "bo", "dy"} {
			time.Sleep(time.Hour)
			l.send(part)
		}
		l.read()
		time.Sleep(time.Hour)
		l.send(post("x"))
		l.read()
		_ = conn.Close()
	})
}

// TestAnswersHaveTheirTime: a client that does not read does not hold a connection for ever, and what earlier answers
// took is not counted.
func TestAnswersHaveTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, h := newDoor(), http.HandlerFunc(echo)
		s := serveOn(t, d, &http.Server{Handler: h, WriteTimeout: time.Second}, h)
		conn, server := net.Pipe() // which holds nothing: a write waits for its reader
		d.conns <- server
		l := limited{conn, t, bufio.NewReader(conn)}
		for _, pause := range []time.Duration{0, time.Millisecond, time.Hour} {
			time.Sleep(pause)
			l.send(post("x"))
			time.Sleep(900 * time.Millisecond)
			l.read()
		}
		l.send(post("x"))
		if err := s.Shutdown(context.Background()); err != nil { // waits for the request
			t.Error(err)
		}
		_ = conn.Close()
	})
}
