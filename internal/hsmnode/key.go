package hsmnode

import (
	"context"
	"crypto/aes"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

const checkSize = 3 // bytes of a check value

func (c *client) generateKey(ctx context.Context, q *hsmproto.GenerateKeyRequest) (any, error) {
	if q.Length != 16 && q.Length != 24 && q.Length != 32 {
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "an AES key has 16, 24 or 32 bytes"}
	}
	role, err := c.loggedIn()
	if err != nil {
		return nil, err
	}
	if role != hsmproto.RoleCryptoUser { // said before any randomness is spent
		return nil, &hsmproto.Error{
			Code: hsmproto.CodePermission, Detail: "Operation not permitted for the current user role",
		}
	}
	return c.addKey(ctx, q, random(q.Length), false)
}

// addKey wraps material, which it wipes, and has the cluster agree on the key.
func (c *client) addKey(ctx context.Context, q *hsmproto.GenerateKeyRequest, material []byte, imported bool) (any, error) {
	defer clear(material)
	check, err := checkValue(material)
	if err != nil {
		return nil, err
	}
	result, err := c.agree(ctx, &hsm.GenerateKey{
		Session: c.id(), Label: q.Label, ID: q.ID, Length: q.Length, Set: q.Set, CheckValue: check,
		Wrapped: c.node.group.Load().keys.wrap.seal(material, q.ID), MinHsms: q.MinHsms, Imported: imported,
	})
	if err != nil {
		return nil, err
	}
	result.Key.CoveredHsms = c.node.vault.get().hsmIDs()
	return hsmproto.GenerateKeyReply{Key: *result.Key}, nil
}

// checkValue is the start of the encryption of a block of zeros.
func checkValue(material []byte) ([]byte, error) {
	block, err := aes.NewCipher(material)
	if err != nil {
		return nil, err
	}
	var zero [aes.BlockSize]byte
	block.Encrypt(zero[:], zero[:])
	return zero[:checkSize], nil
}

func (c *client) findKeys(_ context.Context, q *hsmproto.FindKeysRequest) (any, error) {
	var page *hsmproto.FindKeysReply
	var refusal *hsmproto.Error
	c.node.group.Load().state.read(func(m *hsm.Machine) { page, refusal = m.FindKeys(c.id(), q) })
	if refusal != nil {
		return nil, refusal
	}
	covered := c.node.vault.get().hsmIDs()
	for i := range page.Keys {
		page.Keys[i].CoveredHsms = covered
	}
	return page, nil
}

func (c *client) deleteKey(ctx context.Context, q *hsmproto.DeleteKeyRequest) (any, error) {
	_, err := c.agree(ctx, &hsm.DeleteKey{Session: c.id(), Reference: q.Reference})
	return hsmproto.Empty{}, err
}
