package wire_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"keyward/internal/audit"
)

// forgetful keeps nothing, so that the wire alone is measured.
type forgetful struct{}

func (forgetful) Record(context.Context, *audit.Event) error { return nil }

const encryptBody = `{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Plaintext":"` +
	`AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}`

// BenchmarkServeHTTP measures the handler without a network.
func BenchmarkServeHTTP(b *testing.B) {
	w := newWorldWith(b, forgetful{})
	r := httptest.NewRequest(http.MethodPost, w.url, nil)
	r.Header = http.Header{"X-Amz-Target": {"TrentService.Encrypt"}, "Content-Type": {"application/x-amz-json-1.1"}}
	r.ContentLength = int64(len(encryptBody))
	r.Header.Set("Content-Length", strconv.Itoa(len(encryptBody)))
	w.sign(b, r, encryptBody, "kms", nil)
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(encryptBody))
		out := discard{header: http.Header{}}
		w.handler.ServeHTTP(&out, r)
		if out.status != http.StatusOK {
			b.Fatalf("status %d", out.status)
		}
	}
}

// discard is a response that goes nowhere.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
