package network_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/internal/fault"
	"keyward/internal/network"
)

const (
	requester = "cks-1"
	group     = "sg-1"
)

// wired is a VPC of loopback addresses with a cluster's group, a requester in all three subnets, and a server on an
// interface of the group in the first.
type wired struct {
	*site
	vpc    string
	server *server
}

// server is one end that can be connected to: it echoes.
type server struct {
	eni, address string
}

func newWired(t *testing.T) *wired {
	w := &wired{site: newSite(t)}
	block, err := network.FreeLoopbackBlock()
	w.must(err)
	claim, err := network.ClaimBlock(block)
	w.must(err)
	t.Cleanup(func() { w.must(claim.Close()) })
	w.vpc = w.made("CreateVpc", "CidrBlock="+block.String(), "vpcId")
	w.subnets = nil
	for i, zone := range []string{"a", "b", "c"} {
		four := block.Addr().As4()
		four[2] = byte(i)
		w.subnets = append(w.subnets, w.site.subnet(w.vpc, netip.AddrFrom4(four).String()+"/24", "us-east-1"+zone))
	}
	w.must(w.service.CreateClusterGroup(t.Context(), scope, w.vpc, group, "cloudhsm-sg", "d"))
	w.must(w.join())
	w.server = w.serve(w.subnets[0])
	return w
}

func (w *wired) presence() network.Presence {
	return network.Presence{
		Scope: scope, Requester: requester, Subnets: w.subnets, Peer: group,
		GroupName: "kms-" + requester, GroupDescription: "d", Description: "KMS managed ENI for cluster cluster-1",
	}
}

func (w *wired) join() error { return w.service.Join(w.Context(), w.presence()) }

func (w *wired) serve(subnet string) *server {
	w.Helper()
	eni, ip, err := w.service.AllocateInterface(w.Context(), scope, subnet, group, "", "cloudhsm", "d")
	w.must(err)
	l, err := net.Listen("tcp", ip+":0")
	w.must(err)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				_, _ = io.Copy(c, c) // the client ends it
				_ = c.Close()
			})
		}
	})
	w.Cleanup(func() { w.must(l.Close()); open.Wait() })
	return &server{eni, l.Addr().String()}
}

// The cluster's group opens 2223 to 2225 only; the test's server has any free port.
func (w *wired) allow(action string) {
	w.Helper()
	for _, direction := range []string{"Ingress", "Egress"} {
		w.holds(action+"SecurityGroup"+direction, "GroupId="+group+"&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1024&IpPermissions.1.ToPort=65535&IpPermissions.1.Groups.1.GroupId="+group)
	}
}

// dial fails after half a second at the latest: nothing that is allowed takes as long.
func (w *wired) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(w.Context(), 500*time.Millisecond)
	defer cancel()
	return w.service.Dial(ctx, scope, requester, w.server.address)
}

func (w *wired) connected() net.Conn {
	w.Helper()
	c, err := w.dial()
	w.must(err)
	w.must(c.SetDeadline(time.Now().Add(5 * time.Second)))
	return c
}

func echoes(c net.Conn) bool {
	_, err := c.Write([]byte("x"))
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	return err == nil
}

// denied dials and expects silence.
func (w *wired) denied(why string) {
	w.Helper()
	c, err := w.dial()
	if err == nil {
		_ = c.Close()
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !strings.Contains(err.Error(), why) {
		w.Errorf("%v, want a time-out because of %s", err, why)
	}
}

func TestDialFollowsSecurityGroups(t *testing.T) {
	w := newWired(t)
	w.denied("the outbound rules of the security groups")
	w.allow("Authorize")
	c := w.connected()
	if !echoes(c) {
		t.Fatal("an allowed connection does not work")
	}
	// It comes from an interface of the requester in another subnet.
	from, err := netip.ParseAddrPort(c.LocalAddr().String())
	w.must(err)
	eni, err := w.store.InterfaceAt(t.Context(), scope, w.vpc, from.Addr())
	if err != nil || eni.Requester != requester || eni.SubnetID == w.subnets[0] {
		t.Errorf("it comes from %+v, %v", eni, err)
	}
	w.holds("CreateNetworkInterface", "SubnetId="+w.subnets[1]) // which is no reason to cut anything
	if !echoes(c) {
		t.Fatal("a change elsewhere cut the connection")
	}
	w.allow("Revoke")
	if echoes(c) {
		t.Error("the connection goes on without its rules")
	}
	var blocked *network.Blocked
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &blocked) {
		t.Errorf("it does not say why: %v", err)
	}
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Who dials while the way is closed gets through as soon as it opens.
func TestDialWaitsForTheWayToOpen(t *testing.T) {
	w := newWired(t)
	done := make(chan error, 1)
	go func() {
		c, err := w.service.Dial(t.Context(), scope, requester, w.server.address)
		if err == nil {
			err = c.Close()
		}
		done <- err
	}()
	w.allow("Authorize")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Statements 16, 17, 18 and 27 for one connection.
func TestDialFollowsACLs(t *testing.T) {
	w := newWired(t)
	w.allow("Authorize")
	acl := w.made("DescribeNetworkAcls", "Filter.1.Name=vpc-id&Filter.1.Value.1="+w.vpc, "networkAclId")
	entry := "NetworkAclId=" + acl + "&RuleNumber=10&Egress=%&Protocol=6&RuleAction=deny&CidrBlock=0.0.0.0/0&PortRange.From=1024&PortRange.To=65535"
	for egress, why := range map[string]string{"false": "the inbound entries of " + acl, "true": "the outbound entries of " + acl} {
		c := w.connected()
		form := strings.Replace(entry, "%", egress, 1)
		w.holds("CreateNetworkAclEntry", form)
		if echoes(c) {
			t.Errorf("egress %s is denied, and the connection goes on", egress)
		}
		w.denied(why)
		w.holds("DeleteNetworkAclEntry", form)
		w.must(w.connected().Close())
	}

	c := w.connected()
	own := w.made("CreateNetworkAcl", "VpcId="+w.vpc, "networkAclId")
	association := w.association(w.subnets[0])
	association = w.made("ReplaceNetworkAclAssociation", "AssociationId="+association+"&NetworkAclId="+own, "newAssociationId")
	if echoes(c) {
		t.Error("the subnet is cut off, and the connection goes on")
	}
	w.denied("the inbound entries of " + own)
	w.holds("ReplaceNetworkAclAssociation", "AssociationId="+association+"&NetworkAclId="+acl)
	w.must(w.connected().Close())
}

// association is the id of a subnet's tie to its ACL.
func (w *wired) association(subnet string) string {
	w.Helper()
	found, err := w.store.Subnet(w.Context(), scope, subnet)
	w.must(err)
	return found.Association
}

// A connection is not there without its interfaces.
func TestDialFollowsInterfaces(t *testing.T) {
	w := newWired(t)
	w.allow("Authorize")
	c := w.connected()
	w.must(w.service.Leave(t.Context(), scope, requester))
	if echoes(c) {
		t.Error("the requester has left, and the connection goes on")
	}
	w.denied("the network interfaces of " + requester)
	w.must(w.join())
	c = w.connected()
	w.must(w.service.ReleaseInterface(t.Context(), scope, w.server.eni))
	if echoes(c) {
		t.Error("the server's interface is gone, and the connection goes on")
	}
	w.denied("no such record")
	if _, err := w.service.Dial(t.Context(), scope, requester, "host:1"); err == nil {
		t.Error("a name is dialled")
	}
}

// Statements 12 and 13: one interface in each subnet with two groups, however often it is begun; nothing afterwards.
func TestPresence(t *testing.T) {
	w := newWired(t)
	const mine = "Filter.1.Name=description&Filter.1.Value.1=KMS managed ENI for cluster cluster-1"
	count := func(want int) {
		t.Helper()
		text, err := w.ask("DescribeNetworkInterfaces", mine)
		w.must(err)
		if got := strings.Count(text, "<networkInterfaceId>"); got != want || strings.Count(text, "<groupName>") != 2*want {
			t.Errorf("%d interfaces instead of %d:\n%s", got, want, text)
		}
	}
	count(3)
	before := w.made("DescribeNetworkInterfaces", mine, "networkInterfaceId")
	w.must(w.join())
	count(3)
	if after := w.made("DescribeNetworkInterfaces", mine, "networkInterfaceId"); after != before {
		t.Error("what was there is not kept")
	}
	own := "Filter.1.Name=group-name&Filter.1.Value.1=kms-" + requester
	w.holds("DescribeSecurityGroups", own, "<ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>2223</fromPort><toPort>2225</toPort><groups><item><groupId>sg-1</groupId>",
		"<ipPermissionsEgress></ipPermissionsEgress>")

	// A half-made presence is completed, one in other places moved.
	w.must(w.service.ReleaseInterface(t.Context(), scope, before))
	count(2)
	w.must(w.join())
	count(3)
	p := w.presence()
	p.Subnets = p.Subnets[1:]
	w.must(w.service.Join(t.Context(), p))
	count(2)

	// A user's rule that names the requester's group keeps it for as long as the rule is there.
	kms := w.made("DescribeSecurityGroups", own, "groupId")
	users := w.made("CreateSecurityGroup", "GroupName=users&GroupDescription=d&VpcId="+w.vpc, "groupId")
	rule := "GroupId=" + users + "&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId=" + kms
	w.holds("AuthorizeSecurityGroupIngress", rule)
	for range 2 {
		w.must(w.service.Leave(t.Context(), scope, requester))
	}
	count(0)
	w.holds("DescribeSecurityGroups", own, kms)
	w.must(w.join())
	w.must(w.service.Leave(t.Context(), scope, requester))
	w.holds("RevokeSecurityGroupIngress", rule)
	w.holds("DescribeSecurityGroups", own, "<securityGroupInfo></securityGroupInfo>")
}

// A cluster can be deleted under a connected store: its group stays with the store's interfaces and goes with them.
func TestPresenceOutlivesTheCluster(t *testing.T) {
	w := newWired(t)
	w.must(w.service.ReleaseInterface(t.Context(), scope, w.server.eni))
	w.must(w.service.DeleteGroup(t.Context(), scope, group))
	w.holds("DescribeSecurityGroups", "GroupId.1="+group, group)
	w.must(w.service.Leave(t.Context(), scope, requester))
	w.refused("InvalidGroup.NotFound", group, "DescribeSecurityGroups", "GroupId.1="+group)
}

// A presence that cannot be had wholly is not had at all.
func TestPresenceIsAllOrNothing(t *testing.T) {
	w := newWired(t)
	w.must(w.service.Leave(t.Context(), scope, requester))
	free := func() (total int) {
		for _, id := range w.subnets[:3] {
			n, err := w.service.FreeAddresses(t.Context(), scope, id)
			w.must(err)
			total += n
		}
		return total
	}
	before, p := free(), w.presence()
	p.Subnets = append(p.Subnets, "subnet-0")
	if err := w.service.Join(t.Context(), p); !fault.Is(err, "InvalidSubnetID.NotFound") || free() != before {
		t.Errorf("a missing subnet: %v, %d taken", err, before-free())
	}
	p = w.presence()
	p.Peer = "sg-2"
	if err := w.service.Join(t.Context(), p); !fault.Is(err, "InvalidGroup.NotFound") || free() != before {
		t.Errorf("a missing group: %v, %d taken", err, before-free())
	}
	w.made("CreateSecurityGroup", "GroupName=kms-"+requester+"&GroupDescription=d&VpcId="+w.vpc, "groupId")
	if err := w.join(); !fault.Is(err, "InvalidGroup.Duplicate") || free() != before {
		t.Errorf("somebody else's group: %v, %d taken", err, before-free())
	}
}
