package keystore_test

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	cloudtypes "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
	"keyward/internal/keystore"
	"keyward/internal/network"
	"keyward/internal/operation"
	"keyward/internal/storage/sqlite"
	"keyward/internal/wire/awsquery"
)

// oneCluster is a control plane that knows one cluster and asks a real network about it.
type oneCluster struct {
	cluster *cloudhsm.Cluster
	network *network.Service
}

func (o *oneCluster) Cluster(_ context.Context, s arn.Scope, id string) (*cloudhsm.Cluster, error) {
	if s != scope || id != o.cluster.ID {
		return nil, fault.ErrNotFound
	}
	return o.cluster, nil
}

func (o *oneCluster) SecurityGroupIntact(ctx context.Context, c *cloudhsm.Cluster) (bool, error) {
	return o.network.ClusterGroupIntact(ctx, c.Scope, c.SecurityGroup)
}

func (o *oneCluster) MissingSubnets(ctx context.Context, c *cloudhsm.Cluster) (missing []string, err error) {
	for _, id := range c.SubnetMapping {
		if _, _, err := o.network.Subnet(ctx, c.Scope, id); errors.Is(err, fault.ErrNotFound) {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

func newOneCluster(t *testing.T) *oneCluster {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "keyward.db"), sqlite.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &oneCluster{network: network.New(network.Config{Store: db.Network(), Now: func() time.Time { return epoch }})}
	if err := o.network.CreateDefaultVPC(t.Context(), scope, netip.MustParsePrefix("127.77.0.0/16")); err != nil {
		t.Fatal(err)
	}
	subnets, err := o.network.DefaultSubnets(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	o.cluster = &cloudhsm.Cluster{
		Scope: scope, ID: clusterA, State: cloudtypes.ClusterStateActive, ClusterCertificate: "PEM",
		SubnetMapping: make(map[string]string), SecurityGroup: "sg-0123456789abcdef0",
		Hsms: []cloudhsm.Hsm{
			{ID: "hsm-a", Zone: "us-east-1a", EniIP: "127.77.0.10", State: cloudtypes.HsmStateActive},
			{ID: "hsm-b", Zone: "us-east-1b", EniIP: "127.77.16.10", State: cloudtypes.HsmStateDegraded},
		},
	}
	var vpc string
	for _, id := range subnets {
		in, zone, err := o.network.Subnet(t.Context(), scope, id)
		if err != nil {
			t.Fatal(err)
		}
		vpc, o.cluster.SubnetMapping[zone] = in, id
	}
	if err := o.network.CreateClusterGroup(t.Context(), scope, vpc, o.cluster.SecurityGroup, "group", "group"); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestClustersOf(t *testing.T) {
	o := newOneCluster(t)
	clusters := keystore.ClustersOf(o)
	c, err := clusters.Cluster(t.Context(), scope, clusterA)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Active || !c.Serving || len(c.Hsms) != 1 || c.Hsms[0].Address != "127.77.0.10" || len(c.Zones) != 3 {
		t.Errorf("%+v", c)
	}
	if intact, err := clusters.SecurityGroupIntact(t.Context(), scope, clusterA); err != nil || !intact {
		t.Errorf("%v, %v", intact, err)
	}
	if err := clusters.Subnets(t.Context(), scope, clusterA); err != nil {
		t.Error(err)
	}
	o.cluster.SubnetMapping["us-east-1z"] = "subnet-00000000"
	if err := clusters.Subnets(t.Context(), scope, clusterA); !errors.Is(err, keystore.ErrSubnetNotFound) {
		t.Errorf("a missing subnet: %v", err)
	}
	for state, want := range map[cloudtypes.ClusterState][2]bool{
		cloudtypes.ClusterStateUpdateInProgress: {false, true},
		cloudtypes.ClusterStateDegraded:         {false, true},
		cloudtypes.ClusterStateInitialized:      {false, false},
		cloudtypes.ClusterStateDeleteInProgress: {false, false},
	} {
		o.cluster.State = state
		if c, err := clusters.Cluster(t.Context(), scope, clusterA); err != nil || c.Active != want[0] || c.Serving != want[1] {
			t.Errorf("%s: %+v, %v", state, c, err)
		}
	}
	o.cluster.State = cloudtypes.ClusterStateDeleted
	if _, err := clusters.Cluster(t.Context(), scope, clusterA); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a deleted cluster: %v", err)
	}
}

// A store has one address in each subnet while it is attached, however often that is begun, and none afterwards.
func TestNetworkOf(t *testing.T) {
	o := newOneCluster(t)
	attached := keystore.NetworkOf(o, o.network)
	const store, other = "cks-00000000000000001", "cks-00000000000000002"
	free := func() (total int) {
		for _, id := range o.cluster.SubnetMapping {
			n, err := o.network.FreeAddresses(t.Context(), scope, id)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
		return total
	}
	all := free()
	for range 2 {
		if err := attached.Attach(t.Context(), scope, store, clusterA); err != nil {
			t.Fatal(err)
		}
		if taken := all - free(); taken != 3 {
			t.Errorf("%d addresses are taken", taken)
		}
	}
	if err := attached.Detach(t.Context(), scope, other); err != nil || all-free() != 3 {
		t.Errorf("another store's teardown: %v, %d taken", err, all-free())
	}
	for range 2 {
		if err := attached.Detach(t.Context(), scope, store); err != nil || free() != all {
			t.Errorf("%v, %d taken", err, all-free())
		}
	}
	o.cluster.SubnetMapping["us-east-1z"] = "subnet-00000000"
	if err := attached.Attach(t.Context(), scope, store, clusterA); !errors.Is(err, keystore.ErrSubnetNotFound) {
		t.Errorf("a missing subnet: %v", err)
	}
	delete(o.cluster.SubnetMapping, "us-east-1z")
	if free() != all {
		t.Errorf("%d addresses are taken for nothing", all-free())
	}
}

// A full subnet is told, and nothing is kept in the others; what the store holds already is enough for it.
func TestNetworkOfFullSubnets(t *testing.T) {
	o := newOneCluster(t)
	attached := keystore.NetworkOf(o, o.network)
	const store = "cks-00000000000000001"
	o.cluster.SubnetMapping["us-east-1z"] = o.smallSubnet(t)
	if err := attached.Attach(t.Context(), scope, store, clusterA); err != nil {
		t.Fatal(err)
	}
	var filling []string
	for {
		id, _, err := o.network.AllocateInterface(t.Context(), scope, o.cluster.SubnetMapping["us-east-1z"], o.cluster.SecurityGroup, "", "test", "")
		if fault.Is(err, "InsufficientFreeAddressesInSubnet") {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		filling = append(filling, id)
	}
	if err := attached.Attach(t.Context(), scope, store, clusterA); err != nil || len(filling) != 10 {
		t.Errorf("%d addresses were left: %v", len(filling), err)
	}
	if err := attached.Attach(t.Context(), scope, "cks-00000000000000002", clusterA); !errors.Is(err, keystore.ErrSubnetFull) {
		t.Errorf("another store: %v", err)
	}
	if made, err := o.network.ManagedInterfaces(t.Context(), "cks-00000000000000002"); err != nil || len(made) != 0 {
		t.Errorf("%v are left over, %v", made, err)
	}
}

// smallSubnet is a /28 of the default VPC.
func (o *oneCluster) smallSubnet(t *testing.T) string {
	vpc, _, err := o.network.Subnet(t.Context(), scope, o.cluster.SubnetMapping["us-east-1a"])
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range o.network.API().Rows {
		if row.Name != "CreateSubnet" {
			continue
		}
		in := row.NewInput()
		if err := awsquery.Decode(url.Values{"VpcId": {vpc}, "CidrBlock": {"127.77.64.0/28"}, "AvailabilityZone": {"us-east-1a"}}, in); err != nil {
			t.Fatal(err)
		}
		call := &operation.Call{Scope: scope, Event: &audit.Event{ID: "event", Time: epoch}}
		if _, err := row.Invoke(t.Context(), call, in); err != nil {
			t.Fatal(err)
		}
		for _, m := range call.Event.Response {
			return m.Value.(string)
		}
	}
	t.Fatal("no CreateSubnet")
	return ""
}
