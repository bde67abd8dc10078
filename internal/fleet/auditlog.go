package fleet

import (
	"context"

	"keyward/internal/hsmproto"
)

// AuditLog reads a page of an HSM's own log of management commands, from a sequence number on.
func (f *Fleet) AuditLog(ctx context.Context, hsmID string, from uint64) (page hsmproto.AuditLogReply, err error) {
	err = f.call(ctx, hsmID, hsmproto.OpAuditLog, hsmproto.AuditLogRequest{From: from}, &page)
	return page, err
}
