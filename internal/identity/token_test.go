package identity

import (
	"strings"
	"testing"
)

func FuzzParseToken(f *testing.F) {
	f.Add("")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.")
	f.Add("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4IiwiYXVkIjpbImEiXX0.AAAA")
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOjF9.AAAA")
	f.Add(`{"payload":"e30","signatures":[{"protected":"eyJhbGciOiJSUzI1NiJ9","signature":"AA"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, signed, err := parseToken(text)
		if err != nil {
			return
		}
		if c == nil || len(signed.Headers) != 1 || len(text) > maxToken {
			t.Errorf("%d bytes are a token of %d headers", len(text), len(signed.Headers))
		}
		if alg := signed.Headers[0].Algorithm; !strings.HasPrefix(alg, "RS") && !strings.HasPrefix(alg, "ES") {
			t.Errorf("an algorithm %q", alg)
		}
	})
}
