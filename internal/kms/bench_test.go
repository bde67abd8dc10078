package kms_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/audit"
	"keyward/internal/kms"
)

// BenchmarkOperations measures handlers on hot keys, without wire and audit log.
func BenchmarkOperations(b *testing.B) {
	w := newWorld(b, kms.Limits{})
	k := w.createKey()
	w.alias("alias/a", k)
	plaintext := make([]byte, 64)
	blob := w.encrypt(*k.KeyId, string(plaintext), nil)
	encryptionContext := map[string]string{"tenant": "1234", "purpose": "benchmark"}
	for _, c := range []struct {
		name, operation string
		in              any
	}{
		{"Encrypt", "Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: plaintext}},
		{"Encrypt by alias with context", "Encrypt", &awskms.EncryptInput{KeyId: aws.String("alias/a"), Plaintext: plaintext, EncryptionContext: encryptionContext}},
		{"Decrypt", "Decrypt", &awskms.DecryptInput{CiphertextBlob: blob}},
		{"ReEncrypt", "ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: k.KeyId}},
		{"GenerateDataKey", "GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: "AES_256"}},
		{"GenerateRandom", "GenerateRandom", &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(32)}},
		{"DescribeKey", "DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}},
		{"DisableKey", "DisableKey", &awskms.DisableKeyInput{KeyId: w.createKey().KeyId}},
		{"CreateKey", "CreateKey", &awskms.CreateKeyInput{}},
		{"ListKeys", "ListKeys", &awskms.ListKeysInput{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			row, call, ctx := w.rows[c.operation], w.call(c.operation), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				*call.Event = audit.Event{Name: c.operation, Request: call.Event.Request[:0], Additional: call.Event.Additional[:0], Resources: call.Event.Resources[:0]}
				if _, err := row.Invoke(ctx, call, c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDescribeKeyMiss reads keys that no cache holds.
func BenchmarkDescribeKeyMiss(b *testing.B) {
	w := newWorld(b, kms.Limits{})
	in := &awskms.DescribeKeyInput{KeyId: w.createKey().KeyId}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		w.restart(kms.Limits{})
		b.StartTimer()
		w.must("DescribeKey", in)
	}
}
