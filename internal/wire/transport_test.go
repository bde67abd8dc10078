package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// unsized hides a body's length, so that it goes out in chunks.
type unsized struct{ io.Reader }

func (w *world) post(t *testing.T, body io.Reader, length int) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.ContentLength = int64(length)
	return r
}

func exchange(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !uuidForm.MatchString(resp.Header.Get("x-amzn-RequestId")) {
		t.Errorf("request id %q", resp.Header.Get("x-amzn-RequestId"))
	}
	return resp.StatusCode, string(body)
}

func TestBodyLimit(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		size    int
		chunked bool
		want    int
	}{
		{1 << 20, false, 200}, {1 << 20, true, 200},
		{1<<20 + 1, false, 413}, {1<<20 + 1, true, 413}, {3 << 20, true, 413},
	} {
		t.Run(fmt.Sprint(c.size, c.chunked), func(t *testing.T) {
			body := `{"x":"` + strings.Repeat("a", c.size-8) + `"}`
			r := w.post(t, strings.NewReader(body), c.size)
			w.sign(t, r, body, "kms", nil)
			if c.chunked {
				// Signed without Content-Length, as a client must that does not know it.
				r = w.post(t, unsized{strings.NewReader(body)}, -1)
				w.sign(t, r, body, "kms", nil)
			}
			status, got := exchange(t, r)
			if status != c.want {
				t.Errorf("status %d: %s", status, got)
			}
			if status == 413 && got != `{"__type":"RequestEntityTooLargeException","message":"The request body must not exceed 1048576 bytes."}` {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestBuffersDoNotMixRequests sends bodies of shrinking size at once: what is left in a buffer must not be read.
func TestBuffersDoNotMixRequests(t *testing.T) {
	w := newWorld(t)
	client := kms.NewFromConfig(w.config())
	failures := make(chan string, 64)
	for i := range 8 {
		go func() {
			for n := 4096; n > 0; n /= 3 {
				plaintext := bytes.Repeat([]byte{byte(i)}, n)
				out, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String("k"), Plaintext: plaintext})
				if err != nil || !bytes.Equal(out.CiphertextBlob, plaintext) {
					failures <- fmt.Sprintf("client %d, %d bytes: %v", i, n, err)
				}
			}
			failures <- ""
		}()
	}
	for ended := 0; ended < 8; {
		if f := <-failures; f == "" {
			ended++
		} else {
			t.Error(f)
		}
	}
}

func TestRequestIDsDiffer(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for range 20 {
		resp, err := http.DefaultClient.Do(w.post(t, strings.NewReader("{}"), 2))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		seen[resp.Header.Get("x-amzn-RequestId")] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d ids for 20 requests", len(seen))
	}
}
