// Package sigv4 verifies AWS Signature Version 4, in the Authorization header and in a presigned query. It is pure: the
// request, the secret and the time come in as values, a verdict goes out. Which access keys exist is for the identity
// package, what a refusal is called in each protocol for the wire package.
//
// The checks come in the order of the AWS general reference: Parse (is there a signature, is it whole), CheckScope
// (Region, service, terminator, date), then the caller looks the access key up, then CheckTime and Verify. The
// signature is compared last so that nothing but the existence of a key can be probed without its secret.
package sigv4

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"
)

// Algorithm is the only one verified.
const Algorithm = "AWS4-HMAC-SHA256"

const (
	terminator   = "aws4_request"
	isoBasic     = "20060102T150405Z"
	maxExpiry    = 7 * 24 * time.Hour
	maxSigned    = 64
	dayLength    = len("20060102")
	mismatchText = "The request signature we calculated does not match the signature you provided. Check your AWS Secret " +
		"Access Key and signing method. Consult the service documentation for details."
)

// MaxSkew is how far the client's clock may be away from ours, either way.
const MaxSkew = 5 * time.Minute

// Kind says which check refused a request.
type Kind int

// The kinds, in the order of the checks.
const (
	Missing      Kind = iota + 1 // no signature at all
	Incomplete                   // a signature with parts missing or malformed
	Scope                        // Region, service, terminator or date of the scope, or headers left unsigned
	UnknownKey                   // no such access key, or not active, or a session token nobody issued
	ExpiredToken                 // the session is over
	Expired                      // the clock is off, or the presigned request is too old
	Mismatch                     // the signature is not that of this request
)

// Error is a refusal. Message is AWS's sentence and may be sent to the client.
type Error struct {
	Kind    Kind
	Message string
}

func (e *Error) Error() string { return "sigv4: " + e.Message }

func refuse(k Kind, format string, args ...any) *Error {
	return &Error{k, fmt.Sprintf(format, args...)}
}

// ErrUnknownKey is the refusal for an access key that is unknown or not active, and for a session token that is not its
// own.
var ErrUnknownKey = &Error{UnknownKey, "The security token included in the request is invalid."}

// ErrExpiredToken is the refusal for a session that is over.
var ErrExpiredToken = &Error{ExpiredToken, "The security token included in the request is expired"}

var errMismatch = &Error{Mismatch, mismatchText}

// Request is what a signature covers. The body has been read whole; its hash is always computed here and never taken
// from the client, so UNSIGNED-PAYLOAD and streaming signatures do not verify.
type Request struct {
	Method   string
	Path     string // escaped, as it was on the request line; empty stands for "/"
	RawQuery string
	Host     string
	Header   http.Header
	Body     []byte
}

// Credential is the scope of a signature.
type Credential struct {
	AccessKeyID string
	Day         string // YYYYMMDD
	Region      string
	Service     string
	Terminator  string
}

// Signature is what a request says of its own signing. It has been parsed, not verified.
type Signature struct {
	Credential
	Time          time.Time
	SignedHeaders string // as sent: names in lower case, separated by semicolons
	Presigned     bool
	Expires       time.Duration // presigned only; zero when the query does not say
	SessionToken  string        // empty if the request carries none
	signature     [sha256.Size]byte
	stamp         string // Time in ISO 8601 basic format, as it enters the string to sign
	dateSent      string // Time as sent, for messages
	payloadHash   string // X-Amz-Content-Sha256 if sent
}
