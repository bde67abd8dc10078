package hsmnode

import (
	"context"
	"net"
	"sync"
	"time"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

const maxManagers = 64 // connections of the control plane

func (n *node) acceptManagement(l net.Listener) {
	n.accept(l, maxManagers, func(raw net.Conn) {
		if c := n.handshake(raw, n.managementTLS()); c != nil {
			n.serve(c, &manager{node: n})
		}
	})
}

// manager answers one connection of the control plane.
type manager struct {
	node *node

	mu     sync.Mutex // guards backup
	backup []byte     // being read
}

func (m *manager) inline(hsmproto.Op) bool { return false }

func (m *manager) idle() time.Duration { return 0 }

func (m *manager) close() { m.keep(nil) }

func (m *manager) call(ctx context.Context, op hsmproto.Op, body []byte) (any, error) {
	switch op {
	case hsmproto.OpStatus:
		return m.node.status(), nil
	case hsmproto.OpCertificates:
		return m.certificates()
	case hsmproto.OpInitialize:
		return handle(ctx, body, m.initialize)
	case hsmproto.OpSetMembers:
		return handle(ctx, body, func(_ context.Context, q *hsmproto.SetMembersRequest) (any, error) {
			return hsmproto.Empty{}, m.node.setMembers(q)
		})
	case hsmproto.OpTakeOver:
		return handle(ctx, body, func(_ context.Context, q *hsmproto.TakeOverRequest) (any, error) {
			return hsmproto.Empty{}, m.node.takeOver(q)
		})
	case hsmproto.OpBackup:
		return handle(ctx, body, m.readBackup)
	case hsmproto.OpAuditLog:
		return handle(ctx, body, m.readAudit)
	default:
		return nil, errUnknownOp
	}
}

func (n *node) status() hsmproto.StatusReply {
	reply := hsmproto.StatusReply{Node: n.config.Node, Epoch: n.vault.get().Epoch}
	g := n.group.Load()
	if g == nil {
		return reply
	}
	_, leader := g.raft.LeaderWithID()
	reply.Leader, reply.LastIndex, reply.Joined = string(leader), g.raft.LastIndex(), g.belongs()
	if _, reply.Voters = g.state.agreed(); len(reply.Voters) == 0 { // nothing replayed yet
		reply.Voters = votersOf(g.raft.GetConfiguration().Configuration())
	}
	g.state.read(func(m *hsm.Machine) {
		certificate, _ := m.ClusterCertificate()
		reply.Initialized, reply.Activated = certificate != "", m.Activated()
		_, reply.Sessions, reply.Keys = m.Counts()
	})
	return reply
}

func (m *manager) certificates() (any, error) {
	a := m.node.vault.get().Attestation
	if a == nil || m.node.status().Initialized {
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "only the first HSM of an uninitialized cluster has them"}
	}
	return hsmproto.CertificatesReply{ClusterCSR: a.CSR, HsmCertificate: a.Certificate}, nil
}

func (m *manager) initialize(ctx context.Context, q *hsmproto.InitializeRequest) (any, error) {
	g := m.node.group.Load()
	if g == nil {
		return nil, unavailable("the HSM has not joined its cluster yet")
	}
	if err := checkClusterCertificate(q, g.partitionKey); err != nil {
		return nil, err
	}
	result, err := m.node.propose(ctx, &hsm.Initialize{Certificate: q.ClusterCertificate, TrustAnchor: q.TrustAnchor})
	if err == nil && result.Refusal != nil {
		err = result.Refusal
	}
	return hsmproto.Empty{}, err
}
