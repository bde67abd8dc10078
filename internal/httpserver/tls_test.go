package httpserver_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// certified is a certificate for 127.0.0.1 and those that trust it.
func certified(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}

// tellTLS answers with what a handler knows of TLS.
func tellTLS(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Proto", r.Proto)
	if r.TLS != nil {
		w.Header().Set("X-Tls", r.TLS.ServerName+" "+tls.VersionName(r.TLS.Version))
	}
}

func serveTLS(t *testing.T, protocols ...string) (*site, *tls.Config) {
	t.Helper()
	certificate, pool := certified(t)
	l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: protocols})
	s := serveOn(t, l, &http.Server{Handler: marked("other", tellTLS)}, marked("calls", tellTLS))
	return s, &tls.Config{RootCAs: pool, ServerName: "example.com"}
}

func TestHandlersSeeTLS(t *testing.T) {
	s, config := serveTLS(t, "http/1.1")
	c, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // its end is of no interest
	from := bufio.NewReader(c)
	for _, want := range []struct{ by, text string }{
		{"calls", post("x")}, {"calls", post("x")}, {"other", kinds["handed over"]}, {"other", post("x")},
	} {
		if _, err := io.WriteString(c, want.text); err != nil {
			t.Fatal(err)
		}
		r, err := readReply(from, http.MethodPost)
		if err != nil {
			t.Fatal(err)
		}
		if h := r.Header; h.Get("X-By") != want.by || h.Get("X-Tls") != "example.com TLS 1.3" {
			t.Errorf("answered by %s, TLS %q", h.Get("X-By"), h.Get("X-Tls"))
		}
	}
}

func TestHTTP2(t *testing.T) {
	s, config := serveTLS(t, "h2", "http/1.1")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	for range 2 {
		r, err := client.Post("https://"+s.listener.Addr().String()+"/", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if h := r.Header; r.ProtoMajor != 2 || h.Get("X-Proto") != "HTTP/2.0" || h.Get("X-By") != "other" || h.Get("X-Tls") == "" {
			t.Errorf("%s: %v", r.Proto, h)
		}
	}
}

func TestFailedHandshakes(t *testing.T) {
	for name, one := range map[string]struct{ text, answer, logged string }{
		"HTTP":     {post("x"), "HTTP/1.0 400 Bad Request", "client sent an HTTP request to an HTTPS server"},
		"an alert": {"\x15\x03\x03\x00\x02\x02\x2a", "", "bad certificate"},
		"nothing":  {"", "", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serveTLS(t, "http/1.1")
			c := s.dial(t)
			c.send(one.text)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(c.reader); !strings.HasPrefix(string(got), one.answer) || one.answer == "" && strings.Contains(string(got), "HTTP") {
				t.Errorf("%q came", got)
			}
			// net/http answers first, and logs then.
			if text := s.log.wait(); !strings.HasPrefix(text, "http: TLS handshake error from 127.0.0.1:") || !strings.Contains(text, one.logged) {
				t.Errorf("the log is %q", text)
			}
		})
	}
}
