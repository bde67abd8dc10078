//go:build testdoor

package hsmnode

import (
	"context"

	"keyward/internal/hsmproto"
)

// This door exists in builds with tag testdoor alone (hsmproto.OpImportKey).
func init() {
	doors[hsmproto.OpImportKey] = func(c *client, ctx context.Context, _ *group, body []byte) (any, error) {
		return handle(ctx, body, c.importKey)
	}
}

func (c *client) importKey(ctx context.Context, q *hsmproto.ImportKeyRequest) (any, error) {
	q.Generate.Length = len(q.Material)
	return c.addKey(ctx, &q.Generate, q.Material, true)
}
