package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// Config of a Service. Every field must be set.
type Config struct {
	Store Store
	Now   func() time.Time
}

// Service is the network model of an installation and its part of the EC2 API.
type Service struct {
	store Store
	now   func() time.Time
}

// New makes the service.
func New(c Config) *Service { return &Service{store: c.Store, now: c.Now} }

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
	vpc := &VPC{Scope: scope, ID: newID("vpc"), CIDR: block, Default: true}
	return s.store.Change(ctx, nil, func(tx Tx) error {
		if err := tx.InsertVPC(vpc); err != nil {
			return err
		}
		first := block.Addr()
		for _, letter := range zoneLetters {
			subnet := &Subnet{
				Scope: scope, ID: newID("subnet"), VpcID: vpc.ID, Zone: scope.Region + string(letter),
				CIDR: netip.PrefixFrom(first, defaultSubnetBits), Default: true,
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
	g.Rules = []Rule{
		{Protocol: "-1", Group: g.ID},
		{Egress: true, Protocol: "-1", CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0)},
	}
	return g
}

// DefaultBlock is the block of the scope's default VPC; fault.ErrNotFound if it has none.
func (s *Service) DefaultBlock(ctx context.Context, scope arn.Scope) (netip.Prefix, error) {
	all, err := s.store.VPCs(ctx, scope)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, v := range all {
		if v.Default {
			return v.CIDR, nil
		}
	}
	return netip.Prefix{}, fault.ErrNotFound
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

var directions = strings.NewReplacer("northeast", "ne", "northwest", "nw", "southeast", "se", "southwest", "sw",
	"north", "n", "south", "s", "east", "e", "west", "w", "central", "c", "gov", "g", "-", "")

// zoneID is the id of a zone, the same for all accounts: use1-az1 for us-east-1a.
func zoneID(zone string) string {
	region, letter := zone[:len(zone)-1], zone[len(zone)-1]
	return fmt.Sprintf("%s-az%d", directions.Replace(region), letter-'a'+1)
}

// isMissing reports whether err says that a record is not there.
func isMissing(err error) bool { return errors.Is(err, fault.ErrNotFound) }
