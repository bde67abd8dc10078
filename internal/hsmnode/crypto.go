package hsmnode

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"sync"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
	"keyward/internal/xaes"
)

const (
	gcmNonce = 12
	tagSize  = 16
	maxAAD   = hsmproto.MaxData
)

var errBadCiphertext = &hsmproto.Error{Code: hsmproto.CodeBadCiphertext}

// prepared is a key ready for use. This is the only place where key material exists in the clear.
type prepared struct {
	gcm  cipher.AEAD
	xaes cipher.AEAD // nil for keys of other than 32 bytes
}

func (p *prepared) mechanism(m hsmproto.Mechanism) (cipher.AEAD, *hsmproto.Error) {
	switch {
	case m == hsmproto.MechanismAESGCM:
		return p.gcm, nil
	case m == hsmproto.MechanismXAES256GCM && p.xaes != nil:
		return p.xaes, nil
	default:
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "mechanism not possible with this key"}
	}
}

// cipherCache holds prepared keys by reference. References are never used twice.
type cipherCache struct{ keys sync.Map }

func newCipherCache() *cipherCache { return new(cipherCache) }

func (c *cipherCache) drop(reference uint64) { c.keys.Delete(reference) }

// get unwraps a key on its first use. The caller holds the state's lock, so that no deletion comes in between.
func (c *cipherCache) get(m *hsm.Material, wrap sealer) (*prepared, error) {
	if p, ok := c.keys.Load(m.Reference); ok {
		return p.(*prepared), nil
	}
	material, err := wrap.open(m.Wrapped, m.ID)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: unwrapping key %d: %w", m.Reference, err)
	}
	defer clear(material)
	p, err := prepare(material)
	if err != nil {
		return nil, err
	}
	c.keys.Store(m.Reference, p)
	return p, nil
}

func prepare(material []byte) (*prepared, error) {
	block, err := aes.NewCipher(material)
	if err != nil {
		return nil, err
	}
	p := new(prepared)
	if p.gcm, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	if len(material) == xaes.KeySize {
		p.xaes, err = xaes.New(material)
	}
	return p, err
}

// cipher finds the key of a request, if the session may use it so.
func (s *state) cipher(session string, q *hsmproto.CryptRequest, use hsm.Attributes) (cipher.AEAD, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	material, refusal := s.machine.Material(session, q.ID, q.Reference)
	if refusal != nil {
		return nil, refusal
	}
	if !material.Attributes.Has(use) {
		return nil, &hsmproto.Error{Code: hsmproto.CodeKeyAttribute, Detail: "the key is not made for this use"}
	}
	p, err := s.ciphers.get(&material, s.keys.wrap)
	if err != nil {
		return nil, err
	}
	aead, refusal := p.mechanism(q.Mechanism)
	if refusal != nil {
		return nil, refusal
	}
	return aead, nil
}

func (c *client) encrypt(g *group, body []byte) (any, error) {
	var q hsmproto.CryptRequest
	if err := decodeCrypt(body, &q, hsmproto.MaxData); err != nil {
		return nil, err
	}
	defer clear(q.Data)
	aead, err := g.state.cipher(c.id(), &q, hsm.Encrypt)
	if err != nil {
		return nil, err
	}
	nonce := aead.NonceSize()
	out := make([]byte, nonce, nonce+len(q.Data)+tagSize)
	_, _ = rand.Read(out) // never fails: it ends the process rather
	return &hsmproto.CryptReply{Data: aead.Seal(out, out, q.Data, q.AAD)}, nil
}

func (c *client) decrypt(g *group, body []byte) (any, error) {
	var q hsmproto.CryptRequest
	if err := decodeCrypt(body, &q, hsmproto.MaxData+xaes.NonceSize+tagSize); err != nil {
		return nil, err
	}
	aead, err := g.state.cipher(c.id(), &q, hsm.Decrypt)
	if err != nil {
		return nil, err
	}
	nonce := aead.NonceSize()
	if len(q.Data) < nonce+tagSize {
		return nil, errBadCiphertext
	}
	plain, err := aead.Open(nil, q.Data[:nonce], q.Data[nonce:], q.AAD)
	if err != nil {
		return nil, errBadCiphertext
	}
	return &hsmproto.CryptReply{Data: plain}, nil
}

func decodeCrypt(body []byte, q *hsmproto.CryptRequest, limit int) error {
	if err := hsmproto.Unmarshal(body, q); err != nil {
		return &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "malformed request"}
	}
	if len(q.Data) > limit || len(q.AAD) > maxAAD {
		return &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "data too long"}
	}
	return nil
}

func (c *client) random(g *group, body []byte) (any, error) {
	var q hsmproto.RandomRequest
	if err := hsmproto.Unmarshal(body, &q); err != nil || q.Length < 1 || q.Length > hsmproto.MaxData {
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "length out of range"}
	}
	if _, err := c.loggedIn(); err != nil {
		return nil, err
	}
	return hsmproto.RandomReply{Data: random(q.Length)}, nil
}
