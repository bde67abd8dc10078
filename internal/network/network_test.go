package network_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/network"
	"keyward/internal/operation"
	"keyward/internal/storage/sqlite"
	"keyward/internal/wire/awsquery"
)

var scope = arn.Scope{Account: "111122223333", Region: "us-east-1"}

// site is a default VPC, 10.0.0.0/16, over a real store.
type site struct {
	*testing.T
	store   network.Store
	service *network.Service
	rows    map[string]operation.Row
	subnets []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, rows: map[string]operation.Row{}}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "keyward.db"), sqlite.Options{Create: true})
	s.must(err)
	t.Cleanup(func() { s.must(db.Close()) })
	s.store = db.Network()
	s.service = network.New(network.Config{Store: s.store, Now: time.Now})
	s.must(s.service.CreateDefaultVPC(t.Context(), scope, netip.MustParsePrefix("10.0.0.0/16")))
	s.subnets, err = s.service.DefaultSubnets(t.Context(), scope)
	s.must(err)
	for _, row := range s.service.API().Rows {
		s.rows[row.Name] = row
	}
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// ask sends a Query request and returns the XML of the answer.
func (s *site) ask(name, form string) (string, error) {
	s.Helper()
	values, err := url.ParseQuery(form)
	s.must(err)
	in := s.rows[name].NewInput()
	if err := awsquery.Decode(values, in); err != nil {
		return "", err
	}
	out, err := s.rows[name].Invoke(s.Context(), &operation.Call{Scope: scope, Event: &audit.Event{}}, in)
	if err != nil {
		return "", err
	}
	text, err := awsquery.EC2.Encode(name, "request", out)
	s.must(err)
	return string(text), nil
}

// holds asks and checks that the answer has all these pieces.
func (s *site) holds(name, form string, pieces ...string) {
	s.Helper()
	text, err := s.ask(name, form)
	s.must(err)
	s.must(xml.Unmarshal([]byte(text), new(struct{})))
	for _, piece := range pieces {
		if !strings.Contains(text, piece) {
			s.Errorf("%s %s lacks %s:\n%s", name, form, piece, text)
		}
	}
}

// made asks for something new and returns the element of the answer that names it.
func (s *site) made(name, form, element string) string {
	s.Helper()
	text, err := s.ask(name, form)
	s.must(err)
	_, rest, ok := strings.Cut(text, "<"+element+">")
	value, _, _ := strings.Cut(rest, "<")
	if !ok || value == "" {
		s.Fatalf("%s %s lacks %s:\n%s", name, form, element, text)
	}
	return value
}

func (s *site) refused(code, message, name, form string) {
	s.Helper()
	_, err := s.ask(name, form)
	if f, ok := fault.As(err); !ok || f.Code != code || !strings.Contains(f.Message, message) {
		s.Errorf("%s %s: %v, want %s: %s", name, form, err, code, message)
	}
}

func (s *site) allocate(subnet, address string) (id, ip string, err error) {
	groups, err := s.store.Groups(s.Context(), scope)
	s.must(err)
	return s.service.AllocateInterface(s.Context(), scope, subnet, groups[0].ID, address, "test", "Test Interface")
}

func TestDefaultVPC(t *testing.T) {
	s := newSite(t)
	if err := s.service.CreateDefaultVPC(t.Context(), scope, netip.MustParsePrefix("10.1.0.0/16")); !errors.Is(err, fault.ErrExists) {
		t.Errorf("a second default VPC: %v", err)
	}
	for _, block := range []string{"10.0.0.0/19", "10.0.0.0/8", "10.0.0.1/16", "fd00::/16"} {
		if err := s.service.CreateDefaultVPC(t.Context(), arn.Scope{Account: "1", Region: "r"}, netip.MustParsePrefix(block)); err == nil {
			t.Errorf("%s is taken for a default VPC", block)
		}
	}
	block, err := s.service.DefaultBlock(t.Context(), scope)
	if err != nil || block.String() != "10.0.0.0/16" {
		t.Errorf("block %v, %v", block, err)
	}
	if _, err := s.service.DefaultBlock(t.Context(), arn.Scope{Account: "1", Region: "r"}); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("no default VPC: %v", err)
	}
	s.holds("DescribeVpcs", "", "<cidrBlock>10.0.0.0/16</cidrBlock>", "<isDefault>true</isDefault>", "<state>available</state>", "<ownerId>111122223333</ownerId>")
	s.holds("DescribeSubnets", "SubnetId.1="+s.subnets[1], "<cidrBlock>10.0.16.0/20</cidrBlock>", "<availabilityZone>us-east-1b</availabilityZone>",
		"<availabilityZoneId>use1-az2</availabilityZoneId>", "<availableIpAddressCount>4091</availableIpAddressCount>", "<defaultForAz>true</defaultForAz>")
	s.holds("DescribeAvailabilityZones", "ZoneName.1=us-east-1c", "<zoneId>use1-az3</zoneId>", "<zoneState>available</zoneState>")
	s.holds("DescribeSecurityGroups", "GroupName.1=default", "<groupDescription>default VPC security group</groupDescription>", "<cidrIp>0.0.0.0/0</cidrIp>")
}

// Addresses are unique, reserved ones are never given (network statements 2 and 5), and come back when released.
func TestAddresses(t *testing.T) {
	s := newSite(t)
	for _, reserved := range []string{"10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.15.255", "10.0.16.4", "fd00::4", "x"} {
		if _, _, err := s.allocate(s.subnets[0], reserved); !fault.Is(err, "InvalidParameterValue") {
			t.Errorf("%s: %v", reserved, err)
		}
	}
	id, ip, err := s.allocate(s.subnets[0], "10.0.0.4")
	if err != nil || ip != "10.0.0.4" {
		t.Fatal(ip, err)
	}
	if _, _, err := s.allocate(s.subnets[0], "10.0.0.4"); !fault.Is(err, "InvalidIPAddress.InUse") {
		t.Errorf("an address in use: %v", err)
	}
	s.holds("DescribeSubnets", "SubnetId.1="+s.subnets[0], "<availableIpAddressCount>4090</availableIpAddressCount>")
	s.holds("DescribeNetworkInterfaces", "NetworkInterfaceId.1="+id, "<privateIpAddress>10.0.0.4</privateIpAddress>", "<requesterManaged>true</requesterManaged>",
		"<status>in-use</status>", "<groupName>default</groupName>", "<description>Test Interface</description>")
	var mu sync.Mutex
	seen := map[string]bool{ip: true}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			_, ip, err := s.allocate(s.subnets[0], "")
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[ip] {
				t.Errorf("%s twice, or %v", ip, err)
			}
			seen[ip] = true
		})
	}
	all.Wait()
	for range 2 {
		s.must(s.service.ReleaseInterface(t.Context(), scope, id))
	}
	if n, err := s.service.FreeAddresses(t.Context(), scope, s.subnets[0]); err != nil || n != 4091-50 {
		t.Errorf("%d free addresses, %v", n, err)
	}
	if _, _, err := s.allocate("subnet-0", ""); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an absent subnet: %v", err)
	}
}

func TestClusterGroup(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	vpcs, err := s.store.VPCs(ctx, scope)
	s.must(err)
	for range 2 { // the second time it is there
		s.must(s.service.CreateClusterGroup(ctx, scope, vpcs[0].ID, "sg-1", "cloudhsm-cluster-x-sg", "d"))
	}
	// Statement 6 of the network's specification.
	s.holds("DescribeSecurityGroups", "Filter.1.Name=group-name&Filter.1.Value.1=cloudhsm-cluster-*-sg",
		"<ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>2223</fromPort><toPort>2225</toPort><groups><item><groupId>sg-1</groupId><userId>111122223333</userId></item></groups>",
		"<ipPermissionsEgress><item><ipProtocol>tcp</ipProtocol><fromPort>2223</fromPort><toPort>2225</toPort><groups><item><groupId>sg-1</groupId>")
	intact := func(want bool, rules ...network.Rule) {
		t.Helper()
		if rules != nil {
			s.must(s.store.Change(ctx, nil, func(tx network.Tx) error {
				g, err := tx.Group(ctx, scope, "sg-1")
				if err != nil {
					return err
				}
				g.Rules = rules
				return tx.UpdateGroup(g)
			}))
		}
		if got, err := s.service.ClusterGroupIntact(ctx, scope, "sg-1"); err != nil || got != want {
			t.Errorf("%v: intact %v, %v", rules, got, err)
		}
	}
	in := network.Rule{Protocol: "tcp", FromPort: 2223, ToPort: 2225, Group: "sg-1"}
	out, wide, narrow, foreign := in, in, in, in
	out.Egress, wide.FromPort, narrow.ToPort, foreign.Group = true, 1, 2224, "sg-2"
	intact(true)
	intact(false, in)
	intact(false, out)
	intact(true, wide, out)
	intact(false, narrow, out)
	intact(false, foreign, out)

	// A group that its owner has done with goes with its last user: an interface, or a rule of another group.
	eni, _, err := s.service.AllocateInterface(ctx, scope, s.subnets[0], "sg-1", "", "test", "d")
	s.must(err)
	other := s.made("CreateSecurityGroup", "GroupName=other&GroupDescription=d", "groupId")
	rule := "GroupId=" + other + "&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId=sg-1"
	s.holds("AuthorizeSecurityGroupIngress", rule)
	s.must(s.service.DeleteGroup(ctx, scope, "sg-1"))
	intact(false)
	s.must(s.service.ReleaseInterface(ctx, scope, eni))
	intact(false)
	s.holds("RevokeSecurityGroupIngress", rule)
	s.must(s.service.DeleteGroup(ctx, scope, "sg-1")) // is gone: no error
	if _, err := s.service.ClusterGroupIntact(ctx, scope, "sg-1"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a deleted group: %v", err)
	}
}

func TestDescribeRefusals(t *testing.T) {
	s := newSite(t)
	s.refused("InvalidSubnetID.NotFound", "The subnet ID 'subnet-0' does not exist", "DescribeSubnets", "SubnetId.1=subnet-0") // statement 23
	s.refused("InvalidVpcID.NotFound", "The vpc ID 'vpc-0' does not exist", "DescribeVpcs", "VpcId.1=vpc-0")
	s.refused("InvalidGroup.NotFound", "The security group 'sg-0' does not exist", "DescribeSecurityGroups", "GroupId.1=sg-0")
	s.refused("InvalidNetworkInterfaceID.NotFound", "eni-0", "DescribeNetworkInterfaces", "NetworkInterfaceId.1=eni-0")
	s.refused("InvalidParameterValue", "us-east-1q", "DescribeAvailabilityZones", "ZoneName.1=us-east-1q")
	s.refused("InvalidParameterValue", "use1-az9", "DescribeAvailabilityZones", "ZoneId.1=use1-az9")
	s.refused("InvalidParameterValue", "The filter 'colour' is invalid", "DescribeVpcs", "Filter.1.Name=colour&Filter.1.Value.1=red")
	s.refused("InvalidParameterValue", "maxResults", "DescribeSubnets", "MaxResults=4")
	s.refused("InvalidParameterCombination", "", "DescribeSubnets", "MaxResults=5&SubnetId.1="+s.subnets[0])
	s.refused("InvalidNextToken", "", "DescribeSubnets", "NextToken=x")
	s.refused("DryRunOperation", "would have succeeded", "DescribeVpcs", "DryRun=true")
	s.holds("DescribeSubnets", "Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-0", "<subnetSet></subnetSet>") // statement 24
}

func TestDescribePages(t *testing.T) {
	s := newSite(t)
	made := map[string]bool{}
	for range 12 {
		id, _, err := s.allocate(s.subnets[2], "")
		s.must(err)
		made[id] = true
	}
	var reply struct {
		Items []struct {
			ID string `xml:"networkInterfaceId"`
		} `xml:"networkInterfaceSet>item"`
		Next string `xml:"nextToken"`
	}
	for pages := 1; ; pages++ {
		form := fmt.Sprintf("MaxResults=5&NextToken=%s", url.QueryEscape(reply.Next))
		reply.Items, reply.Next = nil, ""
		text, err := s.ask("DescribeNetworkInterfaces", form)
		s.must(err)
		s.must(xml.Unmarshal([]byte(text), &reply))
		for _, item := range reply.Items {
			if !made[item.ID] {
				t.Errorf("%s is not there, or twice", item.ID)
			}
			delete(made, item.ID)
		}
		if reply.Next == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if len(made) != 0 {
		t.Errorf("%d interfaces are missing", len(made))
	}
}

func TestBlocksAreClaimed(t *testing.T) {
	block, err := network.FreeLoopbackBlock()
	if err != nil {
		t.Fatal(err)
	}
	if a := block.Addr().As4(); block.Bits() != 16 || a[0] != 127 || a[1] < 16 || a[1] > 254 {
		t.Errorf("block %s", block)
	}
	claim, err := network.ClaimBlock(block)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := network.ClaimBlock(block); !errors.Is(err, network.ErrBlockTaken) {
		t.Errorf("claimed twice: %v", err)
	}
	if err := claim.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := network.ClaimBlock(block)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
