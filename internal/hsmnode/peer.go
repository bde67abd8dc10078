package hsmnode

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"keyward/internal/hsmproto"
)

// Peer operations: what HSMs of a cluster ask of each other beside Raft.
const (
	opPropose hsmproto.Op = iota + 64
	opApplied
	opEnroll
)

const appliedLimit = 30 * time.Second // the asker has its own, shorter limit

// proposeRequest asks the leader to have a command agreed on; the reply is a hsm.Result.
type proposeRequest struct {
	Group   uint64 `cbor:"1,keyasint"`
	Command []byte `cbor:"2,keyasint"`
}

// appliedRequest is answered once the HSM has applied the entry.
type appliedRequest struct {
	Group uint64 `cbor:"1,keyasint"`
	Index uint64 `cbor:"2,keyasint"`
}

// enrollRequest takes an HSM into a replication group.
type enrollRequest struct {
	Group uint64 `cbor:"1,keyasint"`
	// Secrets are the cluster's, sealed to the receiver's hardware key (HPKE: DHKEM P-256, HKDF-SHA256, AES-256-GCM).
	Secrets []byte `cbor:"2,keyasint"`
}

// peers are connections to members for peer operations, one each, made when needed.
type peers struct {
	node *node

	mu    sync.Mutex
	conns map[string]*hsmproto.Conn
}

func newPeers(n *node) *peers { return &peers{node: n, conns: make(map[string]*hsmproto.Conn)} }

// get returns a connection that was alive a moment ago.
func (p *peers) get(ctx context.Context, m hsmproto.Member) (*hsmproto.Conn, error) {
	if c := p.existing(m.Node); c != nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	raw, err := p.node.dialPeer(ctx, m, peerProtocol)
	if err != nil {
		return nil, err
	}
	return p.keep(m.Node, hsmproto.NewConn(raw)), nil
}

func (p *peers) existing(node string) *hsmproto.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.conns[node]; c != nil && c.Err() == nil {
		return c
	}
	return nil
}

// keep stores c unless another goroutine was quicker.
func (p *peers) keep(node string, c *hsmproto.Conn) *hsmproto.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.conns[node]; other != nil && other.Err() == nil {
		c.Close()
		return other
	}
	p.conns[node] = c
	return c
}

func (n *node) callPeer(ctx context.Context, m hsmproto.Member, op hsmproto.Op, in, out any) error {
	c, err := n.peers.get(ctx, m)
	if err != nil {
		return err
	}
	return c.Call(ctx, op, in, out)
}

// servePeer takes a connection of the peer port, whose handshake is done.
func (n *node) servePeer(c *tls.Conn) {
	member, err := n.peerOf(c.ConnectionState())
	if err != nil {
		_ = c.Close() // fenced since the handshake
		return
	}
	conn := n.links.track(c, member.Node)
	g, protocol := n.group.Load(), c.ConnectionState().NegotiatedProtocol
	switch {
	case protocol == peerProtocol:
		n.serve(conn, &peerService{n})
	case g != nil && protocol == raftProtocol(g.number) && g.stream.offer(conn):
	default:
		_ = conn.Close() // of a group that is over
	}
}

// peerService answers one peer.
type peerService struct{ node *node }

func (s *peerService) inline(hsmproto.Op) bool { return false }

func (s *peerService) idle() time.Duration { return 0 }

func (s *peerService) close() {}

func (s *peerService) call(ctx context.Context, op hsmproto.Op, body []byte) (any, error) {
	switch op {
	case opPropose:
		return handle(ctx, body, s.propose)
	case opApplied:
		return handle(ctx, body, s.applied)
	case opEnroll:
		return handle(ctx, body, s.enroll)
	default:
		return nil, errUnknownOp
	}
}

// current is the group, if it is the one that the peer speaks of.
func (s *peerService) current(number uint64) (*group, error) {
	g := s.node.group.Load()
	if g == nil || g.number != number {
		return nil, &hsmproto.Error{Code: codeNotHere}
	}
	return g, nil
}

func (s *peerService) propose(ctx context.Context, q *proposeRequest) (any, error) {
	g, err := s.current(q.Group)
	if err != nil {
		return nil, err
	}
	result, err := g.lead(ctx, q.Command)
	if errors.Is(err, errNotProposed) {
		err = &hsmproto.Error{Code: codeNotHere}
	}
	return result, err
}

func (s *peerService) applied(ctx context.Context, q *appliedRequest) (any, error) {
	g, err := s.current(q.Group)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, appliedLimit)
	defer cancel()
	if err := g.state.await(ctx, q.Index); err != nil {
		return nil, unavailable("not applied yet")
	}
	return hsmproto.Empty{}, s.node.recorded()
}

// enroll joins the group, leaving an older one behind. The control plane must have told this HSM of the membership
// under which the group was made: a peer's word alone does not make it forget its state.
func (s *peerService) enroll(_ context.Context, q *enrollRequest) (any, error) {
	n := s.node
	n.regroup.Lock()
	defer n.regroup.Unlock()
	d := n.vault.get()
	switch {
	case d.Secrets != nil && d.Group == q.Group:
		return hsmproto.Empty{}, nil
	case d.Secrets != nil && d.Group > q.Group, d.Epoch < q.Group:
		return nil, &hsmproto.Error{Code: codeNotHere, Detail: "another group"}
	}
	secrets, err := n.openSecrets(q)
	if err != nil {
		return nil, err
	}
	err = n.regroupAs(func(d *device) error {
		d.Secrets, d.Group, d.RaftDir, d.Start = secrets, q.Group, raftDirOf(q.Group), startFresh
		return nil
	})
	return hsmproto.Empty{}, err
}

// sealSecrets seals the cluster's secrets to a member's hardware key.
func (n *node) sealSecrets(m hsmproto.Member, group uint64) ([]byte, error) {
	_, public, err := n.roots.parseHardware(m.Hardware, m.Node)
	if err != nil {
		return nil, err
	}
	exchange, err := public.ECDH()
	if err != nil {
		return nil, err
	}
	receiver, err := hpke.NewDHKEMPublicKey(exchange)
	if err != nil {
		return nil, err
	}
	plain, err := hsmproto.Marshal(n.vault.get().Secrets)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: encoding the cluster's secrets: %w", err)
	}
	defer clear(plain)
	return hpke.Seal(receiver, hpke.HKDFSHA256(), hpke.AES256GCM(), enrolment(n.config.ClusterID, m.Node, group), plain)
}

func (n *node) openSecrets(q *enrollRequest) (*clusterSecrets, error) {
	exchange, err := n.hardware.PrivateKey.(*ecdsa.PrivateKey).ECDH()
	if err != nil {
		return nil, err
	}
	receiver, err := hpke.NewDHKEMPrivateKey(ecdh.KeyExchanger(exchange))
	if err != nil {
		return nil, err
	}
	info := enrolment(n.config.ClusterID, n.config.Node, q.Group)
	plain, err := hpke.Open(receiver, hpke.HKDFSHA256(), hpke.AES256GCM(), info, q.Secrets)
	if err != nil {
		return nil, errUnseal
	}
	defer clear(plain)
	secrets := new(clusterSecrets)
	if err := hsmproto.Unmarshal(plain, secrets); err != nil {
		return nil, fmt.Errorf("hsmnode: decoding the cluster's secrets: %w", err)
	}
	return secrets, nil
}

// enrolment binds sealed secrets to their cluster, receiver and group.
func enrolment(cluster, node string, group uint64) []byte {
	return fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", purposeEnroll, cluster, node, group)
}

// acceptPeers serves the peer port until the listener is closed.
func (n *node) acceptPeers(l net.Listener) {
	n.accept(l, hsmproto.MaxConnections, func(raw net.Conn) {
		g := n.group.Load()
		protocols := []string{peerProtocol}
		if g != nil {
			protocols = append(protocols, raftProtocol(g.number))
		}
		if c := n.handshake(raw, n.peerTLS(protocols...)); c != nil {
			n.servePeer(c)
		}
	})
}
