package mldsamu

import (
	"compress/gzip"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// vectors are groups of NIST's ACVP tests: the questions or the answers.
type vectors struct {
	TestGroups []struct {
		PK    string
		Tests []struct {
			ID         int `json:"tcId"`
			Message    string
			Signature  string
			TestPassed bool
		}
	}
}

// read opens a file of NIST's vectors, which the circl library's module carries along.
func read(t *testing.T, name string) (v vectors) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudflare/circl").Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "sign/mldsa/testdata/ML-DSA-sigVer-FIPS204", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestNISTVerification: NIST's vectors are of FIPS 204's algorithm 8, whose message is hashed after the public key as it is.
func TestNISTVerification(t *testing.T) {
	answers := map[int]bool{}
	for _, group := range read(t, "expectedResults.json.gz").TestGroups {
		for _, test := range group.Tests {
			answers[test.ID] = test.TestPassed
		}
	}
	seen := map[bool]int{}
	for _, group := range read(t, "prompt.json.gz").TestGroups {
		public, err := hex.DecodeString(group.PK)
		if err != nil {
			t.Fatal(err)
		}
		tr := sha3.SumSHAKE256(public, 64)
		for _, test := range group.Tests {
			message, err1 := hex.DecodeString(test.Message)
			signature, err2 := hex.DecodeString(test.Signature)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			mu := sha3.SumSHAKE256(append(tr[:len(tr):len(tr)], message...), MuSize)
			seen[answers[test.ID]]++
			if got := Verify(public, mu, signature); got != answers[test.ID] {
				t.Errorf("vector %d: %t", test.ID, got)
			}
		}
	}
	if seen[true] < 9 || seen[false] < 9 {
		t.Errorf("%d good and %d bad signatures", seen[true], seen[false])
	}
}
