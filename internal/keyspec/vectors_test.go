package keyspec_test

import (
	"bytes"
	"compress/gzip"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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
	DK         hexes
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

// seeded is material of a spec with this seed (RFC 9881, RFC 9935).
func seeded(t *testing.T, name types.KeySpec, seed []byte) *keyspec.Key {
	t.Helper()
	arcs := map[types.KeySpec][]int{
		types.KeySpecMlDsa44: {3, 17}, types.KeySpecMlDsa65: {3, 18}, types.KeySpecMlDsa87: {3, 19},
		types.KeySpecMlKem512: {4, 1}, types.KeySpecMlKem768: {4, 2}, types.KeySpecMlKem1024: {4, 3},
	}[name]
	type identifier struct{ Algorithm asn1.ObjectIdentifier }
	der, err := asn1.Marshal(struct {
		Version   int
		Algorithm identifier
		Key       []byte
	}{0, identifier{append(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4}, arcs...)}, append([]byte{0x80, byte(len(seed))}, seed...)})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := keyspec.Of(name)
	k, err := s.Parse(der)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return k
}

// TestNISTKeyGeneration: seeds make the public keys that NIST says.
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
				k := seeded(t, name, append(append(v.Seed, v.D...), v.Z...))
				if got := publicBits(t, k); !bytes.Equal(got, append(v.PK, v.EK...)) {
					t.Errorf("%s, vector %d: another public key", name, v.ID)
				}
			}
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
