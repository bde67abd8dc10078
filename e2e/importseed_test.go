package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding"
	"encoding/asn1"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/sign"
)

// importedSeed is a key that its owner makes from a seed: how it comes, and whether the key that was made comes along.
type importedSeed struct {
	spec     types.KeySpec
	arcs     [2]int // the end of its algorithm's identifier
	wrapping types.AlgorithmSpec
	under    types.WrappingKeySpec
	expanded bool
}

// material is PKCS #8 as RFC 9881 and RFC 9935 have it.
func (b bench) material(c *importedSeed, seed []byte, private encoding.BinaryMarshaler) []byte {
	b.Helper()
	choice := append([]byte{0x80, byte(len(seed))}, seed...)
	if c.expanded {
		expanded, err := private.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		choice = b.der(struct{ Seed, Expanded []byte }{seed, expanded})
	}
	type identifier struct{ Algorithm asn1.ObjectIdentifier }
	return b.der(struct {
		Version   int
		Algorithm identifier
		Key       []byte
	}{0, identifier{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, c.arcs[0], c.arcs[1]}}, choice})
}

func (b bench) der(v any) []byte {
	b.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	return der
}

func (b bench) random(size int) []byte {
	b.Helper()
	seed := make([]byte, size)
	if _, err := rand.Read(seed); err != nil {
		b.Fatal(err)
	}
	return seed
}

// importSeed brings the key and requires that it has the owner's public half.
func (b bench) importSeed(c *importedSeed, usage types.KeyUsageType, material []byte, public encoding.BinaryMarshaler) *string {
	b.Helper()
	b.write("material", material)
	id := b.external(c.spec, usage)
	b.bring(id, c.wrapping, c.under)
	out, err := b.GetPublicKey(b.Context(), &kms.GetPublicKeyInput{KeyId: id})
	if err != nil {
		b.Fatal(err)
	}
	if want, err := public.MarshalBinary(); err != nil || !bytes.HasSuffix(out.PublicKey, want) {
		b.Fatalf("keyward has another public key: %v", err)
	}
	return id
}

// importedMLDSA: the owner's library takes keyward's signatures, and keyward the library's.
func (b bench) importedMLDSA(c importedSeed, scheme sign.Scheme) {
	seed := b.random(scheme.SeedSize())
	public, private := scheme.DeriveKey(seed)
	id := b.importSeed(&c, types.KeyUsageTypeSignVerify, b.material(&c, seed, private), public)
	message := []byte("attack at dawn")
	in := &kms.SignInput{KeyId: id, Message: message, SigningAlgorithm: types.SigningAlgorithmSpecMlDsaShake256}
	out, err := b.Sign(b.Context(), in)
	if err != nil || !scheme.Verify(public, message, out.Signature, nil) {
		b.Errorf("keyward's signature: %v", err)
	}
	verify := &kms.VerifyInput{KeyId: id, Message: message, Signature: scheme.Sign(private, message, nil), SigningAlgorithm: in.SigningAlgorithm}
	if valid, err := b.Verify(b.Context(), verify); err != nil || !valid.SignatureValid {
		b.Errorf("the original's signature: %v", err)
	}
}

// importedMLKEM: what is encapsulated on one side is decapsulated on the other.
func (b bench) importedMLKEM(c importedSeed, scheme kem.Scheme) {
	seed := b.random(scheme.SeedSize())
	public, private := scheme.DeriveKeyPair(seed)
	id := b.importSeed(&c, types.KeyUsageTypeEncapsulateDecapsulate, b.material(&c, seed, private), public)
	made, err := b.Encapsulate(b.Context(), &kms.EncapsulateInput{KeyId: id, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem})
	if err != nil {
		b.Fatal(err)
	}
	if secret, err := scheme.Decapsulate(private, made.SharedSecretCiphertextBlob); err != nil || !bytes.Equal(secret, made.SharedSecret) {
		b.Errorf("the owner finds another secret: %v", err)
	}
	ciphertext, secret, err := scheme.Encapsulate(public)
	if err != nil {
		b.Fatal(err)
	}
	opened, err := b.Decapsulate(b.Context(), &kms.DecapsulateInput{
		KeyId: id, SharedSecretCiphertextBlob: ciphertext, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem,
	})
	if err != nil || !bytes.Equal(opened.SharedSecret, secret) {
		b.Errorf("keyward finds another secret: %v", err)
	}
}
