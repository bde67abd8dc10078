package hsmnode

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

// idleLimit bounds the silence of a connection without a session. With one it may be silent as long as TCP's
// keep-alive finds the other side.
const idleLimit = 15 * time.Minute

const (
	modeNonFIPS = "NON_FIPS"
	fipsOn      = "2 [FIPS mode with single factor authentication]"
	fipsOff     = "0 [non-FIPS mode with single factor authentication]"
)

func (n *node) acceptClients(l net.Listener) {
	n.accept(l, hsmproto.MaxConnections, func(raw net.Conn) {
		if c := n.handshake(raw, n.clientTLS()); c != nil {
			n.serve(c, &client{node: n})
		}
	})
}

// client answers one connection of the client port.
type client struct {
	node   *node
	change sync.Mutex // one login or logout at a time
	// session is the id of the connection's session, nil without one. The cluster may have ended it meanwhile: the
	// machine knows.
	session atomic.Pointer[string]
}

func (c *client) id() string {
	if id := c.session.Load(); id != nil {
		return *id
	}
	return ""
}

func (c *client) idle() time.Duration {
	if c.session.Load() != nil {
		return 0
	}
	return idleLimit
}

func (c *client) close() {
	if id := c.session.Swap(nil); id != nil {
		c.node.sessions.end(*id)
	}
}

func (c *client) inline(op hsmproto.Op) bool {
	return op == hsmproto.OpEncrypt || op == hsmproto.OpDecrypt || op == hsmproto.OpRandom || op == hsmproto.OpInfo
}

// doors are operations that only some builds have.
var doors = map[hsmproto.Op]func(*client, context.Context, *group, []byte) (any, error){}

func (c *client) call(ctx context.Context, op hsmproto.Op, body []byte) (any, error) {
	g := c.node.group.Load()
	if g == nil || !g.ready() {
		return nil, unavailable("the HSM has not joined its cluster yet")
	}
	switch op {
	case hsmproto.OpEncrypt:
		return c.encrypt(g, body)
	case hsmproto.OpDecrypt:
		return c.decrypt(g, body)
	case hsmproto.OpRandom:
		return c.random(g, body)
	case hsmproto.OpInfo:
		return c.info(g)
	case hsmproto.OpListUsers:
		return c.listUsers(g)
	case hsmproto.OpActivate:
		return handle(ctx, body, c.activate)
	case hsmproto.OpLogin:
		return handle(ctx, body, c.recordLogin)
	case hsmproto.OpLogout:
		return handle(ctx, body, c.logout)
	case hsmproto.OpCreateUser:
		return handle(ctx, body, c.createUser)
	case hsmproto.OpDeleteUser:
		return handle(ctx, body, c.recordMissing(hsmproto.AuditDeleteUser, c.deleteUser))
	case hsmproto.OpChangePassword:
		return handle(ctx, body, c.recordMissing(hsmproto.AuditChangePswd, c.changePassword))
	case hsmproto.OpGenerateKey:
		return handle(ctx, body, c.generateKey)
	case hsmproto.OpFindKeys:
		return handle(ctx, body, c.findKeys)
	case hsmproto.OpDeleteKey:
		return handle(ctx, body, c.deleteKey)
	}
	if door := doors[op]; door != nil {
		return door(c, ctx, g, body)
	}
	return nil, errUnknownOp
}

// agree proposes a command that came from a client; a refusal becomes the error.
func (c *client) agree(ctx context.Context, command hsm.Command) (hsm.Result, error) {
	result, err := c.node.propose(ctx, command)
	if err == nil && result.Refusal != nil {
		err = result.Refusal
	}
	return result, err
}

func (c *client) info(g *group) (any, error) {
	d := c.node.vault.get()
	reply := hsmproto.InfoReply{
		HsmID: d.HsmID, ClusterID: d.ClusterID, Vendor: "keyward", Model: "KEYWARD-HSM", Serial: d.Serial,
		HardwareMajor: "1", HardwareMinor: "0", FirmwareMajor: "1", FirmwareMinor: "0", FirmwareBuild: "1",
		FirmwareID: "KEYWARD-HSM-FW-1.0-1", FIPSState: fipsOn,
	}
	if c.node.config.Mode == modeNonFIPS {
		reply.FIPSState = fipsOff
	}
	for _, m := range d.Members {
		reply.Members = append(reply.Members, m.Address)
	}
	if len(reply.Members) == 0 {
		reply.Members = []string{c.node.config.Address}
	}
	g.state.read(func(m *hsm.Machine) { reply.Activated = m.Activated() })
	return reply, nil
}

// hsmIDs are the ids of the cluster's HSMs.
func (d *device) hsmIDs() []string {
	if len(d.Members) == 0 {
		return []string{d.HsmID}
	}
	ids := make([]string, len(d.Members))
	for i, m := range d.Members {
		ids[i] = m.HsmID
	}
	return ids
}

// hsmsOf turns node names into HSM ids, leaving out HSMs that are not members.
func (d *device) hsmsOf(nodes []string) []string {
	ids := []string{}
	for _, node := range nodes {
		if m, ok := d.member(node); ok {
			ids = append(ids, m.HsmID)
		} else if node == d.Node {
			ids = append(ids, d.HsmID)
		}
	}
	return ids
}
