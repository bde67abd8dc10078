//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated in AWS's model and still answered.

package kms_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/kms"
)

// kind is a kind of key with the algorithms that AWS documents for it (AWS KMS Developer Guide, "Key spec reference").
type kind struct {
	spec       types.KeySpec
	usage      types.KeyUsageType
	algorithms string // separated by spaces
}

const (
	signRSA    = "RSASSA_PKCS1_V1_5_SHA_256 RSASSA_PKCS1_V1_5_SHA_384 RSASSA_PKCS1_V1_5_SHA_512 RSASSA_PSS_SHA_256 RSASSA_PSS_SHA_384 RSASSA_PSS_SHA_512"
	encryptRSA = "RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256"
)

var kinds = []kind{
	{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"},
	{"RSA_2048", "ENCRYPT_DECRYPT", encryptRSA},
	{"RSA_3072", "ENCRYPT_DECRYPT", encryptRSA},
	{"RSA_4096", "ENCRYPT_DECRYPT", encryptRSA},
	{"RSA_2048", "SIGN_VERIFY", signRSA},
	{"RSA_3072", "SIGN_VERIFY", signRSA},
	{"RSA_4096", "SIGN_VERIFY", signRSA},
	{"ECC_NIST_P256", "SIGN_VERIFY", "ECDSA_SHA_256"},
	{"ECC_NIST_P384", "SIGN_VERIFY", "ECDSA_SHA_384"},
	{"ECC_NIST_P521", "SIGN_VERIFY", "ECDSA_SHA_512"},
	{"ECC_SECG_P256K1", "SIGN_VERIFY", "ECDSA_SHA_256"},
	{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY", "ED25519_SHA_512 ED25519_PH_SHA_512"},
	{"ML_DSA_44", "SIGN_VERIFY", "ML_DSA_SHAKE_256"},
	{"ML_DSA_65", "SIGN_VERIFY", "ML_DSA_SHAKE_256"},
	{"ML_DSA_87", "SIGN_VERIFY", "ML_DSA_SHAKE_256"},
	{"ECC_NIST_P256", "KEY_AGREEMENT", "ECDH"},
	{"ECC_NIST_P384", "KEY_AGREEMENT", "ECDH"},
	{"ECC_NIST_P521", "KEY_AGREEMENT", "ECDH"},
	{"HMAC_224", "GENERATE_VERIFY_MAC", "HMAC_SHA_224"},
	{"HMAC_256", "GENERATE_VERIFY_MAC", "HMAC_SHA_256"},
	{"HMAC_384", "GENERATE_VERIFY_MAC", "HMAC_SHA_384"},
	{"HMAC_512", "GENERATE_VERIFY_MAC", "HMAC_SHA_512"},
	{"ML_KEM_512", "ENCAPSULATE_DECAPSULATE", "ML_KEM"},
	{"ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "ML_KEM"},
	{"ML_KEM_1024", "ENCAPSULATE_DECAPSULATE", "ML_KEM"},
}

func (k kind) name() string { return string(k.spec) + "/" + string(k.usage) }

func (k kind) list() []string { return strings.Fields(k.algorithms) }

func (k kind) asymmetric() bool {
	return k.spec != types.KeySpecSymmetricDefault && !strings.HasPrefix(string(k.spec), "HMAC_")
}

// createKind makes a key of a kind.
func (w *world) createKind(k kind) *types.KeyMetadata {
	w.Helper()
	return do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{KeySpec: k.spec, KeyUsage: k.usage}).KeyMetadata
}

// zoo is one key of each kind, made once for all tests that only use them: RSA keys take their time.
type zoo map[kind]*types.KeyMetadata

func (w *world) zoo() zoo {
	w.Helper()
	all := zoo{}
	for _, k := range kinds {
		all[k] = w.createKind(k)
	}
	return all
}

func words[S ~string](list []S) (out []string) {
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

// algorithmsIn is what the lists in an answer say, one after the other.
func algorithmsIn(m *types.KeyMetadata) []string {
	return slices.Concat(words(m.EncryptionAlgorithms), words(m.SigningAlgorithms), words(m.MacAlgorithms),
		words(m.KeyAgreementAlgorithms), words(m.EncapsulationAlgorithms))
}

// lists counts the lists of algorithms in an answer.
func lists(m *types.KeyMetadata) (n int) {
	for _, size := range []int{
		len(m.EncryptionAlgorithms), len(m.SigningAlgorithms), len(m.MacAlgorithms), len(m.KeyAgreementAlgorithms), len(m.EncapsulationAlgorithms),
	} {
		if size > 0 {
			n++
		}
	}
	return n
}

// TestKeysOfEveryKind makes one key of each kind and uses it in every way.
func TestKeysOfEveryKind(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	all := w.zoo()
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world, zoo)
	}{
		{"descriptions", descriptions}, {"public keys", publicKeys}, {"signatures", signatures}, {"mixed operations", mixedOperations},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, w.with(t), all) })
	}
}

func descriptions(t *testing.T, w *world, all zoo) {
	for k, m := range all {
		for _, m := range []*types.KeyMetadata{m, w.describe(*m.KeyId)} {
			if m.KeySpec != k.spec || m.KeyUsage != k.usage || string(m.CustomerMasterKeySpec) != string(k.spec) || m.KeyState != "Enabled" {
				t.Errorf("%s: %+v", k.name(), m)
			}
			if got := algorithmsIn(m); lists(m) != 1 || !slices.Equal(got, k.list()) {
				t.Errorf("%s: algorithms %v in %d lists, want %v in one", k.name(), got, lists(m), k.list())
			}
			if has := m.CurrentKeyMaterialId != nil; has != (k.spec == "SYMMETRIC_DEFAULT") {
				t.Errorf("%s: CurrentKeyMaterialId %v", k.name(), m.CurrentKeyMaterialId)
			}
		}
	}
	for i, event := range w.events("CreateKey") { // in the order of kinds
		k := kinds[i]
		want := `Algorithms":["` + strings.Join(k.list(), `","`) + `"]`
		if strings.Count(event, `Algorithms":`) != 1 || !strings.Contains(event, want) {
			t.Errorf("%s: want %s in\n%s", k.name(), want, event)
		}
		if has := strings.Contains(event, "currentKeyMaterialId"); has != (k.spec == "SYMMETRIC_DEFAULT") {
			t.Errorf("%s: %s", k.name(), event)
		}
	}
}

func (w *world) publicKey(m *types.KeyMetadata) []byte {
	w.Helper()
	return do[awskms.GetPublicKeyOutput](w, "GetPublicKey", &awskms.GetPublicKeyInput{KeyId: m.KeyId}).PublicKey
}

func publicKeys(t *testing.T, w *world, all zoo) {
	before := map[kind][]byte{}
	for k, m := range all {
		in := &awskms.GetPublicKeyInput{KeyId: m.Arn}
		if !k.asymmetric() {
			w.refused("GetPublicKey", in, "UnsupportedOperationException", "")
			continue
		}
		out := do[awskms.GetPublicKeyOutput](w, "GetPublicKey", in)
		described := &types.KeyMetadata{
			EncryptionAlgorithms: out.EncryptionAlgorithms, SigningAlgorithms: out.SigningAlgorithms,
			KeyAgreementAlgorithms: out.KeyAgreementAlgorithms, EncapsulationAlgorithms: out.EncapsulationAlgorithms,
		}
		if got := algorithmsIn(described); !slices.Equal(got, k.list()) || lists(described) != 1 {
			t.Errorf("%s: %v", k.name(), got)
		}
		if *out.KeyId != *m.Arn || out.KeySpec != k.spec || out.KeyUsage != k.usage || string(out.CustomerMasterKeySpec) != string(k.spec) {
			t.Errorf("%s: %+v", k.name(), out)
		}
		before[k] = out.PublicKey
	}
	w.restart(kms.Limits{})
	for k, public := range before {
		if again := w.publicKey(all[k]); !slices.Equal(again, public) {
			t.Errorf("%s: another public key after a restart", k.name())
		}
	}
	w.refused("GetPublicKey", &awskms.GetPublicKeyInput{KeyId: w.createStoreKey().KeyId}, "UnsupportedOperationException", "")
}

// spki takes a SubjectPublicKeyInfo apart.
func spki(t testing.TB, der []byte) (oid string, raw []byte) {
	t.Helper()
	var info struct {
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Key asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		t.Fatalf("no SubjectPublicKeyInfo: %v, %d bytes more", err, len(rest))
	}
	return info.Algorithm.OID.String(), info.Key.RightAlign()
}

// hashOf is the hash that an algorithm's name ends in.
func hashOf(algorithm string) crypto.Hash {
	switch {
	case strings.HasSuffix(algorithm, "SHA_224"):
		return crypto.SHA224
	case strings.HasSuffix(algorithm, "SHA_384"):
		return crypto.SHA384
	case strings.HasSuffix(algorithm, "SHA_512"):
		return crypto.SHA512
	default:
		return crypto.SHA256
	}
}

func digest(algorithm string, message []byte) []byte {
	h := hashOf(algorithm).New()
	h.Write(message)
	return h.Sum(nil)
}

// verifies checks a signature with Go's own cryptography or, where that has no such curve, with openssl. There is nothing
// else here that knows ML-DSA: package keyspec holds it against NIST's vectors.
func verifies(t testing.TB, spec types.KeySpec, algorithm string, public, message, signature []byte) bool {
	t.Helper()
	switch spec {
	case types.KeySpecEccSecgP256k1:
		return opensslVerifies(t, public, message, signature)
	case types.KeySpecMlDsa44, types.KeySpecMlDsa65, types.KeySpecMlDsa87:
		return true
	}
	parsed, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	hash, hashed := hashOf(algorithm), digest(algorithm, message)
	switch key := parsed.(type) {
	case *rsa.PublicKey:
		if strings.Contains(algorithm, "PSS") {
			return rsa.VerifyPSS(key, hash, hashed, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(key, hash, hashed, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, hashed, signature)
	case ed25519.PublicKey:
		if algorithm == "ED25519_SHA_512" {
			return ed25519.Verify(key, message, signature)
		}
		twice := sha512.Sum512(hashed) // the service hashes once more what the caller has hashed
		return ed25519.VerifyWithOptions(key, twice[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	default:
		t.Fatalf("%T", key)
		return false
	}
}

// opensslVerifies checks an ECDSA signature with SHA-256.
func opensslVerifies(t testing.TB, public, message, signature []byte) bool {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"public": public, "message": message, "signature": signature} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", "public", "-signature", "signature", "message")
	c.Dir = dir
	return c.Run() == nil
}

func signatures(t *testing.T, w *world, all zoo) {
	message := []byte("attack at dawn")
	for _, k := range kinds {
		if k.usage != types.KeyUsageTypeSignVerify {
			continue
		}
		m := all[k]
		public := w.publicKey(m)
		for _, algorithm := range k.list() {
			for _, form := range forms(algorithm, message) {
				name := k.name() + " " + algorithm + " " + string(form.kind)
				in := &awskms.SignInput{
					KeyId: m.KeyId, Message: form.message, MessageType: form.kind, SigningAlgorithm: types.SigningAlgorithmSpec(algorithm),
				}
				out := do[awskms.SignOutput](w, "Sign", in)
				if *out.KeyId != *m.Arn || string(out.SigningAlgorithm) != algorithm {
					t.Errorf("%s: %+v", name, out)
				}
				if !verifies(t, k.spec, algorithm, public, message, out.Signature) {
					t.Errorf("%s: the signature is not valid", name)
				}
				w.verifiesAll(name, in, algorithm, message, out.Signature)
			}
		}
	}
}

type form struct {
	kind    types.MessageType
	message []byte
}

// forms are the ways in which a message can be given to an algorithm. μ of ML-DSA depends on the public key and is tested
// on its own.
func forms(algorithm string, message []byte) []form {
	raw, hashed := form{"RAW", message}, form{"DIGEST", digest(algorithm, message)}
	switch algorithm {
	case "ED25519_SHA_512", "ML_DSA_SHAKE_256":
		return []form{raw, {"", message}}
	case "ED25519_PH_SHA_512":
		return []form{hashed}
	default:
		return []form{raw, {"", message}, hashed}
	}
}

// verifiesAll verifies a signature in every form of its message, and refuses it for another message and when it is changed.
func (w *world) verifiesAll(name string, signed *awskms.SignInput, algorithm string, message, signature []byte) {
	w.Helper()
	in := awskms.VerifyInput{KeyId: signed.KeyId, SigningAlgorithm: signed.SigningAlgorithm, Signature: signature}
	for _, form := range forms(algorithm, message) {
		in.Message, in.MessageType = form.message, form.kind
		if out := do[awskms.VerifyOutput](w, "Verify", &in); !out.SignatureValid || out.SigningAlgorithm != in.SigningAlgorithm {
			w.Errorf("%s: %+v", name, out)
		}
	}
	for _, form := range forms(algorithm, []byte("attack at dusk")) {
		in.Message, in.MessageType = form.message, form.kind
		w.refused("Verify", &in, "KMSInvalidSignatureException", "")
	}
	in.Message, in.MessageType = signed.Message, signed.MessageType
	for _, bad := range [][]byte{signature[1:], append(slices.Clone(signature), 0), flipped(signature, len(signature)*4), make([]byte, 6144), {0}} {
		in.Signature = bad
		w.refused("Verify", &in, "KMSInvalidSignatureException", "")
	}
}

func flipped(b []byte, bit int) []byte {
	b = slices.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

func TestMessagesThatAreRefused(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	rsa := w.createKind(kind{spec: "RSA_2048", usage: "SIGN_VERIFY"})
	ecc := w.createKind(kind{spec: "ECC_NIST_P256", usage: "SIGN_VERIFY"})
	ed := w.createKind(kind{spec: "ECC_NIST_EDWARDS25519", usage: "SIGN_VERIFY"})
	mldsa := w.createKind(kind{spec: "ML_DSA_44", usage: "SIGN_VERIFY"})
	hash := sha256.Sum256(nil)
	for _, c := range []struct {
		key        *types.KeyMetadata
		algorithm  types.SigningAlgorithmSpec
		kind       types.MessageType
		message    []byte
		code, text string
	}{
		{ecc, "ECDSA_SHA_256", "DIGEST", make([]byte, 20), "ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256."},
		{ecc, "ECDSA_SHA_384", "DIGEST", make([]byte, 20), "InvalidKeyUsageException", "Algorithm ECDSA_SHA_384 is incompatible with key spec ECC_NIST_P256."},
		{ecc, "ECDSA_SHA_256", "EXTERNAL_MU", make([]byte, 64), "ValidationException", "Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_P256."},
		{rsa, "RSASSA_PSS_SHA_384", "DIGEST", hash[:], "ValidationException", "Digest is invalid length for algorithm RSASSA_PSS_SHA_384."},
		{rsa, "RSASSA_PKCS1_V1_5_SHA_512", "DIGEST", hash[:], "ValidationException", "Digest is invalid length for algorithm RSASSA_PKCS1_V1_5_SHA_512."},
		{rsa, "ECDSA_SHA_256", "RAW", hash[:], "InvalidKeyUsageException", "Algorithm ECDSA_SHA_256 is incompatible with key spec RSA_2048."},
		{ed, "ED25519_SHA_512", "DIGEST", make([]byte, 64), "ValidationException", "Message type DIGEST is incompatible with algorithm ED25519_SHA_512."},
		{ed, "ED25519_PH_SHA_512", "RAW", hash[:], "ValidationException", "Message type RAW is incompatible with algorithm ED25519_PH_SHA_512."},
		{ed, "ED25519_PH_SHA_512", "", hash[:], "ValidationException", "Message type RAW is incompatible with algorithm ED25519_PH_SHA_512."},
		{ed, "ED25519_PH_SHA_512", "DIGEST", hash[:], "ValidationException", "Digest is invalid length for algorithm ED25519_PH_SHA_512."},
		{mldsa, "ML_DSA_SHAKE_256", "DIGEST", make([]byte, 64), "ValidationException", "Message type DIGEST is incompatible with key spec ML_DSA_44."},
		{mldsa, "ML_DSA_SHAKE_256", "EXTERNAL_MU", make([]byte, 63), "ValidationException", "Digest is invalid length for algorithm ML_DSA_SHAKE_256."},
		{mldsa, "SM2DSA", "RAW", hash[:], "InvalidKeyUsageException", "Algorithm SM2DSA is incompatible with key spec ML_DSA_44."},
	} {
		for _, dry := range []*bool{nil, aws.Bool(true)} {
			w.refused("Sign", &awskms.SignInput{
				KeyId: c.key.KeyId, SigningAlgorithm: c.algorithm, MessageType: c.kind, Message: c.message, DryRun: dry}, c.code, c.text)
			w.refused("Verify", &awskms.VerifyInput{
				KeyId: c.key.KeyId, SigningAlgorithm: c.algorithm, MessageType: c.kind, Message: c.message, Signature: []byte{1}, DryRun: dry}, c.code, c.text)
		}
	}
}

// TestExternalMu: a message and its representative μ (FIPS 204, algorithm 7, steps 6 and 7), computed by hand from the
// public key, are signed and verified alike.
func TestExternalMu(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	message := []byte("attack at dawn")
	for _, spec := range []types.KeySpec{"ML_DSA_44", "ML_DSA_65", "ML_DSA_87"} {
		m := w.createKind(kind{spec: spec, usage: "SIGN_VERIFY"})
		_, public := spki(t, w.publicKey(m))
		tr := sha3.SumSHAKE256(public, 64)
		mu := sha3.SumSHAKE256(slices.Concat(tr, []byte{0, 0}, message), 64)
		both := []form{{"RAW", message}, {"EXTERNAL_MU", mu}}
		for _, signed := range both {
			signature := do[awskms.SignOutput](w, "Sign", &awskms.SignInput{
				KeyId: m.KeyId, Message: signed.message, MessageType: signed.kind, SigningAlgorithm: "ML_DSA_SHAKE_256"}).Signature
			for _, verified := range both {
				in := &awskms.VerifyInput{
					KeyId: m.KeyId, Message: verified.message, MessageType: verified.kind, SigningAlgorithm: "ML_DSA_SHAKE_256", Signature: signature}
				w.must("Verify", in)
				in.Message = flipped(in.Message, 5)
				w.refused("Verify", in, "KMSInvalidSignatureException", "")
			}
		}
	}
}
