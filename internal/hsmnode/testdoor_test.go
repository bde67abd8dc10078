//go:build testdoor

package hsmnode

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"os"
	"path/filepath"
	"testing"

	"keyward/internal/hsmproto"
)

// Known material works as a key, and is in none of the HSM's files.
func TestImportedMaterialStaysInside(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 2, "cu")
	material := random(32)
	id := []byte("imported")
	c := f.hsms[0].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	c.must(hsmproto.OpImportKey, hsmproto.ImportKeyRequest{
		Generate: hsmproto.GenerateKeyRequest{ID: id, Set: map[string]bool{"encrypt": true}}, Material: material,
	}, nil)
	var reply hsmproto.CryptReply
	c.must(hsmproto.OpEncrypt, hsmproto.CryptRequest{ID: id, Mechanism: hsmproto.MechanismAESGCM, Data: []byte("text")}, &reply)
	block, err := aes.NewCipher(material)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := gcm.Open(nil, reply.Data[:12], reply.Data[12:], nil); err != nil || string(text) != "text" {
		t.Errorf("the key is not the material: %q, %v", text, err)
	}
	for _, p := range f.hsms {
		p.kill()
		files, err := filepath.Glob(filepath.Join(p.config.Dir, "*", "*", "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files: %v", err)
		}
		for _, path := range append(files, filepath.Join(p.config.Dir, deviceFile)) {
			if data, err := os.ReadFile(path); err != nil || bytes.Contains(data, material) {
				t.Errorf("%s: holds the material, or %v", path, err)
			}
		}
	}
}
