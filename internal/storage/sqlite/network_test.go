package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"keyward/internal/arn"
)

// A VPC from before network ACLs gets its default ACL, its subnets their ties to it, rules their ids.
func TestNetworksFromBeforeACLs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyward.db")
	db := openOld(t, path, 8)
	_, err := db.ExecContext(t.Context(), `
		INSERT INTO vpc VALUES ('1', 'r', 'vpc-1', '10.0.0.0/16', 1, 'null'), ('1', 'r', 'vpc-2', '10.1.0.0/16', 0, 'null');
		INSERT INTO subnet VALUES ('1', 'r', 'subnet-1', 'vpc-1', 'ra', '10.0.0.0/24', 1, 'null'), ('1', 'r', 'subnet-2', 'vpc-1', 'rb', '10.0.1.0/24', 1, 'null');
		INSERT INTO security_group VALUES
			('1', 'r', 'sg-1', 3, 'vpc-1', 'n', 'd', '[{"protocol":"tcp","fromPort":1,"toPort":2,"group":"sg-1"},{"egress":true,"protocol":"-1","cidr":"0.0.0.0/0"}]', 'null'),
			('1', 'r', 'sg-2', 0, 'vpc-1', 'm', 'd', 'null', 'null')`)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	scope := arn.Scope{Account: "1", Region: "r"}
	s := open(t, path, false).Network()
	acls, err := s.ACLs(t.Context(), scope)
	if err != nil || len(acls) != 2 || acls[0].VpcID == acls[1].VpcID || !acls[0].Default || len(acls[0].Entries) != 2 || acls[0].Entries[0].CIDR.Bits() != 0 {
		t.Fatalf("ACLs %+v, %v", acls, err)
	}
	subnets, err := s.Subnets(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	for _, subnet := range subnets {
		acl, err := s.ACL(t.Context(), scope, subnet.ACL)
		if err != nil || acl.VpcID != subnet.VpcID || !strings.HasPrefix(subnet.Association, "aclassoc-") || subnet.Options.HostnameType != "ip-name" {
			t.Errorf("%+v, %v", subnet, err)
		}
	}
	if subnets[0].Association == subnets[1].Association {
		t.Error("two subnets share an association")
	}
	g, err := s.Group(t.Context(), scope, "sg-1")
	if err != nil || len(g.Rules) != 2 || g.Version != 3 {
		t.Fatalf("%+v, %v", g, err)
	}
	one, two := g.Rules[0], g.Rules[1]
	if len(one.ID) != len("sgr-")+17 || one.ID == two.ID || one.Group != "sg-1" || one.ToPort != 2 || !two.Egress || !two.CIDR.IsValid() {
		t.Errorf("%+v", g.Rules)
	}
	if g, err := s.Group(t.Context(), scope, "sg-2"); err != nil || len(g.Rules) != 0 {
		t.Errorf("%+v, %v", g, err)
	}
	if v, err := s.VPC(t.Context(), scope, "vpc-2"); err != nil || !v.DNS.Support {
		t.Errorf("%+v, %v", v, err)
	}
}
