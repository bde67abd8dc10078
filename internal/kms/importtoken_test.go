package kms

import (
	"crypto/rand"
	"crypto/rsa"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/rootkey"
	"keyward/internal/secret"
)

func newDefaultStore(t testing.TB) *DefaultStore {
	t.Helper()
	dir := t.TempDir()
	root, err := rootkey.Create(filepath.Join(dir, "root.json"), rootkey.KeyFile(filepath.Join(dir, "seal.key")))
	if err != nil {
		t.Fatal(err)
	}
	return NewDefaultStore(root)
}

func importKey() *Key {
	return &Key{
		Scope: arn.Scope{Account: "111122223333", Region: "us-east-1"}, ID: "5d7bd8a5-3bb5-4b5e-8c2a-2f1b3a4c5d6e",
		Spec: types.KeySpecSymmetricDefault, Origin: types.OriginTypeExternal,
	}
}

// TestImportTokens: every token, of the longest wrapping key too, fits into the API's bound and opens for its key only.
func TestImportTokens(t *testing.T) {
	d, k := newDefaultStore(t), importKey()
	elsewhere, foreign := importKey(), importKey()
	elsewhere.Scope.Region, foreign.Scope.Account = "eu-west-1", "444455556666"
	for _, bits := range []int{2048, 4096} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		want := &importToken{types.AlgorithmSpecRsaAesKeyWrapSha256, time.UnixMilli(1767323045000).UTC(), key}
		sealed, err := d.sealToken(k, want)
		if err != nil || len(sealed) > 6144 {
			t.Fatalf("%d bytes, %v", len(sealed), err)
		}
		got, err := d.openToken(k, sealed)
		if err != nil || got.algorithm != want.algorithm || !got.validTo.Equal(want.validTo) || !got.key.Equal(key) {
			t.Errorf("%v, %v", got, err)
		}
		for _, other := range []*Key{elsewhere, foreign} {
			if _, err := d.openToken(other, sealed); !fault.Is(err, "InvalidImportTokenException") {
				t.Errorf("for %s: %v", other.ARN(), err)
			}
		}
		for _, at := range []int{0, 1, len(sealed) / 2, len(sealed) - 1} {
			changed := slices.Clone(sealed)
			changed[at] ^= 1
			if _, err := d.openToken(k, changed); !fault.Is(err, "InvalidImportTokenException") {
				t.Errorf("byte %d changed: %v", at, err)
			}
		}
	}
}

// FuzzImportToken: whatever callers send is refused and nothing else. What they cannot make, a token's inside, is read with
// the same care.
func FuzzImportToken(f *testing.F) {
	d, k := newDefaultStore(f), importKey()
	f.Add([]byte{})
	f.Add([]byte{importVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{importVersion, 255}, make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := d.openToken(k, data); !fault.Is(err, "InvalidImportTokenException") {
			t.Errorf("%x: %v", data, err)
		}
		sealed, err := d.root.Seal(tokenPurpose(k), data)
		if err != nil {
			t.Fatal(err)
		}
		if token, err := d.openToken(k, sealed); err == nil && token.key == nil {
			t.Errorf("%x is a token without a key", data)
		}
	})
}

// TestForgottenMaterialIsNotKeptReady, of a symmetric key and of one with a private key.
func TestForgottenMaterialIsNotKeptReady(t *testing.T) {
	d := newDefaultStore(t)
	for _, spec := range []types.KeySpec{types.KeySpecSymmetricDefault, types.KeySpecHmac256} {
		k := importKey()
		k.Spec = spec
		var err error
		if k.Material, err = d.receive(k, newSecret(t)); err != nil {
			t.Fatal(err)
		}
		ready := func() (cached bool) {
			if spec == types.KeySpecSymmetricDefault {
				_, _, cached = d.ciphers.get(k.Material.ID)
			} else {
				_, _, cached = d.keys.get(k.Material.ID)
			}
			return cached
		}
		if spec == types.KeySpecSymmetricDefault {
			_, err = d.Seal(t.Context(), k, nil, []byte("x"))
		} else {
			_, err = d.private(k, &k.Material)
		}
		if err != nil || !ready() {
			t.Fatalf("%s: %v, kept ready: %v", spec, err, ready())
		}
		if err := d.Discard(t.Context(), k); err != nil || ready() {
			t.Errorf("%s: %v, still kept ready: %v", spec, err, ready())
		}
	}
}

func newSecret(t *testing.T) secret.Bytes {
	t.Helper()
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return secret.New(b)
}
