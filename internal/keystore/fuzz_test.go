package keystore

import (
	"encoding/pem"
	"testing"
	"time"
)

// A marker that is accepted is one that this package writes, and means the same when written again.
func FuzzMarker(f *testing.F) {
	f.Add(position{1_700_000_000_000, "cks-0123456789abcdef0"}.marker())
	f.Add("MTo=")
	f.Fuzz(func(t *testing.T, marker string) {
		p, err := parseMarker(&marker)
		if err != nil {
			return
		}
		written := p.marker()
		again, err := parseMarker(&written)
		if err != nil || again != p {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}

// Whatever text is given as a trust anchor: it is equal to itself if it parses, and never anchors a certificate that
// is not there.
func FuzzTrustAnchor(f *testing.F) {
	f.Add("")
	f.Add("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n")
	f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})))
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parsePEM([]byte(text))
		if (err == nil) != (len(all) > 0) {
			t.Errorf("%d certificates, %v", len(all), err)
		}
		if sameAnchor(text, text) != (err == nil) {
			t.Error("a text is not the same anchor as itself")
		}
		if err == nil && anchors(text, all[0], time.Unix(0, 0)) {
			t.Error("a certificate anchors itself")
		}
	})
}
