package kms

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/policy"
)

// Grant lets a principal do some operations with one key. It never changes.
type Grant struct {
	Scope      arn.Scope // of the key
	KeyID      string
	ID         string // 64 hex digits
	Name       string // may be empty
	Grantee    Party
	Retiring   Party  // the zero value where nobody was named
	Issuer     string // account in which the grant was made, 12 digits
	Operations []types.GrantOperation
	// Equals and Subset constrain the encryption context; nil where there is no such constraint.
	Equals, Subset map[string]string
	// Fingerprint stands for all that CreateGrant was asked for. It is empty for grants without a name, which are never
	// found again by it.
	Fingerprint string
	Created     time.Time
}

// Party is a principal that a grant names.
type Party struct {
	ARN string
	// ID is the unique id that ARN stood for when the grant was made; of an account its 12 digits. It is empty only where
	// there is no Directory.
	ID string
}

// Handle is what a grant knows the principal by: its id, or its ARN where it has none.
func (p Party) Handle() string {
	if p.ID != "" {
		return p.ID
	}
	return p.ARN
}

// named is how package policy is told whom a grant means. Sessions are known to it by their ARN; that it is the same
// session's the handle has shown.
func (p Party) named() string {
	if principalKind(p.ARN) == sessionPrincipal {
		return p.ARN
	}
	return p.Handle()
}

// permission is the grant as package policy takes it.
func (g *Grant) permission() policy.Grant {
	p := policy.Grant{
		ID: g.ID, Grantee: g.Grantee.named(), Operations: make([]string, len(g.Operations)),
		EncryptionContextEquals: g.Equals, EncryptionContextSubset: g.Subset,
	}
	for i, o := range g.Operations {
		p.Operations[i] = string(o)
	}
	return p
}

// fingerprint tells whether a named grant is asked for again: all properties must be the same, and the order of the
// operations does not matter (AWS KMS API Reference, CreateGrant, Name).
func (g *Grant) fingerprint() string {
	if g.Name == "" {
		return ""
	}
	var b []byte
	for _, part := range []string{g.Name, g.Issuer, g.Grantee.Handle(), g.Retiring.Handle()} {
		b = appendCounted(b, part)
	}
	operations := slices.Sorted(slices.Values(g.Operations))
	b = binary.BigEndian.AppendUint32(b, uint32(len(operations)))
	for _, o := range operations {
		b = appendCounted(b, string(o))
	}
	b = appendPairs(appendPairs(b, g.Equals), g.Subset)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// appendPairs tells a map that is not there from an empty one.
func appendPairs(b []byte, pairs map[string]string) []byte {
	if pairs == nil {
		return append(b, 0)
	}
	b = binary.BigEndian.AppendUint32(append(b, 1), uint32(len(pairs)))
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		b = appendCounted(appendCounted(b, name), pairs[name])
	}
	return b
}

// GrantFilter selects grants of a key; empty members select all.
type GrantFilter struct {
	ID      string
	Grantee string // its Handle
	After   string // grants whose ids are above
}
