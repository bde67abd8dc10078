package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOnlyOurOwnPathsAreRedirected: what is on no path of ours is refused as AWS refuses, however it is spelt.
func TestOnlyOurOwnPathsAreRedirected(t *testing.T) {
	i, err := open(t.Context(), testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := i.close(); err != nil {
			t.Error(err)
		}
	}()
	routes := i.routes()
	for _, c := range []struct {
		request, location, says string
		status                  int
	}{
		{"POST /", "", "MissingAuthenticationTokenException", 400},
		{"POST //", "", "UnknownOperationException", 400},
		{"POST /./", "", "UnknownOperationException", 400},
		{"POST /a/../", "", "UnknownOperationException", 400},
		{"POST /healthz", "", "UnknownOperationException", 400},
		{"POST //healthz", "", "UnknownOperationException", 400},
		{"GET /healthz", "", "ok", 200},
		{"GET /readyz", "", "ok", 200},
		{"GET /metrics", "", "# HELP", 200},
		{"GET /console", "/console/", "", 307},
		{"GET /console/", "", "<html", 200},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader("{}"))
		r.Header = http.Header{"X-Amz-Target": {"TrentService.ListKeys"}, "Content-Type": {"application/x-amz-json-1.1"}}
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != c.status || got != c.location || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %q\n%.200s", c.request, w.Code, got, w.Body)
		}
	}
}
