package hsm

import (
	"bytes"

	"keyward/internal/hsmproto"
)

const (
	maxPage = 1000
	// A page must fit a frame: so many bytes go to keys, of which each takes keySize beside its label and id.
	pageBytes = hsmproto.MaxFrame * 3 / 4
	keySize   = 512
)

// FindKeys lists the keys that the session's user sees and that match: a crypto user's own and shared ones; of every
// key, but only reference and label, for an admin. A page may hold fewer keys than asked for although more follow:
// Offset counts matches.
func (m *Machine) FindKeys(session string, q *hsmproto.FindKeysRequest) (*hsmproto.FindKeysReply, *hsmproto.Error) {
	s, err := m.session(session)
	if err != nil {
		return nil, err
	}
	f, err := newFilter(s, q)
	if err != nil {
		return nil, err
	}
	page := &hsmproto.FindKeysReply{Keys: []hsmproto.Key{}}
	size := 0
	for _, reference := range m.candidates(q) {
		k := m.keys[reference]
		if k == nil || !f.matches(k) {
			continue
		}
		page.Total++
		if page.Total <= q.Offset || len(page.Keys) >= f.max || size > pageBytes {
			continue
		}
		size += keySize + len(k.Label) + len(k.ID)
		page.Keys = append(page.Keys, f.face(k))
	}
	return page, nil
}

// candidates are the references to look at, in ascending order.
func (m *Machine) candidates(q *hsmproto.FindKeysRequest) []uint64 {
	switch {
	case q.Reference != nil:
		return []uint64{*q.Reference}
	case q.ID != nil && len(*q.ID) > 0:
		return []uint64{m.ids[string(*q.ID)]}
	default:
		return m.order
	}
}

type filter struct {
	*hsmproto.FindKeysRequest
	session   *Session
	max       int
	on, given Attributes // values and presence of boolean terms
}

func newFilter(s *Session, q *hsmproto.FindKeysRequest) (*filter, *hsmproto.Error) {
	f := &filter{FindKeysRequest: q, session: s, max: q.Max}
	if q.Offset < 0 || q.Max < 0 || q.Max > maxPage {
		return nil, refusal(hsmproto.CodeBadRequest, "page out of range")
	}
	if f.max == 0 {
		f.max = maxPage
	}
	for name, value := range q.Attributes {
		bit, known := attributeNames[name]
		if !known {
			return nil, refusal(hsmproto.CodeBadRequest, "unknown attribute")
		}
		f.given |= bit
		if value {
			f.on |= bit
		}
	}
	return f, nil
}

func (f *filter) matches(k *key) bool {
	return (f.session.Role == hsmproto.RoleAdmin || k.visibleTo(f.session.User)) &&
		(f.Reference == nil || *f.Reference == k.Reference) &&
		(f.Label == nil || *f.Label == k.Label) &&
		(f.ID == nil || bytes.Equal(*f.ID, k.ID)) &&
		(f.Class == nil || *f.Class == classSecret) &&
		(f.Type == nil || *f.Type == typeAES) &&
		(f.Length == nil || *f.Length == k.Length) &&
		(f.CheckValue == nil || bytes.Equal(*f.CheckValue, k.CheckValue)) &&
		k.Attributes&f.given == f.on
}

func (f *filter) face(k *key) hsmproto.Key {
	if f.session.Role == hsmproto.RoleAdmin {
		return hsmproto.Key{Reference: k.Reference, Label: k.Label}
	}
	return k.face()
}
