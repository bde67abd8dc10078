// Package secret holds bytes that must not be seen: passwords and key material. A Bytes value prints as "[redacted]"
// through every door that fmt, log/slog and the encoders know, and can only be read by calling Expose, so that a
// search for "Expose(" finds every place where a secret is in the open.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// ErrNotMarshalled is what the encoders get when they meet a secret.
var ErrNotMarshalled = errors.New("secret: refuses to be marshalled")

// Bytes is a secret. The zero value is an empty one. Copies share the same memory.
type Bytes struct{ b []byte }

// New takes ownership of b: the caller must not use it any longer.
func New(b []byte) Bytes { return Bytes{b} }

// FromString copies s. The string itself stays in memory until it is collected; prefer New where bytes are at hand.
func FromString(s string) Bytes { return Bytes{[]byte(s)} }

// Expose returns the secret itself, not a copy.
func (s Bytes) Expose() []byte { return s.b }

// Len is the number of bytes.
func (s Bytes) Len() int { return len(s.b) }

// Empty reports whether there is nothing to hide.
func (s Bytes) Empty() bool { return len(s.b) == 0 }

// Equal compares in time that depends only on the lengths.
func (s Bytes) Equal(o Bytes) bool { return subtle.ConstantTimeCompare(s.b, o.b) == 1 }

// Wipe overwrites the memory shared by all copies of s.
func (s Bytes) Wipe() { clear(s.b) }

// Format implements fmt.Formatter, which fmt prefers to every other way of printing.
func (s Bytes) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String implements fmt.Stringer for code that calls it directly.
func (s Bytes) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (s Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON refuses.
func (s Bytes) MarshalJSON() ([]byte, error) { return nil, ErrNotMarshalled }

// MarshalText refuses.
func (s Bytes) MarshalText() ([]byte, error) { return nil, ErrNotMarshalled }

// MarshalBinary refuses.
func (s Bytes) MarshalBinary() ([]byte, error) { return nil, ErrNotMarshalled }

// GobEncode refuses.
func (s Bytes) GobEncode() ([]byte, error) { return nil, ErrNotMarshalled }

// MarshalCBOR refuses.
func (s Bytes) MarshalCBOR() ([]byte, error) { return nil, ErrNotMarshalled }
