package hsm

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"keyward/internal/hsmproto"
)

const (
	classSecret   = "secret-key"
	typeAES       = "aes"
	maxWrapped    = 256 // bytes: an AES key in its wrapping
	checkSize     = 3   // bytes of a check value
	defaultCopies = 2   // HSMs that must hold a token key (key availability)
)

type key struct {
	Reference  uint64     `cbor:"1,keyasint"`
	ID         []byte     `cbor:"2,keyasint"`
	Label      string     `cbor:"3,keyasint"`
	Owner      string     `cbor:"4,keyasint"`
	SharedWith []string   `cbor:"5,keyasint"`
	Length     int        `cbor:"6,keyasint"`
	Attributes Attributes `cbor:"7,keyasint"`
	CheckValue []byte     `cbor:"8,keyasint"`
	Wrapped    []byte     `cbor:"9,keyasint"`
}

func (k *key) visibleTo(user string) bool {
	return k.Owner == user || slices.Contains(k.SharedWith, user)
}

func (k *key) face() hsmproto.Key {
	return hsmproto.Key{
		Reference: k.Reference, Owner: k.Owner, SharedWith: slices.Clone(k.SharedWith), Class: classSecret, Type: typeAES,
		Label: k.Label, ID: bytes.Clone(k.ID), Length: k.Length, CheckValue: bytes.Clone(k.CheckValue),
		Attributes: k.Attributes.byName(),
	}
}

func (c *GenerateKey) apply(m *Machine) Result {
	s, err := m.cryptoUser(c.Session)
	if err != nil {
		return Result{Refusal: err}
	}
	if err := c.check(m); err != nil {
		return Result{Refusal: err}
	}
	attributes, err := newAttributes(c.Set, c.Imported)
	if err != nil {
		return Result{Refusal: err}
	}
	m.reference++
	k := &key{
		Reference: m.reference, ID: c.ID, Label: c.Label, Owner: s.User, Length: c.Length, Attributes: attributes,
		CheckValue: c.CheckValue, Wrapped: c.Wrapped,
	}
	m.addKey(k)
	face := k.face()
	return Result{Key: &face}
}

func (m *Machine) cryptoUser(session string) (*Session, *hsmproto.Error) {
	if err := m.authorize(session, hsmproto.RoleCryptoUser); err != nil {
		return nil, err
	}
	return m.session(session)
}

func (c *GenerateKey) check(m *Machine) *hsmproto.Error {
	switch {
	case c.Length != 16 && c.Length != 24 && c.Length != 32:
		return refusal(hsmproto.CodeBadRequest, "an AES key has 16, 24 or 32 bytes")
	case utf8.RuneCountInString(c.Label) > MaxLabel:
		return refusal(hsmproto.CodeBadRequest, fmt.Sprintf("a label has at most %d characters", MaxLabel))
	case len(c.ID) > MaxID:
		return refusal(hsmproto.CodeBadRequest, fmt.Sprintf("an id has at most %d bytes", MaxID))
	case len(c.Wrapped) == 0 || len(c.Wrapped) > maxWrapped || len(c.CheckValue) != checkSize:
		return refusal(hsmproto.CodeBadRequest, "no wrapped material")
	case c.MinHsms < 0:
		return refusal(hsmproto.CodeBadRequest, "the number of HSMs is negative")
	case len(c.ID) > 0 && m.ids[string(c.ID)] != 0:
		return refusal(hsmproto.CodeKeyExists, "A key with this id already exists")
	}
	return c.checkRoom(m)
}

func (c *GenerateKey) checkRoom(m *Machine) *hsmproto.Error {
	copies := c.MinHsms
	if copies == 0 {
		copies = defaultCopies
	}
	if c.Hsms < copies {
		return refusal(hsmproto.CodeKeyAvailability, fmt.Sprintf(
			"Cannot perform the requested key operation as the key must be available on at least %d HSMs", copies))
	}
	if len(m.keys) >= MaxKeys {
		return refusal(hsmproto.CodeCapacity, "The HSM key capacity is exhausted")
	}
	return nil
}

// addKey takes in the key with the highest reference so far.
func (m *Machine) addKey(k *key) {
	m.keys[k.Reference] = k
	m.order = append(m.order, k.Reference)
	if len(k.ID) > 0 {
		m.ids[string(k.ID)] = k.Reference
	}
}

func (c *DeleteKey) apply(m *Machine) Result {
	s, err := m.cryptoUser(c.Session)
	if err != nil {
		return Result{Refusal: err}
	}
	k := m.keys[c.Reference]
	switch {
	case k == nil || !k.visibleTo(s.User):
		return refuse(hsmproto.CodeKeyNotFound, "")
	case k.Owner != s.User:
		return refuse(hsmproto.CodeKeyAccess, "Key access is denied")
	case !k.Attributes.Has(Destroyable):
		return refuse(hsmproto.CodeKeyAttribute, "The key is not destroyable")
	}
	m.removeKey(k)
	face := k.face()
	return Result{Key: &face}
}

func (m *Machine) removeKey(k *key) {
	delete(m.keys, k.Reference)
	if len(k.ID) > 0 {
		delete(m.ids, string(k.ID))
	}
	if i, found := slices.BinarySearch(m.order, k.Reference); found {
		m.order = slices.Delete(m.order, i, i+1)
	}
}

// Material is what an HSM needs of a key to use it. Its slices belong to the machine.
type Material struct {
	Reference  uint64
	ID         []byte
	Length     int
	Attributes Attributes
	Wrapped    []byte
}

// Material finds the key with this id, or with this reference where id is empty, for use by the session's user.
func (m *Machine) Material(session string, id []byte, reference uint64) (Material, *hsmproto.Error) {
	s, err := m.cryptoUser(session)
	if err != nil {
		return Material{}, err
	}
	if len(id) > 0 {
		reference = m.ids[string(id)]
	}
	k := m.keys[reference]
	if k == nil || !k.visibleTo(s.User) {
		return Material{}, refusal(hsmproto.CodeKeyNotFound, "")
	}
	return Material{k.Reference, k.ID, k.Length, k.Attributes, k.Wrapped}, nil
}
