package keywrap

import (
	"bytes"
	"encoding/hex"
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
