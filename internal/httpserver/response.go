package httpserver

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxKept is the largest buffer, in bytes, that a connection keeps for its next answer.
const maxKept = 16 << 10

// response gathers an answer. It is an http.ResponseWriter, and used again for each request of a connection.
type response struct {
	conn    *conn
	header  http.Header
	status  int
	body    []byte
	out     []byte
	arrived bool // the request's body is in the reader's buffer
}

func (w *response) begin(arrived bool) {
	if w.header == nil {
		w.header = make(http.Header, 8)
	}
	w.arrived = arrived
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Unlike net/http's, header fields may still be set after it.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

// SetReadDeadline bounds reads of the request's body, for http.ResponseController. There is nothing to wait for, and
// so nothing to bound, where it has arrived.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.arrived {
		return nil
	}
	return w.conn.SetReadDeadline(t)
}

// send sends the answer in one piece, forgets it and reports whether the connection goes on: not if the handler wants
// it closed, which it says by the header field Connection.
func (w *response) send(again bool) (bool, error) {
	w.WriteHeader(http.StatusOK)
	again = again && !strings.EqualFold(w.header.Get("Connection"), "close")
	if !again {
		w.header["Connection"] = []string{"close"}
	}
	out := append(append(w.out[:0], "HTTP/1.1 "...), strconv.Itoa(w.status)...)
	out = append(append(append(out, ' '), http.StatusText(w.status)...), "\r\nDate: "...)
	out = appendDate(out, time.Now())
	for name, values := range w.header {
		if name == "Content-Length" {
			continue // counted below
		}
		for _, v := range values {
			out = appendField(out, name, v)
		}
	}
	out = append(out, "\r\nContent-Length: "...)
	out = append(strconv.AppendInt(out, int64(len(w.body)), 10), headEnd...)
	w.out = append(out, w.body...)
	_, err := w.conn.Write(w.out)
	w.forget()
	return again, err
}

// forget wipes the answer, which may have been a plaintext.
func (w *response) forget() {
	clear(w.header)
	clear(w.body)
	clear(w.out)
	w.status, w.body, w.out = 0, w.body[:0], w.out[:0]
	if cap(w.out) > maxKept {
		w.body, w.out = nil, nil
	}
}

// appendField writes a field; line feeds in its value would begin another one.
func appendField(b []byte, name, value string) []byte {
	b = append(append(append(b, lineEnd...), name...), ": "...)
	start := len(b)
	b = append(b, value...)
	for _, c := range []byte("\r\n") {
		for at := bytes.IndexByte(b[start:], c); at >= 0; at = bytes.IndexByte(b[start:], c) {
			b[start+at] = ' '
		}
	}
	return b
}

// date is the text of one second, which thousands of answers share.
type date struct {
	second int64
	text   string
}

var today atomic.Pointer[date]

func appendDate(b []byte, now time.Time) []byte {
	d := today.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		today.Store(d)
	}
	return append(b, d.text...)
}
