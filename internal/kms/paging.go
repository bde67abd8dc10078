package kms

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyward/internal/arn"
)

// A marker is where a listing goes on. To callers it is opaque; inside it is a check value, which ties it to its listing
// (operation, account, Region, filter), and the last name given. It is no secret and grants nothing: a forged one can
// only start its author's own listing elsewhere.
type listing string

const listingCheck = 8 // bytes

func newListing(operation string, scope arn.Scope, filter string) listing {
	return listing(strings.Join([]string{operation, scope.Account, scope.Region, filter}, "\x00"))
}

func (l listing) check() []byte {
	sum := sha256.Sum256([]byte(l))
	return sum[:listingCheck]
}

// marker that goes on after a name.
func (l listing) marker(after string) *string {
	return aws.String(base64.RawURLEncoding.EncodeToString(append(l.check(), after...)))
}

// after is the name behind a marker of this listing; a nil marker starts at the beginning.
func (l listing) after(marker *string) (string, error) {
	if marker == nil {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(*marker)
	if err != nil || len(raw) <= listingCheck || !bytes.Equal(raw[:listingCheck], l.check()) {
		return "", errMarker
	}
	return string(raw[listingCheck:]), nil
}

// pageSize is the limit asked for, or usual; above most is refused.
func pageSize(limit *int32, usual, most int) (int, error) {
	if limit == nil {
		return usual, nil
	}
	if int(*limit) > most {
		// Worded as if it came from the model, which is wider than what the service holds to.
		return 0, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: "+
			"Member must have value less than or equal to %d", *limit, most)
	}
	return int(*limit), nil
}

// page cuts found, read with one entry more than size, and says whether there was more.
func page[T any](found []T, size int) (_ []T, truncated bool) {
	if len(found) > size {
		return found[:size], true
	}
	return found, false
}
