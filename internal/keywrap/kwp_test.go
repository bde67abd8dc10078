package keywrap

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRFC5649 holds the two examples of RFC 5649, section 6.
func TestRFC5649(t *testing.T) {
	bytesOf := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := bytesOf("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for plain, wrapped := range map[string]string{
		"c37b7e6492584340bed12207808941155068f738": "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
		"466f7250617369": "afbeb0f07dfbf5419200f2ccb50bb24f",
	} {
		if got, err := pad(key, bytesOf(plain)); err != nil || !bytes.Equal(got, bytesOf(wrapped)) {
			t.Errorf("wrapping %s: %x, %v", plain, got, err)
		}
		if got, err := unpad(key, bytesOf(wrapped)); err != nil || !bytes.Equal(got, bytesOf(plain)) {
			t.Errorf("unwrapping %s: %x, %v", wrapped, got, err)
		}
	}
}

// TestOpenSSLPads: openssl wraps to the same bytes, under keys of all three sizes.
func TestOpenSSLPads(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not there")
	}
	in := filepath.Join(t.TempDir(), "plain")
	for _, size := range []int{16, 24, 32} {
		for _, n := range []int{1, 7, 8, 9, 15, 16, 17, 100, 4096} {
			key, plain := make([]byte, size), make([]byte, n)
			_, _ = rand.Read(key)
			_, _ = rand.Read(plain)
			if err := os.WriteFile(in, plain, 0o600); err != nil {
				t.Fatal(err)
			}
			theirs, err := exec.Command("openssl", "enc", fmt.Sprintf("-id-aes%d-wrap-pad", 8*size),
				"-K", hex.EncodeToString(key), "-iv", "A65959A6", "-in", in).Output()
			if err != nil {
				t.Fatal(err)
			}
			ours, err := pad(key, plain)
			if err != nil || !bytes.Equal(ours, theirs) {
				t.Errorf("%d bytes under %d: %v", n, size, err)
			}
		}
	}
}

// TestUnpadChecksEverything: a text whose check value, length or padding is not right is not opened, whatever else is.
func TestUnpadChecksEverything(t *testing.T) {
	key := make([]byte, 32)
	for name, plain := range map[string][]byte{
		"another check value":      {0xA6, 0x59, 0x59, 0xA7, 0, 0, 0, 16},
		"the value of RFC 3394":    {0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6},
		"a length of 0":            {0xA6, 0x59, 0x59, 0xA6, 0, 0, 0, 0},
		"a length of a block less": {0xA6, 0x59, 0x59, 0xA6, 0, 0, 0, 8},
		"a length of one more":     {0xA6, 0x59, 0x59, 0xA6, 0, 0, 0, 17},
		"a length of 4 GiB":        {0xA6, 0x59, 0x59, 0xA6, 0xff, 0xff, 0xff, 0xff},
		"padding that is not 0":    {0xA6, 0x59, 0x59, 0xA6, 0, 0, 0, 15},
	} {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		text := append(bytes.Clone(plain), bytes.Repeat([]byte{1}, 16)...)
		wrap(block, text, 2)
		if opened, err := unpad(key, text); err == nil {
			t.Errorf("%s: opened to %d bytes", name, len(opened))
		}
	}
	for n := range 34 {
		if _, err := unpad(key, make([]byte, n)); err == nil {
			t.Errorf("%d bytes of zeros were opened", n)
		}
	}
}
