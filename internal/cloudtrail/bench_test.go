package cloudtrail

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkPack turns a thousand kept events of one caller into a segment.
func BenchmarkPack(b *testing.B) {
	var lines [][]byte
	for i := range 1000 {
		lines = append(lines, fmt.Appendf(nil, `{"eventID":"1234abcd-12ab-34cd-56ef-%012d","requestID":"r%d",`+
			`"eventTime":"2026-01-02T03:04:05.006Z","awsRegion":"us-east-1","eventSource":"kms.amazonaws.com","eventName":"Encrypt",`+
			`"readOnly":true,"userIdentity":{"type":"IAMUser","principalId":"AIDAA","arn":"arn:aws:iam::111122223333:user/admin",`+
			`"accountId":"111122223333","accessKeyId":"AKIAA","userName":"admin"},"sourceIPAddress":"127.0.0.1",`+
			`"requestParameters":{"keyId":"alias/a","encryptionAlgorithm":"SYMMETRIC_DEFAULT"},`+
			`"resources":[{"type":"AWS::KMS::Key","ARN":"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}]}`, i, i))
	}
	b.SetBytes(int64(len(bytes.Join(lines, nil))))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pack(lines); err != nil {
			b.Fatal(err)
		}
	}
}
