package kms

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"keyward/internal/secret"
)

// A grant token is, in base 64,
//
//	version (1) ‖ nonce (16) ‖ key ARN ‖ grant id ‖ grantee ‖ HMAC-SHA256 of what is before it (32)
//
// where every text has its length before it. It is no secret and gives no permission that its grant does not give; the
// check value is there so that only tokens which this installation has issued are called valid. AWS needs tokens until a
// grant is known everywhere; here a grant counts at once, so a valid token is accepted and changes nothing.
const (
	tokenVersion = 1
	tokenNonce   = 16
	tokenHead    = 1 + tokenNonce
)

// tokens issues and reads grant tokens.
type tokens struct{ key secret.Bytes }

// tokenFacts are what a token is bound to.
type tokenFacts struct{ keyARN, grantID, grantee string }

var errToken = errors.New("kms: not a grant token of this installation")

// issue makes a token; no two are the same.
func (t tokens) issue(f tokenFacts) string {
	b := make([]byte, tokenHead, 256)
	b[0] = tokenVersion
	_, _ = rand.Read(b[1:]) // never fails; the program would have ended
	for _, part := range []string{f.keyARN, f.grantID, f.grantee} {
		b = appendCounted(b, part)
	}
	return base64.StdEncoding.EncodeToString(append(b, t.check(b)...))
}

func (t tokens) check(b []byte) []byte {
	mac := hmac.New(sha256.New, t.key.Expose())
	mac.Write(b)
	return mac.Sum(nil)
}

// read checks a token and takes it apart.
func (t tokens) read(token string) (f tokenFacts, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < tokenHead+sha256.Size || b[0] != tokenVersion {
		return f, errToken
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(sum, t.check(body)) {
		return f, errToken
	}
	rest := body[tokenHead:]
	for _, part := range []*string{&f.keyARN, &f.grantID, &f.grantee} {
		if *part, rest, err = cutCounted(rest); err != nil {
			return f, err
		}
	}
	if len(rest) > 0 {
		return f, errToken
	}
	return f, nil
}

// cutCounted reverses appendCounted.
func cutCounted(b []byte) (text string, rest []byte, err error) {
	if len(b) < 4 {
		return "", nil, errToken
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return "", nil, errToken
	}
	return string(b[:n]), b[n:], nil
}

// checkTokens refuses what is no token of this installation. One for another key or principal does not help, and does
// no harm.
func (s *Service) checkTokens(all []string) error {
	for _, t := range all {
		if _, err := s.tokens.read(t); err != nil {
			return errGrantToken
		}
	}
	return nil
}
