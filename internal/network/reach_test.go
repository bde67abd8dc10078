package network

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// twoSubnets is a path between interfaces in two subnets, as open as a new VPC is.
func twoSubnets() Path {
	v := &VPC{ID: "vpc-1"}
	g := defaultGroup(v)
	from := &Interface{ID: "eni-1", VpcID: v.ID, SubnetID: "subnet-1", Address: netip.MustParseAddr("10.0.1.4"), Groups: []string{g.ID}}
	to := &Interface{ID: "eni-2", VpcID: v.ID, SubnetID: "subnet-2", Address: netip.MustParseAddr("10.0.2.4"), Groups: []string{g.ID}}
	return Path{End{from, []*Group{g}, defaultACL(v)}, End{to, []*Group{g}, defaultACL(v)}}
}

const port = 2223

func (p Path) open() bool { return p.Check(port) == nil }

// carry gives an end exactly one group, with these rules.
func (e *End) carry(id string, rules ...Rule) {
	e.Interface.Groups, e.Groups = []string{id}, []*Group{{ID: id, Rules: rules}}
}

func block(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestCheckSecurityGroups(t *testing.T) {
	in := Rule{Protocol: "tcp", FromPort: 2223, ToPort: 2225, Group: "sg-a"}
	out := Rule{Egress: true, Protocol: "tcp", FromPort: 2223, ToPort: 2225, Group: "sg-b"}
	with := func(r Rule, change func(*Rule)) Rule { change(&r); return r }
	for name, c := range map[string]struct {
		out, in Rule
		want    bool
	}{
		"both name the other":        {out, in, true},
		"nothing out":                {Rule{}, in, false},
		"nothing in":                 {out, Rule{}, false},
		"in is no substitute":        {with(out, func(r *Rule) { r.Egress = false }), in, false},
		"another protocol":           {out, with(in, func(r *Rule) { r.Protocol = "udp" }), false},
		"any protocol":               {out, Rule{Protocol: all, Group: "sg-a"}, true},
		"ports below":                {out, with(in, func(r *Rule) { r.ToPort = 2222; r.FromPort = 1 }), false},
		"ports above":                {out, with(in, func(r *Rule) { r.FromPort = 2224 }), false},
		"another group":              {out, with(in, func(r *Rule) { r.Group = "sg-c" }), false},
		"the peer's block":           {out, Rule{Protocol: all, CIDR: block("10.0.1.0/24")}, true},
		"one's own block":            {out, Rule{Protocol: all, CIDR: block("10.0.2.0/24")}, false},
		"IPv6 has nobody":            {out, Rule{Protocol: all, CIDR: block("::/0")}, false},
		"prefix lists hold nothing":  {out, Rule{Protocol: all, PrefixList: "pl-1"}, false},
		"out to the peer's address":  {Rule{Egress: true, Protocol: all, CIDR: block("10.0.2.4/32")}, in, true},
		"out to one's own addresses": {Rule{Egress: true, Protocol: all, CIDR: block("10.0.1.0/24")}, in, false},
	} {
		p := twoSubnets()
		p.From.carry("sg-a", c.out)
		p.To.carry("sg-b", c.in)
		if got := p.Check(port); (got == nil) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Statements 15, 16, 18 and 27 of the network's specification, as rules.
func TestCheckACLs(t *testing.T) {
	allow := func(egress bool, number, from, to int) Entry {
		return Entry{Egress: egress, Number: number, Protocol: tcp, CIDR: everywhere, FromPort: from, ToPort: to}
	}
	deny := func(e Entry) Entry { e.Deny = true; return e }
	everything := defaultACL(&VPC{}).Entries
	for name, c := range map[string]struct {
		entries []Entry // of the target's ACL
		want    bool
	}{
		"the default":                      {everything, true},
		"a new ACL":                        {nil, false},
		"the port is denied before":        {append([]Entry{deny(allow(false, 99, port, port))}, everything...), false},
		"the port is denied after":         {append([]Entry{deny(allow(false, 101, port, port))}, everything...), true},
		"another port is denied":           {append([]Entry{deny(allow(false, 99, 22, 22))}, everything...), true},
		"in, but no answers":               {[]Entry{allow(false, 1, port, port)}, false},
		"in, and answers":                  {[]Entry{allow(false, 1, port, port), allow(true, 1, 1024, 65535)}, true},
		"answers to some ports only":       {[]Entry{allow(false, 1, port, port), allow(true, 1, 1024, 65534)}, false},
		"answers allowed in two parts":     {[]Entry{allow(false, 1, port, port), allow(true, 1, 1024, 30000), allow(true, 2, 30001, 65535)}, true},
		"one ephemeral port is denied":     {append([]Entry{deny(allow(true, 99, 40000, 40000))}, everything...), false},
		"a denial that comes too late":     {[]Entry{allow(false, 1, port, port), allow(true, 1, 0, 65535), deny(allow(true, 2, 40000, 40000))}, true},
		"numbers count, not the order":     {[]Entry{everything[0], everything[1], deny(allow(false, 1, port, port))}, false},
		"UDP is another matter":            {append([]Entry{{Number: 1, Protocol: "17", Deny: true, CIDR: everywhere, ToPort: 65535}}, everything...), true},
		"all protocols are not":            {append([]Entry{{Number: 1, Protocol: all, Deny: true, CIDR: everywhere}}, everything...), false},
		"somebody else is denied":          {append([]Entry{{Number: 1, Protocol: all, Deny: true, CIDR: block("10.0.3.0/24")}}, everything...), true},
		"the source's subnet is denied":    {append([]Entry{{Number: 1, Protocol: all, Deny: true, CIDR: block("10.0.1.0/24")}}, everything...), false},
		"IPv6 everywhere is not the peers": {append([]Entry{{Number: 1, Protocol: all, Deny: true, CIDR: block("::/0")}}, everything...), true},
	} {
		p := twoSubnets()
		p.To.ACL.Entries = c.entries
		if got := p.Check(port); (got == nil) != c.want {
			t.Errorf("%s: %v", name, got)
		}
		p.To.Interface.SubnetID = p.From.Interface.SubnetID
		if got := p.Check(port); got != nil {
			t.Errorf("%s: inside one subnet: %v", name, got)
		}
	}
}

func TestCheckSourceACL(t *testing.T) {
	p := twoSubnets()
	p.From.ACL.Entries = []Entry{{Egress: true, Number: 1, Protocol: tcp, CIDR: everywhere, FromPort: port, ToPort: port}}
	if p.open() {
		t.Error("answers do not get back in")
	}
	p.From.ACL.Entries = append(p.From.ACL.Entries, Entry{Number: 1, Protocol: tcp, CIDR: everywhere, FromPort: 1024, ToPort: 65535})
	if !p.open() {
		t.Error("port out and answers in are enough")
	}
	p.To.Interface.VpcID = "vpc-2"
	if p.open() {
		t.Error("nothing leads from one VPC to another")
	}
}

var (
	ports = rapid.Custom(func(t *rapid.T) traffic {
		from := rapid.SampledFrom([]int{0, 22, 1024, 2222, 2223, 2224, 40000}).Draw(t, "from")
		return traffic{from, rapid.SampledFrom([]int{from, 2223, 2225, 65535}).Filter(func(to int) bool { return to >= from }).Draw(t, "to")}
	})
	protocols = rapid.SampledFrom([]string{all, "tcp", "udp", "icmp"})
	cidrs     = rapid.SampledFrom([]netip.Prefix{everywhere, block("10.0.1.0/24"), block("10.0.2.0/24"), block("10.0.2.4/32"), block("::/0")})
	someRule  = rapid.Custom(func(t *rapid.T) Rule {
		p := ports.Draw(t, "ports")
		r := Rule{Egress: rapid.Bool().Draw(t, "egress"), Protocol: protocols.Draw(t, "protocol"), FromPort: p.from, ToPort: p.to}
		if r.Group = rapid.SampledFrom([]string{"", "sg-a", "sg-b", "sg-c"}).Draw(t, "group"); r.Group == "" {
			r.CIDR = cidrs.Draw(t, "cidr")
		}
		return r
	})
	someEntry = rapid.Custom(func(t *rapid.T) Entry {
		p := ports.Draw(t, "ports")
		return Entry{
			Egress: rapid.Bool().Draw(t, "egress"), Number: rapid.IntRange(1, 12).Draw(t, "number"), Deny: rapid.Bool().Draw(t, "deny"),
			Protocol: rapid.SampledFrom([]string{all, tcp, "17"}).Draw(t, "protocol"), CIDR: cidrs.Draw(t, "cidr"), FromPort: p.from, ToPort: p.to,
		}
	})
	somePath = rapid.Custom(func(t *rapid.T) Path {
		p := twoSubnets()
		p.From.carry("sg-a", rapid.SliceOfN(someRule, 0, 6).Draw(t, "from")...)
		p.To.carry("sg-b", rapid.SliceOfN(someRule, 0, 6).Draw(t, "to")...)
		if rapid.Bool().Draw(t, "acls") {
			number := func(e Entry) int { return 2*e.Number + map[bool]int{true: 1}[e.Egress] }
			p.From.ACL.Entries = rapid.SliceOfNDistinct(someEntry, 0, 8, number).Draw(t, "from's entries")
			p.To.ACL.Entries = rapid.SliceOfNDistinct(someEntry, 0, 8, number).Draw(t, "to's entries")
		}
		return p
	})
)

// Another rule, or another group, never closes a path: security groups only allow.
func TestRulesOnlyOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := somePath.Draw(t, "path")
		before := p.open()
		p.From.Groups = append(p.From.Groups, &Group{ID: "sg-x", Rules: []Rule{someRule.Draw(t, "more out")}})
		p.To.Groups[0].Rules = append(p.To.Groups[0].Rules, someRule.Draw(t, "more in"))
		if before && !p.open() {
			t.Fatal("a rule closed the path")
		}
	})
}

// A rule that names a group and the same rule turned round let the same two interfaces reach each other.
func TestRulesAreSymmetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := someRule.Draw(t, "rule")
		r.Group, r.CIDR = "sg-b", netip.Prefix{}
		in, out := r, r
		in.Egress, out.Egress = false, true
		there, back := twoSubnets(), twoSubnets()
		there.From.carry("sg-b", out, in)
		there.To.carry("sg-b", out, in)
		back.From, back.To = there.To, there.From
		if there.open() != back.open() {
			t.Fatalf("%v leads in one direction only", r)
		}
	})
}

// The first entry about a port decides, whatever follows it, and none about it denies: what admits says of a range is
// what a walk says of each of its ports.
func TestFirstEntryDecides(t *testing.T) {
	walk := func(a *ACL, egress bool, peer netip.Addr, port int) bool {
		for _, e := range a.ordered(egress) {
			if e.CIDR.Contains(peer) && (e.Protocol == all || e.Protocol == tcp && e.FromPort <= port && port <= e.ToPort) {
				return !e.Deny
			}
		}
		return false
	}
	rapid.Check(t, func(t *rapid.T) {
		p := somePath.Draw(t, "path")
		egress, over := rapid.Bool().Draw(t, "egress"), ports.Draw(t, "over")
		peer, want := p.From.Interface.Address, true
		edges := []int{over.from, over.to}
		for _, e := range p.To.ACL.Entries { // decisions change nowhere else
			edges = append(edges, e.FromPort-1, e.FromPort, e.ToPort, e.ToPort+1)
		}
		for _, at := range edges {
			if at >= over.from && at <= over.to {
				want = want && walk(p.To.ACL, egress, peer, at)
			}
		}
		if got := p.To.ACL.admits(egress, peer, over); got != want {
			t.Fatalf("%v over %v of %v", got, over, p.To.ACL.ordered(egress))
		}
	})
}

// Connections come from other subnets than the target's, if there are any.
func TestFromOutside(t *testing.T) {
	at := func(subnet string) *Interface { return &Interface{SubnetID: subnet} }
	here, there := at("subnet-1"), at("subnet-2")
	if got := fromOutside([]*Interface{here, there}, at("subnet-1")); !slices.Equal(got, []*Interface{there}) {
		t.Errorf("%v", got)
	}
	if got := fromOutside([]*Interface{here}, at("subnet-1")); !slices.Equal(got, []*Interface{here}) {
		t.Errorf("%v", got)
	}
}
