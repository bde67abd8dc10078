package server

import (
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"log"
	"log/slog"
	"net/http"
)

//go:embed welcome.html
var welcome []byte

// routes puts what is not AWS's beside it. AWS requests are all on "/". What is on no path of either is for AWS's handler to
// refuse: the mux would redirect "//" and the like, which no client of AWS expects.
func (i *installation) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", i.ready)
	mux.Handle("GET /metrics", i.metrics.handler())
	mux.HandleFunc("GET /console/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(welcome) // the reader is gone if this fails
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			if _, ours := mux.Handler(r); ours != "" {
				mux.ServeHTTP(w, r)
				return
			}
		}
		i.handler.ServeHTTP(w, r)
	})
}

// ready says whether calls can be served: the database answers.
func (i *installation) ready(w http.ResponseWriter, r *http.Request) {
	if err := i.db.Ping(r.Context()); err != nil {
		i.config.Log.Error("not ready", "error", err)
		answerText(w, http.StatusServiceUnavailable, "the database does not answer\n")
		return
	}
	answerText(w, http.StatusOK, "ok\n")
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the reader is gone if this fails
}

func errorLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelWarn) }

// trusting is a client that accepts exactly the certificate given.
func trusting(pem []byte) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}
