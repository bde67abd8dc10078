package wire_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestObserveHasBoundedNames: nothing of what a client makes up gets into the names.
func TestObserveHasBoundedNames(t *testing.T) {
	w := newWorld(t)
	w.observed = make(chan string, 1)
	for _, c := range []struct{ target, body, signing, want string }{
		{"TrentService.ListKeys", `{}`, "kms", "kms ListKeys "},
		{"TrentService.Encrypt", `{}`, "kms", "kms Encrypt ValidationException"},
		{"TrentService.GetKeyPolicy", `{"KeyId":"k"}`, "kms", "kms GetKeyPolicy KMSInternalException"}, // panics
		{"TrentService.MadeUp", `{}`, "kms", "kms other UnknownOperationException"},
		{"TrentService.ListKeys", `{}`, "", "kms other MissingAuthenticationTokenException"},
		{"MadeUp.ListKeys", `{}`, "kms", "other other UnknownOperationException"},
		{"BaldrApiService.DescribeClusters", `{}`, "cloudhsm", "cloudhsm DescribeClusters CloudHsmInternalFailureException"},
		{"", "Action=MadeUp&Version=2011-06-15", "sts", "sts other InvalidAction"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.target != "" {
			r.Header.Set("X-Amz-Target", c.target)
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		}
		if c.signing != "" {
			w.sign(t, r, c.body, c.signing, nil)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := <-w.observed; got != c.want {
			t.Errorf("%s: observed %q, want %q", c.target, got, c.want)
		}
	}
}
