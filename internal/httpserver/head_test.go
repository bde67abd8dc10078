package httpserver

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzOrdinary: what is ordinary, net/http's parser reads as this package does, and nothing that leads to it is given up
// before.
func FuzzOrdinary(f *testing.F) {
	for _, fields := range []string{"", "X-A: b\r\n", "X-A : b\r\n", "X-A:\tb\r\n", "x-a:  b \r\n", "Connection: Keep-Alive\r\n", "a: 1\r\nA: 2\r\nb:\r\na: 3\r\n",
		strings.Repeat("x-y: z\r\n", 20), "te: trailers\r\nCache-Control: x\r\n"} {
		f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\n" + fields + "Content-Length: 3\r\n\r\n"))
		f.Add([]byte("POST / HTTP/1.1\r\ncontent-length: 3\r\n" + fields + "host: [::1]:80\r\n\r\n"))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		end := bytes.Index(head, headEnd)
		if end < 0 || !ordinary(head[:end+len(headEnd)]) {
			t.Skip("for net/http")
		}
		head = head[:end+len(headEnd)]
		for n := range head {
			if !begun(head[:n]) {
				t.Errorf("%q is given up", head[:n])
			}
		}
		from := bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader(strings.Repeat("x", maxBody+1))))
		r, err := http.ReadRequest(from)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength || len(body) > maxBody || strings.Trim(string(body), "x") != "" {
			t.Errorf("the body is %d bytes of %d, %v", len(body), r.ContentLength, err)
		}
		ours := newRequest(head)
		ours.Body, r.Body = nil, nil
		if diff := cmp.Diff(r, ours, cmpopts.IgnoreUnexported(http.Request{})); diff != "" {
			t.Errorf("net/http reads %q otherwise: %s", head, diff)
		}
		if r.Close || len(r.TransferEncoding) > 0 || r.Trailer != nil || r.Host == "" || r.Header.Get("Expect") != "" {
			t.Errorf("not ordinary: %+v", r)
		}
	})
}
