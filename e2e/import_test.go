package e2e

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"

	"keyward/internal/keywardtest"
)

// TestImportedKeys: material that openssl or another library makes, and openssl wraps, is, once imported, the key that its
// owner has: what keyward does with it they do with the original.
func TestImportedKeys(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	b := bench{t, i.KMS(), ""}
	t.Run("AES", func(t *testing.T) { b.in(t).importedAES() })
	t.Run("HMAC", func(t *testing.T) { b.in(t).importedHMAC() })
	for _, c := range []importedPair{
		{"RSA_2048", "RSA -pkeyopt rsa_keygen_bits:2048", "RSA_AES_KEY_WRAP_SHA_256", "RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", "dgst -sha256"},
		{"RSA_4096", "RSA -pkeyopt rsa_keygen_bits:4096", "RSA_AES_KEY_WRAP_SHA_1", "RSA_4096", "RSASSA_PKCS1_V1_5_SHA_512", "dgst -sha512"},
		{"ECC_NIST_P256", "EC -pkeyopt ec_paramgen_curve:P-256", "RSAES_OAEP_SHA_256", "RSA_2048", "ECDSA_SHA_256", "dgst -sha256"},
		{"ECC_NIST_P384", "EC -pkeyopt ec_paramgen_curve:P-384", "RSAES_OAEP_SHA_1", "RSA_2048", "ECDSA_SHA_384", "dgst -sha384"},
		{"ECC_NIST_P521", "EC -pkeyopt ec_paramgen_curve:P-521", "RSAES_OAEP_SHA_256", "RSA_3072", "ECDSA_SHA_512", "dgst -sha512"},
		{"ECC_SECG_P256K1", "EC -pkeyopt ec_paramgen_curve:secp256k1", "RSA_AES_KEY_WRAP_SHA_256", "RSA_2048", "ECDSA_SHA_256", "dgst -sha256"},
		{"ECC_NIST_EDWARDS25519", "ED25519", "RSAES_OAEP_SHA_256", "RSA_2048", "ED25519_SHA_512", "pkeyutl"},
	} {
		t.Run(string(c.spec), func(t *testing.T) { b.in(t).importedPair(c) })
	}
	for scheme, c := range map[sign.Scheme]importedSeed{
		mldsa44.Scheme(): {"ML_DSA_44", [2]int{3, 17}, "RSA_AES_KEY_WRAP_SHA_256", "RSA_4096", true},
		mldsa65.Scheme(): {"ML_DSA_65", [2]int{3, 18}, "RSAES_OAEP_SHA_256", "RSA_4096", false},
		mldsa87.Scheme(): {"ML_DSA_87", [2]int{3, 19}, "RSAES_OAEP_SHA_1", "RSA_2048", false},
	} {
		t.Run(string(c.spec), func(t *testing.T) { b.in(t).importedMLDSA(c, scheme) })
	}
	for scheme, c := range map[kem.Scheme]importedSeed{
		mlkem512.Scheme():  {"ML_KEM_512", [2]int{4, 1}, "RSAES_OAEP_SHA_256", "RSA_2048", false},
		mlkem768.Scheme():  {"ML_KEM_768", [2]int{4, 2}, "RSA_AES_KEY_WRAP_SHA_1", "RSA_3072", true},
		mlkem1024.Scheme(): {"ML_KEM_1024", [2]int{4, 3}, "RSA_AES_KEY_WRAP_SHA_256", "RSA_2048", true},
	} {
		t.Run(string(c.spec), func(t *testing.T) { b.in(t).importedMLKEM(c, scheme) })
	}
}

// external makes a key that waits for material.
func (b bench) external(spec types.KeySpec, usage types.KeyUsageType) *string {
	b.Helper()
	made, err := b.CreateKey(b.Context(), &kms.CreateKeyInput{Origin: types.OriginTypeExternal, KeySpec: spec, KeyUsage: usage})
	if err != nil {
		b.Fatal(err)
	}
	return made.KeyMetadata.KeyId
}

// bring wraps the file "material" as the AWS KMS Developer Guide tells owners to, and imports it.
func (b bench) bring(id *string, algorithm types.AlgorithmSpec, spec types.WrappingKeySpec) {
	b.Helper()
	p, err := b.GetParametersForImport(b.Context(), &kms.GetParametersForImportInput{KeyId: id, WrappingAlgorithm: algorithm, WrappingKeySpec: spec})
	if err != nil {
		b.Fatal(err)
	}
	b.write("wrapping.der", p.PublicKey)
	hash := "sha1"
	if strings.HasSuffix(string(algorithm), "256") {
		hash = "sha256"
	}
	oaep := " -pubin -keyform DER -inkey wrapping.der -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:" + hash + " -pkeyopt rsa_mgf1_md:" + hash
	if strings.HasPrefix(string(algorithm), "RSA_AES") {
		b.openssl("rand -out between 32")
		b.openssl("enc -id-aes256-wrap-pad -iv A65959A6 -K " + hex.EncodeToString(b.read("between")) + " -in material -out inner")
		b.openssl("pkeyutl -encrypt -in between -out outer" + oaep)
		b.write("wrapped", append(b.read("outer"), b.read("inner")...))
	} else {
		b.openssl("pkeyutl -encrypt -in material -out wrapped" + oaep)
	}
	_, err = b.ImportKeyMaterial(b.Context(), &kms.ImportKeyMaterialInput{
		KeyId: id, ImportToken: p.ImportToken, EncryptedKeyMaterial: b.read("wrapped"),
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	})
	if err != nil {
		b.Fatal(err)
	}
}

// importedAES: ciphertexts are nobody's business but keyward's, so the original is what brings a lost key back.
func (b bench) importedAES() {
	b.openssl("rand -out material 32")
	id := b.external("", "")
	b.bring(id, "RSAES_OAEP_SHA_256", "RSA_3072")
	out, err := b.Encrypt(b.Context(), &kms.EncryptInput{KeyId: id, Plaintext: []byte("attack at dawn")})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.DeleteImportedKeyMaterial(b.Context(), &kms.DeleteImportedKeyMaterialInput{KeyId: id}); err != nil {
		b.Fatal(err)
	}
	if _, err := b.Decrypt(b.Context(), &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob}); codeOf(err) != "KMSInvalidStateException" {
		b.Errorf("without the material: %v", err)
	}
	b.bring(id, "RSAES_OAEP_SHA_1", "RSA_2048")
	if back, err := b.Decrypt(b.Context(), &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob}); err != nil || string(back.Plaintext) != "attack at dawn" {
		b.Errorf("with the material again: %v, %v", back, err)
	}
}

func (b bench) importedHMAC() {
	b.openssl("rand -out material 64")
	id := b.external(types.KeySpecHmac512, types.KeyUsageTypeGenerateVerifyMac)
	b.bring(id, "RSAES_OAEP_SHA_256", "RSA_2048")
	message := []byte("attack at dawn")
	b.write("message", message)
	b.openssl("dgst -sha512 -mac HMAC -macopt hexkey:" + hex.EncodeToString(b.read("material")) + " -binary -out mac message")
	out, err := b.GenerateMac(b.Context(), &kms.GenerateMacInput{KeyId: id, Message: message, MacAlgorithm: types.MacAlgorithmSpecHmacSha512})
	if err != nil || !bytes.Equal(out.Mac, b.read("mac")) {
		b.Errorf("keyward's MAC is not openssl's: %v", err)
	}
}

// importedPair is a key pair of openssl's with how it comes and how its signatures are checked.
type importedPair struct {
	spec      types.KeySpec
	genpkey   string
	wrapping  types.AlgorithmSpec
	under     types.WrappingKeySpec
	algorithm types.SigningAlgorithmSpec
	verify    string
}

func (b bench) importedPair(c importedPair) {
	b.openssl("genpkey -out private.pem -algorithm " + c.genpkey)
	b.openssl("pkcs8 -topk8 -nocrypt -in private.pem -outform DER -out material")
	b.openssl("pkey -in private.pem -pubout -out public.pem")
	b.openssl("pkey -pubin -in public.pem -outform DER -out public.der")
	id := b.external(c.spec, types.KeyUsageTypeSignVerify)
	b.bring(id, c.wrapping, c.under)
	public, err := b.GetPublicKey(b.Context(), &kms.GetPublicKeyInput{KeyId: id})
	if err != nil || !bytes.Equal(public.PublicKey, b.read("public.der")) {
		b.Fatalf("keyward has another public key: %v", err)
	}
	message := []byte("attack at dawn")
	b.write("message", message)
	out, err := b.Sign(b.Context(), &kms.SignInput{KeyId: id, Message: message, SigningAlgorithm: c.algorithm})
	if err != nil {
		b.Fatal(err)
	}
	b.write("signature", out.Signature)
	if c.verify == "pkeyutl" {
		b.openssl("pkeyutl -verify -pubin -inkey public.pem -rawin -in message -sigfile signature")
		return
	}
	b.openssl(c.verify + " -verify public.pem -signature signature message")
	b.openssl(c.verify + " -sign private.pem -out original message")
	in := &kms.VerifyInput{KeyId: id, Message: message, Signature: b.read("original"), SigningAlgorithm: c.algorithm}
	if valid, err := b.Verify(b.Context(), in); err != nil || !valid.SignatureValid {
		b.Errorf("the original's signature: %v, %v", valid, err)
	}
}
