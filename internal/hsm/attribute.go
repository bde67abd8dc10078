package hsm

import (
	"fmt"

	"keyward/internal/hsmproto"
)

// Attributes is the set of a key's boolean attributes that are true.
type Attributes uint32

// Boolean attributes (spec hsm 6.2).
const (
	Token Attributes = 1 << iota
	Private
	Sensitive
	AlwaysSensitive
	Extractable
	NeverExtractable
	Local
	Modifiable
	Destroyable
	Encrypt
	Decrypt
	Sign
	Verify
	Wrap
	Unwrap
	Derive
	Trusted
	WrapWithTrusted

	allAttributes = 1<<iota - 1
)

var attributeNames = map[string]Attributes{
	"token": Token, "private": Private, "sensitive": Sensitive, "always-sensitive": AlwaysSensitive,
	"extractable": Extractable, "never-extractable": NeverExtractable, "local": Local, "modifiable": Modifiable,
	"destroyable": Destroyable, "encrypt": Encrypt, "decrypt": Decrypt, "sign": Sign, "verify": Verify, "wrap": Wrap,
	"unwrap": Unwrap, "derive": Derive, "trusted": Trusted, "wrap-with-trusted": WrapWithTrusted,
}

const (
	// secretKeyDefaults are those of an AES key; sign and verify are on, encrypt and decrypt off.
	secretKeyDefaults = Token | Private | Sensitive | Extractable | Modifiable | Destroyable | Sign | Verify
	// settable are the attributes that the maker of a key may choose. Keys of this machine are token keys: session
	// keys live on one HSM and are not for all to agree on.
	settable = Private | Sensitive | Extractable | Modifiable | Destroyable | Encrypt | Decrypt | Sign | Verify | Wrap |
		Unwrap | Derive | WrapWithTrusted
)

// Has reports whether all of b are set.
func (a Attributes) Has(b Attributes) bool { return a&b == b }

// byName spells every attribute out.
func (a Attributes) byName() map[string]bool {
	named := make(map[string]bool, len(attributeNames))
	for name, bit := range attributeNames {
		named[name] = a.Has(bit)
	}
	return named
}

// newAttributes are those of a new secret key.
func newAttributes(set map[string]bool, imported bool) (Attributes, *hsmproto.Error) {
	a := Attributes(secretKeyDefaults)
	for name, value := range set {
		bit, known := attributeNames[name]
		switch {
		case !known:
			return 0, refusal(hsmproto.CodeKeyAttribute, "unknown attribute")
		case a.Has(bit) == value: // setting what it is anyway is always possible
		case Attributes(settable).Has(bit):
			a ^= bit
		default:
			return 0, refusal(hsmproto.CodeKeyAttribute, fmt.Sprintf("Attribute %s cannot be modified", name))
		}
	}
	if imported {
		return a, nil
	}
	a |= Local
	if a.Has(Sensitive) {
		a |= AlwaysSensitive
	}
	if !a.Has(Extractable) {
		a |= NeverExtractable
	}
	return a, nil
}
