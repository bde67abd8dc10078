package wire_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"keyward/internal/bench"
	"keyward/internal/bench/bare"
)

func (w *world) encryptRequest(tb testing.TB, address string) []byte {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, address, nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService.Encrypt")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("User-Agent", "aws-cli/2.0")
	r.ContentLength = int64(len(encryptBody))
	w.sign(tb, r, encryptBody, "kms", nil)
	r.Body = io.NopCloser(strings.NewReader(encryptBody))
	var prepared bytes.Buffer
	if err := r.Write(&prepared); err != nil {
		tb.Fatal(err)
	}
	return prepared.Bytes()
}

func address(tb testing.TB, raw string) string {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return u.Host
}

const (
	connections = 16
	round       = 100 * time.Millisecond
)

// BenchmarkAgainstBare prints how many requests a second the handler answers, for an operation that does nothing and a
// recorder that keeps nothing, and what share of the bare server's that is. Both take turns, so that what else the
// machine does hits both.
func BenchmarkAgainstBare(b *testing.B) {
	w := newWorldWith(b, forgetful{})
	yardstick, err := bare.New(w.key.AccessKeyID, w.secret, func() time.Time { return *w.now.Load() })
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(yardstick)
	defer server.Close()
	var sum [2]float64
	rounds := 0.0
	for b.Loop() {
		rounds++
		for i, target := range []string{server.URL, w.url} {
			ctx, cancel := context.WithTimeout(b.Context(), round)
			perSecond, err := bench.Load(ctx, address(b, target), w.encryptRequest(b, target), connections)
			cancel()
			if err != nil {
				b.Fatal(err)
			}
			sum[i] += perSecond
		}
	}
	b.ReportMetric(sum[0]/rounds, "bare/s")
	b.ReportMetric(sum[1]/rounds, "wire/s")
	b.ReportMetric(sum[1]/sum[0], "ratio")
}
