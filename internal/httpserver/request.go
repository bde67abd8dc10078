package httpserver

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// usual is a number of header fields that few requests exceed.
const usual = 16

// newRequest is what an ordinary head says, as http.ReadRequest would have it. The strings in it are parts of one.
func newRequest(head []byte) *http.Request {
	text := string(head)
	r := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/"}, RequestURI: "/", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, usual),
	}
	values := make([]string, 0, usual) // one backing array for most fields' values
	for line := range strings.SplitSeq(text[len(requestLine):len(text)-len(headEnd)], "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " ")
		if name == "Host" {
			r.Host = value
			continue
		}
		if name == "Content-Length" {
			r.ContentLength, _ = strconv.ParseInt(value, 10, 64) // ordinary has seen that it is a number
		}
		if before := r.Header[name]; before != nil {
			r.Header[name] = append(before, value)
			continue
		}
		values = append(values, value)
		r.Header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return r
}
