package hsmnode

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"keyward/internal/hsmproto"
)

const reexec = "KEYWARD_TEST_HSM"

// TestMain is an HSM process when the tests start it as one.
func TestMain(m *testing.M) {
	if os.Getenv(reexec) == "" {
		os.Exit(m.Run())
	}
	hashIterations = 10_000
	heartbeat, leaderLease = 700*time.Millisecond, 650*time.Millisecond
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := Main(context.Background(), os.Stdin, os.Stdout, log); err != nil {
		log.Error("HSM ends", "error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

const patience = 30 * time.Second // for what takes a second at most; a busy machine may need it

// fleet is the control plane and the HSMs of one cluster, with a customer's CA.
type fleet struct {
	t            testing.TB
	prefix       string // of addresses
	provider     *authority
	manufacturer *authority
	customer     *authority
	control      tls.Certificate
	platform     []byte
	cluster      string // id
	share        []byte // the provider's, of backups
	area         string
	backup       string // file to restore from
	epoch        uint64
	hsms         []*process
}

type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key := newTestKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	return &authority{key, sign(t, template, template, &key.PublicKey, key)}
}

func newTestKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, public, signer any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue certifies a key as the fleet does.
func (a *authority) issue(t testing.TB, name string, public crypto.PublicKey, ca bool) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(mathrand.Int64N(1 << 60)), Subject: pkix.Name{CommonName: name},
		IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if ca {
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	return sign(t, template, a.cert, public, a.key)
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{
		t: t, provider: newAuthority(t, "provider"), manufacturer: newAuthority(t, "manufacturer"),
		customer: newAuthority(t, "customer"), platform: random(masterSize),
		cluster: "cluster-test", share: random(masterSize), area: filepath.Join(t.TempDir(), "area"),
		prefix: fmt.Sprintf("127.%d.%d", 100+mathrand.IntN(150), 1+mathrand.IntN(250)),
	}
	f.control = f.credential(hsmproto.ControlPlaneName)
	return f
}

func (f *fleet) credential(name string) tls.Certificate {
	key := newTestKey(f.t)
	cert := f.provider.issue(f.t, name, &key.PublicKey, false)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// process is one HSM.
type process struct {
	fleet  *fleet
	config hsmproto.BootConfig
	member hsmproto.Member
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *bytes.Buffer
	gone   chan struct{}

	mu      sync.Mutex // guards managed
	managed *hsmproto.Conn
}

// add starts a new HSM without telling anybody.
func (f *fleet) add(create hsmproto.Create) *process {
	f.t.Helper()
	p := f.plan(create)
	p.start()
	f.t.Cleanup(p.end)
	return p
}

// plan is add without the start.
func (f *fleet) plan(create hsmproto.Create) *process {
	number := len(f.hsms) + 1
	p := &process{fleet: f, config: hsmproto.BootConfig{
		HsmID: fmt.Sprintf("hsm-%d", number), ClusterID: f.cluster, Node: fmt.Sprintf("node-%d", number),
		Address: f.prefix + "." + strconv.Itoa(number), Dir: filepath.Join(f.t.TempDir(), "hsm"), HsmType: "hsm2m.medium",
		Mode: "FIPS", PlatformSecret: f.platform, ProviderRoot: f.provider.cert.Raw,
		ManufacturerRoot: f.manufacturer.cert.Raw, Create: create,
		ProviderShare: f.share, Area: f.area, Backup: f.backup,
	}}
	f.hsms = append(f.hsms, p)
	return p
}

// start runs the process through its boot dialogue.
func (p *process) start() {
	p.fleet.t.Helper()
	if err := p.tryStart(); err != nil {
		p.fleet.t.Fatalf("%s: %v", p.config.HsmID, err)
	}
}

func (p *process) tryStart() error {
	t := p.fleet.t
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), reexec+"=1")
	p.stderr = new(bytes.Buffer)
	p.cmd.Stderr = p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.gone = make(chan struct{})
	if err := json.NewEncoder(p.stdin).Encode(p.config); err != nil {
		return err
	}
	err = p.converse(t, bufio.NewReader(stdout))
	go func() {
		_ = p.cmd.Wait() // tests look at what the HSM did, not at how it ended
		close(p.gone)
	}()
	return err
}

func (p *process) converse(t testing.TB, out *bufio.Reader) error {
	for {
		line, err := out.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("no greeting: %w\n%s", err, p.stderr)
		}
		var hello hsmproto.BootHello
		if err := json.Unmarshal(line, &hello); err != nil {
			return err
		}
		switch {
		case hello.Error != "":
			return errors.New(hello.Error)
		case hello.Ready:
			return nil
		}
		key, err := x509.ParsePKIXPublicKey(hello.HardwareKey)
		if err != nil {
			return err
		}
		provider := p.fleet.provider.issue(t, p.config.Node, key, true)
		manufacturer := p.fleet.manufacturer.issue(t, p.config.Node, key, true)
		p.member = hsmproto.Member{
			HsmID: p.config.HsmID, Node: p.config.Node, Address: p.config.Address, Hardware: provider.Raw,
		}
		reply := hsmproto.BootCertificates{Provider: provider.Raw, Manufacturer: manufacturer.Raw}
		if err := json.NewEncoder(p.stdin).Encode(reply); err != nil {
			return err
		}
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // gone already: as good
	<-p.gone
}

// end closes standard input, as a dying supervisor does, and shows the log of a failed test.
func (p *process) end() {
	_ = p.stdin.Close()
	select {
	case <-p.gone:
	case <-time.After(patience):
		p.fleet.t.Errorf("%s does not end with its standard input", p.config.HsmID)
		p.kill()
	}
	if p.fleet.t.Failed() {
		p.fleet.t.Logf("%s:\n%s", p.config.HsmID, p.stderr)
	}
}

// manage makes a management call over a connection that is kept.
func (p *process) manage(op hsmproto.Op, in, out any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.managed == nil || p.managed.Err() != nil {
		conn, err := p.dialManagement(p.fleet.control)
		if err != nil {
			return err
		}
		p.managed = conn
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.managed.Call(ctx, op, in, out)
}

// manageAs makes one management call with this certificate.
func (p *process) manageAs(credential tls.Certificate, op hsmproto.Op, in, out any) error {
	conn, err := p.dialManagement(credential)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return conn.Call(ctx, op, in, out)
}

func (p *process) dialManagement(credential tls.Certificate) (*hsmproto.Conn, error) {
	config := &tls.Config{Certificates: []tls.Certificate{credential}, InsecureSkipVerify: true}
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if !bytes.Equal(s.PeerCertificates[0].Raw, p.member.Hardware) {
			return errors.New("not the HSM's hardware certificate")
		}
		return nil
	}
	c, err := tls.Dial("tcp", net.JoinHostPort(p.config.Address, strconv.Itoa(hsmproto.ManagementPort)), config)
	if err != nil {
		return nil, err
	}
	return hsmproto.NewConn(c), nil
}

func (p *process) status() (hsmproto.StatusReply, error) {
	var s hsmproto.StatusReply
	return s, p.manage(hsmproto.OpStatus, hsmproto.Empty{}, &s)
}

// until polls, as the control plane does, until the HSM's status is as wanted.
func (p *process) until(what string, wanted func(hsmproto.StatusReply) bool) hsmproto.StatusReply {
	p.fleet.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		s, err := p.status()
		if err == nil && wanted(s) {
			return s
		}
		select {
		case <-ticker.C:
		case <-deadline:
			p.fleet.t.Fatalf("%s never became %s: %+v, %v", p.config.HsmID, what, s, err)
		}
	}
}

// serves returns once clients are served: a restarted HSM has replayed its log, and shows the customer's certificate that
// it finds there.
func (p *process) serves() {
	p.fleet.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for err := p.tryServe(); err != nil; err = p.tryServe() {
		select {
		case <-ticker.C:
		case <-deadline:
			p.fleet.t.Fatalf("%s does not serve clients: %v", p.config.HsmID, err)
		}
	}
}

func (p *process) tryServe() error {
	conn, err := p.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	return (&user{p.fleet.t, conn, random(32)}).call(hsmproto.OpInfo, hsmproto.Empty{}, nil)
}

func joined(s hsmproto.StatusReply) bool { return s.Joined && s.Leader != "" }

func voters(n int) func(hsmproto.StatusReply) bool {
	return func(s hsmproto.StatusReply) bool { return joined(s) && len(s.Voters) == n }
}

// tell announces a membership to its members.
func (f *fleet) tell(members ...*process) {
	f.t.Helper()
	f.epoch++
	q := f.membership(members...)
	for _, p := range members {
		if err := p.manage(hsmproto.OpSetMembers, q, nil); err != nil {
			f.t.Fatalf("%s refuses its membership: %v", p.config.HsmID, err)
		}
	}
}

func (f *fleet) membership(members ...*process) hsmproto.SetMembersRequest {
	q := hsmproto.SetMembersRequest{Epoch: f.epoch}
	for _, p := range members {
		q.Members = append(q.Members, p.member)
	}
	return q
}

// newCluster starts an initialised cluster of n HSMs. If it is to have crypto users it is activated.
func newCluster(t testing.TB, n int, users ...string) *fleet {
	t.Helper()
	f := newFleet(t)
	first := f.add(hsmproto.CreateFirst)
	f.tell(first)
	first.until("leader", joined)
	first.initialize()
	if len(users) > 0 {
		first.activate(users)
	}
	for len(f.hsms) < n {
		f.add(hsmproto.CreateJoin)
	}
	if n > 1 {
		f.tell(f.hsms...)
	}
	for _, p := range f.hsms {
		p.until("joined", voters(n))
	}
	return f
}

func (p *process) activate(users []string) {
	c := p.client()
	c.must(hsmproto.OpActivate, hsmproto.ActivateRequest{Password: []byte(adminPassword)}, nil)
	c.login("admin", hsmproto.RoleAdmin, adminPassword)
	for _, name := range users {
		c.must(hsmproto.OpCreateUser, hsmproto.UserRequest{
			User: name, Role: hsmproto.RoleCryptoUser, Password: []byte(userPassword),
		}, nil)
	}
	c.must(hsmproto.OpLogout, hsmproto.Empty{}, nil)
	c.conn.Close()
}

const (
	adminPassword = "admin-password-1"
	userPassword  = "userPassword1"
)

func (p *process) initialize() {
	t := p.fleet.t
	t.Helper()
	var certificates hsmproto.CertificatesReply
	if err := p.manage(hsmproto.OpCertificates, hsmproto.Empty{}, &certificates); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(certificates.ClusterCSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Fatal(err)
	}
	signed := p.fleet.customer.issue(t, csr.Subject.CommonName, csr.PublicKey, false)
	q := hsmproto.InitializeRequest{
		ClusterCertificate: encodePEM(pemCertificate, signed.Raw),
		TrustAnchor:        encodePEM(pemCertificate, p.fleet.customer.cert.Raw),
	}
	if err := p.manage(hsmproto.OpInitialize, q, nil); err != nil {
		t.Fatal(err)
	}
}

// user is a client connection.
type user struct {
	t      testing.TB
	conn   *hsmproto.Conn
	client []byte
}

// dial connects as a client that trusts the customer's CA.
func (p *process) dial() (*hsmproto.Conn, error) {
	pool := x509.NewCertPool()
	pool.AddCert(p.fleet.customer.cert)
	config := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		return err
	}}
	c, err := tls.Dial("tcp", net.JoinHostPort(p.config.Address, strconv.Itoa(hsmproto.ClientPort)), config)
	if err != nil {
		return nil, err
	}
	return hsmproto.NewConn(c), nil
}

func (p *process) client() *user {
	t := p.fleet.t
	t.Helper()
	conn, err := p.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return &user{t, conn, random(32)}
}

func (u *user) call(op hsmproto.Op, in, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return u.conn.Call(ctx, op, in, out)
}

func (u *user) must(op hsmproto.Op, in, out any) {
	u.t.Helper()
	if err := u.call(op, in, out); err != nil {
		u.t.Fatalf("operation %d: %v", op, err)
	}
}

func (u *user) tryLogin(name string, role hsmproto.Role, password string, exclusive bool) error {
	return u.call(hsmproto.OpLogin, hsmproto.LoginRequest{
		User: name, Role: role, Password: []byte(password), Client: u.client, Exclusive: exclusive,
	}, nil)
}

func (u *user) login(name string, role hsmproto.Role, password string) *user {
	u.t.Helper()
	if err := u.tryLogin(name, role, password, false); err != nil {
		u.t.Fatalf("login as %s: %v", name, err)
	}
	return u
}

// refused fails the test unless err is this refusal.
func refused(t testing.TB, err error, code hsmproto.Code) {
	t.Helper()
	if !errors.Is(err, &hsmproto.Error{Code: code}) {
		t.Errorf("got %v, want %s", err, code)
	}
}

func (u *user) generate(label string, id []byte, minHsms int) hsmproto.Key {
	u.t.Helper()
	var reply hsmproto.GenerateKeyReply
	u.must(hsmproto.OpGenerateKey, hsmproto.GenerateKeyRequest{
		Label: label, ID: id, Length: 32, MinHsms: minHsms,
		Set: map[string]bool{"encrypt": true, "decrypt": true, "extractable": false},
	}, &reply)
	return reply.Key
}

func (u *user) encrypt(id []byte, text string) ([]byte, error) {
	var reply hsmproto.CryptReply
	err := u.call(hsmproto.OpEncrypt, hsmproto.CryptRequest{
		ID: id, Mechanism: hsmproto.MechanismXAES256GCM, AAD: []byte("aad"), Data: []byte(text),
	}, &reply)
	return reply.Data, err
}

func (u *user) decrypt(id, sealed []byte) (string, error) {
	var reply hsmproto.CryptReply
	err := u.call(hsmproto.OpDecrypt, hsmproto.CryptRequest{
		ID: id, Mechanism: hsmproto.MechanismXAES256GCM, AAD: []byte("aad"), Data: sealed,
	}, &reply)
	return string(reply.Data), err
}

// loop calls f on several goroutines until stop is called, which waits for them.
func loop(workers int, f func()) (stop func()) {
	done := make(chan struct{})
	var work sync.WaitGroup
	for range workers {
		work.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					f()
				}
			}
		})
	}
	return func() { close(done); work.Wait() }
}
