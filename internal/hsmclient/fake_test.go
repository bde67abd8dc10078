package hsmclient

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// authority issues certificates as a customer's CA does.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "customer CA"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	a.certificate = sign(t, template, template, &a.key.PublicKey, a.key)
	return a
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// issue makes a certificate without host names and key usages, as cluster certificates are.
func (a *authority) issue(t testing.TB) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "cluster"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	leaf := sign(t, template, a.certificate, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return certificate
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fate is what a test lets happen to a request.
type fate int

const (
	serve      fate = iota
	cutBefore       // the connection breaks before the request is carried out
	cutAfter        // it is carried out, the reply is lost
	ignore          // no reply ever
	unavailing      // refused with UNAVAILABLE
	forgetting      // refused with NOT_LOGGED_IN
)

// fakeCluster is the state that HSMs share: users and keys, without any cryptography.
type fakeCluster struct {
	authority *authority
	identity  tls.Certificate

	mu       sync.Mutex
	password string // of "kmsuser", crypto-user
	keys     []hsmproto.Key
	fate     func(h *fakeHsm, op hsmproto.Op) fate // nil: serve
}

// fakeHsm is one listener speaking the HSM's language.
type fakeHsm struct {
	cluster *fakeCluster
	t       testing.TB
	address string

	wg       sync.WaitGroup
	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	failures int            // wrong passwords of kmsuser
	asked    []hsmproto.Op  // except Info, which heartbeats ask
	logins   map[string]int // by password
}

func newFakeCluster(t testing.TB, n int) (*fakeCluster, []*fakeHsm) {
	t.Helper()
	a := newAuthority(t)
	c := &fakeCluster{authority: a, identity: a.issue(t), password: "password-1"}
	hsms := make([]*fakeHsm, n)
	for i := range hsms {
		hsms[i] = c.newHsm(t)
	}
	slices.SortFunc(hsms, func(a, b *fakeHsm) int { return strings.Compare(a.address, b.address) })
	return c, hsms
}

func (c *fakeCluster) newHsm(t testing.TB) *fakeHsm {
	h := &fakeHsm{cluster: c, t: t, address: freeAddress(t), logins: make(map[string]int)}
	h.start()
	t.Cleanup(h.kill)
	return h
}

// freeAddress is one that start can listen on: addresses stay the same over restarts.
func freeAddress(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	return listener.Addr().String()
}

func (c *fakeCluster) decide(f func(h *fakeHsm, op hsmproto.Op) fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fate = f
}

func (c *fakeCluster) setPassword(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.password = password
}

// start begins to listen, after kill on the same address again.
func (h *fakeHsm) start() {
	listener, err := net.Listen("tcp", h.address)
	must(h.t, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listener, h.conns = listener, make(map[net.Conn]bool)
	h.wg.Go(func() { h.accept(listener) })
}

// kill ends everything at once and waits for it.
func (h *fakeHsm) kill() {
	h.mu.Lock()
	_ = h.listener.Close()
	for conn := range h.conns {
		_ = conn.Close()
	}
	h.mu.Unlock()
	h.wg.Wait()
}

func (h *fakeHsm) accept(listener net.Listener) {
	for {
		raw, err := listener.Accept()
		if err != nil {
			return
		}
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{h.cluster.identity}, MinVersion: tls.VersionTLS13})
		h.mu.Lock()
		h.conns[conn] = true
		h.mu.Unlock()
		h.wg.Go(func() { h.talk(conn) })
	}
}

// talk serves one connection, one request after the other.
func (h *fakeHsm) talk(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		h.mu.Lock()
		delete(h.conns, conn)
		h.mu.Unlock()
	}()
	user := ""
	for {
		frame, err := hsmproto.ReadFrame(conn)
		if err != nil {
			return
		}
		reply, ok := h.answer(&user, frame)
		if !ok {
			return
		}
		if reply == nil {
			continue
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

func (h *fakeHsm) fateOf(op hsmproto.Op) fate {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	if h.cluster.fate == nil {
		return serve
	}
	return h.cluster.fate(h, op)
}

func (h *fakeHsm) answer(user *string, frame hsmproto.Frame) (reply []byte, ok bool) {
	if frame.Op != hsmproto.OpInfo {
		h.mu.Lock()
		h.asked = append(h.asked, frame.Op)
		h.mu.Unlock()
	}
	var out any
	var err error
	switch h.fateOf(frame.Op) {
	case cutBefore:
		return nil, false
	case cutAfter:
		_, _ = h.carryOut(user, frame)
		return nil, false
	case ignore:
		return nil, true
	case unavailing:
		err = errUnavailable
	case forgetting:
		*user, err = "", ErrNotLoggedIn
	case serve:
		out, err = h.carryOut(user, frame)
	}
	return h.encode(frame.Call, out, err), true
}

func (h *fakeHsm) encode(call uint64, out any, err error) []byte {
	kind := hsmproto.KindOK
	if err != nil {
		kind, out = hsmproto.KindError, err
	}
	body, err := hsmproto.Marshal(out)
	if err != nil {
		h.t.Error(err)
	}
	reply, err := hsmproto.AppendFrame(nil, call, kind, body)
	if err != nil {
		h.t.Error(err)
	}
	return reply
}

func refuse(code hsmproto.Code) error { return &hsmproto.Error{Code: code} }

func decode[T any](frame hsmproto.Frame) (request T, err error) {
	if hsmproto.Unmarshal(frame.Body, &request) != nil {
		err = refuse(hsmproto.CodeBadRequest)
	}
	return request, err
}

func (h *fakeHsm) carryOut(user *string, frame hsmproto.Frame) (any, error) {
	c := h.cluster
	switch frame.Op {
	case hsmproto.OpInfo:
		return hsmproto.InfoReply{HsmID: h.address}, nil
	case hsmproto.OpListUsers:
		return hsmproto.ListUsersReply{Users: []hsmproto.User{{Name: "kmsuser", Role: hsmproto.RoleCryptoUser}}}, nil
	case hsmproto.OpLogin:
		request, err := decode[hsmproto.LoginRequest](frame)
		if err != nil {
			return nil, err
		}
		return h.logIn(user, request)
	}
	if *user == "" {
		return nil, ErrNotLoggedIn
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch frame.Op {
	case hsmproto.OpLogout:
		*user = ""
		return hsmproto.Empty{}, nil
	case hsmproto.OpChangePassword:
		request, err := decode[hsmproto.UserRequest](frame)
		c.password = string(request.Password)
		return hsmproto.UserReply{User: request.User, Role: request.Role}, err
	case hsmproto.OpGenerateKey:
		return c.generate(frame)
	case hsmproto.OpFindKeys:
		return c.find(frame)
	case hsmproto.OpDeleteKey:
		return c.delete(frame)
	case hsmproto.OpEncrypt, hsmproto.OpDecrypt:
		request, err := decode[hsmproto.CryptRequest](frame)
		return hsmproto.CryptReply{Data: request.Data}, err
	case hsmproto.OpRandom:
		request, err := decode[hsmproto.RandomRequest](frame)
		return hsmproto.RandomReply{Data: make([]byte, request.Length)}, err
	}
	return nil, refuse(hsmproto.CodeBadRequest)
}

func (h *fakeHsm) logIn(user *string, request hsmproto.LoginRequest) (any, error) {
	h.cluster.mu.Lock()
	right := h.cluster.password == string(request.Password)
	h.cluster.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logins[string(request.Password)]++
	switch {
	case len(request.Client) != ClientIDLength:
		return nil, refuse(hsmproto.CodeBadRequest)
	case h.failures >= 5:
		return nil, refuse(hsmproto.CodeLocked)
	case !right:
		h.failures++
		return nil, refuse(hsmproto.CodeIncorrectCredentials)
	}
	h.failures, *user = 0, request.User
	return hsmproto.LoginReply{User: request.User, Role: request.Role}, nil
}

func (c *fakeCluster) generate(frame hsmproto.Frame) (any, error) {
	request, err := decode[hsmproto.GenerateKeyRequest](frame)
	if err != nil {
		return nil, err
	}
	for _, key := range c.keys {
		if bytes.Equal(key.ID, request.ID) {
			return nil, errKeyExists
		}
	}
	key := hsmproto.Key{Reference: uint64(len(c.keys) + 1), Label: request.Label, ID: request.ID, Length: request.Length}
	c.keys = append(c.keys, key)
	return hsmproto.GenerateKeyReply{Key: key}, nil
}

func (c *fakeCluster) find(frame hsmproto.Frame) (any, error) {
	request, err := decode[hsmproto.FindKeysRequest](frame)
	var reply hsmproto.FindKeysReply
	for _, key := range c.keys {
		if request.ID == nil || bytes.Equal(key.ID, *request.ID) {
			reply.Keys = append(reply.Keys, key)
		}
	}
	reply.Total = len(reply.Keys)
	return reply, err
}

func (c *fakeCluster) delete(frame hsmproto.Frame) (any, error) {
	request, err := decode[hsmproto.DeleteKeyRequest](frame)
	if err != nil {
		return nil, err
	}
	before := len(c.keys)
	c.keys = slices.DeleteFunc(c.keys, func(k hsmproto.Key) bool { return k.Reference == request.Reference })
	if len(c.keys) == before {
		return nil, errKeyNotFound
	}
	return hsmproto.Empty{}, nil
}

func (h *fakeHsm) count(op hsmproto.Op) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, o := range h.asked {
		if o == op {
			n++
		}
	}
	return n
}

// lock makes kmsuser locked out on this HSM.
func (h *fakeHsm) lock() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures = 5
}

func (h *fakeHsm) offered(password string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logins[password]
}

var quick = timing{
	connect:   2 * time.Second,
	heartbeat: 20 * time.Millisecond,
	silence:   300 * time.Millisecond,
	ask:       2 * time.Second,
	login:     2 * time.Second,
	change:    2 * time.Second,
	patience:  2 * time.Second,
	refresh:   20 * time.Millisecond,
	backoff:   2 * time.Millisecond,
	backoffTo: 20 * time.Millisecond,
}

// client makes a Cluster of these HSMs that has not connected yet.
func (c *fakeCluster) client(t testing.TB, change func(*Config), hsms ...*fakeHsm) *Cluster {
	t.Helper()
	cfg := Config{
		TrustAnchor: c.authority.pem(),
		Addresses: func(context.Context) ([]string, error) {
			var list []string
			for _, h := range hsms {
				list = append(list, h.address)
			}
			return list, nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	client, err := New(cfg)
	must(t, err)
	client.timing = quick
	t.Cleanup(func() { closeAll(t, client) })
	return client
}

func closeAll(t testing.TB, closers ...io.Closer) {
	for _, c := range closers {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// connected makes a Cluster that is logged in as kmsuser.
func (c *fakeCluster) connected(t testing.TB, change func(*Config), hsms ...*fakeHsm) *Cluster {
	t.Helper()
	client := c.client(t, change, hsms...)
	must(t, client.Connect(t.Context()))
	_, err := client.Login(t.Context(), kmsuser("password-1"))
	must(t, err)
	return client
}

func kmsuser(password string) Credentials {
	return Credentials{User: "kmsuser", Role: hsmproto.RoleCryptoUser, Password: secret.FromString(password)}
}

// eventually waits for the view to show what is expected.
func eventually(t testing.TB, c *Cluster, what string, holds func([]HsmState) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		v := c.view.Load()
		if holds(c.State()) {
			return
		}
		select {
		case <-v.changed:
		case <-deadline:
			t.Fatalf("never: %s; %+v", what, c.State())
		}
	}
}

func allLoggedIn(n int) func([]HsmState) bool {
	return func(states []HsmState) bool {
		return len(states) == n && !slices.ContainsFunc(states, func(s HsmState) bool { return !s.LoggedIn })
	}
}
