package wire_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// signedPost sends body to a KMS operation and returns the status.
func (w *world) signedPost(t *testing.T, operation, body, agent string) int {
	t.Helper()
	r := w.post(t, strings.NewReader(body), len(body))
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	r.Header.Set("User-Agent", agent)
	w.sign(t, r, body, "kms", nil)
	status, _ := exchange(t, r)
	return status
}

func TestRefusalsOfAuthenticatedCallersAreRecorded(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ operation, body, want string }{
		{"Encrypt", `{"KeyId":`, `"errorCode":"SerializationException"`},
		{"Encrypt", `{"KeyId":"k"}`, `"errorCode":"ValidationException","errorMessage":"1 validation error detected: Value null at 'plaintext'`},
		{"TagResource", `{"KeyId":"k","Tags":[{"TagKey":"a","TagValue":"b"}]}`,
			`"errorCode":"NotFoundException","errorMessage":"Key 'k' does not exist","requestParameters":{"keyId":"k","tags":[{"tagKey":"a","tagValue":"b"}]}`},
		{"Encrypt", `{"KeyId":"` + strings.Repeat("x", 4000) + `","Plaintext":"AA=="}`, `"errorMessage":"1 validation error detected: Value 'xxx`},
	} {
		before := len(w.events())
		if status := w.signedPost(t, c.operation, c.body, "agent"); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", c.operation, status)
		}
		events := w.events()
		if len(events) != before+1 || !strings.Contains(events[before], c.want) || len(events[before]) > 2500 {
			t.Errorf("%s: %v", c.operation, events[before:])
		}
	}
}

func TestStrangersLeaveNoEvent(t *testing.T) {
	w := newWorld(t)
	status, _ := exchange(t, w.post(t, strings.NewReader("{}"), 2))
	if status != http.StatusBadRequest || w.signedPost(t, "Nothing", "{}", "agent") != http.StatusBadRequest {
		t.Error("a stranger or an unknown operation was served")
	}
	if events := w.events(); len(events) != 0 {
		t.Errorf("recorded %v", events)
	}
}

func TestEventsHoldNothingForbidden(t *testing.T) {
	w := newWorld(t)
	agent := strings.Repeat("a", 2000)
	w.signedPost(t, "Encrypt", `{"KeyId":"k","Plaintext":"bWFya2Vy","GrantTokens":["marker-token"]}`, agent)
	w.signedPost(t, "Encrypt", `{"KeyId":"k","Plaintext":"bWFya2Vy","GrantTokens":["`+strings.Repeat("marker", 2000)+`"]}`, "agent")
	events := w.events()
	if len(events) != 2 || !strings.Contains(events[1], "'grantTokens'") {
		t.Fatalf("%v", events)
	}
	if all := strings.Join(events, ""); strings.Contains(all, "marker") || strings.Contains(all, "bWFya2Vy") {
		t.Errorf("an event holds a plaintext or a grant token: %s", all)
	}
	if !strings.Contains(events[0], `"userAgent":"`+agent[:1024]+`"`) {
		t.Error("the user agent is not cut at 1024 bytes")
	}
}

func TestOverTLSAndHTTP2(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(w.handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c := w.config()
	c.HTTPClient = server.Client()
	c.BaseEndpoint = &server.URL
	out, err := kms.NewFromConfig(c).Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String("k"), Plaintext: []byte("x")})
	if err != nil || string(out.CiphertextBlob) != "x" {
		t.Errorf("got %v, %v", out, err)
	}
}
