package cloudhsm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"keyward/internal/arn"
)

// pageOf describes the page that is asked for.
type pageOf struct {
	operation string
	scope     arn.Scope
	about     string // what is listed, where an operation lists several things
	size      int    // where the caller gives no maximum
	max       *int32
	token     string
}

// tokenMAC is the length of the part of a token that proves we made it.
const tokenMAC = 12

// paginate cuts one page out of all, which is in the order of key, and gives the token of the next one. A token is the
// key of the last element seen with a proof that it was made here for the same listing, so that it stays good while
// elements come and go, and nothing else passes for one.
func paginate[T any](a *Authority, p pageOf, all []T, key func(T) string) (page []T, next *string, err error) {
	from := 0
	if p.token != "" {
		after, err := a.openToken(p)
		if err != nil {
			return nil, nil, err
		}
		for from < len(all) && key(all[from]) <= after {
			from++
		}
	}
	size := p.size
	if p.max != nil {
		size = int(*p.max)
	}
	rest := all[from:]
	if len(rest) <= size {
		return rest, nil, nil
	}
	token := a.token(p, key(rest[size-1]))
	return rest[:size], &token, nil
}

func (a *Authority) token(p pageOf, last string) string {
	return base64.RawURLEncoding.EncodeToString(append(a.prove(p, last), last...))
}

func (a *Authority) openToken(p pageOf) (string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(p.token)
	if err != nil || len(raw) < tokenMAC {
		return "", invalid("The NextToken is not valid.")
	}
	last := string(raw[tokenMAC:])
	if !hmac.Equal(raw[:tokenMAC], a.prove(p, last)) {
		return "", invalid("The NextToken is not valid.")
	}
	return last, nil
}

// prove computes the proof; the parts before last cannot hold a zero byte.
func (a *Authority) prove(p pageOf, last string) []byte {
	mac := hmac.New(sha256.New, a.tokenKey)
	mac.Write([]byte(strings.Join([]string{p.operation, p.scope.Account, p.scope.Region, p.about, last}, "\x00")))
	return mac.Sum(nil)[:tokenMAC]
}
