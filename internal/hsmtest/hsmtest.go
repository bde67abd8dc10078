// Package hsmtest is a test kit: real clusters of real HSM processes on loopback addresses, for tests of those who talk
// to HSMs. It plays supervisor and control plane through the HSM's own boot and management protocol, as simply as that
// can be done, and the customer who signs the cluster certificate.
//
// The HSM processes are the test binary itself: a package that uses Start calls RunHsm first thing in its TestMain.
package hsmtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"keyward/internal/hsmclient"
	"keyward/internal/hsmnode"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// variable tells a test binary that it is to be an HSM.
const variable = "KEYWARD_TEST_HSM"

// Passwords of the users that Activate makes.
const (
	AdminPassword = "admin-password"
	UserPassword  = "user-password"
)

// joinLimit bounds how long HSMs take to form a cluster.
const joinLimit = 60 * time.Second

// RunHsm becomes an HSM, and does not return, in a process that Start made; otherwise it does nothing.
func RunHsm() {
	if os.Getenv(variable) == "" {
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := hsmnode.Main(context.Background(), os.Stdin, os.Stdout, log); err != nil {
		log.Error("HSM ended", "error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Cluster is a cluster of HSM processes, initialised, that lives as long as the test.
type Cluster struct {
	ID   string
	Hsms []*Hsm // in the order of their addresses
	// CA is the customer's CA certificate, the trust anchor; Certificate the cluster's. Both PEM.
	CA, Certificate []byte

	t        testing.TB
	provider *authority // of hardware and control plane
	maker    *authority // the manufacturer
	customer *authority
	manager  tls.Certificate
	platform []byte
}

// Start makes a cluster of n HSMs that is initialised but not activated.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{
		ID: "cluster-" + letters(11), t: t, platform: random(t, 32),
		provider: newAuthority(t, "provider root"), maker: newAuthority(t, "manufacturer root"), customer: newAuthority(t, "customer CA"),
	}
	c.CA = encodePEM(c.customer.certificate)
	c.manager = c.provider.identity(t, hsmproto.ControlPlaneName, x509.ExtKeyUsageClientAuth)
	base := freeNetwork(t)
	for i := range n {
		c.Hsms = append(c.Hsms, c.newHsm(fmt.Sprintf("%s.%d", base, i+1)))
	}
	for i, h := range c.Hsms {
		create := hsmproto.CreateJoin
		if i == 0 {
			create = hsmproto.CreateFirst
		}
		h.boot(create)
	}
	c.initialize()
	c.join()
	return c
}

// Sequential marks a test that logs in many times and runs nothing side by side: it is skipped under the race detector,
// which finds nothing in it and makes the hashing of passwords in HSM processes several times slower.
func Sequential(t testing.TB) {
	t.Helper()
	if race {
		t.Skip("nothing concurrent here for the race detector")
	}
}

// Addresses are the HSMs' IPs.
func (c *Cluster) Addresses() []string {
	list := make([]string, len(c.Hsms))
	for i, h := range c.Hsms {
		list[i] = h.Address
	}
	return list
}

// initialize signs the first HSM's request as a customer does.
func (c *Cluster) initialize() {
	c.t.Helper()
	first := c.Hsms[0].manage()
	defer first.Close()
	var request hsmproto.CertificatesReply
	c.must(first.Call(c.t.Context(), hsmproto.OpCertificates, hsmproto.Empty{}, &request))
	block, _ := pem.Decode([]byte(request.ClusterCSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	c.must(err)
	leaf := c.customer.issue(c.t, &x509.Certificate{Subject: csr.Subject}, csr.PublicKey)
	c.Certificate = encodePEM(leaf)
	in := hsmproto.InitializeRequest{ClusterCertificate: string(c.Certificate), TrustAnchor: string(c.CA)}
	c.must(first.Call(c.t.Context(), hsmproto.OpInitialize, in, nil))
}

// join tells every HSM who the members are and waits until all are.
func (c *Cluster) join() {
	c.t.Helper()
	request := hsmproto.SetMembersRequest{Epoch: 1}
	for _, h := range c.Hsms {
		request.Members = append(request.Members, hsmproto.Member{HsmID: h.ID, Node: h.node, Address: h.Address, Hardware: h.hardware})
	}
	for _, h := range c.Hsms {
		conn := h.manage()
		c.must(conn.Call(c.t.Context(), hsmproto.OpSetMembers, request, nil))
		conn.Close()
	}
	for _, h := range c.Hsms {
		h.awaitJoined()
	}
}

// Client connects to the HSMs, or, with addresses, to those; it is closed with the test.
func (c *Cluster) Client(addresses ...string) *hsmclient.Cluster {
	c.t.Helper()
	if len(addresses) == 0 {
		addresses = c.Addresses()
	}
	client, err := hsmclient.New(hsmclient.Config{
		Addresses:   func(context.Context) ([]string, error) { return addresses, nil },
		TrustAnchor: c.CA, ClusterCertificate: c.Certificate,
	})
	c.must(err)
	c.t.Cleanup(func() {
		if err := client.Close(); err != nil {
			c.t.Error(err)
		}
	})
	c.must(client.Connect(c.t.Context()))
	return client
}

// Activate sets the password of user admin to AdminPassword and makes these crypto users, with UserPassword.
func (c *Cluster) Activate(users ...string) {
	c.t.Helper()
	client := c.Client()
	ctx := c.t.Context()
	c.must(client.Activate(ctx, secret.FromString(AdminPassword)))
	_, err := client.Login(ctx, Admin())
	c.must(err)
	for _, user := range users {
		_, err := client.CreateUser(ctx, user, hsmproto.RoleCryptoUser, secret.FromString(UserPassword))
		c.must(err)
	}
	c.must(client.Logout(ctx))
	c.must(client.Close())
}

// Stranger is the identity of a server that no customer's CA knows.
func Stranger(t testing.TB) tls.Certificate {
	t.Helper()
	return newAuthority(t, "another CA").identity(t, "stranger")
}

// Admin are the credentials of user admin after Activate.
func Admin() hsmclient.Credentials {
	return hsmclient.Credentials{User: "admin", Role: hsmproto.RoleAdmin, Password: secret.FromString(AdminPassword)}
}

// User are the credentials of a user that Activate made.
func User(name string) hsmclient.Credentials {
	return hsmclient.Credentials{User: name, Role: hsmproto.RoleCryptoUser, Password: secret.FromString(UserPassword)}
}

// AwaitLogins returns when client is logged in on every HSM.
func (c *Cluster) AwaitLogins(client *hsmclient.Cluster) {
	c.t.Helper()
	c.await("the client is not logged in everywhere", func() bool {
		for _, state := range client.State() {
			if !state.LoggedIn {
				return false
			}
		}
		return true
	})
}

// AwaitLoss returns when client knows that it cannot use this HSM.
func (c *Cluster) AwaitLoss(client *hsmclient.Cluster, h *Hsm) {
	c.t.Helper()
	c.await("the client does not notice the loss of "+h.ID, func() bool {
		for _, state := range client.State() {
			if ip, _, _ := net.SplitHostPort(state.Address); ip == h.Address {
				return !state.Connected
			}
		}
		return true
	})
}

// await asks until holds does.
func (c *Cluster) await(otherwise string, holds func() bool) {
	c.t.Helper()
	deadline := time.After(joinLimit)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			c.t.Fatal("hsmtest: " + otherwise)
		}
	}
}

func (c *Cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// freeNetwork finds three octets of a loopback network that no other test uses at the moment.
func freeNetwork(t testing.TB) string {
	t.Helper()
	for range 100 {
		base := fmt.Sprintf("127.%d.%d", 128+mathrand.IntN(100), 1+mathrand.IntN(254))
		listener, err := net.Listen("tcp", net.JoinHostPort(base+".1", strconv.Itoa(hsmproto.ClientPort)))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return base
	}
	t.Fatal("hsmtest: no free loopback network")
	return ""
}

// letters is the random part of an id of CloudHSM.
func letters(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	id := make([]byte, n)
	for i := range id {
		id[i] = alphabet[mathrand.IntN(len(alphabet))]
	}
	return string(id)
}

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate = template
	a.certificate = a.issue(t, template, &a.key.PublicKey)
	return a
}

// issue certifies a public key; serial number and dates are filled in.
func (a *authority) issue(t testing.TB, template *x509.Certificate, public any) *x509.Certificate {
	t.Helper()
	template.SerialNumber = new(big.Int).SetBytes(random(t, 8))
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// identity is a key with its certificate.
func (a *authority) identity(t testing.TB, name string, usages ...x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	key := newKey(t)
	leaf := a.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: usages}, &key.PublicKey)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encodePEM(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}
