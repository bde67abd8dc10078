package cloudtrail

import (
	"bytes"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	"keyward/internal/arn"
)

// FuzzReaders feeds everything that is read back from disk or from clients: none panics, and what is accepted is
// exactly what would be written.
func FuzzReaders(f *testing.F) {
	scope := arn.Scope{Account: "111122223333", Region: "us-east-1"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in := &cloudtrail.LookupEventsInput{}
	f.Add([]byte(writeToken(in, position{1, 2, 3})))
	f.Add([]byte(logPath(scope, at)))
	f.Add([]byte(digestPath(scope, at)))
	f.Add(metadata{"00", signatureName, "11"}.text())
	f.Add([]byte(`{"eventID":"e","eventTime":"2026-01-02T03:04:05.000Z","userIdentity":{"type":"Root"},"readOnly":true}`))
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, text []byte) {
		in.NextToken = aws.String(string(text))
		if p, err := readToken(in); err == nil && writeToken(&cloudtrail.LookupEventsInput{}, *p) != string(text) {
			t.Errorf("the token %q reads as %v", text, p)
		}
		if kind, whose, _, ok := readPath(string(text)); ok && (kind == "" || whose.Account == "" || bytes.Contains(text, []byte(".."))) {
			t.Errorf("the path %q reads as %s of %v", text, kind, whose)
		}
		if m, err := readMetadata(text); err == nil && !bytes.Equal(m.text(), text) {
			t.Errorf("the sidecar %q is taken", text)
		}
		_, _ = readDigest(text)
		_, _ = Render(text)
		_, _ = readRecord(text)
		_, _ = (&Segment{Data: text, Count: 1}).entries()
		_, _ = ReadPublicKeys(text)
	})
}
