package keyspec_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/ed25519"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"

	"keyward/internal/keyspec"
)

// shares are how many of TestTenThousand's operations a spec does: fewer where they take milliseconds. The symmetric key's
// work is package xaes's.
var shares = map[types.KeySpec]int{
	types.KeySpecHmac224: 1000, types.KeySpecHmac256: 1000, types.KeySpecHmac384: 1000, types.KeySpecHmac512: 1000,
	types.KeySpecRsa2048: 400, types.KeySpecRsa3072: 100, types.KeySpecRsa4096: 50,
	types.KeySpecEccNistP256: 100, types.KeySpecEccNistP384: 60, types.KeySpecEccNistP521: 40, types.KeySpecEccSecgP256k1: 100,
	types.KeySpecEccNistEdwards25519: 1650,
	types.KeySpecMlDsa44:             400, types.KeySpecMlDsa65: 250, types.KeySpecMlDsa87: 150,
	types.KeySpecMlKem512: 900, types.KeySpecMlKem768: 900, types.KeySpecMlKem1024: 900,
}

// trial is one operation on random input: done here and judged by other code, or done by other code and judged here. It
// reports what the other code thinks.
type trial func(t *testing.T, random *mathrand.Rand) bool

// TestTenThousand does 10,000 operations over all specs and algorithms, and has each one judged by code that shares
// nothing with it: the standards' words in math/big, or another library.
func TestTenThousand(t *testing.T) {
	total := 0
	for name, n := range shares {
		total += n
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			random := mathrand.New(mathrand.NewPCG(uint64(n), 4))
			trials := trialsOf(t, name)
			for i := range n {
				if !trials[i%len(trials)](t, random) {
					t.Fatalf("operation %d went wrong", i)
				}
			}
		})
	}
	if total != 10_000 {
		t.Errorf("%d operations", total)
	}
}

func trialsOf(t *testing.T, name types.KeySpec) []trial {
	t.Helper()
	k := keyOf(t, name)
	switch {
	case k.Spec.MacAlgorithms() != nil:
		return []trial{macTrial(materialOf(t, name), k)}
	case strings.HasPrefix(string(name), "RSA"):
		return rsaTrials(t, k)
	case strings.HasPrefix(string(name), "ML_DSA"):
		return mldsaTrials(t, k)
	case strings.HasPrefix(string(name), "ML_KEM"):
		return mlkemTrials(t, k)
	case name == types.KeySpecEccNistEdwards25519:
		return edwardsTrials(t, k)
	default:
		return curveTrials(t, k)
	}
}

func text(random *mathrand.Rand, most int) []byte {
	b := make([]byte, random.IntN(most+1))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// hashOf is named at an algorithm's end.
func hashOf(algorithm string) crypto.Hash {
	return map[string]crypto.Hash{
		"HA_1": crypto.SHA1, "_224": crypto.SHA224, "_256": crypto.SHA256, "_384": crypto.SHA384, "_512": crypto.SHA512,
	}[algorithm[len(algorithm)-4:]]
}

func macTrial(key []byte, k *keyspec.Key) trial {
	algorithm := k.Spec.MacAlgorithms()[0]
	return func(_ *testing.T, random *mathrand.Rand) bool {
		message := text(random, 4096)
		mac, err := k.MAC(algorithm, message)
		return err == nil && bytes.Equal(mac, hmacOf(hashOf(string(algorithm)), key, message))
	}
}

// signed signs a random message, as itself or as its digest, and hands the digest and the signature to a judge. The key
// must take the signature in both forms, and refuse it with any bit changed.
func signed(k *keyspec.Key, a types.SigningAlgorithmSpec, judge func(h crypto.Hash, sum, signature []byte) bool) trial {
	return func(_ *testing.T, random *mathrand.Rand) bool {
		h, message := hashOf(string(a)), text(random, 4096)
		sum := hashed(h, message)
		as, given := types.MessageTypeRaw, message
		if random.IntN(2) == 0 {
			as, given = types.MessageTypeDigest, sum
		}
		signature, err := k.Sign(a, as, given)
		if err != nil || !judge(h, sum, signature) {
			return false
		}
		asRaw, err1 := k.Verify(a, types.MessageTypeRaw, message, signature)
		asDigest, err2 := k.Verify(a, types.MessageTypeDigest, sum, signature)
		changed := bytes.Clone(signature)
		changed[random.IntN(len(changed))] ^= 1 << random.IntN(8)
		wrong, err3 := k.Verify(a, as, given, changed)
		return asRaw && asDigest && !wrong && err1 == nil && err2 == nil && err3 == nil
	}
}

func rsaTrials(t *testing.T, k *keyspec.Key) (trials []trial) {
	parsed, err := x509.ParsePKCS8PrivateKey(materialOf(t, k.Spec.Name))
	if err != nil {
		t.Fatal(err)
	}
	private, _ := parsed.(*rsa.PrivateKey)
	n, e := private.N, big.NewInt(int64(private.E))
	for _, a := range k.Spec.SigningAlgorithms() {
		trials = append(trials, signed(k, a, func(h crypto.Hash, sum, signature []byte) bool {
			if strings.Contains(string(a), "PSS") {
				return pssValid(n, e, h, sum, signature)
			}
			return pkcs1Valid(n, e, h, sum, signature)
		}))
	}
	for _, a := range k.Spec.EncryptionAlgorithms() {
		h, most := hashOf(string(a)), keyspec.MaxPlaintext(k.Spec.Name, a)
		trials = append(trials, func(_ *testing.T, random *mathrand.Rand) bool {
			plaintext := text(random, most)
			got, err := k.Decrypt(a, oaepEncrypt(n, e, h, text(random, h.Size()), plaintext))
			return err == nil && bytes.Equal(got, plaintext)
		}, func(_ *testing.T, random *mathrand.Rand) bool {
			plaintext := text(random, most)
			ciphertext, err := k.Encrypt(a, plaintext)
			return err == nil && bytes.Equal(oaepDecrypt(n, private.D, h, ciphertext), plaintext)
		})
	}
	return trials
}

func curveTrials(t *testing.T, k *keyspec.Key) (trials []trial) {
	c := map[types.KeySpec]*curve{
		types.KeySpecEccNistP256: nist(elliptic.P256()), types.KeySpecEccNistP384: nist(elliptic.P384()),
		types.KeySpecEccNistP521: nist(elliptic.P521()), types.KeySpecEccSecgP256k1: secp256k1,
	}[k.Spec.Name]
	public := publicBits(t, k)
	for _, a := range k.Spec.SigningAlgorithms() {
		trials = append(trials, signed(k, a, func(_ crypto.Hash, sum, signature []byte) bool {
			valid, _ := c.ecdsaValid(public, sum, signature)
			return valid
		}))
	}
	if k.Spec.KeyAgreementAlgorithms() != nil {
		trials = append(trials, agreement(t, k, c))
	}
	return trials
}

func agreement(t *testing.T, k *keyspec.Key, c *curve) trial {
	t.Helper()
	var outer pkcs8
	var inner ecKey
	if _, err := asn1.Unmarshal(materialOf(t, k.Spec.Name), &outer); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(outer.Key, &inner); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, _ *mathrand.Rand) bool {
		peer := made(t, k.Spec)
		der, err := peer.PublicKey()
		if err != nil {
			return false
		}
		public, err := keyspec.ParsePublic(k.Spec.Name, der)
		if err != nil {
			return false
		}
		shared, err := k.Agree(public)
		return err == nil && bytes.Equal(shared, c.shared(inner.Scalar, publicBits(t, peer)))
	}
}

func edwardsTrials(t *testing.T, k *keyspec.Key) []trial {
	material := materialOf(t, k.Spec.Name)
	private := ed25519.NewKeyFromSeed(material[len(material)-ed25519.SeedSize:])
	public, _ := private.Public().(ed25519.PublicKey)
	if !bytes.Equal(public, publicBits(t, k)) {
		t.Fatal("another public key of the same seed")
	}
	const pure, ph = types.SigningAlgorithmSpecEd25519Sha512, types.SigningAlgorithmSpecEd25519PhSha512
	return []trial{
		func(_ *testing.T, random *mathrand.Rand) bool {
			message := text(random, 4096)
			signature, err := k.Sign(pure, types.MessageTypeRaw, message)
			valid, err2 := k.Verify(pure, types.MessageTypeRaw, message, ed25519.Sign(private, message))
			return err == nil && err2 == nil && valid && ed25519.Verify(public, message, signature)
		},
		func(_ *testing.T, random *mathrand.Rand) bool { // the other library hashes what it signs itself
			digest := sha512.Sum512(text(random, 4096))
			signature, err := k.Sign(ph, types.MessageTypeDigest, digest[:])
			valid, err2 := k.Verify(ph, types.MessageTypeDigest, digest[:], ed25519.SignPh(private, digest[:], ""))
			return err == nil && err2 == nil && valid && ed25519.VerifyPh(public, digest[:], signature, "")
		},
	}
}

func mldsaTrials(t *testing.T, k *keyspec.Key) []trial {
	scheme := map[types.KeySpec]sign.Scheme{
		types.KeySpecMlDsa44: mldsa44.Scheme(), types.KeySpecMlDsa65: mldsa65.Scheme(), types.KeySpecMlDsa87: mldsa87.Scheme(),
	}[k.Spec.Name]
	material := materialOf(t, k.Spec.Name)
	public, private := scheme.DeriveKey(material[len(material)-scheme.SeedSize():])
	packed, err := public.MarshalBinary()
	if err != nil || !bytes.Equal(packed, publicBits(t, k)) {
		t.Fatalf("another public key of the same seed, %v", err)
	}
	const a, rawType, muType = types.SigningAlgorithmSpecMlDsaShake256, types.MessageTypeRaw, types.MessageTypeExternalMu
	return []trial{
		func(_ *testing.T, random *mathrand.Rand) bool {
			message := text(random, 4096)
			signature, err := k.Sign(a, rawType, message)
			return err == nil && scheme.Verify(public, message, signature, nil)
		},
		func(t *testing.T, random *mathrand.Rand) bool {
			message := text(random, 4096)
			signature, err := k.Sign(a, muType, muOf(t, k, message))
			return err == nil && scheme.Verify(public, message, signature, nil)
		},
		func(t *testing.T, random *mathrand.Rand) bool {
			message := text(random, 4096)
			signature := scheme.Sign(private, message, nil)
			asRaw, err1 := k.Verify(a, rawType, message, signature)
			asMu, err2 := k.Verify(a, muType, muOf(t, k, message), signature)
			return asRaw && asMu && err1 == nil && err2 == nil
		},
	}
}

// mlkemTrials judge ML-KEM-512, which is circl's here, by nothing but circl: what judges it is NIST's vectors.
func mlkemTrials(t *testing.T, k *keyspec.Key) []trial {
	scheme := map[types.KeySpec]kem.Scheme{
		types.KeySpecMlKem512: mlkem512.Scheme(), types.KeySpecMlKem768: mlkem768.Scheme(), types.KeySpecMlKem1024: mlkem1024.Scheme(),
	}[k.Spec.Name]
	material := materialOf(t, k.Spec.Name)
	public, private := scheme.DeriveKeyPair(material[len(material)-mlkem.SeedSize:])
	packed, err := public.MarshalBinary()
	if err != nil || !bytes.Equal(packed, publicBits(t, k)) {
		t.Fatalf("another public key of the same seed, %v", err)
	}
	return []trial{
		func(*testing.T, *mathrand.Rand) bool {
			shared, ciphertext, err := k.Encapsulate()
			if err != nil {
				return false
			}
			got, err := scheme.Decapsulate(private, ciphertext)
			return err == nil && bytes.Equal(got, shared)
		},
		func(*testing.T, *mathrand.Rand) bool {
			ciphertext, shared, err := scheme.Encapsulate(public)
			if err != nil {
				return false
			}
			got, err := k.Decapsulate(ciphertext)
			return err == nil && bytes.Equal(got, shared)
		},
		func(*testing.T, *mathrand.Rand) bool { // implicit rejection gives the same secret everywhere
			ciphertext := make([]byte, scheme.CiphertextSize())
			_, _ = rand.Read(ciphertext)
			shared, err1 := k.Decapsulate(ciphertext)
			got, err2 := scheme.Decapsulate(private, ciphertext)
			return err1 == nil && err2 == nil && bytes.Equal(got, shared)
		},
	}
}
