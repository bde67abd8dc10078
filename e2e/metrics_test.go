package e2e

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keyward/internal/keywardtest"
)

// TestMetrics scrapes a running installation.
func TestMetrics(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty", "--dev"}})
	for range 3 {
		if _, err := i.KMS().ListKeys(t.Context(), &kms.ListKeysInput{}); err != nil {
			t.Fatal(err)
		}
	}
	if code := unknownOperation(t, i); code != "UnknownOperationException" {
		t.Fatalf("an operation that does not exist answers %q", code)
	}
	i.Shell(t.TempDir(), `keyward clock advance 2h --data "$KEYWARD_DATA"`, "")
	text := scrape(t, i)
	for _, want := range []string{
		`keyward_requests_total{code="",operation="ListKeys",service="kms"} 3`,
		`keyward_requests_total{code="UnknownOperationException",operation="other",service="kms"} 1`,
		`keyward_request_duration_seconds_count{operation="ListKeys",service="kms"} 3`,
		`keyward_request_duration_seconds_bucket{operation="ListKeys",service="kms",le="+Inf"} 3`,
		`keyward_clock_ahead_seconds 7200`,
		`process_resident_memory_bytes `,
		`go_goroutines `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("the metrics lack %s:\n%s", want, text)
		}
	}
	if !regexp.MustCompile(`(?m)^keyward_database_bytes [1-9]`).MatchString(text) || strings.Contains(text, "madeup") {
		t.Errorf("no size of the database, or what a client sent:\n%s", text)
	}
}

func scrape(t *testing.T, i *keywardtest.Installation) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.Endpoint+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", response.Status, err)
	}
	return string(text)
}

// unknownOperation calls an operation that KMS does not have, signed as the SDK signs, and returns the exception.
func unknownOperation(t *testing.T, i *keywardtest.Installation) string {
	t.Helper()
	_, err := i.KMS().ListKeys(t.Context(), nil, func(o *kms.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Target", "TrentService.madeup"))
	})
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	return e.ErrorCode()
}
