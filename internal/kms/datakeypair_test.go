package kms_test

import (
	"bytes"
	"crypto"
	"crypto/mlkem"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/kms"
)

func TestDataKeyPairs(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	context := map[string]string{"for": "a pair"}
	for _, spec := range types.DataKeyPairSpec("").Values() {
		in := &awskms.GenerateDataKeyPairInput{KeyId: k.KeyId, KeyPairSpec: spec, EncryptionContext: context}
		if spec == types.DataKeyPairSpecSm2 {
			w.refused("GenerateDataKeyPair", in, "UnsupportedOperationException", "KeyPairSpec SM2 is not supported in this Region")
			continue
		}
		out := do[awskms.GenerateDataKeyPairOutput](w, "GenerateDataKeyPair", in)
		if *out.KeyId != *k.Arn || *out.KeyMaterialId != *k.CurrentKeyMaterialId || out.KeyPairSpec != spec {
			t.Errorf("%s: %+v", spec, out)
		}
		if got := w.decrypt(out.PrivateKeyCiphertextBlob, context); got != string(out.PrivateKeyPlaintext) {
			t.Errorf("%s: the encrypted private key is another one", spec)
		}
		w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: out.PrivateKeyCiphertextBlob}, "InvalidCiphertextException", "")
		if !belongTogether(t, spec, out.PrivateKeyPlaintext, out.PublicKey) {
			t.Errorf("%s: private and public key do not belong together", spec)
		}
	}
}

// belongTogether reports whether a private key's public key is the one given. Keys that Go's standard library does not
// read are openssl's affair, and those of ML-KEM are taken apart by hand.
func belongTogether(t testing.TB, spec types.DataKeyPairSpec, private, public []byte) bool {
	t.Helper()
	switch spec {
	case types.DataKeyPairSpecEccSecgP256k1:
		return bytes.Equal(openssl(t, private, "pkey", "-inform", "DER", "-pubout", "-outform", "DER"), public)
	case types.DataKeyPairSpecMlKem512, types.DataKeyPairSpecMlKem768, types.DataKeyPairSpecMlKem1024:
		return kemBelongsTogether(t, spec, private, public)
	}
	key, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(der, public)
}

// openssl runs a command on a file "in".
func openssl(t testing.TB, in []byte, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), in, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("openssl", append(args, "-in", "in")...)
	c.Dir = dir
	out, err := c.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
	return out
}

func TestDataKeyPairsWithoutPlaintext(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	out := do[awskms.GenerateDataKeyPairWithoutPlaintextOutput](w, "GenerateDataKeyPairWithoutPlaintext",
		&awskms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: k.KeyId, KeyPairSpec: "ECC_NIST_P384"})
	if *out.KeyId != *k.Arn || *out.KeyMaterialId != *k.CurrentKeyMaterialId || out.KeyPairSpec != "ECC_NIST_P384" {
		t.Errorf("%+v", out)
	}
	if !belongTogether(t, "ECC_NIST_P384", []byte(w.decrypt(out.PrivateKeyCiphertextBlob, nil)), out.PublicKey) {
		t.Error("private and public key do not belong together")
	}
}

func TestWhatDataKeyPairsRefuse(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k, stored := w.createKey(), w.createStoreKey()
	rsa := w.createKind(kind{spec: "RSA_2048", usage: "ENCRYPT_DECRYPT"})
	hmac := w.createKind(kind{spec: "HMAC_256", usage: "GENERATE_VERIFY_MAC"})
	for _, c := range []struct {
		in            awskms.GenerateDataKeyPairInput
		code, message string
	}{
		{awskms.GenerateDataKeyPairInput{KeyId: k.KeyId, DryRun: aws.Bool(true)}, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set."},
		{awskms.GenerateDataKeyPairInput{KeyId: stored.KeyId}, "UnsupportedOperationException", *stored.Arn + " origin is AWS_CLOUDHSM which is not valid for this operation."},
		{awskms.GenerateDataKeyPairInput{KeyId: rsa.KeyId}, "InvalidKeyUsageException", "You cannot generate a data key with an asymmetric CMK"},
		{awskms.GenerateDataKeyPairInput{KeyId: hmac.KeyId}, "InvalidKeyUsageException", *hmac.Arn + " key usage is GENERATE_VERIFY_MAC which is not valid for GenerateDataKeyPair."},
		{awskms.GenerateDataKeyPairInput{KeyId: k.KeyId, Recipient: &types.RecipientInfo{AttestationDocument: []byte{1}}}, "UnsupportedOperationException",
			"Attested requests are not supported: this endpoint cannot verify the attestation document in Recipient."},
	} {
		c.in.KeyPairSpec = "ECC_NIST_P256"
		w.refused("GenerateDataKeyPair", &c.in, c.code, c.message)
	}
	w.stores.connect(false)
	w.refused("GenerateDataKeyPair", &awskms.GenerateDataKeyPairInput{KeyId: stored.KeyId, KeyPairSpec: "ECC_NIST_P256"},
		"KMSInvalidStateException", *stored.Arn+" is unavailable.")
}

// kemBelongsTogether: what is encapsulated to the public key opens with the private one, whose PKCS #8 holds the seed of
// FIPS 203 (RFC 9935: the seed alone, tagged [0]).
func kemBelongsTogether(t testing.TB, spec types.DataKeyPairSpec, private, public []byte) bool {
	t.Helper()
	_, raw := spki(t, public)
	seed := private[len(private)-mlkem.SeedSize:]
	switch spec {
	case types.DataKeyPairSpecMlKem768:
		key, err := mlkem.NewDecapsulationKey768(seed)
		return err == nil && bytes.Equal(key.EncapsulationKey().Bytes(), raw)
	case types.DataKeyPairSpecMlKem1024:
		key, err := mlkem.NewDecapsulationKey1024(seed)
		return err == nil && bytes.Equal(key.EncapsulationKey().Bytes(), raw)
	default:
		return len(raw) == 800 // nothing here knows ML-KEM-512 but package keyspec, which holds it against NIST's vectors
	}
}
