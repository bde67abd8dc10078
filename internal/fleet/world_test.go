package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/cloudhsm"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmnode"
	"keyward/internal/network"
	"keyward/internal/operation"
	"keyward/internal/secret"
	"keyward/internal/storage/sqlite"
)

// beHSM tells the test binary that it is an HSM process.
const beHSM = "KEYWARD_FLEET_TEST_HSM"

func TestMain(m *testing.M) {
	if os.Getenv(beHSM) != "" {
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		if err := hsmnode.Main(context.Background(), os.Stdin, os.Stdout, log); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := os.Setenv(beHSM, "1"); err != nil { // inherited by the HSM processes
		panic(err)
	}
	os.Exit(m.Run())
}

// patience bounds every wait; what is waited for takes a few seconds at most on a quiet machine.
const patience = 60 * time.Second

var scope = arn.Scope{Account: "111122223333", Region: "us-east-1"}

// clearSealer stands in for the root key, whose own package tests sealing.
type clearSealer struct{}

func (clearSealer) Seal(_ string, plaintext []byte) ([]byte, error) {
	return slices.Clone(plaintext), nil
}
func (clearSealer) Open(_ string, sealed []byte) ([]byte, error) { return slices.Clone(sealed), nil }

// world is an installation's control plane with real HSM processes. It can be stopped and started again over the same
// folder.
type world struct {
	*testing.T
	dir     string
	block   netip.Prefix
	timing  cloudhsm.Timing
	db      *sqlite.DB
	network *network.Service
	service *cloudhsm.Service
	// current is service for the goroutines of clients, which go on while a restart replaces it.
	current atomic.Pointer[cloudhsm.Service]
	fleet   *Fleet
	rows    map[string]operation.Row
	stop    func()
}

func newWorld(t *testing.T, timing ...cloudhsm.Timing) *world {
	w := &world{T: t, dir: t.TempDir()}
	for _, w.timing = range timing {
	}
	var err error
	w.block, err = network.FreeLoopbackBlock()
	w.must(err)
	claim, err := network.ClaimBlock(w.block)
	w.must(err)
	t.Cleanup(func() { _ = claim.Close() })
	w.start(true)
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) openDatabase(create bool) {
	w.Helper()
	var err error
	w.db, err = sqlite.Open(context.Background(), filepath.Join(w.dir, "keyward.db"), sqlite.Options{Create: create})
	w.must(err)
}

// start opens everything over the folder.
func (w *world) start(create bool) {
	w.Helper()
	w.openDatabase(create)
	w.network = network.New(network.Config{Store: w.db.Network(), Now: time.Now})
	if create {
		w.must(w.network.CreateDefaultVPC(context.Background(), scope, w.block))
	}
	authority, err := cloudhsm.OpenAuthority(context.Background(), w.db, clearSealer{}, time.Now)
	w.must(err)
	log := slog.New(slog.NewTextHandler(w.Output(), nil))
	w.fleet, err = New(Config{
		Dir: w.dir, Executable: []string{os.Args[0]}, Authority: authority, Log: log,
		PlatformSecret: func(id string) ([]byte, error) { return fmt.Appendf(nil, "%-32.32s", id), nil },
	})
	w.must(err)
	w.service = cloudhsm.New(cloudhsm.Config{
		Store: w.db.CloudHSM(), Network: w.network, Fleet: w.fleet, Authority: authority, Timing: w.timing,
		Now: time.Now, Log: log,
	})
	w.current.Store(w.service)
	w.rows = make(map[string]operation.Row)
	for _, row := range append(w.service.API().Rows, w.network.API().Rows...) {
		w.rows[row.Name] = row
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- w.service.Run(ctx) }()
	w.stop = func() {
		w.stop = func() {}
		cancel()
		w.must(<-ran)
		w.must(w.fleet.Close())
		w.must(w.db.Close())
	}
}

// restart ends the whole installation in good order and starts it again.
func (w *world) restart() {
	w.Helper()
	w.stop()
	w.start(false)
}

// call makes an API call.
func call[Out any](w *world, name string, in any) (*Out, error) {
	c := &operation.Call{Scope: scope, Time: time.Now(), Event: &audit.Event{ID: "event", Name: name, Time: time.Now()}}
	out, err := w.rows[name].Invoke(context.Background(), c, in)
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}

func mustCall[Out any](w *world, name string, in any) *Out {
	w.Helper()
	out, err := call[Out](w, name, in)
	if err != nil {
		w.Fatalf("%s: %v", name, err)
	}
	return out
}

func (w *world) subnets() []string {
	w.Helper()
	ids, err := w.network.DefaultSubnets(context.Background(), scope)
	w.must(err)
	return ids
}

func (w *world) createCluster() string {
	w.Helper()
	out := mustCall[api.CreateClusterOutput](w, "CreateCluster", &api.CreateClusterInput{
		HsmType: aws.String("hsm2m.medium"), Mode: types.ClusterModeFips, SubnetIds: w.subnets(),
	})
	id := *out.Cluster.ClusterId
	w.await(id, "settles", inState(types.ClusterStateUninitialized))
	return id
}

// createHsm in zone a, b or c.
func (w *world) createHsm(cluster, zone string) string {
	w.Helper()
	out := mustCall[api.CreateHsmOutput](w, "CreateHsm", &api.CreateHsmInput{
		ClusterId: &cluster, AvailabilityZone: aws.String(scope.Region + zone),
	})
	if out.Hsm.State != types.HsmStateCreateInProgress || aws.ToString(out.Hsm.EniIp) == "" {
		w.Fatalf("a new HSM is %s at %q", out.Hsm.State, aws.ToString(out.Hsm.EniIp))
	}
	return *out.Hsm.HsmId
}

func (w *world) describe(cluster string) types.Cluster {
	w.Helper()
	out := mustCall[api.DescribeClustersOutput](w, "DescribeClusters", &api.DescribeClustersInput{
		Filters: map[string][]string{"clusterIds": {cluster}},
	})
	if len(out.Clusters) != 1 {
		w.Fatalf("%d clusters %s", len(out.Clusters), cluster)
	}
	return out.Clusters[0]
}

// await polls DescribeClusters until what holds, as customers do.
func (w *world) await(cluster, what string, holds func(types.Cluster) bool) types.Cluster {
	w.Helper()
	deadline := time.After(patience)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		c := w.describe(cluster)
		if holds(c) {
			return c
		}
		select {
		case <-poll.C:
		case <-deadline:
			w.Fatalf("waiting until the cluster %s: it is %s with %s", what, c.State, hsmsText(c))
		}
	}
}

func hsmsText(c types.Cluster) (text string) {
	for _, h := range c.Hsms {
		text += fmt.Sprintf("[%s %s %s] ", *h.HsmId, h.State, aws.ToString(h.StateMessage))
	}
	return text
}

func inState(s types.ClusterState) func(types.Cluster) bool {
	return func(c types.Cluster) bool { return c.State == s }
}

// active holds when exactly these HSMs are there, all ACTIVE, and the cluster is at rest.
func active(ids ...string) func(types.Cluster) bool {
	return func(c types.Cluster) bool {
		for _, h := range c.Hsms {
			if h.State != types.HsmStateActive || !slices.Contains(ids, *h.HsmId) {
				return false
			}
		}
		return len(c.Hsms) == len(ids) && c.State != types.ClusterStateUpdateInProgress
	}
}

func hsmInState(id string, s types.HsmState) func(types.Cluster) bool {
	return func(c types.Cluster) bool {
		return slices.ContainsFunc(c.Hsms, func(h types.Hsm) bool { return *h.HsmId == id && h.State == s })
	}
}

func (w *world) deleteHsm(cluster, hsm string) {
	w.Helper()
	out := mustCall[api.DeleteHsmOutput](w, "DeleteHsm", &api.DeleteHsmInput{ClusterId: &cluster, HsmId: &hsm})
	if *out.HsmId != hsm {
		w.Fatalf("deleted %s", *out.HsmId)
	}
}

// openssl runs the real program in the world's folder.
func (w *world) openssl(args ...string) string {
	w.Helper()
	command := exec.Command("openssl", args...)
	command.Dir = w.dir
	out, err := command.CombinedOutput()
	if err != nil {
		w.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (w *world) write(name, text string) {
	w.Helper()
	w.must(os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
}

func (w *world) read(name string) string {
	w.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, name))
	w.must(err)
	return string(data)
}

// initialize signs the cluster's request with openssl, as the user guide says.
func (w *world) initialize(cluster string) {
	w.Helper()
	w.write("ClusterCsr.csr", *w.describe(cluster).Certificates.ClusterCsr)
	w.openssl("req", "-new", "-x509", "-days", "3652", "-newkey", "rsa:2048", "-nodes", "-keyout", "customerCA.key",
		"-out", "customerCA.crt", "-subj", "/CN=customer CA")
	w.openssl("x509", "-req", "-days", "3652", "-in", "ClusterCsr.csr", "-CA", "customerCA.crt", "-CAkey", "customerCA.key",
		"-CAcreateserial", "-out", "CustomerHsmCertificate.crt")
	out := mustCall[api.InitializeClusterOutput](w, "InitializeCluster", &api.InitializeClusterInput{
		ClusterId: &cluster, SignedCert: aws.String(w.read("CustomerHsmCertificate.crt")), TrustAnchor: aws.String(w.read("customerCA.crt")),
	})
	if out.State != types.ClusterStateInitializeInProgress {
		w.Fatalf("state %s", out.State)
	}
	w.await(cluster, "is initialised", inState(types.ClusterStateInitialized))
}

// client connects to the cluster's active HSMs as its customer.
func (w *world) client(cluster string) *hsmclient.Cluster {
	w.Helper()
	client, err := hsmclient.New(hsmclient.Config{
		Addresses: func(context.Context) ([]string, error) {
			c, err := w.current.Load().Cluster(context.Background(), scope, cluster)
			if err != nil {
				return nil, err
			}
			var all []string
			for _, h := range c.ActiveHsms() {
				all = append(all, h.EniIP)
			}
			return all, nil
		},
		TrustAnchor: []byte(w.read("customerCA.crt")),
	})
	w.must(err)
	w.Cleanup(func() { _ = client.Close() })
	w.eventually("a client can connect", client.Connect)
	return client
}

const password = "a-good-password"

// activeCluster makes an activated cluster with HSMs in these zones.
func (w *world) activeCluster(zones ...string) (cluster string, hsms []string) {
	w.Helper()
	cluster = w.createCluster()
	hsms = append(hsms, w.createHsm(cluster, zones[0]))
	w.await(cluster, "has its first HSM", active(hsms...))
	w.initialize(cluster)
	w.must(w.client(cluster).Activate(context.Background(), secret.FromString(password)))
	w.await(cluster, "is active", inState(types.ClusterStateActive))
	for _, zone := range zones[1:] {
		hsms = append(hsms, w.createHsm(cluster, zone))
	}
	w.await(cluster, "has all HSMs", active(hsms...))
	return cluster, hsms
}
