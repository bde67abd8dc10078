package httpserver_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// tape is a connection whose client has sent all that it will send. It hands that out in pieces.
type tape struct {
	piece  int
	closed chan struct{}
	mu     sync.Mutex // guards what follows
	in     []byte
	out    bytes.Buffer
	once   sync.Once
}

func newTape(in []byte, piece int) *tape {
	return &tape{piece: piece, in: in, closed: make(chan struct{})}
}

func (p *tape) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.in[:min(p.piece, len(p.in))])
	p.in = p.in[n:]
	return n, nil
}

func (p *tape) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *tape) Close() error                     { p.once.Do(func() { close(p.closed) }); return nil }
func (*tape) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (*tape) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (*tape) SetDeadline(time.Time) error        { return nil }
func (*tape) SetReadDeadline(time.Time) error    { return nil }
func (*tape) SetWriteDeadline(t time.Time) error { return nil }

// door is a listener to whom a test hands connections.
type door struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newDoor() *door { return &door{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error { d.once.Do(func() { close(d.closed) }); return nil }
func (*door) Addr() net.Addr { return &net.TCPAddr{} }

// pair is a server of this package and one of net/http, with the same handler.
type pair struct{ ours, plain *door }

func servePair(t testing.TB, h http.HandlerFunc) pair {
	p := pair{newDoor(), newDoor()}
	serveOn(t, p.ours, &http.Server{Handler: h}, h)
	plain := &http.Server{Handler: h, ErrorLog: discard}
	go func() { _ = plain.Serve(p.plain) }()
	t.Cleanup(func() { _ = plain.Close() })
	return p
}

// play gives a server what a client sends and returns the answers.
func (d *door) play(t testing.TB, in []byte, piece int) []reply {
	t.Helper()
	p := newTape(bytes.Clone(in), piece)
	d.conns <- p
	<-p.closed
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.out.Bytes()
	var all []reply
	for from := bufio.NewReaderSize(bytes.NewReader(out), len(out)+16); ; {
		left, _ := from.Peek(from.Size()) // all
		if len(left) == 0 {
			return all
		}
		method := http.MethodPost
		if head, _, _ := bytes.Cut(left, []byte("\r\n\r\n")); bytes.Contains(head, []byte("X-Method: HEAD")) {
			method = http.MethodHead
		}
		r, err := readReply(from, method)
		if err != nil {
			t.Fatalf("the server wrote %q: %v", out, err)
		}
		all = append(all, r)
	}
}

// essence is what must be equal in two servers' answers. This one counts what it sends where net/http sends chunks.
func essence(all []reply) (out []string) {
	chunked := func(r reply) bool { return len(r.TransferEncoding) > 0 }
	for _, r := range all {
		r.Header.Del("Date")
		if !chunked(r) {
			r.Header.Del("Content-Length")
		}
		out = append(out, fmt.Sprintf("%s %s %v %q", r.Proto, r.Status, r.Header, r.body))
	}
	return out
}

func (p pair) compare(t *testing.T, in []byte, piece int) {
	t.Helper()
	ours, plain := p.ours.play(t, in, piece), p.plain.play(t, in, piece)
	if a, b := essence(ours), essence(plain); !reflect.DeepEqual(a, b) {
		t.Errorf("asked with %q in pieces of %d\nours:  %q\nplain: %q", in, piece, a, b)
	}
	for n := range min(len(ours), len(plain)) {
		if len(plain[n].TransferEncoding) == 0 && plain[n].ContentLength != ours[n].ContentLength {
			t.Errorf("lengths %d and %d", ours[n].ContentLength, plain[n].ContentLength)
		}
	}
}

// compareAnswers compares what a handler's answers to ordinary requests are.
func compareAnswers(t *testing.T, h http.HandlerFunc) {
	t.Helper()
	servePair(t, h).compare(t, []byte(post("x")+post("y")), 4096)
}

// moody is an echo that on request treats its request in other ways.
func moody(w http.ResponseWriter, r *http.Request) {
	switch r.Header.Get("X-Mood") {
	case "idle":
		w.Header().Set("X-Method", r.Method)
	case "partial":
		_, _ = r.Body.Read(make([]byte, 2))
		w.Header().Set("X-Method", r.Method)
	case "closing":
		_ = r.Body.Close()
		echo(w, r)
	case "replacing":
		r.Body = io.NopCloser(strings.NewReader("replaced"))
		echo(w, r)
	case "panic":
		panic(http.ErrAbortHandler)
	case "empty":
		w.Header().Set("X-Method", r.Method)
		w.WriteHeader(http.StatusNoContent)
	case "last":
		w.Header().Set("Connection", "close")
		echo(w, r)
	case "large":
		echo(w, r)
		_, _ = io.WriteString(w, strings.Repeat("large ", 1<<10))
	default:
		echo(w, r)
	}
}

// FuzzServer compares this server with net/http's: a client that sends what it likes must not be able to tell them
// apart.
func FuzzServer(f *testing.F) {
	for _, one := range cases {
		if len(one.text) > 8<<10 {
			continue
		}
		f.Add([]byte(one.text), uint16(4096))
		f.Add([]byte(one.text), uint16(1))
		f.Add([]byte(post("first")+one.text+post("last")), uint16(4096))
		f.Add([]byte(post("first")+one.text+post("last")), uint16(7))
	}
	for _, mood := range []string{"idle", "partial", "closing", "replacing", "panic", "empty", "last", "large"} {
		whole := post("first", "X-Mood: "+mood) + post("second", "X-Mood: "+mood)
		for _, piece := range []uint16{1, 5, 113, 4096} {
			f.Add([]byte(whole+"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), piece)
			f.Add([]byte(whole[:len(whole)-3]), piece)
		}
	}
	for _, between := range []string{"\r\n", "\r\n\r\n", "\r\n\r\n\r\n", "\n\r", "\n", "GET", "\r\nP", "\r\r\r\r\r"} {
		f.Add([]byte(post("first")+between), uint16(4096))
		f.Add([]byte(post("first")+between+post("last")), uint16(1))
	}
	p := servePair(f, moody)
	f.Fuzz(func(t *testing.T, in []byte, piece uint16) {
		if len(in) > 16<<10 {
			t.Skip("nothing new")
		}
		p.compare(t, in, int(max(1, piece)))
	})
}
