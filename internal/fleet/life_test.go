package fleet

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/cloudhsm"
	"keyward/internal/fault"
	"keyward/internal/secret"
)

// A cluster from CreateCluster to DELETED, through the API's rows, openssl and the HSMs' own protocol: statements 9 to
// 12, 18, 20, 21, 23 and 24 of the control plane's specification, and 5 of the network's.
func TestLifeOfACluster(t *testing.T) {
	w := newWorld(t)
	cluster := w.createCluster()
	c := w.describe(cluster)
	if len(c.Hsms) != 0 || *c.Certificates != (types.Certificates{}) {
		t.Errorf("statement 9: a settled cluster has %d HSMs and certificates %v", len(c.Hsms), c.Certificates)
	}
	free := w.freeAddresses(c)
	first := w.createHsm(cluster, "a")
	if _, err := call[api.CreateHsmOutput](w, "CreateHsm", &api.CreateHsmInput{ClusterId: &cluster, AvailabilityZone: aws.String("us-east-1b")}); !fault.Is(err, "CloudHsmInvalidRequestException") {
		t.Errorf("statement 12: a second HSM before initialisation: %v", err)
	}
	if now := w.freeAddresses(c); now != free-1 {
		t.Errorf("network statement 5: %d free addresses, then %d", free, now)
	}
	w.checkIdentity(w.await(cluster, "has its first HSM", active(first)))

	w.initialize(cluster)
	c = w.describe(cluster)
	if aws.ToString(c.Certificates.ClusterCertificate) != w.read("CustomerHsmCertificate.crt") || c.Certificates.ClusterCsr != nil ||
		c.Certificates.HsmCertificate != nil {
		t.Errorf("statement 18: after initialisation %+v", c.Certificates)
	}
	w.must(w.client(cluster).Activate(context.Background(), secret.FromString(password)))
	w.await(cluster, "is active", inState(types.ClusterStateActive))
	second := w.createHsm(cluster, "b")
	w.await(cluster, "has two HSMs", active(first, second))
	w.hasUser(cluster, "admin")

	if _, err := call[api.DeleteClusterOutput](w, "DeleteCluster", &api.DeleteClusterInput{ClusterId: &cluster}); !fault.Is(err, "CloudHsmInvalidRequestException") {
		t.Errorf("statement 23: deleting a cluster with HSMs: %v", err)
	}
	w.deleteHsm(cluster, first)
	w.deleteHsm(cluster, second)
	if c = w.await(cluster, "has no HSMs", active()); c.State != types.ClusterStateActive {
		t.Errorf("statement 21: the empty cluster is %s", c.State)
	}
	if now := w.freeAddresses(c); now != free {
		t.Errorf("network statement 5: %d free addresses, in the end %d", free, now)
	}
	out := mustCall[api.DeleteClusterOutput](w, "DeleteCluster", &api.DeleteClusterInput{ClusterId: aws.String(cluster)})
	if out.Cluster.State != types.ClusterStateDeleteInProgress || out.Cluster.Hsms == nil || len(out.Cluster.Hsms) != 0 {
		t.Errorf("statement 24: deletion answers %s, %v", out.Cluster.State, out.Cluster.Hsms)
	}
	w.await(cluster, "is deleted", inState(types.ClusterStateDeleted))
	if intact, err := w.service.SecurityGroupIntact(context.Background(), &cloudhsm.Cluster{Scope: scope, SecurityGroup: *c.SecurityGroup}); intact || err != nil {
		t.Errorf("statement 24: the security group is still there: %v, %v", intact, err)
	}
}

// freeAddresses of the cluster's subnet in zone a.
func (w *world) freeAddresses(c types.Cluster) int {
	w.Helper()
	n, err := w.network.FreeAddresses(context.Background(), scope, c.SubnetMapping["us-east-1a"])
	w.must(err)
	return n
}

// checkIdentity does what the user guide tells customers to do before they initialise a cluster (statements 10 and 11).
func (w *world) checkIdentity(c types.Cluster) {
	w.Helper()
	w.write("hsm.pem", aws.ToString(c.Certificates.HsmCertificate))
	w.write("cluster.csr", aws.ToString(c.Certificates.ClusterCsr))
	for _, chain := range []struct {
		hardware *string
		root     []byte
	}{
		{c.Certificates.AwsHardwareCertificate, w.fleet.config.Authority.ProviderRoot()},
		{c.Certificates.ManufacturerHardwareCertificate, w.fleet.config.Authority.ManufacturerRoot()},
	} {
		w.write("hardware.pem", aws.ToString(chain.hardware))
		w.write("root.pem", cloudhsm.PEM(chain.root))
		if out := w.openssl("verify", "-CAfile", "root.pem", "-untrusted", "hardware.pem", "hsm.pem"); !strings.Contains(out, "hsm.pem: OK") {
			w.Errorf("openssl verify: %s", out)
		}
	}
	w.openssl("req", "-in", "cluster.csr", "-noout", "-verify")
	if csr, hsm := w.openssl("req", "-in", "cluster.csr", "-noout", "-pubkey"), w.openssl("x509", "-in", "hsm.pem", "-noout", "-pubkey"); csr != hsm {
		w.Errorf("the CSR's key is\n%s\nthe HSM's\n%s", csr, hsm)
	}
	block, _ := pem.Decode([]byte(*c.Certificates.ClusterCsr))
	request, err := x509.ParseCertificateRequest(block.Bytes)
	w.must(err)
	if name := request.Subject.CommonName; !strings.HasPrefix(name, "HSM:") || !strings.Contains(name, ":PARTN:") {
		w.Errorf("the CSR is for %q", name)
	}
}

// Two clusters of one customer CA are not related (statement 28).
func TestClusterCertificatesTellClustersApart(t *testing.T) {
	w := newWorld(t)
	var certificates []string
	for range 2 {
		cluster := w.createCluster()
		w.await(cluster, "has its first HSM", active(w.createHsm(cluster, "a")))
		w.initialize(cluster)
		certificates = append(certificates, *w.describe(cluster).Certificates.ClusterCertificate)
	}
	if certificates[0] == certificates[1] {
		t.Error("statement 28: both clusters have the same certificate")
	}
}
