package httpserver

import (
	"fmt"
	"net/http"
	"net/textproto"
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

// WriteHeader implements http.ResponseWriter. Unlike net/http's, header fields may still be set after it. Informational
// answers, which clients must not rely on, are not sent.
func (w *response) WriteHeader(status int) {
	switch {
	case w.status != 0:
	case status < 100 || status > 999:
		panic(fmt.Sprintf("httpserver: %d is no status", status)) // as net/http does
	case status >= http.StatusOK:
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if !w.mayHaveBody() {
		return 0, http.ErrBodyNotAllowed
	}
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *response) mayHaveBody() bool {
	return w.status != http.StatusNoContent && w.status != http.StatusNotModified
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
	w.complete(again)
	w.out = w.appendHead(w.out[:0])
	w.out = append(w.out, w.body...)
	err := w.write()
	w.forget()
	return again, err
}

func (w *response) write() error {
	if err := w.conn.boundAnswer(); err != nil {
		return err
	}
	_, err := w.conn.Write(w.out)
	return err
}

// complete sets the header fields that are the server's. What frames an answer is not the handler's to say.
func (w *response) complete(again bool) {
	h := w.header
	for _, name := range [...]string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		delete(h, name)
	}
	if !again {
		h["Connection"] = []string{"close"}
	}
	if w.status == http.StatusNotModified {
		delete(h, "Content-Type")
	}
	if _, set := h["Content-Type"]; !set && len(w.body) > 0 && h.Get("Content-Encoding") == "" {
		h["Content-Type"] = []string{http.DetectContentType(w.body)}
	}
}

func (w *response) appendHead(out []byte) []byte {
	out = strconv.AppendInt(append(out, "HTTP/1.1 "...), int64(w.status), 10)
	out = append(append(out, ' '), statusText(w.status)...)
	for name, values := range w.header {
		for _, v := range values {
			out = appendField(out, name, v)
		}
	}
	if _, set := w.header["Date"]; !set {
		out = appendDate(append(out, "\r\nDate: "...), time.Now())
	}
	if w.mayHaveBody() {
		out = strconv.AppendInt(append(out, "\r\nContent-Length: "...), int64(len(w.body)), 10)
	}
	return append(out, headEnd...)
}

// statusText is what net/http sends.
func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "status code " + strconv.Itoa(status)
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

// appendField writes a field, as net/http does: not at all if its name is none, and with spaces for line feeds in its
// value, which would begin another one.
func appendField(b []byte, name, value string) []byte {
	if !token(name) {
		return b
	}
	b = append(append(append(b, lineEnd...), name...), ": "...)
	start := len(b)
	b = append(b, textproto.TrimString(value)...)
	for i, c := range b[start:] {
		if c == '\r' || c == '\n' {
			b[start+i] = ' '
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
