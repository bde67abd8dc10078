package hsmnode

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/internal/hsmproto"
)

// A first HSM proves itself under both roots before it is initialised, and to nobody who trusts the customer's CA.
func TestFirstHsm(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := f.add(hsmproto.CreateFirst)
	p.until("leader", joined)

	var certificates hsmproto.CertificatesReply
	if err := p.manage(hsmproto.OpCertificates, hsmproto.Empty{}, &certificates); err != nil {
		t.Fatal(err)
	}
	checkAttestation(t, f, p, &certificates)
	if _, err := p.dial(); err == nil {
		t.Error("a client that trusts the customer's CA connects before the cluster has its certificate")
	}

	p.initialize()
	refused(t, p.manage(hsmproto.OpCertificates, hsmproto.Empty{}, nil), hsmproto.CodeBadRequest)
	c := p.client()
	var users hsmproto.ListUsersReply
	c.must(hsmproto.OpListUsers, hsmproto.Empty{}, &users)
	if len(users.Users) != 2 || users.Users[0].Role != hsmproto.RoleUnactivatedAdmin ||
		users.Users[1].Role != hsmproto.RoleAppliance || len(users.Hsms) != 1 {
		t.Errorf("users of a fresh cluster: %+v", users)
	}
	refused(t, c.tryLogin("admin", hsmproto.RoleAdmin, adminPassword, false), hsmproto.CodeNotActivated)
	refused(t, c.call(hsmproto.OpActivate, hsmproto.ActivateRequest{Password: []byte("short")}, nil), hsmproto.CodeBadPassword)
	c.must(hsmproto.OpActivate, hsmproto.ActivateRequest{Password: []byte(adminPassword)}, nil)
	refused(t, c.call(hsmproto.OpActivate, hsmproto.ActivateRequest{Password: []byte(adminPassword)}, nil), hsmproto.CodeActivated)

	var info hsmproto.InfoReply
	c.must(hsmproto.OpInfo, hsmproto.Empty{}, &info)
	if !info.Activated || info.HsmID != p.config.HsmID || info.FIPSState != fipsOn || len(info.Members) != 1 {
		t.Errorf("info = %+v", info)
	}
	c.login("ADMIN", hsmproto.RoleAdmin, adminPassword)
}

func checkAttestation(t *testing.T, f *fleet, p *process, c *hsmproto.CertificatesReply) {
	t.Helper()
	block, _ := pem.Decode([]byte(c.ClusterCSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if name := csr.Subject.CommonName; !strings.HasPrefix(name, "HSM:") || !strings.HasSuffix(name, ":PARTN:1, for FIPS mode") {
		t.Errorf("CSR is for %q", name)
	}
	certs, err := parsePEM(c.HsmCertificate)
	if err != nil {
		t.Fatal(err)
	}
	if !certs[0].PublicKey.(*ecdsa.PublicKey).Equal(csr.PublicKey) {
		t.Error("the CSR is for another key than the HSM certificate")
	}
	hardware, err := x509.ParseCertificate(p.member.Hardware)
	if err != nil {
		t.Fatal(err)
	}
	second := f.manufacturer.issue(t, p.config.Node, hardware.PublicKey, true)
	for _, chain := range []struct{ root, hardware *x509.Certificate }{
		{f.provider.cert, hardware}, {f.manufacturer.cert, second},
	} {
		roots, middle := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(chain.root)
		middle.AddCert(chain.hardware)
		_, err := certs[0].Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: middle, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if err != nil {
			t.Errorf("HSM certificate under %s: %v", chain.root.Subject.CommonName, err)
		}
	}
}

func TestClusterOfTwo(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 2, "cu", "kmsuser")
	one := f.hsms[0].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	two := f.hsms[1].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	other := f.hsms[1].client().login("kmsuser", hsmproto.RoleCryptoUser, userPassword)
	id := []byte("key-1")
	key := one.generate("label", id, 0)
	if len(key.CoveredHsms) != 2 || len(key.CheckValue) != 3 || key.Attributes["extractable"] || !key.Attributes["never-extractable"] {
		t.Errorf("key = %+v", key)
	}
	for _, mechanism := range []hsmproto.Mechanism{hsmproto.MechanismAESGCM, hsmproto.MechanismXAES256GCM} {
		checkCrypt(t, one, two, id, mechanism)
	}
	_, err := other.encrypt(id, "text")
	refused(t, err, hsmproto.CodeKeyNotFound)
	var found hsmproto.FindKeysReply
	two.must(hsmproto.OpFindKeys, hsmproto.FindKeysRequest{ID: &id}, &found)
	if found.Total != 1 || len(found.Keys) != 1 || found.Keys[0].Reference != key.Reference {
		t.Errorf("found %+v", found)
	}
	refused(t, other.call(hsmproto.OpDeleteKey, hsmproto.DeleteKeyRequest{Reference: key.Reference}, nil), hsmproto.CodeKeyNotFound)
	two.must(hsmproto.OpDeleteKey, hsmproto.DeleteKeyRequest{Reference: key.Reference}, nil)
	_, err = one.encrypt(id, "text") // a key is gone everywhere before its deletion is answered
	refused(t, err, hsmproto.CodeKeyNotFound)

	var bytes hsmproto.RandomReply
	one.must(hsmproto.OpRandom, hsmproto.RandomRequest{Length: 32}, &bytes)
	if len(bytes.Data) != 32 {
		t.Errorf("%d random bytes", len(bytes.Data))
	}
	refused(t, one.call(hsmproto.OpRandom, hsmproto.RandomRequest{Length: hsmproto.MaxData + 1}, nil), hsmproto.CodeBadRequest)
	refused(t, one.call(99, hsmproto.Empty{}, nil), hsmproto.CodeBadRequest)
}

func checkCrypt(t *testing.T, one, two *user, id []byte, mechanism hsmproto.Mechanism) {
	t.Helper()
	q := hsmproto.CryptRequest{ID: id, Mechanism: mechanism, AAD: []byte("aad"), Data: []byte("text")}
	var sealed, again, opened hsmproto.CryptReply
	two.must(hsmproto.OpEncrypt, q, &sealed)
	two.must(hsmproto.OpEncrypt, q, &again)
	if string(sealed.Data) == string(again.Data) {
		t.Error("two encryptions are equal")
	}
	q.Data = sealed.Data
	one.must(hsmproto.OpDecrypt, q, &opened)
	if string(opened.Data) != "text" {
		t.Errorf("decrypted %q", opened.Data)
	}
	q.AAD = []byte("other")
	refused(t, one.call(hsmproto.OpDecrypt, q, nil), hsmproto.CodeBadCiphertext)
	q.Data = q.Data[:5]
	refused(t, one.call(hsmproto.OpDecrypt, q, nil), hsmproto.CodeBadCiphertext)
	q.Data = make([]byte, hsmproto.MaxData+100)
	refused(t, one.call(hsmproto.OpEncrypt, q, nil), hsmproto.CodeBadRequest)
	q.Mechanism = 9
	q.Data = nil
	refused(t, one.call(hsmproto.OpEncrypt, q, nil), hsmproto.CodeBadRequest)
}

func TestOneHsmMakesNoKeys(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 1, "cu")
	c := f.hsms[0].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	refused(t, c.call(hsmproto.OpGenerateKey, hsmproto.GenerateKeyRequest{Length: 32}, nil), hsmproto.CodeKeyAvailability)
	c.generate("", nil, 1)
	admin := f.hsms[0].client().login("admin", hsmproto.RoleAdmin, adminPassword)
	refused(t, admin.call(hsmproto.OpGenerateKey, hsmproto.GenerateKeyRequest{Length: 32, MinHsms: 1}, nil), hsmproto.CodePermission)
	refused(t, c.call(hsmproto.OpCreateUser, hsmproto.UserRequest{
		User: "x", Role: hsmproto.RoleCryptoUser, Password: []byte(userPassword),
	}, nil), hsmproto.CodePermission)
}

// Five wrong passwords lock a user on that HSM; the lock survives a crash, and only an admin lifts it.
func TestLockout(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 1, "cu")
	p := f.hsms[0]
	cu := hsmproto.RoleCryptoUser
	c := p.client()
	refused(t, c.tryLogin("nobody", cu, userPassword, false), hsmproto.CodeIncorrectCredentials)
	refused(t, c.tryLogin("cu", hsmproto.RoleAdmin, userPassword, false), hsmproto.CodeIncorrectCredentials)
	for range 4 {
		refused(t, c.tryLogin("cu", cu, "wrong-password", false), hsmproto.CodeIncorrectCredentials)
	}
	c.login("cu", cu, userPassword) // which resets the counter
	for range 3 {
		refused(t, c.tryLogin("cu", cu, "wrong-password", false), hsmproto.CodeIncorrectCredentials)
	}
	p.kill()
	p.start()
	p.until("leader", joined)
	p.serves()
	c = p.client()
	for range 2 {
		refused(t, c.tryLogin("cu", cu, "wrong-password", false), hsmproto.CodeIncorrectCredentials)
	}
	refused(t, c.tryLogin("cu", cu, userPassword, false), hsmproto.CodeLocked)

	admin := p.client().login("admin", hsmproto.RoleAdmin, adminPassword)
	var users hsmproto.ListUsersReply
	admin.must(hsmproto.OpListUsers, hsmproto.Empty{}, &users)
	for _, u := range users.Users {
		if locked := len(u.LockedOn) > 0; locked != (u.Name == "cu") {
			t.Errorf("locked: %+v", u)
		}
	}
	admin.must(hsmproto.OpChangePassword, hsmproto.UserRequest{User: "cu", Role: cu, Password: []byte("freshPassword")}, nil)
	c.login("cu", cu, "freshPassword")
}

// Guesses side by side are counted one by one.
func TestParallelGuesses(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 1, "cu")
	const guesses = 8
	answers := make(chan error, guesses)
	for range guesses {
		c := f.hsms[0].client()
		go func() { answers <- c.tryLogin("cu", hsmproto.RoleCryptoUser, "wrong-password", false) }()
	}
	counted := 0
	for range guesses {
		err := <-answers
		if strings.Contains(err.Error(), string(hsmproto.CodeIncorrectCredentials)) {
			counted++
		} else {
			refused(t, err, hsmproto.CodeLocked)
		}
	}
	if counted != 5 {
		t.Errorf("%d guesses were answered", counted)
	}
}

// The key store's connector holds its user alone, on every HSM, until it leaves; and finds those who hold it first.
func TestExclusiveLogin(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 2, "kmsuser")
	cu := hsmproto.RoleCryptoUser
	person := f.hsms[1].client().login("kmsuser", cu, userPassword)
	store, second := f.hsms[0].client(), f.hsms[1].client()
	second.client = store.client
	// Even with a wrong password, which is not counted: the user is in use.
	refused(t, store.tryLogin("kmsuser", cu, "wrong-password", true), hsmproto.CodeUserLoggedIn)
	person.must(hsmproto.OpLogout, hsmproto.Empty{}, nil)

	for _, c := range []*user{store, second} {
		if err := c.tryLogin("kmsuser", cu, userPassword, true); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, person.tryLogin("kmsuser", cu, userPassword, false), hsmproto.CodeUserExclusive)
	admin := f.hsms[1].client().login("admin", hsmproto.RoleAdmin, adminPassword)
	change := hsmproto.UserRequest{User: "kmsuser", Role: cu, Password: []byte("rotatedPassword1")}
	refused(t, admin.call(hsmproto.OpChangePassword, change, nil), hsmproto.CodeUserExclusive)
	store.must(hsmproto.OpChangePassword, change, nil)
	store.generate("", nil, 0) // the session survives the rotation

	// A lost connection ends its session without a word from the client.
	store.conn.Close()
	second.conn.Close()
	for _, p := range f.hsms {
		p.until("without kmsuser", func(s hsmproto.StatusReply) bool { return s.Sessions == 1 })
	}
	person.login("kmsuser", cu, "rotatedPassword1")
	refused(t, admin.call(hsmproto.OpChangePassword, change, nil), hsmproto.CodeUserLoggedIn)
	refused(t, admin.call(hsmproto.OpDeleteUser, change, nil), hsmproto.CodeUserOwnsKeys)
}

// A client that reconnects takes the place of its lost connection at once.
func TestReconnection(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 1, "kmsuser")
	old, again := f.hsms[0].client(), f.hsms[0].client()
	again.client = old.client
	for _, c := range []*user{old, again} {
		if err := c.tryLogin("kmsuser", hsmproto.RoleCryptoUser, userPassword, true); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, old.call(hsmproto.OpRandom, hsmproto.RandomRequest{Length: 1}, nil), hsmproto.CodeNotLoggedIn)
	again.must(hsmproto.OpRandom, hsmproto.RandomRequest{Length: 1}, nil)
	f.hsms[0].until("with one session", func(s hsmproto.StatusReply) bool { return s.Sessions == 1 })
}

// Only the control plane manages: other names under the provider root do not, nor its name from a hardware key.
func TestManagementDoor(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := f.add(hsmproto.CreateFirst)
	key := newTestKey(t)
	hardware := &authority{key, f.provider.issue(t, "node-1", &key.PublicKey, true)}
	forged := newTestKey(t)
	bad := map[string]tls.Certificate{
		"other name": f.credential("somebody"),
		"from a hardware key": {
			Certificate: [][]byte{hardware.issue(t, hsmproto.ControlPlaneName, &forged.PublicKey, false).Raw, hardware.cert.Raw},
			PrivateKey:  forged,
		},
		"self-signed": selfSigned(t, hsmproto.ControlPlaneName),
		"none":        {},
	}
	for name, credential := range bad {
		if err := p.manageAs(credential, hsmproto.OpStatus, hsmproto.Empty{}, nil); err == nil {
			t.Errorf("%s: may manage", name)
		}
	}
	f.epoch = 7
	f.tell(p)
	f.epoch = 3
	refused(t, p.manage(hsmproto.OpSetMembers, f.membership(p), nil), hsmproto.CodeBadRequest)
	refused(t, p.manage(hsmproto.OpSetMembers, hsmproto.SetMembersRequest{Epoch: 9}, nil), hsmproto.CodeBadRequest)
}

func selfSigned(t *testing.T, name string) tls.Certificate {
	key := newTestKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return tls.Certificate{Certificate: [][]byte{sign(t, template, template, &key.PublicKey, key).Raw}, PrivateKey: key}
}

// An HSM refuses a folder that is not its own or that lost a part, instead of starting empty.
func TestBootRefusals(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 1)
	p := f.hsms[0]
	p.kill()
	good := p.config
	tests := map[string]func(){
		"wrong platform secret": func() { p.config.PlatformSecret = random(masterSize) },
		"short platform secret": func() { p.config.PlatformSecret = random(5) },
		"other node":            func() { p.config.Node = "node-9" },
		"empty folder":          func() { p.config.Dir, p.config.Create = t.TempDir(), "" },
		"unknown creation":      func() { p.config.Dir, p.config.Create = t.TempDir(), "magic" },
	}
	for name, change := range tests {
		change()
		if err := p.tryStart(); err == nil {
			t.Errorf("%s: the HSM starts", name)
		}
		<-p.gone
		p.config = good
	}
	if err := os.RemoveAll(filepath.Join(good.Dir, "raft-0")); err != nil {
		t.Fatal(err)
	}
	if err := p.tryStart(); err == nil || !strings.Contains(err.Error(), "the log is gone") {
		t.Errorf("without its log the HSM says %v", err)
	}
}

// Nothing on disk shows what the HSM holds.
func TestFilesAreSealed(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 2, "cu", "kmsuser")
	c := f.hsms[0].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	const label, id = "marker-of-a-label", "marker-of-an-id"
	c.generate(label, []byte(id), 0)
	for _, p := range f.hsms {
		p.kill()
		files := 0
		err := filepath.WalkDir(p.config.Dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s is open to others: %v", path, info.Mode())
			}
			if d.IsDir() {
				return nil
			}
			files++
			data, err := os.ReadFile(path)
			for _, marker := range []string{label, id, "kmsuser", "app_user", hashAlgorithm, userPassword, "PRIVATE KEY"} {
				if strings.Contains(string(data), marker) {
					t.Errorf("%s holds %q", path, marker)
				}
			}
			return err
		})
		if err != nil || files < 3 {
			t.Errorf("walked %d files: %v", files, err)
		}
	}
}
