package keyspec_test

import (
	"bytes"
	"compress/gzip"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/cloudflare/circl/kem/mlkem/mlkem512"

	"keyward/internal/keyspec"
)

// hexes is a member of NIST's vectors.
type hexes []byte

func (h *hexes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vector is a test of NIST's ACVP server, question and answer in one.
type vector struct {
	ID         int `json:"tcId"`
	Seed, D, Z hexes
	PK, EK     hexes
	M, C, K    hexes // what encapsulation starts from; its ciphertext and secret
	SK, DK     hexes
}

// vectors reads NIST's, which the circl library's module carries along, by their parameter sets.
func vectors(t *testing.T, folder string) map[types.KeySpec][]*vector {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudflare/circl").Output()
	if err != nil {
		t.Fatal(err)
	}
	found, byID := map[types.KeySpec][]*vector{}, map[int]*vector{}
	for _, name := range []string{"prompt.json.gz", "expectedResults.json.gz"} {
		var content struct {
			TestGroups []struct {
				ParameterSet string
				DK           hexes // of all tests of a group
				Tests        []json.RawMessage
			}
		}
		unzip(t, filepath.Join(strings.TrimSpace(string(dir)), folder, name), &content)
		for _, group := range content.TestGroups {
			spec := types.KeySpec(strings.ReplaceAll(group.ParameterSet, "-", "_"))
			for _, test := range group.Tests {
				v := vector{DK: group.DK}
				if err := json.Unmarshal(test, &v); err != nil {
					t.Fatal(err)
				}
				if known := byID[v.ID]; known != nil { // the answer
					if err := json.Unmarshal(test, known); err != nil {
						t.Fatal(err)
					}
					continue
				}
				byID[v.ID] = &v
				found[spec] = append(found[spec], &v)
			}
		}
	}
	return found
}

func unzip(t *testing.T, path string, v any) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(v); err != nil {
		t.Fatal(err)
	}
}

// pqMaterial is PKCS #8 of a spec whose seeds are keys' material, with this choice of private key (RFC 9881, RFC 9935).
func pqMaterial(t *testing.T, name types.KeySpec, choice []byte) []byte {
	t.Helper()
	arcs := map[types.KeySpec][]int{
		types.KeySpecMlDsa44: {3, 17}, types.KeySpecMlDsa65: {3, 18}, types.KeySpecMlDsa87: {3, 19},
		types.KeySpecMlKem512: {4, 1}, types.KeySpecMlKem768: {4, 2}, types.KeySpecMlKem1024: {4, 3},
	}[name]
	type identifier struct{ Algorithm asn1.ObjectIdentifier }
	return marshal(t, struct {
		Version   int
		Algorithm identifier
		Key       []byte
	}{0, identifier{append(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4}, arcs...)}, choice})
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func seedAlone(seed []byte) []byte { return append([]byte{0x80, byte(len(seed))}, seed...) }

func seedAndExpanded(t *testing.T, seed, expanded []byte) []byte {
	t.Helper()
	return marshal(t, struct{ Seed, Expanded []byte }{seed, expanded})
}

// TestNISTKeyGeneration: seeds make the public keys that NIST says, and the expanded keys beside them are NIST's or refused.
func TestNISTKeyGeneration(t *testing.T) {
	for folder, specs := range map[string][]types.KeySpec{
		"sign/mldsa/testdata/ML-DSA-keyGen-FIPS204": {types.KeySpecMlDsa44, types.KeySpecMlDsa65, types.KeySpecMlDsa87},
		"kem/mlkem/testdata/ML-KEM-keyGen-FIPS203":  {types.KeySpecMlKem512, types.KeySpecMlKem768, types.KeySpecMlKem1024},
	} {
		found := vectors(t, folder)
		for _, name := range specs {
			if len(found[name]) < 25 {
				t.Errorf("%s: %d vectors", name, len(found[name]))
			}
			for _, v := range found[name] {
				checkSeed(t, name, v)
			}
		}
	}
}

func checkSeed(t *testing.T, name types.KeySpec, v *vector) {
	t.Helper()
	s, _ := keyspec.Of(name)
	seed, expanded := slices.Concat(v.Seed, v.D, v.Z), slices.Concat(v.SK, v.DK)
	other := bytes.Clone(expanded)
	other[v.ID%len(other)] ^= 1
	for form, c := range map[string]struct {
		choice []byte
		good   bool
	}{
		"a seed":                      {seedAlone(seed), true},
		"a seed and its expanded key": {seedAndExpanded(t, seed, expanded), true},
		"a seed and another's":        {seedAndExpanded(t, seed, other), false},
		"a seed and none":             {seedAndExpanded(t, seed, nil), false},
		"a short seed":                {seedAlone(seed[1:]), false},
		"a short seed and a key":      {seedAndExpanded(t, seed[1:], expanded), false},
		"an expanded key alone":       {marshal(t, expanded), false},
		"a seed and more":             {append(seedAlone(seed), 0), false},
	} {
		k, err := s.Parse(pqMaterial(t, name, c.choice))
		if c.good != (err == nil) || err != nil && !errors.Is(err, keyspec.ErrMaterial) {
			t.Errorf("%s, vector %d: %s: %v", name, v.ID, form, err)
			continue
		}
		if err != nil {
			continue
		}
		if got := publicBits(t, k); !bytes.Equal(got, append(v.PK, v.EK...)) {
			t.Errorf("%s, vector %d: another public key", name, v.ID)
		}
		if kept, err := k.Material(); err != nil || !bytes.Equal(kept.Expose(), pqMaterial(t, name, seedAlone(seed))) {
			t.Errorf("%s, vector %d: %s is not kept as a seed: %v", name, v.ID, form, err)
		}
	}
}

// TestNISTEncapsulation holds the library behind ML_KEM_512 to NIST's vectors; the other two sets, which are the standard
// library's, are held to that library in TestTenThousand.
func TestNISTEncapsulation(t *testing.T) {
	opened, sealed := 0, 0
	for _, v := range vectors(t, "kem/mlkem/testdata/ML-KEM-encapDecap-FIPS203")[types.KeySpecMlKem512] {
		shared, ciphertext := make([]byte, mlkem512.SharedKeySize), []byte(v.C)
		if v.DK != nil {
			opened++
			var private mlkem512.PrivateKey
			if err := private.Unpack(v.DK); err != nil {
				t.Fatal(err)
			}
			private.DecapsulateTo(shared, v.C)
		} else {
			sealed++
			var public mlkem512.PublicKey
			if err := public.Unpack(v.EK); err != nil {
				t.Fatal(err)
			}
			ciphertext = make([]byte, mlkem512.CiphertextSize)
			public.EncapsulateTo(ciphertext, shared, v.M)
		}
		if !bytes.Equal(shared, v.K) || !bytes.Equal(ciphertext, v.C) {
			t.Errorf("vector %d: another secret or ciphertext", v.ID)
		}
	}
	if opened < 10 || sealed < 25 {
		t.Errorf("%d vectors opened, %d sealed", opened, sealed)
	}
}
