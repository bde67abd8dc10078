package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyward/internal/policy"
)

type enum string

func TestAppendJSON(t *testing.T) {
	text, days := "wörd \"quoted\"\n", int32(7)
	e := Event{
		ID: "e1", RequestID: "r1", Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Region: "us-east-1",
		Caller: policy.Caller{Type: "IAMUser", ARN: "arn:aws:iam::111122223333:user/admin", Account: "111122223333"},
		Source: "kms.amazonaws.com", Name: "CreateKey", ErrorCode: "X",
		Resources: []Resource{{"AWS::KMS::Key", "arn:aws:kms:us-east-1:111122223333:key/k"}},
	}
	e.Request.Add("description", &text)
	e.Request.Add("absent", (*string)(nil))
	e.Request.Add("noTags", []string(nil))
	e.Request.Add("days", &days)
	e.Request.Add("spec", enum("SYMMETRIC_DEFAULT"))
	e.Request.Add("context", map[string]string{"b": "2", "a": "1"})
	e.Request.Add("tags", []Members{{{"tagKey", "k"}, {"tagValue", ""}}})
	e.Response.Add("done", true)
	e.Response.Add("deletionDate", time.Date(2021, 10, 14, 17, 39, 50, 5e8, time.FixedZone("", 0)))
	e.Details.Add("keyId", "k")
	e.TLS = &TLS{"TLSv1.3", "TLS_AES_128_GCM_SHA256", "localhost", "X25519MLKEM768"}
	out, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"eventID":"e1","requestID":"r1","eventTime":"2026-01-02T03:04:05.006Z","awsRegion":"us-east-1",` +
		`"eventSource":"kms.amazonaws.com","eventName":"CreateKey","readOnly":false,` +
		`"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/admin","accountId":"111122223333"},"errorCode":"X",` +
		`"requestParameters":{"description":"wörd \"quoted\"\n","days":7,"spec":"SYMMETRIC_DEFAULT",` +
		`"context":{"a":"1","b":"2"},"tags":[{"tagKey":"k","tagValue":""}]},"responseElements":{"done":true,` +
		`"deletionDate":"Oct 14, 2021, 5:39:50 PM"},"serviceEventDetails":{"keyId":"k"},` +
		`"resources":[{"type":"AWS::KMS::Key","ARN":"arn:aws:kms:us-east-1:111122223333:key/k"}],` +
		`"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",` +
		`"clientProvidedHostHeader":"localhost","keyExchange":"X25519MLKEM768"}}`
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Error(diff)
	}
}

func TestAppendJSONRefusesBytes(t *testing.T) {
	e := Event{Request: Members{{"plaintext", []byte("marker-plaintext")}}}
	if _, err := e.AppendJSON(nil); err == nil || strings.Contains(err.Error(), "marker") {
		t.Errorf("err = %v; want a refusal that shows nothing", err)
	}
}

func TestAppendJSONIsJSONOnOneLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Event{UserAgent: rapid.String().Draw(t, "agent"), ErrorMessage: rapid.String().Draw(t, "message")}
		e.Request.Add("m", rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "map"))
		out, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		var back struct{ UserAgent string }
		if err := json.Unmarshal(out, &back); err != nil || strings.ContainsRune(string(out), '\n') {
			t.Fatalf("%v in %q", err, out)
		}
		if want := strings.ToValidUTF8(e.UserAgent, "\ufffd"); back.UserAgent != want {
			t.Fatalf("user agent %q came back as %q", want, back.UserAgent)
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	e := Event{
		ID: "1234abcd-12ab-34cd-56ef-1234567890ab", RequestID: "1234abcd-12ab-34cd-56ef-1234567890ab", Time: time.Now(),
		Region: "us-east-1", Source: "kms.amazonaws.com", Name: "Encrypt", ReadOnly: true, SourceIP: "127.0.0.1", UserAgent: "aws-sdk-go-v2/1.0",
		Caller:    policy.Caller{Type: "IAMUser", ARN: "arn:aws:iam::111122223333:user/admin", Account: "111122223333", PrincipalID: "AIDAAAAAAAAAAAAAAAAA"},
		Request:   Members{{"keyId", "alias/x"}, {"encryptionAlgorithm", "SYMMETRIC_DEFAULT"}},
		Resources: []Resource{{"AWS::KMS::Key", "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}},
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = e.AppendJSON(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSharedEvents(t *testing.T) {
	n := 0
	newID := func() string { n++; return string(rune('a' + n - 1)) }
	e := Event{ID: "own", Caller: policy.Caller{Account: "111122223333"}}
	for range 2 {
		e.Share("444455556666", newID)
	}
	e.Share("777788889999", newID)
	const want = `,"sharedEventID":"a","copies":[{"accountId":"444455556666","eventID":"b"},{"accountId":"777788889999","eventID":"c"}]}`
	if text, err := e.AppendJSON(nil); err != nil || !strings.HasSuffix(string(text), want) {
		t.Errorf("%s, %v", text, err)
	}
	for account, id := range map[string]string{"111122223333": "own", "444455556666": "b", "777788889999": "c"} {
		if got := e.IDFor(account); got != id {
			t.Errorf("%s has %q, want %q", account, got, id)
		}
	}
	e.ErrorCode = Denied
	if text, err := e.AppendJSON(nil); err != nil || strings.Contains(string(text), "444455556666") {
		t.Errorf("denied: %s, %v", text, err)
	}
}
