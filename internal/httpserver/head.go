package httpserver

import (
	"bytes"
	"strconv"
)

// maxBody is the longest body, in bytes, of an ordinary request. What is left of one is read before the next request,
// so it must not be long.
const maxBody = 64 << 10

var (
	requestLine = []byte("POST / HTTP/1.1\r\n")
	lineEnd     = []byte("\r\n")
	headEnd     = []byte("\r\n\r\n")
)

// begun reports whether text, of which more may follow, can become an ordinary request. Where it cannot, net/http may
// have an answer without waiting for more.
func begun(text []byte) bool {
	n := min(len(text), len(requestLine))
	if !bytes.Equal(text[:n], requestLine[:n]) {
		return false
	}
	for rest := text[n:]; ; {
		line, after, whole := bytes.Cut(rest, lineEnd)
		if !whole {
			return bytes.IndexByte(rest, '\n') < 0
		}
		if _, _, ok := field(line); !ok {
			return false
		}
		rest = after
	}
}

// ordinary reports whether a request's head, its empty line included, asks for nothing but to be read and answered: it
// is sound in every byte, and has no field that changes how a request is framed, how a connection goes on, or what
// net/http makes of other fields.
func ordinary(head []byte) bool {
	rest, ok := bytes.CutPrefix(head, requestLine)
	var hosts, lengths int
	for ok && !bytes.Equal(rest, lineEnd) {
		var line []byte
		line, rest, _ = bytes.Cut(rest, lineEnd)
		name, value, sound := field(line)
		if !sound {
			return false
		}
		switch special(name) {
		case "host":
			hosts++
			ok = hostlike(value)
		case "content-length":
			lengths++
			n, err := strconv.ParseUint(string(value), 10, 32)
			ok = err == nil && n > 0 && n <= maxBody
		case "connection":
			ok = bytes.EqualFold(value, []byte("keep-alive"))
		case "expect", "pragma", "trailer", "transfer-encoding", "upgrade":
			return false
		}
	}
	return ok && hosts == 1 && lengths == 1
}

// field splits a header field's line. One is sound whose name is a token and whose value is of printable ASCII: no
// control characters, and no continuation of the line before.
func field(line []byte) (name, value []byte, sound bool) {
	name, value, colon := bytes.Cut(line, []byte{':'})
	if !colon || !token(name) {
		return nil, nil, false
	}
	for _, c := range value {
		if c < ' ' || c > '~' {
			return nil, nil, false
		}
	}
	return name, bytes.Trim(value, " "), true
}

// token reports whether a name is one: RFC 9110, section 5.6.2.
func token[T string | []byte](name T) bool {
	for i := range len(name) {
		if !tokenBytes[name[i]] {
			return false
		}
	}
	return len(name) > 0
}

var tokenBytes = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[c] = true
	}
	return set
}()

// special is the lower-case name of a header field that matters here, or empty.
func special(name []byte) string {
	for _, s := range [...]string{"host", "expect", "pragma", "trailer", "upgrade", "connection", "content-length", "transfer-encoding"} {
		if len(name) == len(s) && bytes.EqualFold(name, []byte(s)) {
			return s
		}
	}
	return ""
}

// hostlike reports whether a Host consists of what names, addresses and ports are made of.
func hostlike(host []byte) bool {
	for _, c := range host {
		letter, digit := c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9'
		if !letter && !digit && bytes.IndexByte([]byte("-._:[]"), c) < 0 {
			return false
		}
	}
	return len(host) > 0
}
