package cloudhsm_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
	"keyward/internal/hsmproto"
	"keyward/internal/network"
	"keyward/internal/operation"
	"keyward/internal/storage/sqlite"
)

var scope = arn.Scope{Account: "111122223333", Region: "us-east-1"}

type clearSealer struct{}

func (clearSealer) Seal(_ string, b []byte) ([]byte, error) { return slices.Clone(b), nil }
func (clearSealer) Open(_ string, b []byte) ([]byte, error) { return slices.Clone(b), nil }

// promptFleet stands in for processes where only the API's rules are tested: an HSM is live as soon as it is made and
// does what it is told. Package fleet tests with real ones.
type promptFleet struct {
	authority *cloudhsm.Authority
	changed   chan struct{}

	mu      sync.Mutex
	health  map[string]cloudhsm.Health
	backups map[string]bool
	csr     string
}

func (f *promptFleet) Make(_ context.Context, m cloudhsm.Machine, _ hsmproto.Create) (cloudhsm.Hardware, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cloudhsm.Hardware{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return cloudhsm.Hardware{}, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return cloudhsm.Hardware{}, err
	}
	f.mu.Lock()
	f.csr = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))
	f.health[m.HsmID] = cloudhsm.Health{Live: true, Since: time.Now(), Status: hsmproto.StatusReply{Node: m.Node}}
	f.mu.Unlock()
	return f.authority.CertifyHardware(m.Node, public)
}

func (f *promptFleet) set(id string, change func(*hsmproto.StatusReply)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.health[id]
	change(&h.Status)
	f.health[id] = h
	return nil
}

func (f *promptFleet) SetMembers(_ context.Context, id string, r hsmproto.SetMembersRequest) error {
	return f.set(id, func(s *hsmproto.StatusReply) { s.Epoch, s.Joined, s.Leader = r.Epoch, true, s.Node })
}

func (f *promptFleet) TakeOver(ctx context.Context, id string, r hsmproto.TakeOverRequest) error {
	return f.SetMembers(ctx, id, r)
}

func (f *promptFleet) Initialize(_ context.Context, id string, _ hsmproto.InitializeRequest) error {
	return f.set(id, func(s *hsmproto.StatusReply) { s.Initialized = true })
}

func (f *promptFleet) Certificates(context.Context, string) (hsmproto.CertificatesReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return hsmproto.CertificatesReply{ClusterCSR: f.csr, HsmCertificate: "certificate"}, nil
}

func (f *promptFleet) Health(id string) cloudhsm.Health {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.health[id]
}

func (f *promptFleet) Run(cloudhsm.Machine)                       {}
func (f *promptFleet) Halt(context.Context, string, string) error { return nil }
func (f *promptFleet) Discard(context.Context, string) error      { return nil }
func (f *promptFleet) Backup(_ context.Context, _, id string) (cloudhsm.Content, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backups[id] = true
	return cloudhsm.Content{Size: 1, SHA256: []byte(id)}, nil
}

func (f *promptFleet) CheckBackup(id string, _ cloudhsm.Content) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.backups[id] {
		return &cloudhsm.BadBackup{Reason: "its file is gone"}
	}
	return nil
}

func (f *promptFleet) CopyBackup(from, to string, c cloudhsm.Content) error {
	if err := f.CheckBackup(from, c); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backups[to] = true
	return nil
}

func (f *promptFleet) DropBackup(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.backups, id)
	return nil
}

func (f *promptFleet) KeptBackups() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.backups)), nil
}

func (f *promptFleet) HasFolder(string) bool    { return true }
func (f *promptFleet) Changed() <-chan struct{} { return f.changed }

// plane is a control plane over a real store and network.
type plane struct {
	*testing.T
	db      *sqlite.DB
	network *network.Service
	service *cloudhsm.Service
	fleet   *promptFleet
	rows    map[string]operation.Row
	subnets []string
	ahead   atomic.Int64 // of real time, in nanoseconds
}

func (p *plane) now() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }

// pass lets time go by.
func (p *plane) pass(d time.Duration) {
	p.ahead.Add(int64(d))
	p.service.Wake()
}

func newPlane(t *testing.T, quotas cloudhsm.Quotas) *plane {
	ctx := t.Context()
	p := &plane{T: t, rows: map[string]operation.Row{}}
	var err error
	p.db, err = sqlite.Open(ctx, filepath.Join(t.TempDir(), "keyward.db"), sqlite.Options{Create: true})
	p.must(err)
	t.Cleanup(func() { p.must(p.db.Close()) })
	p.network = network.New(network.Config{Store: p.db.Network(), Now: time.Now})
	p.must(p.network.CreateDefaultVPC(ctx, scope, netip.MustParsePrefix("10.0.0.0/16")))
	p.subnets, err = p.network.DefaultSubnets(ctx, scope)
	p.must(err)
	authority, err := cloudhsm.OpenAuthority(ctx, p.db, clearSealer{}, time.Now)
	p.must(err)
	p.fleet = &promptFleet{authority: authority, changed: make(chan struct{}), health: map[string]cloudhsm.Health{}, backups: map[string]bool{}}
	p.service = cloudhsm.New(cloudhsm.Config{
		Store: p.db.CloudHSM(), Network: p.network, Fleet: p.fleet, Authority: authority, Quotas: quotas,
		Timing: cloudhsm.Timing{Tick: 5 * time.Millisecond}, Now: p.now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	for _, row := range p.service.API().Rows {
		p.rows[row.Name] = row
	}
	running, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.service.Run(running) }()
	t.Cleanup(func() {
		cancel()
		p.must(<-done)
	})
	return p
}

func (p *plane) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *plane) call(name string, in any) (any, error) {
	return p.callIn(scope, name, in)
}

func (p *plane) callIn(where arn.Scope, name string, in any) (any, error) {
	e := &audit.Event{ID: "event", Name: name, Time: p.now()}
	return p.rows[name].Invoke(context.Background(), &operation.Call{Scope: where, Time: p.now(), Event: e}, in)
}

// ok makes a call that must succeed.
func ok[Out any](p *plane, name string, in any) *Out {
	p.Helper()
	out, err := p.call(name, in)
	if err != nil {
		p.Fatalf("%s: %v", name, err)
	}
	return out.(*Out)
}

// refused makes a call that must be refused with this exception and a message that holds the text.
func (p *plane) refused(code, text, name string, in any) {
	p.Helper()
	_, err := p.call(name, in)
	f, is := fault.As(err)
	if !is || f.Code != code || !strings.Contains(f.Message, text) || f.HTTPStatus() != 400 {
		p.Errorf("%s: %v, want %s: …%s…", name, err, code, text)
	}
}

const (
	invalid  = "CloudHsmInvalidRequestException"
	notFound = "CloudHsmResourceNotFoundException"
)

func clusterOver(subnets ...string) *api.CreateClusterInput {
	return &api.CreateClusterInput{HsmType: aws.String("hsm2m.medium"), Mode: types.ClusterModeFips, SubnetIds: subnets}
}

func (p *plane) cluster() string {
	p.Helper()
	id := *ok[api.CreateClusterOutput](p, "CreateCluster", clusterOver(p.subnets...)).Cluster.ClusterId
	p.await(id, func(c types.Cluster) bool { return c.State == types.ClusterStateUninitialized })
	return id
}

func (p *plane) describe(in *api.DescribeClustersInput) *api.DescribeClustersOutput {
	p.Helper()
	return ok[api.DescribeClustersOutput](p, "DescribeClusters", in)
}

func (p *plane) await(id string, holds func(types.Cluster) bool) types.Cluster {
	p.Helper()
	deadline := time.After(30 * time.Second)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		all := p.describe(&api.DescribeClustersInput{Filters: map[string][]string{"clusterIds": {id}}}).Clusters
		if len(all) == 1 && holds(all[0]) {
			return all[0]
		}
		select {
		case <-poll.C:
		case <-deadline:
			p.Fatalf("cluster %s stays as it is: %+v", id, all)
		}
	}
}

func (p *plane) hsm(cluster, zone string) types.Hsm {
	p.Helper()
	return *ok[api.CreateHsmOutput](p, "CreateHsm", &api.CreateHsmInput{ClusterId: &cluster, AvailabilityZone: aws.String("us-east-1" + zone)}).Hsm
}

func TestCreateClusterRefusals(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	abroad := arn.Scope{Account: scope.Account, Region: "eu-west-1"}
	p.must(p.network.CreateDefaultVPC(t.Context(), abroad, netip.MustParsePrefix("10.1.0.0/16")))
	foreign, err := p.network.DefaultSubnets(t.Context(), abroad)
	p.must(err)
	change := func(fn func(*api.CreateClusterInput)) *api.CreateClusterInput {
		in := clusterOver(p.subnets...)
		fn(in)
		return in
	}
	p.refused(invalid, "at most one subnet", "CreateCluster", clusterOver(p.subnets[0], p.subnets[0])) // statement 3
	p.refused(invalid, "was not found", "CreateCluster", clusterOver(foreign[0]))
	p.refused(invalid, "Mode is required", "CreateCluster", change(func(in *api.CreateClusterInput) { in.Mode = "" })) // statement 5
	p.refused(invalid, "FIPS mode only", "CreateCluster", change(func(in *api.CreateClusterInput) {                    // statement 6
		in.HsmType, in.Mode = aws.String("hsm1.medium"), types.ClusterModeNonFips
	}))
	p.refused(invalid, "no longer offered", "CreateCluster", change(func(in *api.CreateClusterInput) { in.HsmType = aws.String("hsm1.medium") }))
	p.refused(invalid, "not supported", "CreateCluster", change(func(in *api.CreateClusterInput) { in.HsmType = aws.String("hsm9.large") }))
	p.refused(invalid, "IPv6", "CreateCluster", change(func(in *api.CreateClusterInput) { in.NetworkType = types.NetworkTypeDualstack }))
	p.refused(notFound, "backup-aaaaaaaaaaa", "CreateCluster", change(func(in *api.CreateClusterInput) { in.SourceBackupId = aws.String("backup-aaaaaaaaaaa") }))
	for _, days := range []string{"6", "380", "0"} { // statement 8
		p.refused(invalid, "between 7 and 379", "CreateCluster", change(func(in *api.CreateClusterInput) {
			in.BackupRetentionPolicy = &types.BackupRetentionPolicy{Type: types.BackupRetentionTypeDays, Value: aws.String(days)}
		}))
	}
	if all := p.describe(&api.DescribeClustersInput{}).Clusters; len(all) != 0 {
		t.Errorf("%d clusters are left", len(all))
	}
	groups, err := p.db.Network().Groups(t.Context(), scope)
	if err != nil || len(groups) != 1 { // the default one
		t.Errorf("statement 3: security groups %d, %v", len(groups), err)
	}
}

// Subnets of two VPCs make no cluster (statement 4).
func TestSubnetsOfTwoVPCs(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	p.must(p.db.Network().Change(t.Context(), nil, func(tx network.Tx) error {
		vpc := &network.VPC{Scope: scope, ID: "vpc-2", CIDR: netip.MustParsePrefix("10.2.0.0/16")}
		subnet := &network.Subnet{Scope: scope, ID: "subnet-2", VpcID: "vpc-2", Zone: "us-east-1b", CIDR: netip.MustParsePrefix("10.2.0.0/20")}
		return errors.Join(tx.InsertVPC(vpc), tx.InsertSubnet(subnet))
	}))
	p.refused(invalid, "not in the same VPC", "CreateCluster", clusterOver(p.subnets[0], "subnet-2"))
}

// The roots are made once and stay what they are, sealed.
func TestAuthorityIsKept(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	again, err := cloudhsm.OpenAuthority(t.Context(), p.db, clearSealer{}, time.Now)
	p.must(err)
	if !bytes.Equal(again.ProviderRoot(), p.fleet.authority.ProviderRoot()) || !bytes.Equal(again.ManufacturerRoot(), p.fleet.authority.ManufacturerRoot()) {
		t.Error("there are other roots now")
	}
	root, err := x509.ParseCertificate(again.ProviderRoot())
	p.must(err)
	control, err := again.ControlPlane()
	p.must(err)
	if err := control.Leaf.CheckSignatureFrom(root); err != nil || control.Leaf.Subject.CommonName != hsmproto.ControlPlaneName {
		t.Errorf("control plane %s: %v", control.Leaf.Subject, err)
	}
}

func TestNewCluster(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	c := ok[api.CreateClusterOutput](p, "CreateCluster", clusterOver(p.subnets...)).Cluster
	if c.State != types.ClusterStateCreateInProgress || c.Certificates == nil || c.Hsms == nil || len(c.SubnetMapping) != 3 {
		t.Errorf("the answer is %+v", c)
	}
	if p := c.BackupRetentionPolicy; p.Type != "DAYS" || *p.Value != "90" { // statement 7
		t.Errorf("retention %v %v", p.Type, *p.Value)
	}
	settled := p.await(*c.ClusterId, func(c types.Cluster) bool { return c.State == types.ClusterStateUninitialized })
	if len(settled.Hsms) != 0 || *settled.Certificates != (types.Certificates{}) { // statement 9
		t.Errorf("settled: %+v", settled)
	}
	group, err := p.db.Network().Group(t.Context(), scope, *settled.SecurityGroup)
	p.must(err)
	if group.Name != "cloudhsm-"+*c.ClusterId+"-sg" || len(group.Rules) != 2 {
		t.Errorf("security group %+v", group)
	}
	for range 3 {
		p.cluster()
	}
	p.refused("CloudHsmServiceException", "limit of 4 clusters", "CreateCluster", clusterOver(p.subnets...))
}

func TestHsmRules(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{Hsms: 2})
	id := p.cluster()
	in := func(zone, address string) *api.CreateHsmInput {
		r := &api.CreateHsmInput{ClusterId: &id, AvailabilityZone: aws.String("us-east-1" + zone)}
		if address != "" {
			r.IpAddress = &address
		}
		return r
	}
	p.refused(notFound, "cluster-zzzzzzzzzzz", "CreateHsm", &api.CreateHsmInput{ClusterId: aws.String("cluster-zzzzzzzzzzz"), AvailabilityZone: aws.String("us-east-1a")})
	p.refused(invalid, "no subnet in Availability Zone us-east-1d", "CreateHsm", in("d", "")) // statement 13
	p.refused(invalid, "address range", "CreateHsm", in("a", "10.0.16.9"))
	p.refused(invalid, "reserved", "CreateHsm", in("a", "10.0.0.3"))
	h := *ok[api.CreateHsmOutput](p, "CreateHsm", in("a", "10.0.0.9")).Hsm
	if h.State != types.HsmStateCreateInProgress || *h.EniIp != "10.0.0.9" || *h.SubnetId != p.subnets[0] || *h.EniId == "" {
		t.Errorf("HSM %+v", h)
	}
	p.refused(invalid, "has an HSM already", "CreateHsm", in("b", "")) // statement 12
	c := p.await(id, func(c types.Cluster) bool { return c.Hsms[0].State == types.HsmStateActive })
	if c.State != types.ClusterStateUninitialized || c.Certificates.ClusterCsr == nil || c.Certificates.AwsHardwareCertificate == nil ||
		c.Certificates.ManufacturerHardwareCertificate == nil || c.Certificates.HsmCertificate == nil { // statement 10
		t.Errorf("statement 10: %s, %+v", c.State, c.Certificates)
	}
	p.refused(invalid, "Specify one", "DeleteHsm", &api.DeleteHsmInput{ClusterId: &id})
	p.refused(notFound, "eni-0", "DeleteHsm", &api.DeleteHsmInput{ClusterId: &id, EniId: aws.String("eni-00000000000000000")})

	other := p.cluster()
	p.hsm(other, "a")
	third := p.cluster()
	p.refused("CloudHsmServiceException", "limit of 2 HSMs", "CreateHsm", &api.CreateHsmInput{ClusterId: &third, AvailabilityZone: aws.String("us-east-1a")})

	out := ok[api.DeleteHsmOutput](p, "DeleteHsm", &api.DeleteHsmInput{ClusterId: &id, EniIp: h.EniIp}) // statement 39
	if *out.HsmId != *h.HsmId {
		t.Errorf("deleted %s", *out.HsmId)
	}
	c = p.await(id, func(c types.Cluster) bool { return len(c.Hsms) == 0 })
	if c.State != types.ClusterStateUninitialized || c.Certificates.ClusterCsr != nil {
		t.Errorf("without its HSM the cluster is %s, %v", c.State, c.Certificates)
	}
}

// A full subnet leaves nothing behind (statement 14), nor does a refused record.
func TestRefusedHsmKeepsNoInterface(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	id := p.cluster()
	c := p.describe(&api.DescribeClustersInput{}).Clusters[0]
	err := p.db.Network().Change(t.Context(), nil, func(tx network.Tx) error {
		first := netip.MustParseAddr("10.0.0.4")
		for i, a := 0, first; i < 4096-5; i, a = i+1, a.Next() {
			err := tx.InsertInterface(&network.Interface{Scope: scope, ID: fmt.Sprint("eni-", i), VpcID: *c.VpcId, SubnetID: p.subnets[0], Zone: "us-east-1a", Address: a})
			if err != nil {
				return err
			}
		}
		return nil
	})
	p.must(err)
	p.refused(invalid, "not enough free addresses", "CreateHsm", &api.CreateHsmInput{ClusterId: &id, AvailabilityZone: aws.String("us-east-1a")})
	made, err := p.network.ManagedInterfaces(t.Context(), "cloudhsm")
	if err != nil || len(made) != 0 {
		t.Errorf("statement 14: interfaces %v, %v", made, err)
	}
}

func TestDescribePagesAndFilters(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{Clusters: 26})
	var ids []string
	for range 26 {
		ids = append(ids, p.cluster())
	}
	first := p.describe(&api.DescribeClustersInput{MaxResults: aws.Int32(25)})
	if len(first.Clusters) != 25 || first.NextToken == nil { // statement 30
		t.Fatalf("%d clusters, token %v", len(first.Clusters), first.NextToken)
	}
	rest := p.describe(&api.DescribeClustersInput{MaxResults: aws.Int32(25), NextToken: first.NextToken})
	if len(rest.Clusters) != 1 || rest.NextToken != nil || *rest.Clusters[0].ClusterId != ids[25] {
		t.Errorf("the second page has %d clusters, token %v", len(rest.Clusters), rest.NextToken)
	}
	p.refused(invalid, "NextToken", "ListTags", &api.ListTagsInput{ResourceId: &ids[0], NextToken: first.NextToken})
	forged := "A" + (*first.NextToken)[1:]
	if forged == *first.NextToken {
		forged = "B" + forged[1:]
	}
	p.refused(invalid, "NextToken", "DescribeClusters", &api.DescribeClustersInput{NextToken: &forged})
	p.refused(invalid, "Filter colour", "DescribeClusters", &api.DescribeClustersInput{Filters: map[string][]string{"colour": {"red"}}})
	none := p.describe(&api.DescribeClustersInput{Filters: map[string][]string{"clusterIds": {"cluster-1a23b4cdefg"}}})
	if none.Clusters == nil || len(none.Clusters) != 0 { // statement 29
		t.Errorf("an unknown id gives %v", none.Clusters)
	}
	both := p.describe(&api.DescribeClustersInput{Filters: map[string][]string{"clusterIds": {ids[3], ids[7]}, "states": {"UNINITIALIZED", "ACTIVE"}}})
	if len(both.Clusters) != 2 {
		t.Errorf("filters find %d clusters", len(both.Clusters))
	}
}

func TestTags(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{})
	id := p.cluster()
	tags := func(from, n int) (list []types.Tag) {
		for i := from; i < from+n; i++ {
			list = append(list, types.Tag{Key: aws.String(fmt.Sprintf("k%02d", i)), Value: aws.String("v")})
		}
		return list
	}
	ok[api.TagResourceOutput](p, "TagResource", &api.TagResourceInput{ResourceId: &id, TagList: tags(0, 50)})
	p.refused("CloudHsmResourceLimitExceededException", "50", "TagResource", &api.TagResourceInput{ResourceId: &id, TagList: tags(50, 1)}) // statement 38
	ok[api.TagResourceOutput](p, "TagResource", &api.TagResourceInput{ResourceId: &id, TagList: []types.Tag{{Key: aws.String("k00"), Value: aws.String("new")}}})
	page := ok[api.ListTagsOutput](p, "ListTags", &api.ListTagsInput{ResourceId: &id, MaxResults: aws.Int32(49)})
	if len(page.TagList) != 49 || page.NextToken == nil || *page.TagList[0].Value != "new" {
		t.Errorf("first page: %d tags", len(page.TagList))
	}
	page = ok[api.ListTagsOutput](p, "ListTags", &api.ListTagsInput{ResourceId: &id, NextToken: page.NextToken})
	if len(page.TagList) != 1 || *page.TagList[0].Key != "k49" || page.NextToken != nil {
		t.Errorf("second page: %v", page.TagList)
	}
	ok[api.UntagResourceOutput](p, "UntagResource", &api.UntagResourceInput{ResourceId: &id, TagKeyList: []string{"k00", "absent"}})
	if c := p.describe(&api.DescribeClustersInput{}).Clusters[0]; len(c.TagList) != 49 {
		t.Errorf("%d tags are left", len(c.TagList))
	}
	p.refused(notFound, "backup-aaaaaaaaaaa", "ListTags", &api.ListTagsInput{ResourceId: aws.String("backup-aaaaaaaaaaa")})
	p.refused(invalid, "more than once", "TagResource", &api.TagResourceInput{ResourceId: &id, TagList: append(tags(1, 1), tags(1, 1)...)})
}

// A deleted cluster is shown for an hour, and is gone for everything else.
func TestDeletedCluster(t *testing.T) {
	p := newPlane(t, cloudhsm.Quotas{Clusters: 1})
	id := p.cluster()
	out := ok[api.DeleteClusterOutput](p, "DeleteCluster", &api.DeleteClusterInput{ClusterId: &id}).Cluster
	if out.State != types.ClusterStateDeleteInProgress || aws.ToString(out.StateMessage) != "The cluster is being deleted." {
		t.Errorf("%s, %s", out.State, aws.ToString(out.StateMessage))
	}
	p.await(id, func(c types.Cluster) bool { return c.State == types.ClusterStateDeleted })
	p.refused(notFound, id, "DeleteCluster", &api.DeleteClusterInput{ClusterId: &id})
	p.refused(notFound, id, "TagResource", &api.TagResourceInput{ResourceId: &id})
	p.cluster() // it counts no longer
}
