package kms

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"keyward/internal/arn"
)

func FuzzParseBlob(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{singleRegion}, make([]byte, 100)...))
	f.Add(append([]byte{unmarked}, make([]byte, 100)...))
	f.Add(append([]byte{multiRegion}, make([]byte, 100)...))
	f.Add(make([]byte, maxBlob+1))
	f.Fuzz(func(t *testing.T, blob []byte) {
		c, err := parseBlob(blob)
		if err != nil {
			return
		}
		h, sealed := c.header, c.sealed
		whole := append(h[:], sealed...)
		if h[0] != unmarked {
			whole = append(append(h[:], c.mark[:]...), sealed...)
		}
		if !bytes.Equal(whole, blob) || len(sealed) == 0 || len(blob) > maxBlob {
			t.Errorf("%x was taken apart into %x and %x", blob, h, sealed)
		}
		again, err := headerOf(&Key{ID: h.keyID()}, &MaterialRecord{})
		if err != nil || !bytes.Equal(again[1:17], h[1:17]) {
			t.Errorf("key id %q of %x: %x, %v", h.keyID(), h, again, err)
		}
	})
}

func FuzzMarker(f *testing.F) {
	l := newListing("ListKeys", arn.Scope{Account: "111122223333", Region: "us-east-1"}, "")
	f.Add("")
	f.Add(*l.marker("x"))
	f.Fuzz(func(t *testing.T, marker string) {
		after, err := l.after(&marker)
		if err != nil {
			return
		}
		if again, err := l.after(l.marker(after)); err != nil || again != after || after == "" {
			t.Errorf("%q goes on after %q, which goes on after %q, %v", marker, after, again, err)
		}
	})
}

// TestAuthenticatedIsInjective: contexts that differ never look alike, and the order of a map does not matter.
func TestAuthenticatedIsInjective(t *testing.T) {
	context := rapid.MapOfN(rapid.StringMatching(`[ab]{0,2}`), rapid.StringMatching(`[ab]{0,2}`), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := context.Draw(t, "a"), context.Draw(t, "b")
		same := len(a) == len(b)
		for k, v := range a {
			other, ok := b[k]
			same = same && ok && other == v
		}
		var h header
		if equal := bytes.Equal(authenticated(&h, "arn", a), authenticated(&h, "arn", b)); equal != same {
			t.Fatalf("%v and %v: equal %v", a, b, equal)
		}
	})
}

func TestWellFormed(t *testing.T) {
	for id, want := range map[string]bool{
		"1234abcd-12ab-34cd-56ef-1234567890ab": true, "1234ABCD-12AB-34CD-56EF-1234567890AB": true,
		"mrk-0123456789abcdef0123456789abcdef": true, "mrk-0123456789abcdef0123456789abcde": false,
		"1234abcd-12ab-34cd-56ef-1234567890ag": false, "1234abcd-12ab-34cd-56ef1-234567890ab": false,
		"": false, "key/1234abcd-12ab-34cd-56ef-1234567890ab": false, "1234abcd12ab34cd56ef1234567890ab0000": false,
	} {
		if got := wellFormed(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
