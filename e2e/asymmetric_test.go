package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"keyward/internal/keywardtest"
)

// bench is an installation and a folder in which openssl, which has no part in the product, works with what it answers.
type bench struct {
	*testing.T
	*kms.Client
	dir string
}

func (b bench) in(t *testing.T) bench { return bench{t, b.Client, t.TempDir()} }

func (b bench) write(name string, data []byte) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), data, 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b bench) read(name string) []byte {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// openssl runs one command in the folder, its arguments separated by spaces.
func (b bench) openssl(args string) string {
	b.Helper()
	c := exec.Command("openssl", strings.Fields(args)...)
	c.Dir = b.dir
	out, err := c.CombinedOutput()
	if err != nil {
		b.Fatalf("openssl %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// create makes a key and keeps its public key as "public.pem".
func (b bench) create(spec types.KeySpec, usage types.KeyUsageType) *string {
	b.Helper()
	made, err := b.CreateKey(b.Context(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
	if err != nil {
		b.Fatal(err)
	}
	public, err := b.GetPublicKey(b.Context(), &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.KeyId})
	if err != nil {
		b.Fatal(err)
	}
	b.write("public.der", public.PublicKey)
	b.openssl("pkey -pubin -inform DER -in public.der -out public.pem")
	return made.KeyMetadata.KeyId
}

// TestKeysOutsideOfKeyward: what keyward signs, encrypts, agrees on and hands out is what openssl makes of it.
func TestKeysOutsideOfKeyward(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	b := bench{t, i.KMS(), ""}
	t.Run("signatures", func(t *testing.T) { b.in(t).signatures() })
	t.Run("encryption", func(t *testing.T) { b.in(t).encryption() })
	t.Run("agreement", func(t *testing.T) { b.in(t).agreement() })
	t.Run("data key pairs", func(t *testing.T) { b.in(t).dataKeyPairs() })
	t.Run("what openssl does not know", func(t *testing.T) { b.in(t).newAlgorithms() })
}

func (b bench) signatures() {
	const pss = " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"
	message := []byte("attack at dawn")
	b.write("message", message)
	for _, c := range []struct {
		spec      types.KeySpec
		algorithm types.SigningAlgorithmSpec
		verify    string
	}{
		{"RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", "dgst -sha256"},
		{"RSA_3072", "RSASSA_PSS_SHA_384", "dgst -sha384" + pss},
		{"RSA_4096", "RSASSA_PSS_SHA_512", "dgst -sha512" + pss},
		{"ECC_NIST_P256", "ECDSA_SHA_256", "dgst -sha256"},
		{"ECC_NIST_P384", "ECDSA_SHA_384", "dgst -sha384"},
		{"ECC_NIST_P521", "ECDSA_SHA_512", "dgst -sha512"},
		{"ECC_SECG_P256K1", "ECDSA_SHA_256", "dgst -sha256"},
		{"ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "pkeyutl"},
	} {
		b.Run(string(c.spec), func(t *testing.T) {
			b := bench{t, b.Client, b.dir}
			id := b.create(c.spec, types.KeyUsageTypeSignVerify)
			out, err := b.Sign(b.Context(), &kms.SignInput{KeyId: id, Message: message, SigningAlgorithm: c.algorithm})
			if err != nil {
				t.Fatal(err)
			}
			b.write("signature", out.Signature)
			if c.verify == "pkeyutl" {
				b.openssl("pkeyutl -verify -pubin -inkey public.pem -rawin -in message -sigfile signature")
			} else {
				b.openssl(c.verify + " -verify public.pem -signature signature message")
			}
			valid, err := b.Verify(b.Context(), &kms.VerifyInput{KeyId: id, Message: message, Signature: out.Signature, SigningAlgorithm: c.algorithm})
			if err != nil || !valid.SignatureValid {
				t.Errorf("%+v, %v", valid, err)
			}
			_, err = b.Verify(b.Context(), &kms.VerifyInput{KeyId: id, Message: message[1:], Signature: out.Signature, SigningAlgorithm: c.algorithm})
			if code := codeOf(err); code != "KMSInvalidSignatureException" {
				t.Errorf("of another message: %v", err)
			}
		})
	}
}

func (b bench) encryption() {
	id := b.create("RSA_2048", types.KeyUsageTypeEncryptDecrypt)
	b.write("plaintext", []byte("attack at dawn"))
	for algorithm, hash := range map[types.EncryptionAlgorithmSpec]string{"RSAES_OAEP_SHA_1": "sha1", "RSAES_OAEP_SHA_256": "sha256"} {
		b.openssl("pkeyutl -encrypt -pubin -inkey public.pem -in plaintext -out sealed -pkeyopt rsa_padding_mode:oaep" +
			" -pkeyopt rsa_oaep_md:" + hash + " -pkeyopt rsa_mgf1_md:" + hash)
		out, err := b.Decrypt(b.Context(), &kms.DecryptInput{KeyId: id, CiphertextBlob: b.read("sealed"), EncryptionAlgorithm: algorithm})
		if err != nil || string(out.Plaintext) != "attack at dawn" {
			b.Errorf("%s: %v, %v", algorithm, out, err)
		}
	}
}

func (b bench) agreement() {
	for spec, curve := range map[types.KeySpec]string{"ECC_NIST_P256": "prime256v1", "ECC_NIST_P384": "secp384r1", "ECC_NIST_P521": "secp521r1"} {
		id := b.create(spec, types.KeyUsageTypeKeyAgreement)
		b.openssl("ecparam -genkey -name " + curve + " -noout -out peer.pem")
		b.openssl("pkey -in peer.pem -pubout -outform DER -out peer.der")
		b.openssl("pkeyutl -derive -inkey peer.pem -peerkey public.pem -out secret")
		out, err := b.DeriveSharedSecret(b.Context(), &kms.DeriveSharedSecretInput{KeyId: id, KeyAgreementAlgorithm: "ECDH", PublicKey: b.read("peer.der")})
		if err != nil {
			b.Fatal(err)
		}
		if !bytes.Equal(out.SharedSecret, b.read("secret")) {
			b.Errorf("%s: openssl has another secret", spec)
		}
	}
}

func (b bench) dataKeyPairs() {
	made, err := b.CreateKey(b.Context(), &kms.CreateKeyInput{})
	if err != nil {
		b.Fatal(err)
	}
	for _, spec := range []types.DataKeyPairSpec{
		"RSA_2048", "RSA_3072", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519",
	} {
		out, err := b.GenerateDataKeyPair(b.Context(), &kms.GenerateDataKeyPairInput{KeyId: made.KeyMetadata.KeyId, KeyPairSpec: spec})
		if err != nil {
			b.Fatal(err)
		}
		opened, err := b.Decrypt(b.Context(), &kms.DecryptInput{CiphertextBlob: out.PrivateKeyCiphertextBlob})
		if err != nil {
			b.Fatal(err)
		}
		b.write("private", opened.Plaintext)
		b.openssl("pkey -inform DER -in private -pubout -outform DER -out public")
		if !bytes.Equal(b.read("public"), out.PublicKey) || !bytes.Equal(opened.Plaintext, out.PrivateKeyPlaintext) {
			b.Errorf("%s: openssl makes another public key of the private one", spec)
		}
	}
}

// newAlgorithms are played through the AWS SDK alone.
func (b bench) newAlgorithms() {
	ctx := b.Context()
	key := func(spec types.KeySpec, usage types.KeyUsageType) *string {
		made, err := b.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
		if err != nil {
			b.Fatal(err)
		}
		return made.KeyMetadata.KeyId
	}
	id := key("ML_DSA_65", types.KeyUsageTypeSignVerify)
	signed, err := b.Sign(ctx, &kms.SignInput{KeyId: id, Message: []byte("x"), SigningAlgorithm: "ML_DSA_SHAKE_256"})
	if err != nil {
		b.Fatal(err)
	}
	if out, err := b.Verify(ctx, &kms.VerifyInput{KeyId: id, Message: []byte("x"), Signature: signed.Signature, SigningAlgorithm: "ML_DSA_SHAKE_256"}); err != nil || !out.SignatureValid {
		b.Errorf("ML-DSA: %v", err)
	}
	id = key("ML_KEM_768", types.KeyUsageTypeEncapsulateDecapsulate)
	wrapped, err := b.Encapsulate(ctx, &kms.EncapsulateInput{KeyId: id, EncapsulationAlgorithm: "ML_KEM"})
	if err != nil {
		b.Fatal(err)
	}
	opened, err := b.Decapsulate(ctx, &kms.DecapsulateInput{KeyId: id, EncapsulationAlgorithm: "ML_KEM", SharedSecretCiphertextBlob: wrapped.SharedSecretCiphertextBlob})
	if err != nil || !bytes.Equal(opened.SharedSecret, wrapped.SharedSecret) {
		b.Errorf("ML-KEM: %v", err)
	}
	id = key("HMAC_384", types.KeyUsageTypeGenerateVerifyMac)
	hash := sha256.Sum256(nil)
	mac, err := b.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: id, Message: hash[:], MacAlgorithm: "HMAC_SHA_384"})
	if err != nil {
		b.Fatal(err)
	}
	if out, err := b.VerifyMac(ctx, &kms.VerifyMacInput{KeyId: id, Message: hash[:], Mac: mac.Mac, MacAlgorithm: "HMAC_SHA_384"}); err != nil || !out.MacValid {
		b.Errorf("HMAC: %v", err)
	}
}

// codeOf is the exception that an SDK call failed with.
func codeOf(err error) string {
	var failed smithy.APIError
	if !errors.As(err, &failed) {
		return ""
	}
	return failed.ErrorCode()
}
