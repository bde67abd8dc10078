package xaes

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"errors"
	"testing"
)

// The vectors are those of c2sp.org/XAES-256-GCM.
func TestVectors(t *testing.T) {
	tests := []struct {
		name   string
		key    byte
		aad    string
		sealed string
	}{
		{"msb(L) = 0", 0x01, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{"msb(L) = 1", 0x03, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	}
	nonce, plaintext := []byte("ABCDEFGHIJKLMNOPQRSTUVWX"), []byte("XAES-256-GCM")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x, err := New(bytes.Repeat([]byte{test.key}, KeySize))
			if err != nil {
				t.Fatal(err)
			}
			sealed := x.Seal(nil, nonce, plaintext, []byte(test.aad))
			if got := hex.EncodeToString(sealed); got != test.sealed {
				t.Errorf("Seal = %s, want %s", got, test.sealed)
			}
			opened, err := x.Open(nil, nonce, sealed, []byte(test.aad))
			if err != nil || !bytes.Equal(opened, plaintext) {
				t.Errorf("Open = %q, %v", opened, err)
			}
		})
	}
}

// TestAccumulated seals ten thousand random messages and compares the hash of them all.
func TestAccumulated(t *testing.T) {
	const want = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
	source, sum := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = source.Read(b) // SHAKE never fails
		return b
	}
	for range 10_000 {
		key, nonce := read(KeySize), read(NonceSize)
		plaintext := read(int(read(1)[0]))
		aad := read(int(read(1)[0]))
		x, err := New(key)
		if err != nil {
			t.Fatal(err)
		}
		sealed := x.Seal(nil, nonce, plaintext, aad)
		_, _ = sum.Write(sealed)
		if opened, err := x.Open(nil, nonce, sealed, aad); err != nil || !bytes.Equal(opened, plaintext) {
			t.Fatalf("Open = %x, %v", opened, err)
		}
	}
	got := make([]byte, 32)
	_, _ = sum.Read(got)
	if hex.EncodeToString(got) != want {
		t.Errorf("accumulated hash = %x, want %s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	if _, err := New(make([]byte, 16)); !errors.Is(err, ErrKeySize) {
		t.Errorf("New with 16 bytes: %v", err)
	}
	x, err := New(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Open(nil, make([]byte, 12), make([]byte, 32), nil); err == nil {
		t.Error("Open took a nonce of 12 bytes")
	}
	nonce := make([]byte, NonceSize)
	sealed := x.Seal(nil, nonce, []byte("text"), []byte("aad"))
	for bit := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := x.Open(nil, nonce, bad, []byte("aad")); err == nil {
			t.Fatalf("Open took a message with bit %d flipped", bit)
		}
	}
	for bit := range len(nonce) * 8 {
		bad := bytes.Clone(nonce)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := x.Open(nil, bad, sealed, []byte("aad")); err == nil {
			t.Fatalf("Open took a nonce with bit %d flipped", bit)
		}
	}
	if _, err := x.Open(nil, nonce, sealed, []byte("other")); err == nil {
		t.Error("Open took other additional data")
	}
}

func BenchmarkSeal256(b *testing.B) {
	x, err := New(make([]byte, KeySize))
	if err != nil {
		b.Fatal(err)
	}
	nonce, plaintext := make([]byte, NonceSize), make([]byte, 256)
	dst := make([]byte, 0, 512)
	for b.Loop() {
		x.Seal(dst, nonce, plaintext, nil)
	}
}
