package keyspec_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
)

// held is one key of each spec for all tests that need any: RSA keys take seconds to make.
var held = struct {
	sync.Mutex
	keys map[types.KeySpec]*keyspec.Key
}{keys: map[types.KeySpec]*keyspec.Key{}}

func keyOf(t testing.TB, name types.KeySpec) *keyspec.Key {
	t.Helper()
	held.Lock()
	defer held.Unlock()
	if held.keys[name] == nil {
		s, _ := keyspec.Of(name)
		material, err := s.Generate()
		if err != nil {
			t.Fatal(err)
		}
		if held.keys[name], err = s.Parse(material.Expose()); err != nil {
			t.Fatal(err)
		}
	}
	return held.keys[name]
}

func materialOf(t testing.TB, name types.KeySpec) []byte {
	t.Helper()
	m, err := keyOf(t, name).Material()
	if err != nil {
		t.Fatal(err)
	}
	return m.Expose()
}

// TestMaterialFitsOneSpec: what is of one spec is of no other, and a byte more or less is of none. Raw material is known
// by its length only.
func TestMaterialFitsOneSpec(t *testing.T) {
	for _, of := range keyspec.All() {
		material := materialOf(t, of.Name)
		if again, err := of.Parse(material); err != nil {
			t.Fatal(err)
		} else if canonical, err := again.Material(); err != nil || !bytes.Equal(canonical.Expose(), material) {
			t.Errorf("%s: material does not come back in its canonical form: %v", of.Name, err)
		}
		for _, s := range keyspec.All() {
			_, err := s.Parse(material)
			fits := s == of || !s.Asymmetric() && len(materialOf(t, s.Name)) == len(material)
			if fits != (err == nil) || err != nil && !errors.Is(err, keyspec.ErrMaterial) {
				t.Errorf("material of %s for %s: %v", of.Name, s.Name, err)
			}
		}
		longer := append(bytes.Clone(material), 0)
		for _, wrong := range [][]byte{longer, material[:len(material)-1], nil} {
			if _, err := of.Parse(wrong); !errors.Is(err, keyspec.ErrMaterial) {
				t.Errorf("%s: %d bytes instead of %d: %v", of.Name, len(wrong), len(material), err)
			}
		}
	}
}

func openssl(t testing.TB, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not there")
	}
	var stderr strings.Builder
	cmd := exec.Command("openssl", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

func file(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestForeignMaterial takes PKCS #8 as openssl makes it, and refuses what is sound but not of the spec.
func TestForeignMaterial(t *testing.T) {
	for _, c := range []struct {
		spec    types.KeySpec
		options string
		good    bool
	}{
		{types.KeySpecRsa2048, "RSA rsa_keygen_bits:2048", true},
		{types.KeySpecRsa2048, "RSA rsa_keygen_bits:2048 rsa_keygen_pubexp:3", false},
		{types.KeySpecRsa2048, "RSA rsa_keygen_bits:2048 rsa_keygen_primes:3", false},
		{types.KeySpecRsa2048, "RSA rsa_keygen_bits:1024", false},
		{types.KeySpecRsa2048, "RSA rsa_keygen_bits:2040", false},
		{types.KeySpecRsa2048, "RSA-PSS rsa_keygen_bits:2048", false},
		{types.KeySpecEccNistP256, "EC ec_paramgen_curve:P-256", true},
		{types.KeySpecEccNistP256, "EC ec_paramgen_curve:P-256 ec_param_enc:explicit", false},
		{types.KeySpecEccNistP256, "EC ec_paramgen_curve:P-384", false},
		{types.KeySpecEccNistP384, "EC ec_paramgen_curve:P-384", true},
		{types.KeySpecEccNistP521, "EC ec_paramgen_curve:P-521", true},
		{types.KeySpecEccSecgP256k1, "EC ec_paramgen_curve:secp256k1", true},
		{types.KeySpecEccSecgP256k1, "EC ec_paramgen_curve:P-256", false},
		{types.KeySpecEccNistEdwards25519, "ED25519", true},
		{types.KeySpecEccNistEdwards25519, "X25519", false},
		{types.KeySpecEccNistEdwards25519, "ED448", false},
	} {
		fields := strings.Fields(c.options)
		args := []string{"genpkey", "-outform", "DER", "-algorithm", fields[0]}
		for _, option := range fields[1:] {
			args = append(args, "-pkeyopt", option)
		}
		// genpkey writes RSA and EC keys in their own forms.
		der := openssl(t, "pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-outform", "DER", "-in", file(t, openssl(t, args...)))
		s, _ := keyspec.Of(c.spec)
		k, err := s.Parse(der)
		if c.good != (err == nil) || err != nil && !errors.Is(err, keyspec.ErrMaterial) {
			t.Errorf("%s of %s: %v", c.spec, c.options, err)
			continue
		}
		if err == nil {
			public := openssl(t, "pkey", "-inform", "DER", "-in", file(t, der), "-pubout", "-outform", "DER")
			if got, err := k.PublicKey(); err != nil || !bytes.Equal(got, public) {
				t.Errorf("%s: another public key than openssl's, %v", c.spec, err)
			}
		}
	}
}

// ecKey is RFC 5915's ECPrivateKey, and pkcs8 its wrapping.
type (
	ecKey struct {
		Version int
		Scalar  []byte
		Point   asn1.BitString `asn1:"optional,explicit,tag:1"`
	}
	algorithm struct {
		Algorithm, Curve asn1.ObjectIdentifier
	}
	pkcs8 struct {
		Version   int
		Algorithm algorithm
		Key       []byte
	}
)

func ecMaterial(t *testing.T, curve asn1.ObjectIdentifier, scalar, point []byte, after ...byte) []byte {
	t.Helper()
	inner, err := asn1.Marshal(ecKey{1, scalar, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(pkcs8{0, algorithm{asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, curve}, append(inner, after...)})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestScalarAndPointBelongTogether covers material of which only the scalar would be believed otherwise.
func TestScalarAndPointBelongTogether(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scalar, _ := private.Bytes()
	point, _ := private.PublicKey.Bytes()
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	inTheOther := append([]byte{3 - point[64]&1}, point[1:33]...)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, _ := other.PublicKey.Bytes()
	order := elliptic.P256().Params().N.Bytes()
	koblitzOrder := append(bytes.Repeat([]byte{0xff}, 15), 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41)
	p256, secp256k1 := asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, asn1.ObjectIdentifier{1, 3, 132, 0, 10}
	for name, c := range map[string]struct {
		spec types.KeySpec
		der  []byte
		good bool
	}{
		"no point":                {types.KeySpecEccNistP256, ecMaterial(t, p256, scalar, nil), true},
		"its point":               {types.KeySpecEccNistP256, ecMaterial(t, p256, scalar, point), true},
		"its point, compressed":   {types.KeySpecEccNistP256, ecMaterial(t, p256, scalar, compressed), true},
		"the negative point":      {types.KeySpecEccNistP256, ecMaterial(t, p256, scalar, inTheOther), false},
		"another point":           {types.KeySpecEccNistP256, ecMaterial(t, p256, scalar, stranger), false},
		"bytes after the key":     {types.KeySpecEccNistP256, ecMaterial(t, p256, scalar, point, 0), false},
		"scalar 0":                {types.KeySpecEccNistP256, ecMaterial(t, p256, make([]byte, 32), nil), false},
		"scalar n":                {types.KeySpecEccNistP256, ecMaterial(t, p256, order, nil), false},
		"long scalar":             {types.KeySpecEccNistP256, ecMaterial(t, p256, append([]byte{1}, scalar...), nil), false},
		"secp256k1":               {types.KeySpecEccSecgP256k1, ecMaterial(t, secp256k1, scalar, nil), true},
		"secp256k1, P-256's":      {types.KeySpecEccSecgP256k1, ecMaterial(t, secp256k1, scalar, point), false},
		"secp256k1, bytes after":  {types.KeySpecEccSecgP256k1, ecMaterial(t, secp256k1, scalar, nil, 0), false},
		"secp256k1, scalar 0":     {types.KeySpecEccSecgP256k1, ecMaterial(t, secp256k1, make([]byte, 32), nil), false},
		"secp256k1, scalar n":     {types.KeySpecEccSecgP256k1, ecMaterial(t, secp256k1, koblitzOrder, nil), false},
		"secp256k1, short scalar": {types.KeySpecEccSecgP256k1, ecMaterial(t, secp256k1, scalar[1:], nil), false},
	} {
		s, _ := keyspec.Of(c.spec)
		if _, err := s.Parse(c.der); c.good != (err == nil) || err != nil && !errors.Is(err, keyspec.ErrMaterial) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPeers: only points of the key's own curve are agreed with.
func TestPeers(t *testing.T) {
	good, err := keyOf(t, types.KeySpecEccNistP256).PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	offCurve := bytes.Clone(good)
	offCurve[len(offCurve)-1] ^= 1
	atInfinity, err := asn1.Marshal(struct {
		Algorithm algorithm
		Point     asn1.BitString
	}{algorithm{asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}}, asn1.BitString{Bytes: []byte{0}, BitLength: 8}})
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"off the curve": offCurve, "at infinity": atInfinity, "with more behind": append(bytes.Clone(good), 0), "cut": good[:len(good)-1], "nothing": nil,
	} {
		if _, err := keyspec.ParsePublic(types.KeySpecEccNistP256, der); !errors.Is(err, keyspec.ErrPublicKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range keyspec.All() {
		der, err := keyOf(t, s.Name).PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keyspec.ParsePublic(types.KeySpecEccNistP256, der); (err == nil) != (s.Name == types.KeySpecEccNistP256) {
			t.Errorf("a key of %s for ECC_NIST_P256: %v", s.Name, err)
		}
	}
}

// FuzzParsePublic: whatever is taken is a point that can be agreed with.
func FuzzParsePublic(f *testing.F) {
	for _, name := range []types.KeySpec{types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521, types.KeySpecEccSecgP256k1} {
		der, err := keyOf(f, name).PublicKey()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
		f.Add(der[:len(der)-1])
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, name := range []types.KeySpec{types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521} {
			peer, err := keyspec.ParsePublic(name, der)
			if err != nil {
				if !errors.Is(err, keyspec.ErrPublicKey) {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if _, err := x509.ParsePKIXPublicKey(der); err != nil {
				t.Errorf("%s: taken, but %v", name, err)
			}
			if _, err := keyOf(t, name).Agree(peer); err != nil {
				t.Errorf("%s: taken, but %v", name, err)
			}
		}
	})
}
