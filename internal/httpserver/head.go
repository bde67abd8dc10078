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

// begun reports whether text, of which more may follow, can become an ordinary request.
func begun(text []byte) bool {
	n := min(len(text), len(requestLine))
	return bytes.Equal(text[:n], requestLine[:n])
}

// ordinary reports whether a request's head, its empty line included, asks for nothing but to be read and answered.
// Only what may change how a request is framed or a connection goes on is looked at; the parser judges all else.
func ordinary(head []byte) bool {
	rest, ok := bytes.CutPrefix(head, requestLine)
	var hosts, lengths int
	for ok && !bytes.Equal(rest, lineEnd) {
		var line []byte
		line, rest, ok = bytes.Cut(rest, lineEnd)
		name, value, colon := bytes.Cut(line, []byte{':'})
		if !colon || !printable(line) {
			return false
		}
		switch special(name) {
		case "host":
			hosts++
			ok = ok && hostlike(bytes.TrimSpace(value))
		case "content-length":
			lengths++
			n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 32)
			ok = ok && err == nil && n > 0 && n <= maxBody
		case "connection":
			ok = ok && bytes.EqualFold(bytes.TrimSpace(value), []byte("keep-alive"))
		case "expect", "trailer", "transfer-encoding", "upgrade":
			return false
		}
	}
	return ok && hosts == 1 && lengths == 1
}

// special is the lower-case name of a header field that matters here, or empty.
func special(name []byte) string {
	for _, s := range [...]string{"host", "expect", "trailer", "upgrade", "connection", "content-length", "transfer-encoding"} {
		if len(name) == len(s) && bytes.EqualFold(name, []byte(s)) {
			return s
		}
	}
	return ""
}

// printable: ASCII only, no control characters, and no continuation of the line before.
func printable(line []byte) bool {
	for _, c := range line {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return line[0] != ' '
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
