package keystore_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/hsmclient"
	"keyward/internal/keystore"
	"keyward/internal/kms"
	"keyward/internal/operation"
	"keyward/internal/policy"
	"keyward/internal/rootkey"
	"keyward/internal/storage/sqlite"
)

var (
	scope = arn.Scope{Account: "111122223333", Region: "us-east-1"}
	epoch = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
)

const (
	clusterA = "cluster-aaaaaaaaaaa"
	clusterB = "cluster-bbbbbbbbbbb"
	password = "InitialPassword7"
	patience = 10 * time.Second // for events that come; far above what they take
)

// world is an installation: a database, a root key, clusters, and the Manager under test. It can be killed and started
// again.
type world struct {
	t      testing.TB
	dir    string
	seal   rootkey.Key
	db     *sqlite.DB
	gate   *gate
	m      *keystore.Manager
	plane  *plane
	rate   float64
	now    func() time.Time
	timing keystore.Timing
	hsms   func(hsmclient.Config) (keystore.Pool, error) // nil: the real client
	vpc    keystore.Network                              // nil: stores have no presence
	log    bytes.Buffer
	logMu  sync.Mutex
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, plane: newPlane(), now: func() time.Time { return epoch }}
	w.hsms = w.open
	w.timing = keystore.Timing{
		Patience: 60 * time.Millisecond, Backoff: time.Millisecond, BackoffTo: 4 * time.Millisecond,
		Arrival: 100 * time.Millisecond, Teardown: patience, Inventory: time.Hour,
	}
	w.plane.add(clusterA, "family A", newHSMs(password))
	w.plane.add(clusterB, "family B", newHSMs(password))
	w.begin()
	return w
}

func (w *world) begin() {
	w.t.Helper()
	w.dir = w.t.TempDir()
	var err error
	w.seal, err = rootkey.Create(filepath.Join(w.dir, "root"), rootkey.KeyFile(filepath.Join(w.dir, "seal")))
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.dir, "keyward.db"), emptyDatabase(), 0o600))
	w.start()
	w.t.Cleanup(w.kill)
}

// emptyDatabase is a database whose schema is up to date; making one for every test takes most of the tests' time.
var emptyDatabase = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "keystore")
	if err != nil {
		panic(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			panic(err)
		}
	}()
	path := filepath.Join(dir, "keyward.db")
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{Create: true})
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		panic(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return data
})

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start() {
	w.t.Helper()
	var err error
	w.db, err = sqlite.Open(context.Background(), filepath.Join(w.dir, "keyward.db"), sqlite.Options{})
	w.must(err)
	w.gate = &gate{Store: w.db.KeyStores(), changed: make(chan struct{})}
	w.m = keystore.New(keystore.Config{
		Store: w.gate, Clusters: w.plane, Network: w.vpc, Sealer: w.seal, Open: w.hsms, OperationsPerSecond: w.rate,
		Now:    w.now,
		Log:    slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Timing: w.timing,
	})
	w.must(w.m.Start(context.Background()))
}

// Write collects the log, which must not show secrets.
func (w *world) Write(p []byte) (int, error) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.Write(p)
}

// kill ends everything as kill -9 does: from now on nothing is written, then the process is gone.
func (w *world) kill() {
	if w.m == nil {
		return
	}
	w.gate.close()
	w.m.Close()
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
	w.m = nil
}

func (w *world) restart() {
	w.t.Helper()
	w.kill()
	w.start()
}

func (w *world) open(c hsmclient.Config) (keystore.Pool, error) {
	// The real client reads the certificates and insists on the length of the identity.
	if _, err := hsmclient.New(c); err != nil {
		return nil, err
	}
	return &pool{cfg: c, route: w.plane.route}, nil
}

// gate is a Store that tells of changes and can be shut.
type gate struct {
	keystore.Store

	mu      sync.Mutex // guards what follows
	shut    bool
	changed chan struct{}
	point   func(name string) // called before and after each change
}

func (g *gate) Change(ctx context.Context, e *audit.Event, fn func(keystore.Tx) error) error {
	g.pass("before a change")
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut {
		return errDead
	}
	err := g.Store.Change(ctx, e, func(tx keystore.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.shut {
			return errDead
		}
		return nil
	})
	g.mu.Lock()
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
	g.pass("after a change")
	return err
}

func (g *gate) pass(name string) {
	g.mu.Lock()
	point := g.point
	g.mu.Unlock()
	if point != nil {
		point(name)
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

func (g *gate) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// plane is the control plane: clusters by id.
type plane struct {
	mu       sync.Mutex // guards what follows
	clusters map[string]*planeCluster
}

type planeCluster struct {
	keystore.Cluster
	open    bool // its security group
	subnets error
	hsms    *hsms
}

func newPlane() *plane { return &plane{clusters: make(map[string]*planeCluster)} }

// add makes a sound cluster: ACTIVE, two HSMs in two zones.
func (p *plane) add(id, family string, h *hsms) *planeCluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.clusters)
	c := &planeCluster{open: true, hsms: h, Cluster: keystore.Cluster{
		ID: id, Active: true, Serving: true, Certificate: certificate(family), Zones: []string{"us-east-1a", "us-east-1b"},
		Hsms: []keystore.Hsm{
			{ID: "hsm-1", Address: fmt.Sprintf("127.9.%d.1", n), Zone: "us-east-1a"},
			{ID: "hsm-2", Address: fmt.Sprintf("127.9.%d.2", n), Zone: "us-east-1b"},
		},
	}}
	p.clusters[id] = c
	return c
}

// alter changes a cluster; nil makes it gone.
func (p *plane) alter(id string, f func(*planeCluster)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f == nil {
		delete(p.clusters, id)
		return
	}
	f(p.clusters[id])
}

func (p *plane) hsms(id string) *hsms {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clusters[id].hsms
}

func (p *plane) find(id string) (planeCluster, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.clusters[id]
	if !ok {
		return planeCluster{}, fault.ErrNotFound
	}
	return *c, nil
}

func (p *plane) Cluster(_ context.Context, s arn.Scope, id string) (*keystore.Cluster, error) {
	c, err := p.find(id)
	if err != nil || s != scope {
		return nil, fault.ErrNotFound
	}
	return &c.Cluster, nil
}

func (p *plane) SecurityGroupIntact(_ context.Context, _ arn.Scope, id string) (bool, error) {
	c, err := p.find(id)
	return c.open, err
}

func (p *plane) Subnets(_ context.Context, _ arn.Scope, id string) error {
	c, err := p.find(id)
	if err != nil {
		return err
	}
	return c.subnets
}

func (p *plane) route(addresses []string) *hsms {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clusters {
		for _, h := range c.Hsms {
			if len(addresses) > 0 && h.Address == addresses[0] {
				return c.hsms
			}
		}
	}
	return nil
}

// root may do everything in its account.
var root = &policy.Principal{Caller: policy.Caller{Type: policy.TypeRoot, ARN: arn.Root(scope.Account), Account: scope.Account}}

// call runs an operation as the wire does and gives its event, too.
func (w *world) call(name string, in any) (any, *audit.Event, error) {
	w.t.Helper()
	return w.callAs(root, name, in)
}

func (w *world) callAs(p *policy.Principal, name string, in any) (any, *audit.Event, error) {
	w.t.Helper()
	for _, row := range w.m.Rows() {
		if row.Name == name {
			e := &audit.Event{ID: "e", Name: name, Time: epoch}
			out, err := row.Invoke(context.Background(), &operation.Call{Scope: scope, Caller: p.Caller, Principal: p, Time: epoch, Event: e}, in)
			return out, e, err
		}
	}
	w.t.Fatalf("no operation %s", name)
	return nil, nil, nil
}

func createInput(name, cluster, pass string) *awskms.CreateCustomKeyStoreInput {
	return &awskms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CloudHsmClusterId: &cluster, KeyStorePassword: &pass, TrustAnchorCertificate: aws.String(anchor()),
	}
}

func (w *world) create(in *awskms.CreateCustomKeyStoreInput) (string, error) {
	out, _, err := w.call("CreateCustomKeyStore", in)
	if err != nil {
		return "", err
	}
	return *out.(*awskms.CreateCustomKeyStoreOutput).CustomKeyStoreId, nil
}

// made creates a store, DISCONNECTED, on cluster A with the right password.
func (w *world) made() string {
	w.t.Helper()
	id, err := w.create(createInput("Store", clusterA, password))
	w.must(err)
	return id
}

func (w *world) connect(id string) error {
	_, _, err := w.call("ConnectCustomKeyStore", &awskms.ConnectCustomKeyStoreInput{CustomKeyStoreId: &id})
	return err
}

func (w *world) disconnect(id string) error {
	_, _, err := w.call("DisconnectCustomKeyStore", &awskms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: &id})
	return err
}

func (w *world) update(id string, in awskms.UpdateCustomKeyStoreInput) error {
	in.CustomKeyStoreId = &id
	_, _, err := w.call("UpdateCustomKeyStore", &in)
	return err
}

func (w *world) remove(id string) error {
	_, _, err := w.call("DeleteCustomKeyStore", &awskms.DeleteCustomKeyStoreInput{CustomKeyStoreId: &id})
	return err
}

func (w *world) describe(id string) types.CustomKeyStoresListEntry {
	w.t.Helper()
	out, _, err := w.call("DescribeCustomKeyStores", &awskms.DescribeCustomKeyStoresInput{CustomKeyStoreId: &id})
	w.must(err)
	return out.(*awskms.DescribeCustomKeyStoresOutput).CustomKeyStores[0]
}

func (w *world) record(id string) *keystore.Record {
	w.t.Helper()
	r, err := w.gate.KeyStore(context.Background(), scope, id)
	w.must(err)
	return r
}

// await waits for the store to reach the state.
func (w *world) await(id string, want connection.State) types.CustomKeyStoresListEntry {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		changed := w.gate.next()
		e := w.describe(id)
		if e.ConnectionState == want {
			return e
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("%s is %s %s instead of %s\n%s", id, e.ConnectionState, e.ConnectionErrorCode, want, w.log.String())
		}
	}
}

// connected makes a store on cluster A and connects it.
func (w *world) connected() string {
	w.t.Helper()
	id := w.made()
	w.must(w.connect(id))
	w.await(id, connection.Connected)
	return id
}

// failing connects and gives the code with which that ends.
func (w *world) failing(id string) types.ConnectionErrorCodeType {
	w.t.Helper()
	w.must(w.connect(id))
	return w.await(id, connection.Failed).ConnectionErrorCode
}

func (w *world) wants(err error, code string) {
	w.t.Helper()
	if !fault.Is(err, code) {
		w.t.Errorf("%v, want %s", err, code)
	}
}

// key makes a KMS key in the store.
func (w *world) key(id, storeID string) *kms.Key {
	w.t.Helper()
	k := &kms.Key{Scope: scope, ID: id, StoreID: storeID, Created: epoch.Add(-time.Hour)}
	material, err := w.m.Generate(context.Background(), k)
	w.must(err)
	k.Material = material
	return k
}

func text(err error) string {
	if f, ok := fault.As(err); ok {
		return f.Message
	}
	return fmt.Sprint(err)
}

func contains(t testing.TB, s, part string) {
	t.Helper()
	if !strings.Contains(s, part) {
		t.Errorf("%q does not contain %q", s, part)
	}
}

// Certificates: one customer CA, and one cluster certificate per backup family.
var authority = sync.OnceValue(func() *ca {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &ca{key: key, certificate: sign("customer CA", nil, &key.PublicKey, key), families: make(map[string][]byte)}
})

type ca struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate

	mu       sync.Mutex // guards what follows
	families map[string][]byte
}

func sign(name string, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.AddDate(10, 0, 0),
		IsCA: parent == nil, BasicConstraintsValid: true,
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		panic(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return parsed
}

func encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func anchor() string { return string(encode(authority().certificate)) }

func certificate(family string) []byte {
	a := authority()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.families[family] == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		a.families[family] = encode(sign(family, a.certificate, &key.PublicKey, a.key))
	}
	return a.families[family]
}

// foreign is a CA that has signed nothing here.
func foreign() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return string(encode(sign("customer CA", nil, &key.PublicKey, key)))
}

// eventually calls f, which itself waits for what it asks about, until it is true.
func (w *world) eventually(f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if f() {
			return
		}
	}
	w.t.Fatal("it never became true")
}
