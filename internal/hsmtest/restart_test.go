package hsmtest_test

import (
	"testing"

	"keyward/internal/hsmproto"
	"keyward/internal/hsmtest"
)

// Architecture, fixed point 9: what was answered with success survives the end of every process at once.
func TestEverythingRestarts(t *testing.T) {
	cluster := hsmtest.Start(t, 2)
	cluster.Activate("alice")
	client := cluster.Client()
	_, err := client.Login(t.Context(), hsmtest.User("alice"))
	must(t, err)
	generate(t, client)
	sealed, err := client.Encrypt(t.Context(), crypt([]byte("text")))
	must(t, err)
	for _, h := range cluster.Hsms {
		h.Kill()
	}
	for _, h := range cluster.Hsms {
		h.Start()
	}
	cluster.AwaitLogins(client)
	text, err := client.Decrypt(t.Context(), crypt(sealed))
	if err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	users, err := client.Users(t.Context())
	if err != nil || len(users.Users) != 3 {
		t.Errorf("%v, %v", users.Users, err)
	}
	keys, err := client.FindKeys(t.Context(), hsmproto.FindKeysRequest{})
	if err != nil || keys.Total != 1 {
		t.Errorf("%d keys, %v", keys.Total, err)
	}
}
