package keywrap_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keywrap"
	"keyward/internal/secret"
)

func pair(t testing.TB) (*rsa.PrivateKey, []byte) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

var all = []types.AlgorithmSpec{
	types.AlgorithmSpecRsaesOaepSha1, types.AlgorithmSpecRsaesOaepSha256,
	types.AlgorithmSpecRsaAesKeyWrapSha1, types.AlgorithmSpecRsaAesKeyWrapSha256,
}

// TestRoundTrip goes through lengths on both sides of a semiblock, and sees that any changed byte is noticed.
func TestRoundTrip(t *testing.T) {
	private, public := pair(t)
	for _, name := range all {
		for _, n := range []int{1, 7, 8, 9, 15, 16, 17, 24, 32, 190, 2400} {
			if most := keywrap.MaxDirect(name, 2048); most > 0 && n > most {
				continue
			}
			material := make([]byte, n)
			_, _ = rand.Read(material)
			wrapped, err := keywrap.Wrap(name, public, secret.New(bytes.Clone(material)))
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", name, n, err)
			}
			got, err := keywrap.Unwrap(name, private, wrapped)
			if err != nil || !bytes.Equal(got.Expose(), material) {
				t.Fatalf("%s, %d bytes: %v", name, n, err)
			}
			for _, at := range []int{0, len(wrapped) / 2, len(wrapped) - 1} {
				spoilt := bytes.Clone(wrapped)
				spoilt[at] ^= 1
				if _, err := keywrap.Unwrap(name, private, spoilt); !errors.Is(err, keywrap.ErrUnwrap) {
					t.Errorf("%s, %d bytes, byte %d changed: %v", name, n, at, err)
				}
			}
		}
	}
}

// TestOpenSSLWraps unwraps what an owner wraps with openssl, as the KMS guide shows.
func TestOpenSSLWraps(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not there")
	}
	private, public := pair(t)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) []byte {
		out, err := exec.Command("openssl", args...).Output()
		if err != nil {
			t.Fatalf("openssl %v: %v", args, err)
		}
		return out
	}
	key := write("public.der", public)
	material, between := make([]byte, 121), make([]byte, 32)
	_, _ = rand.Read(material)
	_, _ = rand.Read(between)
	for name, hash := range map[types.AlgorithmSpec]string{
		types.AlgorithmSpecRsaAesKeyWrapSha1: "sha1", types.AlgorithmSpecRsaAesKeyWrapSha256: "sha256",
	} {
		oaep := func(plain []byte) []byte {
			return run("pkeyutl", "-encrypt", "-in", write("plain", plain), "-pubin", "-keyform", "DER", "-inkey", key,
				"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:"+hash, "-pkeyopt", "rsa_mgf1_md:"+hash)
		}
		padded := run("enc", "-id-aes256-wrap-pad", "-K", hex.EncodeToString(between), "-iv", "A65959A6", "-in", write("material", material))
		got, err := keywrap.Unwrap(name, private, append(oaep(between), padded...))
		if err != nil || !bytes.Equal(got.Expose(), material) {
			t.Errorf("%s: %v", name, err)
		}
		direct := types.AlgorithmSpec("RSAES_OAEP_" + map[string]string{"sha1": "SHA_1", "sha256": "SHA_256"}[hash])
		if got, err := keywrap.Unwrap(direct, private, oaep(between)); err != nil || !bytes.Equal(got.Expose(), between) {
			t.Errorf("%s: %v", direct, err)
		}
	}
}

// FuzzUnwrap: nothing that is not wrapped is opened, and nothing panics.
func FuzzUnwrap(f *testing.F) {
	private, public := pair(f)
	good, err := keywrap.Wrap(types.AlgorithmSpecRsaAesKeyWrapSha256, public, secret.New([]byte("material")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(good[:255])
	f.Add(good[:264])
	f.Add(append(bytes.Clone(good), make([]byte, 8)...))
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		for _, name := range all {
			if got, err := keywrap.Unwrap(name, private, wrapped); err == nil || !errors.Is(err, keywrap.ErrUnwrap) {
				t.Errorf("%s: %d bytes, %v", name, got.Len(), err)
			}
		}
	})
}

// TestWrappedHasOneLength: what begins with a zero is the same number without it, but was not wrapped so.
func TestWrappedHasOneLength(t *testing.T) {
	private, public := pair(t)
	for _, name := range []types.AlgorithmSpec{types.AlgorithmSpecRsaesOaepSha1, types.AlgorithmSpecRsaesOaepSha256} {
		wrapped := []byte{1}
		for wrapped[0] != 0 {
			var err error
			if wrapped, err = keywrap.Wrap(name, public, secret.New([]byte("material"))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := keywrap.Unwrap(name, private, wrapped[1:]); !errors.Is(err, keywrap.ErrUnwrap) {
			t.Errorf("%s: without its leading zero: %v", name, err)
		}
	}
}
