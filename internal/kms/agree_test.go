package kms_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/x509"
	"testing"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/kms"
)

// peer makes a key pair and its public key's SubjectPublicKeyInfo.
func peer(t testing.TB, curve ecdh.Curve) (*ecdh.PrivateKey, []byte) {
	t.Helper()
	private, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func ecdhKey(t testing.TB, der []byte) *ecdh.PublicKey {
	t.Helper()
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := parsed.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var curves = map[types.KeySpec]ecdh.Curve{"ECC_NIST_P256": ecdh.P256(), "ECC_NIST_P384": ecdh.P384(), "ECC_NIST_P521": ecdh.P521()}

func TestDeriveSharedSecret(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	for spec, curve := range curves {
		m := w.createKind(kind{spec: spec, usage: "KEY_AGREEMENT"})
		private, public := peer(t, curve)
		want, err := private.ECDH(ecdhKey(t, w.publicKey(m)))
		if err != nil {
			t.Fatal(err)
		}
		in := &awskms.DeriveSharedSecretInput{KeyId: m.KeyId, KeyAgreementAlgorithm: "ECDH", PublicKey: public}
		out := do[awskms.DeriveSharedSecretOutput](w, "DeriveSharedSecret", in)
		if !bytes.Equal(out.SharedSecret, want) || *out.KeyId != *m.Arn || out.KeyOrigin != "AWS_KMS" || out.KeyAgreementAlgorithm != "ECDH" {
			t.Errorf("%s: %x, want %x", spec, out.SharedSecret, want)
		}
		_, x25519 := peer(t, ecdh.X25519())
		_, other := peer(t, map[bool]ecdh.Curve{true: ecdh.P384(), false: ecdh.P256()}[spec == "ECC_NIST_P256"])
		offCurve := bytes.Clone(public)
		offCurve[len(offCurve)-1] ^= 1
		for name, bad := range map[string][]byte{
			"garbage": {1}, "X25519": x25519, "another curve": other, "off the curve": offCurve,
			"trailing bytes": append(bytes.Clone(public), 0), "cut": public[:len(public)-1],
		} {
			in.PublicKey = bad
			t.Run(string(spec)+"/"+name, func(t *testing.T) {
				w.with(t).refused("DeriveSharedSecret", in, "ValidationException",
					"")
			})
		}
	}
}

func TestTwoKeysAgree(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := kind{spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT"}
	alice, bob := w.createKind(k), w.createKind(k)
	derive := func(mine, theirs *types.KeyMetadata) []byte {
		return do[awskms.DeriveSharedSecretOutput](w, "DeriveSharedSecret", &awskms.DeriveSharedSecretInput{
			KeyId: mine.KeyId, KeyAgreementAlgorithm: "ECDH", PublicKey: w.publicKey(theirs)}).SharedSecret
	}
	if !bytes.Equal(derive(alice, bob), derive(bob, alice)) {
		t.Error("Alice and Bob do not agree")
	}
}

// offlineEncapsulate makes a secret with Go's own ML-KEM, which has no 512.
func offlineEncapsulate(t testing.TB, spec types.KeySpec, public []byte) (shared, ciphertext []byte) {
	t.Helper()
	_, raw := spki(t, public)
	switch spec {
	case types.KeySpecMlKem768:
		key, err := mlkem.NewEncapsulationKey768(raw)
		if err != nil {
			t.Fatal(err)
		}
		return key.Encapsulate()
	case types.KeySpecMlKem1024:
		key, err := mlkem.NewEncapsulationKey1024(raw)
		if err != nil {
			t.Fatal(err)
		}
		return key.Encapsulate()
	default:
		return nil, nil
	}
}

func TestEncapsulation(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	for spec, size := range map[types.KeySpec]int{"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568} {
		m := w.createKind(kind{spec: spec, usage: "ENCAPSULATE_DECAPSULATE"})
		public := w.publicKey(m)
		out := do[awskms.EncapsulateOutput](w, "Encapsulate", &awskms.EncapsulateInput{KeyId: m.KeyId, EncapsulationAlgorithm: "ML_KEM"})
		if len(out.SharedSecret) != 32 || len(out.SharedSecretCiphertextBlob) != size || *out.KeyId != *m.Arn || out.EncapsulationAlgorithm != "ML_KEM" {
			t.Errorf("%s: a secret of %d bytes, a ciphertext of %d", spec, len(out.SharedSecret), len(out.SharedSecretCiphertextBlob))
		}
		in := &awskms.DecapsulateInput{KeyId: m.KeyId, EncapsulationAlgorithm: "ML_KEM"}
		opens := func(ciphertext, want []byte) {
			t.Helper()
			in.SharedSecretCiphertextBlob = ciphertext
			out := do[awskms.DecapsulateOutput](w, "Decapsulate", in)
			if !bytes.Equal(out.SharedSecret, want) || *out.KeyId != *m.Arn {
				t.Errorf("%s: another secret", spec)
			}
		}
		opens(out.SharedSecretCiphertextBlob, out.SharedSecret)
		if shared, ciphertext := offlineEncapsulate(t, spec, public); shared != nil {
			opens(ciphertext, shared)
		}
		w.rejectsImplicitly(in, out.SharedSecretCiphertextBlob, out.SharedSecret)
		for _, bad := range [][]byte{out.SharedSecretCiphertextBlob[1:], append(bytes.Clone(out.SharedSecretCiphertextBlob), 0), {1}} {
			in.SharedSecretCiphertextBlob = bad
			w.refused("Decapsulate", in, "InvalidCiphertextException", "")
		}
	}
}

// rejectsImplicitly: a changed ciphertext gives a secret of its own, always the same.
func (w *world) rejectsImplicitly(in *awskms.DecapsulateInput, ciphertext, shared []byte) {
	w.Helper()
	in.SharedSecretCiphertextBlob = flipped(ciphertext, 77)
	first := do[awskms.DecapsulateOutput](w, "Decapsulate", in).SharedSecret
	second := do[awskms.DecapsulateOutput](w, "Decapsulate", in).SharedSecret
	if len(first) != 32 || bytes.Equal(first, shared) || !bytes.Equal(first, second) {
		w.Error("a changed ciphertext is not rejected implicitly")
	}
}

func TestMACs(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	message := []byte("attack at dawn")
	for _, k := range kinds {
		if k.usage != types.KeyUsageTypeGenerateVerifyMac {
			continue
		}
		m, other := w.createKind(k), w.createKind(k)
		algorithm := types.MacAlgorithmSpec(k.algorithms)
		out := do[awskms.GenerateMacOutput](w, "GenerateMac", &awskms.GenerateMacInput{KeyId: m.KeyId, Message: message, MacAlgorithm: algorithm})
		if want := w.macByHand(m, algorithm, message); !bytes.Equal(out.Mac, want) || *out.KeyId != *m.Arn || out.MacAlgorithm != algorithm {
			t.Errorf("%s: %x, want %x", k.name(), out.Mac, want)
		}
		in := awskms.VerifyMacInput{KeyId: m.KeyId, Message: message, MacAlgorithm: algorithm, Mac: out.Mac}
		if valid := do[awskms.VerifyMacOutput](w, "VerifyMac", &in); !valid.MacValid || *valid.KeyId != *m.Arn || valid.MacAlgorithm != algorithm {
			t.Errorf("%s: %+v", k.name(), valid)
		}
		for _, bad := range []awskms.VerifyMacInput{
			{KeyId: other.KeyId, Message: message, Mac: out.Mac},
			{KeyId: m.KeyId, Message: message[1:], Mac: out.Mac},
			{KeyId: m.KeyId, Message: message, Mac: out.Mac[1:]},
			{KeyId: m.KeyId, Message: message, Mac: append(bytes.Clone(out.Mac), 0)},
			{KeyId: m.KeyId, Message: message, Mac: flipped(out.Mac, 9)},
		} {
			bad.MacAlgorithm = algorithm
			w.refused("VerifyMac", &bad, "KMSInvalidMacException", "")
		}
	}
}

// macByHand unwraps a key's material and uses it with crypto/hmac.
func (w *world) macByHand(m *types.KeyMetadata, algorithm types.MacAlgorithmSpec, message []byte) []byte {
	w.Helper()
	record, err := w.store.Key(w.Context(), home, *m.KeyId)
	if err != nil {
		w.Fatal(err)
	}
	material, err := w.root.Open("kms key material "+record.Material.ID+" of "+*m.Arn, record.Material.Wrapped)
	if err != nil {
		w.Fatal(err)
	}
	mac := hmac.New(hashOf(string(algorithm)).New, material)
	mac.Write(message)
	return mac.Sum(nil)
}
