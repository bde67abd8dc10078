package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
)

// Config of a Service. Store and Now must be set.
type Config struct {
	Store Store
	Now   func() time.Time
	// Claim reserves a block of loopback addresses on this machine; nil claims nothing. ErrBlockTaken if another
	// installation has it.
	Claim func(netip.Prefix) (io.Closer, error)
	// Log is told of connections that the network cuts off; nil discards it.
	Log *slog.Logger
}

// Service is the network model of an installation and its part of the EC2 API.
type Service struct {
	store  Store
	now    func() time.Time
	log    *slog.Logger
	claims claims
	gate   gate
}

// New makes the service.
func New(c Config) *Service {
	s := &Service{store: c.Store, now: c.Now, log: c.Log, claims: claims{take: c.Claim}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// maxConflicts bounds how often a change is tried again because another node changed a record meanwhile.
const maxConflicts = 5

// change runs fn in a transaction with the event (nil for the work of services); afterwards every connection in the
// scope is judged by the network as it is now. fn may run more than once.
func (s *Service) change(ctx context.Context, scope arn.Scope, event *audit.Event, fn func(Tx) error) error {
	for conflicts := 0; ; conflicts++ {
		err := s.store.Change(ctx, event, fn)
		if errors.Is(err, fault.ErrConflict) && conflicts < maxConflicts {
			continue
		}
		if err == nil {
			s.enforce(ctx, scope)
		}
		return err
	}
}

// zoneLetters name a Region's Availability Zones.
const zoneLetters = "abc"

// defaultSubnetBits is the prefix length of a default subnet, as in AWS's default VPC.
const defaultSubnetBits = 20

// CreateDefaultVPC makes the default VPC of a scope with this block, at most /18, which holds one /20 subnet for each
// of the three Availability Zones, and its default security group. A scope has at most one: fault.ErrExists.
func (s *Service) CreateDefaultVPC(ctx context.Context, scope arn.Scope, block netip.Prefix) error {
	if !block.Addr().Is4() || block != block.Masked() || block.Bits() < 16 || block.Bits() > 18 {
		return fmt.Errorf("network: %s cannot be the block of a default VPC: it must be IPv4, /16 to /18", block)
	}
	vpc := &VPC{Scope: scope, ID: newID("vpc"), CIDR: block, Default: true, DNS: DNS{Support: true, Hostnames: true}}
	acl := defaultACL(vpc)
	return s.change(ctx, scope, nil, func(tx Tx) error {
		if err := errors.Join(tx.InsertVPC(vpc), tx.InsertACL(acl)); err != nil {
			return err
		}
		first := block.Addr()
		for _, letter := range zoneLetters {
			subnet := &Subnet{
				Scope: scope, ID: newID("subnet"), VpcID: vpc.ID, Zone: scope.Region + string(letter),
				CIDR: netip.PrefixFrom(first, defaultSubnetBits), Default: true,
				Options: SubnetOptions{MapPublicIP: true, HostnameType: ipName}, ACL: acl.ID, Association: newID("aclassoc"),
			}
			if err := tx.InsertSubnet(subnet); err != nil {
				return err
			}
			first = offset(first, 1<<(32-defaultSubnetBits))
		}
		return tx.InsertGroup(defaultGroup(vpc))
	})
}

// defaultGroup lets in everything from its own members and out everything.
func defaultGroup(vpc *VPC) *Group {
	g := &Group{Scope: vpc.Scope, ID: newID("sg"), VpcID: vpc.ID, Name: "default", Description: "default VPC security group"}
	g.Rules = []Rule{{ID: newID("sgr"), Protocol: all, Group: g.ID}, allOut()}
	return g
}

// everywhere is all of IPv4.
var everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// all stands for every protocol.
const all = "-1"

// allOut is the rule that every new security group has.
func allOut() Rule { return Rule{ID: newID("sgr"), Egress: true, Protocol: all, CIDR: everywhere} }

// defaultACL lets everything pass.
func defaultACL(vpc *VPC) *ACL {
	return &ACL{Scope: vpc.Scope, ID: newID("acl"), VpcID: vpc.ID, Default: true, Entries: []Entry{
		{Number: 100, Protocol: all, CIDR: everywhere}, {Egress: true, Number: 100, Protocol: all, CIDR: everywhere},
	}}
}

// DefaultBlock is the block of the scope's default VPC; fault.ErrNotFound if it has none.
func (s *Service) DefaultBlock(ctx context.Context, scope arn.Scope) (netip.Prefix, error) {
	vpc, err := defaultVPC(ctx, s.store, scope)
	if err != nil {
		return netip.Prefix{}, err
	}
	return vpc.CIDR, nil
}

func defaultVPC(ctx context.Context, r Reader, scope arn.Scope) (*VPC, error) {
	all, err := r.VPCs(ctx, scope)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v.Default {
			return v, nil
		}
	}
	return nil, fault.ErrNotFound
}

// DefaultSubnets lists the ids of the default VPC's subnets in the order of their zones.
func (s *Service) DefaultSubnets(ctx context.Context, scope arn.Scope) ([]string, error) {
	all, err := s.store.Subnets(ctx, scope)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, letter := range zoneLetters {
		for _, subnet := range all {
			if subnet.Default && subnet.Zone == scope.Region+string(letter) {
				ids = append(ids, subnet.ID)
			}
		}
	}
	return ids, nil
}

// newID makes an id in the style of EC2: 17 hex digits.
func newID(kind string) string {
	random := make([]byte, 9)
	_, _ = rand.Read(random) // never fails: crypto/rand ends the program instead
	return kind + "-" + hex.EncodeToString(random)[:17]
}

// derived is the id of what a VPC has exactly one of: it differs from the VPC's only in its kind.
func derived(kind, vpcID string) string { return kind + strings.TrimPrefix(vpcID, "vpc") }

var directions = strings.NewReplacer("northeast", "ne", "northwest", "nw", "southeast", "se", "southwest", "sw",
	"north", "n", "south", "s", "east", "e", "west", "w", "central", "c", "gov", "g", "-", "")

// zoneID is the id of a zone, the same for all accounts: use1-az1 for us-east-1a.
func zoneID(zone string) string {
	region, letter := zone[:len(zone)-1], zone[len(zone)-1]
	return fmt.Sprintf("%s-az%d", directions.Replace(region), letter-'a'+1)
}

// isMissing reports whether err says that a record is not there.
func isMissing(err error) bool { return errors.Is(err, fault.ErrNotFound) }
