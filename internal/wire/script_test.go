package wire_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A script is a request and the answer that is expected. Its comment says how the request is signed: a line
//
//	sign SERVICE [key ID] [secret TEXT] [token TEXT] [offset DURATION]
//
// signs it, with the client's clock off by DURATION; without such a line it goes out as it is. In the answer, the
// first line is the status, then headers that must be there, an empty line, and the body: exactly, with $ID standing
// for the request's id, or, on lines that start with "~ ", fragments.
func TestProtocolScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/protocol/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	w := newWorld(t)
	w.setNow(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { w.play(t, path) })
	}
}

func (w *world) play(t *testing.T, path string) {
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	comment, rest, _ := strings.Cut(string(script), "-- request --\n")
	request, response, found := strings.Cut(rest, "-- response --\n")
	if !found {
		t.Fatal("a script is a request and a response")
	}
	r, body := w.read(t, request)
	for line := range strings.Lines(comment) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "sign" {
			w.sign(t, r, body, words[1], words[2:])
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, resp, string(got), response)
}

// read takes a request's text apart: method and target, headers, an empty line, the body without its last line feed.
func (w *world) read(t *testing.T, text string) (*http.Request, string) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	body = strings.TrimSuffix(body, "\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r, body
}

func (w *world) sign(t testing.TB, r *http.Request, body, service string, options []string) {
	t.Helper()
	c := aws.Credentials{AccessKeyID: w.key.AccessKeyID, SecretAccessKey: string(w.secret.Expose())}
	at := *w.now.Load()
	for i := 0; i+1 < len(options); i += 2 {
		switch value := options[i+1]; options[i] {
		case "key":
			c.AccessKeyID = value
		case "secret":
			c.SecretAccessKey = value
		case "token":
			c.SessionToken = value
		case "offset":
			d, err := time.ParseDuration(value)
			if err != nil {
				t.Fatal(err)
			}
			at = at.Add(d)
		default:
			t.Fatalf("unknown option %s", options[i])
		}
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(sum[:]), service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func compare(t *testing.T, resp *http.Response, body, want string) {
	t.Helper()
	id := resp.Header.Get("x-amzn-RequestId")
	if !uuidForm.MatchString(id) {
		t.Errorf("request id %q", id)
	}
	head, content, _ := strings.Cut(want, "\n\n")
	status, headers, _ := strings.Cut(strings.TrimPrefix(head, "\n"), "\n")
	if got := strconv.Itoa(resp.StatusCode); got != status {
		t.Errorf("status %s, want %s", got, status)
	}
	for line := range strings.SplitSeq(headers, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		if got := resp.Header.Get(name); got != value {
			t.Errorf("header %s is %q, want %q", name, got, value)
		}
	}
	content = strings.ReplaceAll(strings.TrimSpace(content), "$ID", id)
	if !strings.HasPrefix(content, "~ ") {
		if body != content {
			t.Errorf("body\n%s\nwant\n%s", body, content)
		}
		return
	}
	for fragment := range strings.SplitSeq(content, "\n") {
		if fragment = strings.TrimPrefix(fragment, "~ "); !strings.Contains(body, fragment) {
			t.Errorf("body %s lacks %s", body, fragment)
		}
	}
}
