package network

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"keyward/internal/fault"
)

// Of every subnet five addresses are reserved: its own, the router's, DNS, one for the future, and the last
// (VPC user guide, "Subnet sizing").
const (
	reservedFirst = 4
	reserved      = reservedFirst + 1
)

// size is the number of addresses of a subnet.
func size(subnet netip.Prefix) int { return 1 << (32 - subnet.Bits()) }

// freeAddresses of a subnet with so many interfaces in it.
func freeAddresses(subnet netip.Prefix, interfaces int) int {
	return size(subnet) - reserved - interfaces
}

// offset is the address n after a.
func offset(a netip.Addr, n int) netip.Addr {
	four := a.As4()
	binary.BigEndian.PutUint32(four[:], binary.BigEndian.Uint32(four[:])+uint32(n))
	return netip.AddrFrom4(four)
}

// assignable reports whether an interface in the subnet may have the address.
func assignable(subnet netip.Prefix, a netip.Addr) bool {
	if !subnet.Contains(a) {
		return false
	}
	first, four := subnet.Addr().As4(), a.As4()
	n := int(binary.BigEndian.Uint32(four[:]) - binary.BigEndian.Uint32(first[:]))
	return n >= reservedFirst && n < size(subnet)-1
}

// choose finds an address that is free: at a random place, so that one just given back is not handed out at once,
// while its last user may still be dying.
func choose(subnet netip.Prefix, taken map[netip.Addr]bool) (netip.Addr, error) {
	usable := size(subnet) - reserved
	start := rand.IntN(usable)
	for i := range usable {
		a := offset(subnet.Addr(), reservedFirst+(start+i)%usable)
		if !taken[a] {
			return a, nil
		}
	}
	return netip.Addr{}, errNoAddress
}

var errNoAddress = fault.New("InsufficientFreeAddressesInSubnet",
	"There are not enough free addresses in the subnet to satisfy the request.")

// pick takes the address asked for, or chooses one when none is.
func pick(subnet *Subnet, asked string, taken map[netip.Addr]bool) (netip.Addr, error) {
	if asked == "" {
		return choose(subnet.CIDR, taken)
	}
	a, err := netip.ParseAddr(asked)
	if err != nil || !assignable(subnet.CIDR, a) {
		return netip.Addr{}, fault.New("InvalidParameterValue", "Address %s does not fall within the subnet's address range or is reserved.", asked)
	}
	if taken[a] {
		return netip.Addr{}, fault.New("InvalidIPAddress.InUse", "Address %s is in use.", asked)
	}
	return a, nil
}
