package network

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
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
