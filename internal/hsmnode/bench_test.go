package hsmnode

import (
	"testing"

	"keyward/internal/hsmproto"
)

// BenchmarkEncrypt encrypts 256 bytes over one connection to a real HSM process.
func BenchmarkEncrypt(b *testing.B) {
	f := newCluster(b, 1, "cu")
	c := f.hsms[0].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	id := []byte("key")
	c.generate("", id, 1)
	q := hsmproto.CryptRequest{
		ID: id, Mechanism: hsmproto.MechanismXAES256GCM, AAD: make([]byte, 32), Data: make([]byte, 256),
	}
	run := func(b *testing.B, parallelism int) {
		b.SetParallelism(parallelism)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			var reply hsmproto.CryptReply
			for pb.Next() {
				if err := c.call(hsmproto.OpEncrypt, q, &reply); err != nil {
					b.Error(err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	}
	b.Run("serial", func(b *testing.B) { run(b, 1) })
	b.Run("64 callers", func(b *testing.B) { run(b, 32) }) // times two processors
}

// BenchmarkEncryptInside leaves the network out: a request's body in, a reply's body out.
func BenchmarkEncryptInside(b *testing.B) {
	keys, err := newKeyring(newTestSecret())
	if err != nil {
		b.Fatal(err)
	}
	c, g := loggedInClient(b, keys)
	body, err := hsmproto.Marshal(hsmproto.CryptRequest{
		ID: []byte("key"), Mechanism: hsmproto.MechanismXAES256GCM, AAD: make([]byte, 32), Data: make([]byte, 256),
	})
	if err != nil {
		b.Fatal(err)
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		reply, err := c.encrypt(g, body)
		if err != nil {
			b.Fatal(err)
		}
		if out, err = hsmproto.AppendMessage(out[:0], 1, hsmproto.KindOK, reply); err != nil {
			b.Fatal(err)
		}
		releaseReply(reply.(*hsmproto.CryptReply))
	}
}
