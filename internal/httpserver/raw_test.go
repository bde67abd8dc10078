package httpserver_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestManyRequestsOnOneConnection(t *testing.T) {
	c := serve(t, echo).dial(t)
	for n := range 100 {
		body := fmt.Sprintf("body %d", n)
		c.send(post(body))
		r := c.read()
		if r.Header.Get("X-By") != "calls" || r.Close || !strings.HasSuffix(r.body, fmt.Sprintf("%q <nil> map[]", body)) {
			t.Fatalf("answer %d: %v %q", n, r.Header, r.body)
		}
	}
}

func TestPipelinedRequests(t *testing.T) {
	c := serve(t, echo).dial(t)
	var all strings.Builder
	for n := range 50 {
		all.WriteString(post(fmt.Sprint(n)))
	}
	c.send(all.String())
	for n := range 50 {
		if r := c.read(); !strings.HasSuffix(r.body, fmt.Sprintf("\"%d\" <nil> map[]", n)) {
			t.Fatalf("answer %d is %q", n, r.body)
		}
	}
}

func TestLineEndsAfterABodyAreSkipped(t *testing.T) {
	c := serve(t, echo).dial(t)
	c.send(post("one") + "\r\n" + post("two") + "\r\n\r\n" + post("three"))
	for _, body := range []string{"one", "two", "three"} {
		if r := c.read(); r.StatusCode != http.StatusOK || !strings.Contains(r.body, body) {
			t.Fatalf("answer to %s: %s %q", body, r.Status, r.body)
		}
	}
	c.send("\r\n\r\n\r\n" + post("too many"))
	if r := c.read(); r.StatusCode != http.StatusBadRequest {
		t.Errorf("after six line ends: %s", r.Status)
	}
}

func TestAnotherKindOfRequestOnTheSameConnection(t *testing.T) {
	c := serve(t, echo).dial(t)
	c.send(post("one") + "GET /else?a=b HTTP/1.1\r\nHost: kms.test\r\n\r\n" + post("three") +
		"PUT / HTTP/1.1\r\nHost: kms.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n")
	for n, want := range []struct{ by, line, body string }{
		{"calls", "POST / HTTP/1.1", "one"},
		{"other", "GET /else?a=b HTTP/1.1", ""},
		{"other", "POST / HTTP/1.1", "three"},
		{"other", "PUT / HTTP/1.1", "four"},
	} {
		r := c.read()
		if r.Header.Get("X-By") != want.by || !strings.HasPrefix(r.body, want.line) ||
			!strings.HasSuffix(r.body, fmt.Sprintf("%q <nil> map[]", want.body)) {
			t.Errorf("answer %d: by %s, %q", n, r.Header.Get("X-By"), r.body)
		}
	}
}

func TestUnreadBodiesAreSkipped(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"left":     func(http.ResponseWriter, *http.Request) {},
		"closed":   func(_ http.ResponseWriter, r *http.Request) { _ = r.Body.Close() },
		"replaced": func(_ http.ResponseWriter, r *http.Request) { r.Body = http.NoBody },
		"partly":   func(_ http.ResponseWriter, r *http.Request) { _, _ = r.Body.Read(make([]byte, 3)) },
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, h).dial(t)
			smuggled := post("x", "X-Smuggled: yes", "Padding: "+strings.Repeat("x", 30<<10))
			for range 3 {
				c.send(post(smuggled) + post(smuggled))
				for range 2 {
					if r := c.read(); r.StatusCode != http.StatusOK || r.Header.Get("X-By") != "calls" {
						t.Fatalf("%s, by %q", r.Status, r.Header.Get("X-By"))
					}
				}
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			c.ended()
		})
	}
}

// TestABodyThatDoesNotCome is about a handler that meets the end of a connection in the middle of a body: however it
// takes that, nothing after it is a request.
func TestABodyThatDoesNotCome(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"read":            echo,
		"read and closed": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); _ = r.Body.Close() },
		"closed":          func(_ http.ResponseWriter, r *http.Request) { _ = r.Body.Close() },
		"left":            func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, h).dial(t)
			whole := post("0123456789")
			c.send(whole[:len(whole)-5])
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if r := c.read(); r.StatusCode != http.StatusOK || !r.Close {
				t.Errorf("%s, closed: %v", r.Status, r.Close)
			}
			c.ended()
		})
	}
}

func TestLargeAnswers(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 64<<10)
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for chunk := range len(large) / 1024 {
			_, _ = io.WriteString(w, large[chunk*1024:(chunk+1)*1024])
		}
	}).dial(t)
	for range 3 {
		c.send(post("x"))
		if r := c.read(); r.body != large || r.ContentLength != int64(len(large)) || r.Header.Get("X-By") != "calls" {
			t.Fatalf("%d bytes announced, %d came", r.ContentLength, len(r.body))
		}
	}
}

func TestTheHandlerClosesTheConnection(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }).dial(t)
	c.send(post("x"))
	if r := c.read(); !r.Close {
		t.Errorf("Connection: %q", r.Header.Get("Connection"))
	}
	c.ended()
}

func TestPanicsCloseTheirConnectionOnly(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "not to be seen")
		switch r.Header.Get("X-Panic") {
		case "abort":
			panic(http.ErrAbortHandler)
		case "other":
			panic("out of order")
		}
	})
	for _, how := range []string{"abort", "other"} {
		c := s.dial(t)
		c.send(post("x", "X-Panic: "+how))
		c.ended()
		if logged := strings.Contains(s.log.String(), "out of order"); logged != (how == "other") {
			t.Errorf("after %s the log is %q", how, s.log)
		}
	}
	if text := s.log.String(); !strings.HasPrefix(text, "http: panic serving 127.0.0.1:") || !strings.Contains(text, "raw_test.go") {
		t.Errorf("the log is %q", text)
	}
	c := s.dial(t)
	c.send(post("x"))
	if r := c.read(); r.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %s", r.Status)
	}
}

// TestAnswers compares what handlers make of answers with what net/http makes of them.
func TestAnswers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"nothing":         func(http.ResponseWriter, *http.Request) {},
		"text":            func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "some text") },
		"a page":          func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html></html>") },
		"an encoded page": withField("Content-Encoding", "gzip"),
		"no type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write([]byte("x"))
		},
		"no date":    func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil },
		"a date":     withField("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
		"keep-alive": withField("Connection", "keep-alive"),
		"two values": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("X-A", "1")
			w.Header().Add("X-A", "2")
		},
		"a split value":  withField("X-A", "1\r\nX-B: 2\r\n\r\nHTTP/1.1 200 OK"),
		"spaces":         withField("X-A", " \t1 2\t "),
		"a split name":   func(w http.ResponseWriter, _ *http.Request) { w.Header()["X-A: 1\r\nX-B"] = []string{"2"} },
		"an empty name":  func(w http.ResponseWriter, _ *http.Request) { w.Header()[""] = []string{"2"} },
		"AWS's spelling": func(w http.ResponseWriter, _ *http.Request) { w.Header()["x-amzn-RequestId"] = []string{"2"} },
		"its length":     withField("Content-Length", "9"),
		"two statuses":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299); w.WriteHeader(500) },
		"a body where none may be": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := w.Write([]byte("x")); err != http.ErrBodyNotAllowed { //nolint:errorlint // as it is documented
				panic(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { compareAnswers(t, h) })
	}
}

// withField sets a header field and writes nine bytes.
func withField(name, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		_, _ = io.WriteString(w, "nine byte")
	}
}

func TestStatuses(t *testing.T) {
	for _, status := range []int{200, 201, 204, 205, 299, 304, 400, 403, 413, 418, 500, 503, 599, 999} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			compareAnswers(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.WriteHeader(status)
				_, _ = w.Write([]byte("x"))
			})
		})
	}
}

func TestNoStatus(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(0) })
	c := s.dial(t)
	c.send(post("x"))
	c.ended()
	if !strings.Contains(s.log.String(), "is no status") {
		t.Errorf("the log is %q", s.log)
	}
}

func TestAHandlersFieldsDoNotFrameTheAnswer(t *testing.T) {
	for field, value := range map[string]string{"Transfer-Encoding": "chunked", "Content-Length": "3", "Trailer": "X-A"} {
		c := serve(t, withField(field, value)).dial(t)
		c.send(post("x") + post("x"))
		for range 2 {
			r := c.read()
			if r.body != "nine byte" || len(r.TransferEncoding) > 0 || r.Trailer != nil || r.ContentLength != 9 {
				t.Errorf("with %s: %+v %q", field, r.Header, r.body)
			}
		}
	}
}

func TestRequestsCarryTheirClient(t *testing.T) {
	seen := make(chan string, 1)
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.RemoteAddr }).dial(t)
	for _, text := range []string{post("x"), "GET / HTTP/1.1\r\nHost: kms.test\r\n\r\n"} {
		c.send(text)
		if from := <-seen; from != c.LocalAddr().String() {
			t.Errorf("the client is %s, not %s", from, c.LocalAddr())
		}
		c.read()
	}
}

// TestEarlyAnswers is about heads that net/http refuses before they end: a client that waits for the answer before it
// goes on must get it.
func TestEarlyAnswers(t *testing.T) {
	for _, head := range []string{
		"POST / HTTP/1.1\nHost: kms.test\n\n",
		"POST / HTTP/1.1\r\nHost: kms.test\nContent-Length: 0\n\r\n",
		"POST / HTTP/1.1\r\nno field\r\nX",
		"POST / HTTP/1.1\r\n: no name\r\nX",
		"POST / HTTP/1.1\r\nHost: kms.test\r\nX-A: b\r\n\n",
		"BREW\r\n",
	} {
		c := serve(t, echo).dial(t)
		c.send(head)
		if r := c.read(); r.StatusCode != http.StatusOK && r.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %s", head, r.Status)
		}
	}
}

func TestExpectedContinue(t *testing.T) {
	c := serve(t, echo).dial(t)
	c.send("POST / HTTP/1.1\r\nHost: kms.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	if r := c.read(); r.StatusCode != http.StatusContinue {
		t.Fatalf("first came %s", r.Status)
	}
	c.send("body")
	if r := c.read(); !strings.HasSuffix(r.body, `"body" <nil> map[]`) || r.Header.Get("X-By") != "other" {
		t.Errorf("then came %q by %s", r.body, r.Header.Get("X-By"))
	}
}

// TestARefusalArrives is about a head that is too long, of which the rest still arrives when it is refused.
func TestARefusalArrives(t *testing.T) {
	c := serve(t, echo).dial(t)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: kms.test\r\n"+strings.Repeat("X-A: "+strings.Repeat("a", 4000)+"\r\n", 600))
		sent <- err
	}()
	if r := c.read(); r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%s", r.Status)
	}
	_ = c.Close() // ends the sending
	<-sent
}
