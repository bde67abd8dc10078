package httpserver_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkServer compares this server with net/http's in the same run, on calls as the SDK for Go sends them. It
// reports the time of one of ours in parts of one of net/http's.
func BenchmarkServer(b *testing.B) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{"application/x-amz-json-1.1"}
		_, _ = io.WriteString(w, strings.Repeat("x", 200))
	})
	for name, conns := range map[string]int{"1 connection": 1, "64 connections": 64} {
		b.Run(name, func(b *testing.B) {
			var plain time.Duration
			b.Run("net/http", func(b *testing.B) {
				l := listen(b)
				s := &http.Server{Handler: h}
				go func() { _ = s.Serve(l) }()
				b.Cleanup(func() { _ = s.Close() })
				plain = call(b, l.Addr(), conns)
			})
			b.Run("httpserver", func(b *testing.B) {
				s := serveOn(b, listen(b), &http.Server{Handler: h, IdleTimeout: time.Minute}, h)
				if ours := call(b, s.listener.Addr(), conns); plain > 0 {
					b.ReportMetric(float64(ours)/float64(plain), "of-net/http")
				}
			})
		})
	}
}

// call calls over some connections at once and returns the time of one call.
func call(b *testing.B, address net.Addr, conns int) time.Duration {
	text := []byte(post(strings.Repeat("x", 150), "Accept-Encoding: identity", "Amz-Sdk-Request: attempt=1; max=3",
		"Content-Type: application/x-amz-json-1.1", "X-Amz-Date: 20261124T114742Z", "X-Amz-Target: TrentService.Encrypt", authorization))
	b.ReportAllocs()
	b.SetParallelism(conns)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial(address.Network(), address.String()) //nolint:noctx // in this process
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close() //nolint:errcheck // its end is of no interest
		for from := bufio.NewReader(c); pb.Next(); {
			if err := exchange(c, from, text); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	return b.Elapsed() / time.Duration(b.N)
}

// exchange costs next to nothing: a client's work is not what is measured.
func exchange(c net.Conn, from *bufio.Reader, text []byte) error {
	if _, err := c.Write(text); err != nil {
		return err
	}
	for {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == len("\r\n") {
			_, err := from.Discard(200)
			return err
		}
	}
}
