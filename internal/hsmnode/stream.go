package hsmnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"keyward/internal/hsmproto"
)

const (
	peerProtocol     = "keyward-peer"
	handshakeLimit   = 10 * time.Second
	dialLimit        = 2 * time.Second
	raftStreamsQueue = 16
)

// raftProtocol names the replication group, so that an HSM of a group that was taken over cannot disturb the new one.
func raftProtocol(group uint64) string { return "keyward-raft/" + strconv.FormatUint(group, 10) }

// stream is Raft's way to the peers. Connections come in through offer, from the port that both protocols share.
type stream struct {
	node     *node
	protocol string
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newStream(n *node, group uint64) *stream {
	return &stream{
		node: n, protocol: raftProtocol(group), incoming: make(chan net.Conn, raftStreamsQueue), closed: make(chan struct{}),
	}
}

// offer hands a connection over; false if the stream is closed.
func (s *stream) offer(c net.Conn) bool {
	select {
	case <-s.closed:
		return false
	case s.incoming <- c:
		return true
	}
}

// Accept implements net.Listener.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case <-s.closed:
		return nil, net.ErrClosed
	case c := <-s.incoming:
		return c, nil
	}
}

// Close implements net.Listener.
func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Addr implements net.Listener.
func (s *stream) Addr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(s.node.config.Address), Port: hsmproto.PeerPort}
}

// Dial implements raft.StreamLayer.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	for _, m := range s.node.vault.get().Members {
		if peerAddress(m.Address) == string(address) {
			ctx, cancel := context.WithTimeout(context.Background(), min(timeout, dialLimit))
			defer cancel()
			return s.node.dialPeer(ctx, m, s.protocol)
		}
	}
	return nil, fmt.Errorf("hsmnode: no member has address %s", address)
}

func peerAddress(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(hsmproto.PeerPort)) }

// dialPeer connects to a member, and makes sure that it is this very one.
func (n *node) dialPeer(ctx context.Context, m hsmproto.Member, protocol string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(n.config.Address)}}
	raw, err := dialer.DialContext(ctx, "tcp", peerAddress(m.Address))
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, n.peerTLS(protocol))
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if found, err := n.peerOf(c.ConnectionState()); err != nil || found.Node != m.Node {
		return nil, errors.Join(errors.New("hsmnode: another HSM answers at this address"), err, c.Close())
	}
	return n.links.track(c, m.Node), nil
}

// links are all connections to and from peers, so that those of fenced HSMs can be cut.
type links struct {
	mu    sync.Mutex
	conns map[*link]struct{}
}

type link struct {
	net.Conn
	peer  string
	links *links
}

func newLinks() *links { return &links{conns: make(map[*link]struct{})} }

func (l *links) track(c net.Conn, peer string) net.Conn {
	k := &link{Conn: c, peer: peer, links: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[k] = struct{}{}
	return k
}

// Close implements net.Conn.
func (k *link) Close() error {
	k.links.mu.Lock()
	delete(k.links.conns, k)
	k.links.mu.Unlock()
	return k.Conn.Close()
}

// cut closes the connections with peers for which fenced holds.
func (l *links) cut(fenced func(peer string) bool) {
	l.mu.Lock()
	var doomed []*link
	for k := range l.conns {
		if fenced(k.peer) {
			doomed = append(doomed, k)
		}
	}
	l.mu.Unlock()
	for _, k := range doomed {
		_ = k.Close() // cut either way
	}
}
