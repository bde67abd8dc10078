package hsmnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

const (
	maxMembers   = 28 // HSMs of a cluster, CloudHSM's quota
	tendInterval = 250 * time.Millisecond
	changeLimit  = 5 * time.Second  // for one change of the group
	catchUpLimit = 20 * time.Second // for a new member to receive everything
)

// setMembers takes the control plane's word on who belongs to the cluster, and cuts off those who do not any longer.
func (n *node) setMembers(q *hsmproto.SetMembersRequest) error {
	if err := n.checkMembers(q); err != nil {
		return err
	}
	err := n.vault.update(func(d *device) error { return d.setMembers(q) })
	if err != nil {
		return err
	}
	n.fence()
	return nil
}

func (n *node) checkMembers(q *hsmproto.SetMembersRequest) error {
	bad := func(detail string) error { return &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: detail} }
	if len(q.Members) > maxMembers {
		return bad("too many members")
	}
	seen := make(map[string]bool)
	for _, m := range q.Members {
		if _, _, err := n.roots.parseHardware(m.Hardware, m.Node); err != nil {
			return bad(err.Error())
		}
		if seen[m.Node] {
			return bad("a member is named twice")
		}
		seen[m.Node] = true
	}
	if !seen[n.config.Node] {
		return bad("the membership does not name this HSM")
	}
	return nil
}

func (d *device) setMembers(q *hsmproto.SetMembersRequest) error {
	if q.Epoch < d.Epoch {
		return &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: fmt.Sprintf("the newest epoch is %d", d.Epoch)}
	}
	d.Epoch, d.Members = q.Epoch, q.Members
	return nil
}

// fence cuts the connections of those who are not members, and has the group follow.
func (n *node) fence() {
	d := n.vault.get()
	n.links.cut(func(peer string) bool {
		_, named := d.member(peer)
		return !named
	})
	n.told.fire()
}

// takeOver makes this HSM the only voter of a new group, with everything that it has; the other members will be taken
// in anew. It may be repeated: the device file says how far it came.
func (n *node) takeOver(q *hsmproto.TakeOverRequest) error {
	n.regroup.Lock()
	defer n.regroup.Unlock()
	if err := n.checkMembers(q); err != nil {
		return err
	}
	d := n.vault.get()
	g := n.group.Load()
	switch {
	case d.Secrets != nil && d.Group == q.Epoch && q.Epoch > 0: // done already
		return n.setMembers(q)
	case g == nil || !g.belongs() || q.Epoch <= d.Group:
		return &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "this HSM has nothing to carry on with"}
	}
	err := n.regroupAs(func(d *device) error {
		if err := d.setMembers(q); err != nil {
			return err
		}
		d.Group, d.Start = q.Epoch, startRecover
		return nil
	})
	n.fence()
	return err
}

// regroupAs stops replication, changes the device file and starts replication as that says. The old group's state
// stays readable until the new one has its own, so that cryptography goes on. The caller holds regroup.
func (n *node) regroupAs(change func(*device) error) error {
	old := n.group.Load()
	if err := n.vault.update(change); err != nil {
		return err
	}
	if old != nil {
		if err := old.close(); err != nil {
			return n.fail(fmt.Errorf("hsmnode: leaving a group: %w", err))
		}
	}
	next, err := n.startGroup()
	if err != nil {
		return n.fail(err)
	}
	n.group.Store(next)
	n.leadership.fire()
	return n.vault.sweep()
}

// tend keeps the group as the control plane wants it, whenever this HSM leads, and the device file in step.
func (g *group) tend() {
	ticker := time.NewTicker(tendInterval)
	defer ticker.Stop()
	for {
		told, changed := g.node.told.wait(), g.node.leadership.wait()
		g.remember()
		_ = g.node.recorded() // says why; whoever needs it asks again
		if g.leads() {
			if err := g.reconcile(); err != nil && g.ctx.Err() == nil {
				g.node.log.Debug("membership", "error", err)
			}
		}
		select {
		case <-told:
		case <-changed:
		case <-ticker.C:
		case <-g.ctx.Done():
			return
		}
	}
}

// remember keeps in the device file what this HSM must know before it has replayed its log: that it has state to lose
// from now on, and the cluster's certificate.
func (g *group) remember() {
	d, identity := g.node.vault.get(), g.state.identity()
	arrived := d.Start == startFresh && g.joined()
	if !arrived && (identity == d.Identity || identity.ClusterCertificate == "") {
		return
	}
	err := g.node.vault.update(func(d *device) error {
		if arrived && d.Group == g.number {
			d.Start = startNormal
		}
		d.Identity = identity
		return nil
	})
	if err != nil {
		g.node.log.Error("device file", "error", err)
	}
}

// reconcile lets fenced HSMs go, then takes new ones in. An HSM that cannot be reached does not stand in the way of
// the others.
func (g *group) reconcile() error {
	d := g.node.vault.get()
	if d.Epoch == 0 && len(d.Members) == 0 {
		return nil // nobody has said yet who belongs here
	}
	if err := g.follow(d.Epoch); err != nil {
		return err
	}
	servers := g.raft.GetConfiguration().Configuration().Servers
	for _, server := range servers {
		if _, named := d.member(string(server.ID)); named || string(server.ID) == d.Node {
			continue
		}
		if err := g.raft.RemoveServer(server.ID, 0, changeLimit).Error(); err != nil {
			return fmt.Errorf("removing %s: %w", server.ID, err)
		}
		g.node.log.Info("HSM let go", "node", string(server.ID))
	}
	err := g.forget(d)
	for _, m := range d.Members {
		if m.Node != d.Node && !isVoter(servers, m.Node) && g.ctx.Err() == nil {
			err = errors.Join(err, g.takeIn(m))
		}
	}
	return err
}

// follow has the group know the membership that this leader acts on, unless an earlier leader acted on a newer one:
// then this one waits until it is told too.
func (g *group) follow(epoch uint64) error {
	if term := g.raft.CurrentTerm(); g.caughtUp != term { // what earlier leaders agreed on comes first
		if err := g.raft.Barrier(changeLimit).Error(); err != nil {
			return fmt.Errorf("catching up: %w", err)
		}
		g.caughtUp = term
	}
	if g.state.epoch() < epoch {
		command, err := hsm.EncodeCommand(&hsm.FollowMembership{Epoch: epoch})
		if err != nil {
			return err
		}
		// A dead member that is not fenced yet confirms nothing; it is enough that the group agreed.
		if _, err := g.lead(g.ctx, command); err != nil && g.state.epoch() < epoch {
			return fmt.Errorf("following epoch %d: %w", epoch, err)
		}
	}
	if newest := g.state.epoch(); newest > epoch {
		return fmt.Errorf("told of epoch %d, while the group follows %d", epoch, newest)
	}
	return nil
}

func isVoter(servers []raft.Server, node string) bool {
	return slices.ContainsFunc(servers, func(s raft.Server) bool {
		return string(s.ID) == node && s.Suffrage == raft.Voter
	})
}

// forget ends sessions and lock-outs on HSMs that are no longer members.
func (g *group) forget(d *device) error {
	var nodes []string
	g.state.read(func(m *hsm.Machine) { nodes = m.Nodes() })
	for _, node := range nodes {
		if _, named := d.member(node); named {
			continue
		}
		command, err := hsm.EncodeCommand(&hsm.ForgetHsm{Node: node})
		if err != nil {
			return err
		}
		if _, err := g.lead(g.ctx, command); err != nil {
			return fmt.Errorf("forgetting %s: %w", node, err)
		}
	}
	return nil
}

// takeIn makes a member a voter: it receives the secrets, then the state, then the vote.
func (g *group) takeIn(m hsmproto.Member) error {
	ctx, cancel := context.WithTimeout(g.ctx, catchUpLimit)
	defer cancel()
	secrets, err := g.node.sealSecrets(m, g.number)
	if err != nil {
		return err
	}
	if err := g.node.callPeer(ctx, m, opEnroll, enrollRequest{Group: g.number, Secrets: secrets}, nil); err != nil {
		return fmt.Errorf("enrolling %s: %w", m.Node, err)
	}
	id, address := raft.ServerID(m.Node), raft.ServerAddress(peerAddress(m.Address))
	if err := g.raft.AddNonvoter(id, address, 0, changeLimit).Error(); err != nil {
		return fmt.Errorf("adding %s: %w", m.Node, err)
	}
	index, _ := g.state.agreed()
	if err := g.node.callPeer(ctx, m, opApplied, appliedRequest{Group: g.number, Index: index}, nil); err != nil {
		return fmt.Errorf("bringing %s up to date: %w", m.Node, err)
	}
	if err := g.raft.AddVoter(id, address, 0, changeLimit).Error(); err != nil {
		return fmt.Errorf("giving %s a vote: %w", m.Node, err)
	}
	g.node.log.Info("HSM taken in", "node", m.Node)
	return nil
}
