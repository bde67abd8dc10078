package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"keyward/internal/hsmproto"
)

const (
	hsmAuditPath = "/hsm/audit"
	hsmAuditTime = 10 * time.Second // for one page
)

// serveHsmAudit answers a page of an HSM's audit log.
func (i *installation) serveHsmAudit(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseUint(r.FormValue("from"), 10, 64)
	if err != nil {
		http.Error(w, "from must be a sequence number", http.StatusBadRequest)
		return
	}
	hsms := i.hsms.Load()
	if hsms == nil {
		http.Error(w, "the installation is still starting", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), hsmAuditTime)
	defer cancel()
	page, err := hsms.AuditLog(ctx, r.FormValue("hsm"), from)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page) // the client is gone if this fails
}

// HsmAudit gives each record of an HSM's own audit log, oldest first, from the installation that runs on the data folder
// dir, as CloudHSM writes them to CloudWatch Logs.
func HsmAudit(ctx context.Context, dir, hsmID string, each func(record string) error) error {
	for from := uint64(0); ; {
		page, err := hsmAuditPage(ctx, dir, hsmID, from)
		if err != nil || len(page.Records) == 0 {
			return err
		}
		for n := range page.Records {
			if err := each(page.Records[n].String()); err != nil {
				return err
			}
		}
		from = page.Records[len(page.Records)-1].Sequence + 1
	}
}

func hsmAuditPage(ctx context.Context, dir, hsmID string, from uint64) (page hsmproto.AuditLogReply, err error) {
	query := url.Values{"hsm": {hsmID}, "from": {strconv.FormatUint(from, 10)}}
	body, err := askAdmin(ctx, dir, http.MethodGet, hsmAuditPath+"?"+query.Encode())
	if err != nil {
		return page, fmt.Errorf("reading the audit log of %s: %w", hsmID, err)
	}
	return page, json.Unmarshal(body, &page)
}
