package keyspec_test

import (
	"bytes"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
)

func made(t *testing.T, s *keyspec.Spec) *keyspec.Key {
	t.Helper()
	material, err := s.Generate()
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.Parse(material.Expose())
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.Material()
	if err != nil || !again.Equal(material) {
		t.Fatalf("%s: material does not come back in its canonical form: %v", s.Name, err)
	}
	return k
}

// TestEverySpec uses every algorithm of every spec, and sees that what was changed is noticed.
func TestEverySpec(t *testing.T) {
	message := []byte("attack at dawn")
	for _, s := range keyspec.All() {
		t.Run(string(s.Name), func(t *testing.T) {
			k := keyOf(t, s.Name)
			public, err := k.PublicKey()
			if err != nil || (public != nil) != s.Asymmetric() {
				t.Errorf("public key of %d bytes, %v", len(public), err)
			}
			for _, a := range s.SigningAlgorithms() {
				signs(t, k, a, message)
			}
			for _, a := range s.EncryptionAlgorithms() {
				if s.Asymmetric() {
					encrypts(t, k, a)
				}
			}
			for _, a := range s.MacAlgorithms() {
				mac, err := k.MAC(a, message)
				if err != nil || len(mac) == 0 {
					t.Errorf("%s: %d bytes, %v", a, len(mac), err)
				}
			}
			if s.EncapsulationAlgorithms() != nil {
				encapsulates(t, k)
			}
			if s.KeyAgreementAlgorithms() != nil {
				agrees(t, k, made(t, s))
			}
		})
	}
}

// form gives a message in the first form that the algorithm takes.
func form(a types.SigningAlgorithmSpec, message []byte) (types.MessageType, []byte) {
	if a == types.SigningAlgorithmSpecEd25519PhSha512 {
		sum := sha512.Sum512(message)
		return types.MessageTypeDigest, sum[:]
	}
	return types.MessageTypeRaw, message
}

func signs(t *testing.T, k *keyspec.Key, a types.SigningAlgorithmSpec, message []byte) {
	t.Helper()
	as, message := form(a, message)
	signature, err := k.Sign(a, as, message)
	if err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	if valid, err := k.Verify(a, as, message, signature); !valid || err != nil {
		t.Errorf("%s: %v, %v", a, valid, err)
	}
	spoilt := bytes.Clone(signature)
	spoilt[len(spoilt)/2] ^= 1
	if valid, err := k.Verify(a, as, message, spoilt); valid || err != nil {
		t.Errorf("%s: a changed signature is %v, %v", a, valid, err)
	}
	other := bytes.Clone(message)
	other[0] ^= 1
	if valid, err := k.Verify(a, as, other, signature); valid || err != nil {
		t.Errorf("%s: the signature of another message is %v, %v", a, valid, err)
	}
}

func encrypts(t *testing.T, k *keyspec.Key, a types.EncryptionAlgorithmSpec) {
	t.Helper()
	most := keyspec.MaxPlaintext(k.Spec.Name, a)
	plaintext := bytes.Repeat([]byte("x"), most)
	ciphertext, err := k.Encrypt(a, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := k.Decrypt(a, ciphertext); err != nil || !bytes.Equal(again, plaintext) {
		t.Errorf("%s: %v", a, err)
	}
	ciphertext[len(ciphertext)-1] ^= 1
	if _, err := k.Decrypt(a, ciphertext); !errors.Is(err, keyspec.ErrCiphertext) {
		t.Errorf("%s: a changed ciphertext: %v", a, err)
	}
	if _, err := k.Encrypt(a, append(plaintext, 'x')); !errors.Is(err, keyspec.ErrMessage) {
		t.Errorf("%s: %d bytes: %v", a, most+1, err)
	}
}

func encapsulates(t *testing.T, k *keyspec.Key) {
	t.Helper()
	shared, ciphertext, err := k.Encapsulate()
	if err != nil || len(shared) != 32 {
		t.Fatalf("a secret of %d bytes, %v", len(shared), err)
	}
	if again, err := k.Decapsulate(ciphertext); err != nil || !bytes.Equal(again, shared) {
		t.Errorf("decapsulated %v", err)
	}
	ciphertext[0] ^= 1
	if again, err := k.Decapsulate(ciphertext); err != nil || len(again) != 32 || bytes.Equal(again, shared) {
		t.Errorf("a changed ciphertext gives a secret of %d bytes, %v", len(again), err)
	}
	if _, err := k.Decapsulate(ciphertext[1:]); !errors.Is(err, keyspec.ErrCiphertext) {
		t.Errorf("a short ciphertext: %v", err)
	}
}

func agrees(t *testing.T, a, b *keyspec.Key) {
	t.Helper()
	side := func(k, peer *keyspec.Key) []byte {
		der, err := peer.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		public, err := keyspec.ParsePublic(k.Spec.Name, der)
		if err != nil {
			t.Fatal(err)
		}
		shared, err := k.Agree(public)
		if err != nil {
			t.Fatal(err)
		}
		return shared
	}
	if !bytes.Equal(side(a, b), side(b, a)) {
		t.Error("two sides, two secrets")
	}
}

// TestExternalMu: a message and its μ have the same signatures.
func TestExternalMu(t *testing.T) {
	const algorithm, raw, external = types.SigningAlgorithmSpecMlDsaShake256, types.MessageTypeRaw, types.MessageTypeExternalMu
	for _, name := range []types.KeySpec{types.KeySpecMlDsa44, types.KeySpecMlDsa65, types.KeySpecMlDsa87} {
		s, _ := keyspec.Of(name)
		k := made(t, s)
		message := []byte("attack at dawn")
		mu := muOf(t, k, message)
		forms := map[types.MessageType][]byte{raw: message, external: mu}
		for signed, m := range forms {
			signature, err := k.Sign(algorithm, signed, m)
			if err != nil {
				t.Fatal(err)
			}
			for verified, m := range forms {
				if valid, err := k.Verify(algorithm, verified, m, signature); !valid || err != nil {
					t.Errorf("%s: signed as %s, verified as %s: %v, %v", name, signed, verified, valid, err)
				}
			}
			other := bytes.Clone(mu)
			other[0] ^= 1
			if valid, err := k.Verify(algorithm, external, other, signature); valid || err != nil {
				t.Errorf("%s: another μ: %v, %v", name, valid, err)
			}
		}
		if _, err := k.Sign(algorithm, external, mu[1:]); !errors.Is(err, keyspec.ErrMessage) {
			t.Errorf("%s: a short μ: %v", name, err)
		}
	}
}

// muOf is the μ of a message (FIPS 204, algorithm 7, line 6; AWS KMS Developer Guide, "Offline verification").
func muOf(t *testing.T, k *keyspec.Key, message []byte) []byte {
	t.Helper()
	tr := sha3.SumSHAKE256(publicBits(t, k), 64)
	return sha3.SumSHAKE256(append(append(tr, 0, 0), message...), 64)
}

// publicBits is the key inside the SubjectPublicKeyInfo.
func publicBits(t *testing.T, k *keyspec.Key) []byte {
	t.Helper()
	der, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		t.Fatalf("SubjectPublicKeyInfo: %d bytes too many, %v", len(rest), err)
	}
	return info.Key.Bytes
}

// TestOpenSSLReadsOurKeys: what we call PKCS #8 and SubjectPublicKeyInfo is, and belongs together.
func TestOpenSSLReadsOurKeys(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not there")
	}
	for _, name := range []types.KeySpec{
		types.KeySpecRsa2048, types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521,
		types.KeySpecEccSecgP256k1, types.KeySpecEccNistEdwards25519,
	} {
		k := keyOf(t, name)
		material, err := k.Material()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "key.der")
		if err := os.WriteFile(file, material.Expose(), 0o600); err != nil {
			t.Fatal(err)
		}
		public, err := exec.Command("openssl", "pkey", "-inform", "DER", "-in", file, "-pubout", "-outform", "DER").Output()
		if want, _ := k.PublicKey(); err != nil || !bytes.Equal(public, want) {
			t.Errorf("%s: openssl makes another public key of it, %v", name, err)
		}
	}
}

// FuzzParse: whatever is taken for material is usable and comes back in canonical form.
func FuzzParse(f *testing.F) {
	for _, s := range keyspec.All() {
		if s.Name == types.KeySpecRsa3072 || s.Name == types.KeySpecRsa4096 {
			continue
		}
		material, err := s.Generate()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(material.Expose())
		f.Add(material.Expose()[:material.Len()-1])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, material []byte) {
		for _, s := range keyspec.All() {
			k, err := s.Parse(material)
			if err != nil {
				if !errors.Is(err, keyspec.ErrMaterial) {
					t.Errorf("%s: %v", s.Name, err)
				}
				continue
			}
			canonical, err := k.Material()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Parse(canonical.Expose()); err != nil {
				t.Errorf("%s: its canonical form is not taken: %v", s.Name, err)
			}
		}
	})
}

// TestCiphertextsHaveOneLength: one that begins with a zero is the same number without it, but no ciphertext.
func TestCiphertextsHaveOneLength(t *testing.T) {
	k, plaintext := keyOf(t, types.KeySpecRsa2048), []byte("attack at dawn")
	for _, a := range k.Spec.EncryptionAlgorithms() {
		ciphertext := []byte{1}
		for ciphertext[0] != 0 {
			var err error
			if ciphertext, err = k.Encrypt(a, plaintext); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := k.Decrypt(a, ciphertext); err != nil || !bytes.Equal(again, plaintext) {
			t.Errorf("%s: %v", a, err)
		}
		if _, err := k.Decrypt(a, ciphertext[1:]); !errors.Is(err, keyspec.ErrCiphertext) {
			t.Errorf("%s: without its leading zero: %v", a, err)
		}
	}
}
