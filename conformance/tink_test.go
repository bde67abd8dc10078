package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"

	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

func tinkEnvelopes(t *testing.T, h house) {
	shows(t, "tink", "go", "tink_test.go")
	h.on(t, func(t *testing.T, key string) {
		envelope, err := tinkEnvelope(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		sealsAndOpens(t, envelope)
		sealsAndOpens(t, keysetUnder(t, key))
	})
}

// tinkEnvelope seals each text under a data key of its own, which KMS wraps.
func tinkEnvelope(ctx context.Context, keyARN string) (tink.AEAD, error) {
	uri := "aws-kms://" + keyARN
	client, err := awskms.NewClientWithOptions(ctx, uri)
	if err != nil {
		return nil, err
	}
	kek, err := client.GetAEAD(uri)
	if err != nil {
		return nil, err
	}
	return aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), kek), nil
}

// keysetUnder makes a keyset, writes it sealed by KMS, and reads it back.
func keysetUnder(t *testing.T, key string) tink.AEAD {
	t.Helper()
	uri := "aws-kms://" + key
	client, err := awskms.NewClientWithOptions(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	kek, err := client.GetAEAD(uri)
	if err != nil {
		t.Fatal(err)
	}
	made, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := made.WriteWithAssociatedData(keyset.NewJSONWriter(&file), kek, []byte("keyset")); err != nil {
		t.Fatal(err)
	}
	at := file.Bytes()
	if _, err := keyset.ReadWithAssociatedData(keyset.NewJSONReader(bytes.NewReader(at)), kek, []byte("another")); err == nil {
		t.Error("a keyset opens with other associated data")
	}
	read, err := keyset.ReadWithAssociatedData(keyset.NewJSONReader(bytes.NewReader(at)), kek, []byte("keyset"))
	if err != nil {
		t.Fatal(err)
	}
	primitive, err := aead.New(read)
	if err != nil {
		t.Fatal(err)
	}
	return primitive
}

func sealsAndOpens(t *testing.T, a tink.AEAD) {
	t.Helper()
	text := make([]byte, 1<<20)
	_, _ = rand.Read(text) // never fails (crypto/rand)
	sealed, err := a.Encrypt(text, []byte("backup 7"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := a.Decrypt(sealed, []byte("backup 7")); err != nil || !bytes.Equal(opened, text) {
		t.Errorf("opened to %d bytes, %v", len(opened), err)
	}
	if _, err := a.Decrypt(sealed, []byte("backup 8")); err == nil {
		t.Error("opens with other associated data")
	}
	sealed[8] ^= 1 // in the wrapped data key
	if _, err := a.Decrypt(sealed, []byte("backup 7")); err == nil {
		t.Error("opens though it was changed")
	}
}
