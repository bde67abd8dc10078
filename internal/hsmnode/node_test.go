package hsmnode

import (
	"testing"

	"keyward/internal/hsmproto"
)

func TestClusterOfTwo(t *testing.T) {
	f := newCluster(t, 2)
	one := f.hsms[0].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	two := f.hsms[1].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	id := []byte("key-1")
	one.generate("label", id, 0)
	sealed, err := two.encrypt(id, "text")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := one.decrypt(id, sealed); err != nil || text != "text" {
		t.Errorf("decrypt = %q, %v", text, err)
	}
}
