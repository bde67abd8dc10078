package network

import (
	"fmt"
	"net/netip"
	"slices"
)

// End is one end of a path: an interface with what has a say about its traffic.
type End struct {
	Interface *Interface
	Groups    []*Group // those that the interface carries
	ACL       *ACL     // of the interface's subnet
}

// Path leads from an interface that connects to one that is connected to.
type Path struct{ From, To End }

// Blocked says where a path ends.
type Blocked struct {
	Path Path
	By   string // for example "the inbound rules of the security groups of eni-…"
}

func (b *Blocked) Error() string {
	return fmt.Sprintf("%s: traffic to %s is not allowed", b.By, b.Path.To.Interface.ID)
}

// Ports from which connections come (VPC user guide, "Ephemeral ports"). The connecting side chooses, so all must be
// open for the answers.
const (
	ephemeralFrom = 1024
	ephemeralTo   = 65535
)

// Check is nil if a TCP connection to the port can be made and used, otherwise a *Blocked. Security groups know what is
// an answer and let it pass; network ACLs do not, but stand only at the border of a subnet.
func (p Path) Check(port int) error {
	from, to := p.From.Interface, p.To.Interface
	there := traffic{port, port}
	switch {
	case from.VpcID != to.VpcID:
		return p.blocked("there is no route between %s and %s", from.VpcID, to.VpcID)
	case !p.From.admits(true, to, there):
		return p.blocked("the outbound rules of the security groups of %s", from.ID)
	case !p.To.admits(false, from, there):
		return p.blocked("the inbound rules of the security groups of %s", to.ID)
	case from.SubnetID == to.SubnetID:
		return nil
	}
	return p.checkBorders(there)
}

func (p Path) checkBorders(there traffic) error {
	from, to := p.From.Interface, p.To.Interface
	back := traffic{ephemeralFrom, ephemeralTo}
	switch {
	case !p.From.ACL.admits(true, to.Address, there):
		return p.blocked("the outbound entries of %s (%s)", p.From.ACL.ID, from.SubnetID)
	case !p.To.ACL.admits(false, from.Address, there):
		return p.blocked("the inbound entries of %s (%s)", p.To.ACL.ID, to.SubnetID)
	case !p.To.ACL.admits(true, from.Address, back):
		return p.blocked("the outbound entries of %s (%s), for answers", p.To.ACL.ID, to.SubnetID)
	case !p.From.ACL.admits(false, to.Address, back):
		return p.blocked("the inbound entries of %s (%s), for answers", p.From.ACL.ID, from.SubnetID)
	}
	return nil
}

func (p Path) blocked(format string, args ...any) error {
	return &Blocked{p, fmt.Sprintf(format, args...)}
}

// traffic is TCP to a range of ports.
type traffic struct{ from, to int }

// admits reports whether a rule of the end's groups allows the traffic with peer.
func (e End) admits(egress bool, peer *Interface, t traffic) bool {
	return slices.ContainsFunc(e.Groups, func(g *Group) bool {
		return slices.ContainsFunc(g.Rules, func(r Rule) bool { return r.Egress == egress && r.allows(peer, t) })
	})
}

// allows reports whether the rule is about the traffic and the peer. Prefix lists hold no addresses here.
func (r Rule) allows(peer *Interface, t traffic) bool {
	switch r.Protocol {
	case all:
	case "tcp":
		if t.from < r.FromPort || t.to > r.ToPort {
			return false
		}
	default:
		return false
	}
	if r.Group != "" {
		return slices.Contains(peer.Groups, r.Group)
	}
	return r.CIDR.IsValid() && r.CIDR.Contains(peer.Address)
}

// tcp is TCP's number, which is how ACLs name it.
const tcp = "6"

// admits reports whether all of the traffic passes: of each port the first entry that is about it decides, and what no
// entry is about is denied.
func (a *ACL) admits(egress bool, peer netip.Addr, t traffic) bool {
	undecided := []traffic{t}
	for _, e := range a.ordered(egress) {
		if !e.CIDR.Contains(peer) || (e.Protocol != all && e.Protocol != tcp) {
			continue
		}
		decided := traffic{0, 65535}
		if e.Protocol == tcp {
			decided = traffic{e.FromPort, e.ToPort}
		}
		rest := without(undecided, decided)
		if e.Deny && !slices.Equal(rest, undecided) {
			return false
		}
		undecided = rest
	}
	return len(undecided) == 0
}

// without cuts a range of ports out of others.
func without(ranges []traffic, cut traffic) []traffic {
	var rest []traffic
	for _, r := range ranges {
		if cut.to < r.from || cut.from > r.to {
			rest = append(rest, r)
			continue
		}
		if r.from < cut.from {
			rest = append(rest, traffic{r.from, cut.from - 1})
		}
		if r.to > cut.to {
			rest = append(rest, traffic{cut.to + 1, r.to})
		}
	}
	return rest
}
