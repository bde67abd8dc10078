package keyspec_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
)

// publicFile is the public half where openssl can read it.
func publicFile(t *testing.T, k *keyspec.Key) string {
	t.Helper()
	der, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return file(t, der)
}

// opensslKeys are of the specs that OpenSSL 3.0 knows.
var opensslKeys = []types.KeySpec{
	types.KeySpecRsa2048, types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521, types.KeySpecEccSecgP256k1,
	types.KeySpecEccNistEdwards25519,
}

// padding are openssl's options of an algorithm.
func padding(a types.SigningAlgorithmSpec) []string {
	if a == types.SigningAlgorithmSpecEd25519Sha512 {
		return []string{"-rawin"}
	}
	name := string(a)
	options := []string{"-pkeyopt", "digest:sha" + name[len(name)-3:]}
	if strings.Contains(name, "PSS") {
		options = append(options, "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest")
	}
	return options
}

// TestOpenSSLSigns: openssl takes our signatures, and we take openssl's.
func TestOpenSSLSigns(t *testing.T) {
	message := []byte("attack at dawn")
	for _, name := range opensslKeys {
		k := keyOf(t, name)
		private, public := file(t, materialOf(t, name)), publicFile(t, k)
		for _, a := range k.Spec.SigningAlgorithms() {
			if a == types.SigningAlgorithmSpecEd25519PhSha512 {
				continue // not in OpenSSL 3.0
			}
			given := message
			if a != types.SigningAlgorithmSpecEd25519Sha512 {
				given = hashed(hashOf(string(a)), message)
			}
			signature, err := k.Sign(a, types.MessageTypeRaw, message)
			if err != nil {
				t.Fatal(err)
			}
			in := file(t, given)
			verify := []string{"pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", public, "-in", in, "-sigfile", file(t, signature)}
			openssl(t, append(verify, padding(a)...)...)
			theirs := openssl(t, append([]string{"pkeyutl", "-sign", "-keyform", "DER", "-inkey", private, "-in", in}, padding(a)...)...)
			if valid, err := k.Verify(a, types.MessageTypeRaw, message, theirs); !valid || err != nil {
				t.Errorf("%s: %v, %v", a, valid, err)
			}
		}
	}
}

// TestOpenSSLEncrypts goes both ways with OAEP.
func TestOpenSSLEncrypts(t *testing.T) {
	k, plaintext := keyOf(t, types.KeySpecRsa2048), []byte("attack at dawn")
	private, public := file(t, materialOf(t, types.KeySpecRsa2048)), publicFile(t, k)
	for a, hash := range map[types.EncryptionAlgorithmSpec]string{
		types.EncryptionAlgorithmSpecRsaesOaepSha1: "sha1", types.EncryptionAlgorithmSpecRsaesOaepSha256: "sha256",
	} {
		options := []string{"-keyform", "DER", "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:" + hash, "-pkeyopt", "rsa_mgf1_md:" + hash}
		theirs := openssl(t, append([]string{"pkeyutl", "-encrypt", "-pubin", "-inkey", public, "-in", file(t, plaintext)}, options...)...)
		if got, err := k.Decrypt(a, theirs); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%s: %v", a, err)
		}
		ours, err := k.Encrypt(a, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if got := openssl(t, append([]string{"pkeyutl", "-decrypt", "-inkey", private, "-in", file(t, ours)}, options...)...); !bytes.Equal(got, plaintext) {
			t.Errorf("%s: openssl decrypts %d bytes", a, len(got))
		}
	}
}

// TestOpenSSLAgrees: one secret on both sides of ECDH.
func TestOpenSSLAgrees(t *testing.T) {
	for _, name := range []types.KeySpec{types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521} {
		k := keyOf(t, name)
		peer := made(t, k.Spec)
		der, err := peer.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		public, err := keyspec.ParsePublic(name, der)
		if err != nil {
			t.Fatal(err)
		}
		shared, err := k.Agree(public)
		if err != nil {
			t.Fatal(err)
		}
		theirs := openssl(t, "pkeyutl", "-derive", "-keyform", "DER", "-inkey", file(t, materialOf(t, name)),
			"-peerform", "DER", "-peerkey", publicFile(t, peer))
		if !bytes.Equal(theirs, shared) {
			t.Errorf("%s: openssl derives another secret", name)
		}
	}
}

// TestOpenSSLAuthenticates: one MAC of one key and message.
func TestOpenSSLAuthenticates(t *testing.T) {
	message := []byte("attack at dawn")
	in := file(t, message)
	for _, name := range []types.KeySpec{types.KeySpecHmac224, types.KeySpecHmac256, types.KeySpecHmac384, types.KeySpecHmac512} {
		k := keyOf(t, name)
		mac, err := k.MAC(k.Spec.MacAlgorithms()[0], message)
		if err != nil {
			t.Fatal(err)
		}
		key := "hexkey:" + hex.EncodeToString(materialOf(t, name)) // of this test only
		theirs := openssl(t, "dgst", "-sha"+string(name[len(name)-3:]), "-mac", "HMAC", "-macopt", key, "-binary", in)
		if !bytes.Equal(theirs, mac) {
			t.Errorf("%s: openssl makes another MAC", name)
		}
	}
}
