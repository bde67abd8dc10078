package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// A service's connections go from its network interfaces to others of the same VPC. They are made, and kept, only
// while the network allows it: Dial waits on a closed path as for packets that nobody answers, and after every change of
// the network all connections are judged again, before the call that made the change is answered.

// gate knows the live connections.
type gate struct {
	mu      sync.Mutex
	open    map[*conn]struct{}
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// conn is a connection under the network's control.
type conn struct {
	net.Conn
	gate  *gate
	route route
	cut   atomic.Pointer[error] // why the network ended it; nil while it has not
}

// route says which path a connection takes.
type route struct {
	scope    arn.Scope
	from, to string // ids of interfaces
	port     int
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.explain(err)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.explain(err)
}

// explain says of a closed connection that it was the network that closed it.
func (c *conn) explain(err error) error {
	why := c.cut.Load()
	if err == nil || why == nil {
		return err
	}
	return fmt.Errorf("cut off by the network: %w", *why)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.open, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

func (g *gate) admit(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(map[*conn]struct{})
	}
	g.open[c] = struct{}{}
}

// next is closed when the network changes after this call.
func (g *gate) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return g.changed
}

// announce tells those who wait of a change, and returns the connections of the scope.
func (g *gate) announce(scope arn.Scope) (open []*conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
	for c := range g.open {
		if c.route.scope == scope {
			open = append(open, c)
		}
	}
	return open
}

// dialTime bounds an attempt to connect.
const dialTime = 2 * time.Second

// Dial connects a requester's interfaces to address, the "IP:port" of an interface in the same VPC, over TCP. The
// connection is closed as soon as its path is no longer allowed. While no path is allowed Dial waits, for two seconds or
// as long as ctx, and then fails with a time-out whose cause is a *Blocked.
func (s *Service) Dial(ctx context.Context, scope arn.Scope, requester, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	for {
		change := s.gate.next() // before looking, so that no change is missed
		path, err := s.find(ctx, scope, requester, to)
		if err == nil {
			return s.dial(ctx, path, to)
		}
		var blocked *Blocked
		if !errors.As(err, &blocked) && !isMissing(err) {
			return nil, err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: &silence{err}}
		}
	}
}

// silence is a time-out: nobody answered.
type silence struct{ cause error }

func (s *silence) Error() string { return "i/o timeout (" + s.cause.Error() + ")" }

// Unwrap gives the cause.
func (s *silence) Unwrap() error { return s.cause }

// Timeout makes it a net.Error's time-out.
func (s *silence) Timeout() bool { return true }

// Temporary is true as for all time-outs.
func (s *silence) Temporary() bool { return true }

func (s *Service) dial(ctx context.Context, p Path, to netip.AddrPort) (net.Conn, error) {
	from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.From.Interface.Address, 0))
	raw, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, gate: &s.gate, route: route{p.From.Interface.Scope, p.From.Interface.ID, p.To.Interface.ID, int(to.Port())}}
	s.gate.admit(c)
	// The network may have changed while the connection was made, and whoever changed it not have seen it.
	if err := s.judge(ctx, c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// find looks for an allowed path from one of the requester's interfaces. Otherwise the error is the *Blocked of the
// last path tried, or fault.ErrNotFound if there is none.
func (s *Service) find(ctx context.Context, scope arn.Scope, requester string, to netip.AddrPort) (Path, error) {
	sources, err := s.sources(ctx, scope, requester)
	if err != nil {
		return Path{}, err
	}
	if len(sources) == 0 {
		return Path{}, fmt.Errorf("the network interfaces of %s: %w", requester, fault.ErrNotFound)
	}
	target, err := s.store.InterfaceAt(ctx, scope, sources[0].VpcID, to.Addr())
	if err != nil {
		return Path{}, fmt.Errorf("%s in %s: %w", to.Addr(), sources[0].VpcID, err)
	}
	for _, source := range fromOutside(sources, target) {
		p, pathErr := s.path(ctx, source, target)
		if pathErr != nil {
			return Path{}, pathErr
		}
		if err = p.Check(int(to.Port())); err == nil {
			return p, nil
		}
	}
	return Path{}, err
}

// fromOutside leaves out the interfaces in the target's own subnet. A service connects from all zones, so what the
// network ACL of the target's subnet says to the other zones counts; traffic inside one subnet would not cross it. Where
// there is no other interface, the target's neighbour must do.
func fromOutside(sources []*Interface, target *Interface) []*Interface {
	outside := slices.DeleteFunc(slices.Clone(sources), func(i *Interface) bool { return i.SubnetID == target.SubnetID })
	if len(outside) == 0 {
		return sources
	}
	return outside
}

// sources are a requester's interfaces in a scope.
func (s *Service) sources(ctx context.Context, scope arn.Scope, requester string) ([]*Interface, error) {
	made, err := s.store.ManagedInterfaces(ctx, requester)
	return slices.DeleteFunc(made, func(i *Interface) bool { return i.Scope != scope }), err
}

func (s *Service) path(ctx context.Context, from, to *Interface) (p Path, err error) {
	if p.From, err = s.end(ctx, from); err != nil {
		return Path{}, err
	}
	p.To, err = s.end(ctx, to)
	return p, err
}

// end reads what has a say at one end.
func (s *Service) end(ctx context.Context, i *Interface) (e End, err error) {
	e.Interface = i
	subnet, err := s.store.Subnet(ctx, i.Scope, i.SubnetID)
	if err != nil {
		return End{}, fmt.Errorf("subnet %s: %w", i.SubnetID, err)
	}
	if e.ACL, err = s.store.ACL(ctx, i.Scope, subnet.ACL); err != nil {
		return End{}, fmt.Errorf("network ACL %s: %w", subnet.ACL, err)
	}
	for _, id := range i.Groups {
		g, err := s.store.Group(ctx, i.Scope, id)
		if err != nil {
			return End{}, fmt.Errorf("security group %s: %w", id, err)
		}
		e.Groups = append(e.Groups, g)
	}
	return e, nil
}

// judge reports why a connection cannot go on; nil if it can.
func (s *Service) judge(ctx context.Context, c *conn) error {
	from, err := s.store.Interface(ctx, c.route.scope, c.route.from)
	if err != nil {
		return fmt.Errorf("network interface %s: %w", c.route.from, err)
	}
	to, err := s.store.Interface(ctx, c.route.scope, c.route.to)
	if err != nil {
		return fmt.Errorf("network interface %s: %w", c.route.to, err)
	}
	p, err := s.path(ctx, from, to)
	if err != nil {
		return err
	}
	return p.Check(c.route.port)
}

// enforceTime bounds the judging of all connections after a change.
const enforceTime = 5 * time.Second

// enforce cuts the connections of a scope that the network no longer allows. What cannot be judged is cut as well: it
// will be dialled again.
func (s *Service) enforce(ctx context.Context, scope arn.Scope) {
	open := s.gate.announce(scope)
	if len(open) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enforceTime)
	defer cancel()
	for _, c := range open {
		why := s.judge(ctx, c)
		if why == nil {
			continue
		}
		c.cut.Store(&why)
		s.log.Warn("the network cuts a connection off", "from", c.route.from, "to", c.route.to, "port", c.route.port, "why", why)
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("closing a connection that was cut off", "to", c.route.to, "error", err)
		}
	}
}
