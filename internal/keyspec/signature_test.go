package keyspec_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
)

// TestHalvesOfTheOrder: what secp256k1 signs is in the lower half, what it takes is in either.
func TestHalvesOfTheOrder(t *testing.T) {
	const a, raw = types.SigningAlgorithmSpecEcdsaSha256, types.MessageTypeRaw
	k, message := keyOf(t, types.KeySpecEccSecgP256k1), []byte("attack at dawn")
	half := new(big.Int).Rsh(secp256k1.n, 1)
	for range 64 {
		signature, err := k.Sign(a, raw, message)
		if err != nil {
			t.Fatal(err)
		}
		var pair struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(signature, &pair); err != nil || pair.S.Cmp(half) > 0 {
			t.Fatalf("s is in the upper half, %v", err)
		}
		pair.S.Sub(secp256k1.n, pair.S)
		other, err := asn1.Marshal(pair)
		if err != nil {
			t.Fatal(err)
		}
		if valid, err := k.Verify(a, raw, message, other); !valid || err != nil {
			t.Errorf("the twin in the upper half: %v, %v", valid, err)
		}
	}
}

// TestSignaturesHaveOneEncoding: r and s are what they are in one form of DER only, and within the order.
func TestSignaturesHaveOneEncoding(t *testing.T) {
	message := []byte("attack at dawn")
	for _, name := range []types.KeySpec{
		types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521, types.KeySpecEccSecgP256k1,
	} {
		k := keyOf(t, name)
		a := k.Spec.SigningAlgorithms()[0]
		good, err := k.Sign(a, types.MessageTypeRaw, message)
		if err != nil {
			t.Fatal(err)
		}
		var pair struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(good, &pair); err != nil {
			t.Fatal(err)
		}
		encode := func(v any) []byte {
			der, err := asn1.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return der
		}
		type two struct{ R, S *big.Int }
		r := encode(pair.R)
		padded := append([]byte{2, r[1] + 1, 0}, r[2:]...)
		body := append(padded, encode(pair.S)...)
		for what, signature := range map[string][]byte{
			"bytes behind":     append(bytes.Clone(good), 0),
			"a third number":   encode(struct{ R, S, T *big.Int }{pair.R, pair.S, big.NewInt(1)}),
			"a padded number":  encode(asn1.RawValue{Tag: 16, IsCompound: true, Bytes: body}),
			"r is 0":           encode(two{new(big.Int), pair.S}),
			"s is 0":           encode(two{pair.R, new(big.Int)}),
			"r is negative":    encode(two{new(big.Int).Neg(pair.R), pair.S}),
			"r and s in a row": append(pair.R.Bytes(), pair.S.Bytes()...),
			"nothing":          nil,
		} {
			if valid, err := k.Verify(a, types.MessageTypeRaw, message, signature); valid || err != nil {
				t.Errorf("%s: %s: %v, %v", name, what, valid, err)
			}
		}
	}
}

// TestSaltsAreAsLongAsTheHash: PSS with another salt is another signature scheme, not ours.
func TestSaltsAreAsLongAsTheHash(t *testing.T) {
	k := keyOf(t, types.KeySpecRsa2048)
	parsed, err := x509.ParsePKCS8PrivateKey(materialOf(t, types.KeySpecRsa2048))
	if err != nil {
		t.Fatal(err)
	}
	private, _ := parsed.(*rsa.PrivateKey)
	sum := sha256.Sum256([]byte("attack at dawn"))
	for salt, want := range map[int]bool{32: true, 1: false, 20: false, 31: false, 33: false, 222: false} {
		signature, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		if valid, err := k.Verify(types.SigningAlgorithmSpecRsassaPssSha256, types.MessageTypeDigest, sum[:], signature); valid != want || err != nil {
			t.Errorf("a salt of %d bytes: %v, %v", salt, valid, err)
		}
	}
}

// TestMessagesFit: each algorithm takes what it takes, and Verify refuses what Sign does.
func TestMessagesFit(t *testing.T) {
	for _, s := range keyspec.All() {
		k := keyOf(t, s.Name)
		for _, a := range s.SigningAlgorithms() {
			for as, sizes := range taken(a) {
				for _, size := range []int{0, 1, 31, 32, 33, 47, 48, 49, 63, 64, 65, 4096} {
					message := make([]byte, size)
					fits := sizes == nil || sizes[size]
					_, signErr := k.Sign(a, as, message)
					_, verifyErr := k.Verify(a, as, message, nil)
					if fits != (signErr == nil) || fits != (verifyErr == nil) ||
						!fits && (!errors.Is(signErr, keyspec.ErrMessage) || !errors.Is(verifyErr, keyspec.ErrMessage)) {
						t.Errorf("%s, %s, %s of %d bytes: %v, %v", s.Name, a, as, size, signErr, verifyErr)
					}
				}
			}
		}
	}
}

// taken are the sizes of messages that an algorithm takes by their types; nil is all.
func taken(a types.SigningAlgorithmSpec) map[types.MessageType]map[int]bool {
	const raw, digest, mu = types.MessageTypeRaw, types.MessageTypeDigest, types.MessageTypeExternalMu
	none, of64 := map[int]bool{}, map[int]bool{64: true}
	switch {
	case a == types.SigningAlgorithmSpecMlDsaShake256:
		return map[types.MessageType]map[int]bool{raw: nil, digest: none, mu: of64}
	case a == types.SigningAlgorithmSpecEd25519Sha512:
		return map[types.MessageType]map[int]bool{raw: nil, digest: none, mu: none}
	case a == types.SigningAlgorithmSpecEd25519PhSha512:
		return map[types.MessageType]map[int]bool{raw: none, digest: of64, mu: none}
	default:
		return map[types.MessageType]map[int]bool{raw: nil, digest: {hashOf(string(a)).Size(): true}, mu: none}
	}
}

// TestOnlyTheSpecsAlgorithms: every algorithm that AWS has, on every spec.
func TestOnlyTheSpecsAlgorithms(t *testing.T) {
	has := func(s *keyspec.Spec, name string) bool {
		for _, a := range s.SigningAlgorithms() {
			if string(a) == name {
				return true
			}
		}
		for _, a := range s.EncryptionAlgorithms() {
			if string(a) == name && s.Asymmetric() {
				return true
			}
		}
		for _, a := range s.MacAlgorithms() {
			if string(a) == name {
				return true
			}
		}
		return false
	}
	message := make([]byte, 64)
	for _, s := range keyspec.All() {
		k := keyOf(t, s.Name)
		check := func(name string, err error) {
			if has(s, name) == errors.Is(err, keyspec.ErrAlgorithm) {
				t.Errorf("%s on %s: %v", name, s.Name, err)
			}
		}
		for _, a := range types.SigningAlgorithmSpec("").Values() {
			as := types.MessageTypeRaw
			if strings.Contains(string(a), "_PH_") {
				as = types.MessageTypeDigest
			}
			_, err := k.Sign(a, as, message)
			check(string(a), err)
			_, err = k.Verify(a, as, message, nil)
			check(string(a), err)
		}
		for _, a := range types.EncryptionAlgorithmSpec("").Values() {
			_, err := k.Encrypt(a, message)
			check(string(a), err)
			_, err = k.Decrypt(a, message)
			check(string(a), err)
		}
		for _, a := range types.MacAlgorithmSpec("").Values() {
			_, err := k.MAC(a, message)
			check(string(a), err)
		}
		if _, _, err := k.Encapsulate(); (s.EncapsulationAlgorithms() == nil) != errors.Is(err, keyspec.ErrAlgorithm) {
			t.Errorf("%s encapsulates: %v", s.Name, err)
		}
	}
}
