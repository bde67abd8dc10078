package hsmclient

import (
	"bytes"
	"encoding/pem"
	"testing"
)

// What parsePEM takes are certificates, as many as there are blocks.
func FuzzTrustAnchor(f *testing.F) {
	fake, _ := newFakeCluster(f, 0)
	f.Add(fake.authority.pem())
	f.Add(append(fake.authority.pem(), leafPEM(fake)...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parsePEM(data)
		if err != nil {
			return
		}
		var again []byte
		for _, certificate := range list {
			again = append(again, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
		}
		second, err := parsePEM(again)
		if err != nil || len(second) != len(list) || !bytes.Equal(second[0].Raw, list[0].Raw) {
			t.Errorf("%d certificates became %d: %v", len(list), len(second), err)
		}
	})
}
