package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// On one Linux machine every address of 127.0.0.0/8 can be bound, so a block of it serves as the default VPC. The
// blocks near 127.0.0.0 have other users (resolvers, for example).
const (
	firstBlock = 16
	lastBlock  = 254
)

// claimPort is where a running installation holds its block: on the router's address, which no interface ever gets.
const claimPort = 2222

// FreeLoopbackBlock chooses a block 127.x.0.0/16 that no running installation has claimed, at random, so that
// installations which are not running now rarely meet either.
func FreeLoopbackBlock() (netip.Prefix, error) {
	for _, i := range rand.Perm(lastBlock - firstBlock + 1) {
		block := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(firstBlock + i), 0, 0}), 16)
		claim, err := ClaimBlock(block)
		if errors.Is(err, ErrBlockTaken) {
			continue
		}
		if err != nil {
			return netip.Prefix{}, err
		}
		return block, claim.Close()
	}
	return netip.Prefix{}, errors.New("network: every block from 127.16.0.0/16 to 127.254.0.0/16 is in use")
}

// ErrBlockTaken says that another running installation has the block.
var ErrBlockTaken = errors.New("another running installation uses the same addresses")

// ClaimBlock holds a block for this process until it is closed or the process ends. ErrBlockTaken if another process
// holds it.
func ClaimBlock(block netip.Prefix) (io.Closer, error) {
	address := netip.AddrPortFrom(block.Addr().Next(), claimPort)
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(address))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("claiming the network %s: %w (%s is taken)", block, ErrBlockTaken, address)
	}
	if err != nil {
		return nil, fmt.Errorf("claiming the network %s: %w", block, err)
	}
	return listener, nil
}

// claims are the blocks that this process holds.
type claims struct {
	take func(netip.Prefix) (io.Closer, error) // nil: nothing is ever claimed
	mu   sync.Mutex
	held map[netip.Prefix]io.Closer
}

// ClaimAll claims the addresses of all VPCs in 127.0.0.0/8, which HSMs of this installation bind.
func (s *Service) ClaimAll(ctx context.Context) error {
	all, err := s.store.AllVPCs(ctx)
	if err != nil {
		return err
	}
	for _, vpc := range all {
		if err := s.claim(vpc.CIDR); err != nil {
			return fmt.Errorf("VPC %s: %w", vpc.ID, err)
		}
	}
	return nil
}

// Close gives up all claims.
func (s *Service) Close() error {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	var err error
	for _, held := range s.claims.held {
		err = errors.Join(err, held.Close())
	}
	s.claims.held = nil
	return err
}

// claim holds a block; one that is held already, or not of loopback addresses, needs nothing.
func (s *Service) claim(block netip.Prefix) error {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	if s.claims.take == nil || !block.Addr().IsLoopback() || s.claims.held[block] != nil {
		return nil
	}
	held, err := s.claims.take(block)
	if err != nil {
		return err
	}
	if s.claims.held == nil {
		s.claims.held = make(map[netip.Prefix]io.Closer)
	}
	s.claims.held[block] = held
	return nil
}

// unclaim gives a block up when no VPC has it any more.
func (s *Service) unclaim(block netip.Prefix) {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	held := s.claims.held[block]
	if held == nil {
		return
	}
	delete(s.claims.held, block)
	if err := held.Close(); err != nil {
		s.log.Warn("giving up the addresses of a VPC", "cidr", block, "error", err)
	}
}

// claimed claims the block of a VPC that is about to be made; release undoes it if that fails. A block that this
// installation holds already stays held: the VPC will be refused for overlapping.
func (s *Service) claimed(block netip.Prefix) (release func(), err error) {
	s.claims.mu.Lock()
	before := s.claims.held[block] != nil
	s.claims.mu.Unlock()
	if before {
		return func() {}, nil
	}
	if err := s.claim(block); err != nil {
		if errors.Is(err, ErrBlockTaken) {
			return nil, fault.New("InvalidVpc.Range", "The CIDR '%s' is invalid: another installation on this machine uses these loopback addresses.", block).Because(err)
		}
		return nil, err
	}
	return func() { s.unclaim(block) }, nil
}

// loopback is what one machine can bind without being configured.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

// Hostable reports why HSMs cannot stand in a subnet: they listen on the addresses of their interfaces, and of all
// addresses only those of 127.0.0.0/8 are there on every machine. An absent subnet is fault.ErrNotFound.
func (s *Service) Hostable(ctx context.Context, scope arn.Scope, subnetID string) error {
	subnet, err := s.store.Subnet(ctx, scope, subnetID)
	if err != nil || loopback.Contains(subnet.CIDR.Addr()) {
		return err
	}
	return fault.New("InvalidSubnet.Range", "HSMs of this installation are processes on one machine and can only stand in subnets of 127.0.0.0/8; subnet %s is %s.",
		subnet.ID, subnet.CIDR)
}
