package hsmnode

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"slices"
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
type cipherCache struct {
	mu   sync.RWMutex
	keys map[uint64]*prepared
}

func newCipherCache() *cipherCache { return &cipherCache{keys: make(map[uint64]*prepared)} }

func (c *cipherCache) drop(reference uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, reference)
}

func (c *cipherCache) lookup(reference uint64) *prepared {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.keys[reference]
}

func (c *cipherCache) keep(reference uint64, p *prepared) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[reference] = p
}

// get unwraps a key on its first use. The caller holds the state's lock, so that no deletion comes in between.
func (c *cipherCache) get(m *hsm.Material, wrap sealer) (*prepared, error) {
	if p := c.lookup(m.Reference); p != nil {
		return p, nil
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
	c.keep(m.Reference, p)
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
	reply := newReply(nonce + len(q.Data) + tagSize)
	out := reply.Data[:nonce]
	_, _ = rand.Read(out) // never fails: it ends the process rather
	reply.Data = aead.Seal(out, out, q.Data, q.AAD)
	return reply, nil
}

// replies are used again once they are on their way: under load they would be most of the garbage.
var replies = sync.Pool{New: func() any { return &hsmproto.CryptReply{Data: make([]byte, 0, smallReply)} }}

const (
	smallReply = 1 << 10  // bytes; most requests are for data keys
	largeReply = 16 << 10 // bytes; more is left to the garbage collector
)

// newReply has room for n bytes.
func newReply(n int) *hsmproto.CryptReply {
	r := replies.Get().(*hsmproto.CryptReply)
	r.Data = slices.Grow(r.Data[:0], n)
	return r
}

// releaseReply wipes a reply and takes it back. The caller has copied it to where it goes.
func releaseReply(r *hsmproto.CryptReply) {
	clear(r.Data)
	if cap(r.Data) <= largeReply {
		replies.Put(r)
	}
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
	reply := newReply(len(q.Data))
	if reply.Data, err = aead.Open(reply.Data, q.Data[:nonce], q.Data[nonce:], q.AAD); err != nil {
		return nil, errBadCiphertext
	}
	return reply, nil
}

func decodeCrypt(body []byte, q *hsmproto.CryptRequest, limit int) error {
	if err := q.Decode(body); err != nil {
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
