package kms

import (
	"encoding/base64"
	"testing"

	"pgregory.net/rapid"

	"keyward/internal/secret"
)

func testTokens(key string) tokens { return tokens{secret.FromString(key)} }

func TestGrantTokenComesBack(t *testing.T) {
	issuer := testTokens("ours")
	rapid.Check(t, func(t *rapid.T) {
		want := tokenFacts{rapid.String().Draw(t, "key"), rapid.String().Draw(t, "grant"), rapid.String().Draw(t, "grantee")}
		token := issuer.issue(want)
		if got, err := issuer.read(token); err != nil || got != want {
			t.Fatalf("%+v, %v", got, err)
		}
		if issuer.issue(want) == token {
			t.Fatal("two tokens are the same")
		}
		if _, err := testTokens("theirs").read(token); err == nil {
			t.Fatal("another installation's token was accepted")
		}
		raw, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := issuer.read(base64.StdEncoding.EncodeToString(raw)); err == nil {
			t.Fatal("a changed token was accepted")
		}
	})
}

// FuzzGrantToken: nothing but what was issued is read, whatever it is made of. The check value is made to fit, so that the
// parser behind it is reached.
func FuzzGrantToken(f *testing.F) {
	issuer := testTokens("ours")
	f.Add([]byte{})
	f.Add(make([]byte, tokenHead))
	f.Add(append(append([]byte{tokenVersion}, make([]byte, tokenNonce)...), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
	f.Add(append(append([]byte{tokenVersion}, make([]byte, tokenNonce)...), 0xff, 0xff, 0xff, 0xff, 1))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := issuer.read(string(body)); err == nil {
			t.Fatal("a token without a check value was accepted")
		}
		facts, err := issuer.read(base64.StdEncoding.EncodeToString(append(body, issuer.check(body)...)))
		if err != nil {
			return
		}
		size := tokenHead
		for _, part := range []string{facts.keyARN, facts.grantID, facts.grantee} {
			size += 4 + len(part)
		}
		if size != len(body) {
			t.Fatalf("%d of %d bytes were read", size, len(body))
		}
	})
}
