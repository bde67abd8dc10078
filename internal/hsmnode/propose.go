package hsmnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

const (
	leaderWait   = 3 * time.Second       // how long a change waits for a leader
	confirmLimit = 2 * time.Second       // how long the other HSMs have to apply a change
	retryPause   = 50 * time.Millisecond // between attempts to reach a peer
	codeNotHere  = hsmproto.Code("NOT_LEADER")
)

// errNotProposed: nothing was done; another attempt is safe.
var errNotProposed = errors.New("hsmnode: not proposed")

func unavailable(detail string) *hsmproto.Error {
	return &hsmproto.Error{Code: hsmproto.CodeUnavailable, Detail: detail}
}

// propose has the cluster agree on a command and returns once every HSM has applied it. Failing that, the error is
// CodeUnavailable, and the command may or may not be carried out.
func (n *node) propose(ctx context.Context, c hsm.Command) (hsm.Result, error) {
	data, err := hsm.EncodeCommand(c)
	if err != nil {
		return hsm.Result{}, err
	}
	if err := n.unrecorded(n.audit.prepare()); err != nil { // what cannot be recorded is not begun
		return hsm.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	for {
		changed := n.leadership.wait()
		result, err := n.tryPropose(ctx, data)
		if !errors.Is(err, errNotProposed) {
			return result, err
		}
		select {
		case <-changed:
		case <-time.After(retryPause):
		case <-ctx.Done():
			return hsm.Result{}, unavailable("the cluster has no leader")
		}
	}
}

func (n *node) tryPropose(ctx context.Context, command []byte) (hsm.Result, error) {
	g := n.group.Load()
	if g == nil {
		return hsm.Result{}, errNotProposed
	}
	if g.leads() {
		return g.lead(ctx, command)
	}
	_, leader := g.raft.LeaderWithID()
	member, ok := n.vault.get().member(string(leader))
	if !ok || member.Node == n.config.Node {
		return hsm.Result{}, errNotProposed
	}
	return n.forward(ctx, g, member, command)
}

// forward has the leader do it.
func (n *node) forward(ctx context.Context, g *group, leader hsmproto.Member, command []byte) (hsm.Result, error) {
	conn, err := n.peers.get(ctx, leader)
	if err != nil {
		return hsm.Result{}, errNotProposed
	}
	var result hsm.Result
	err = conn.Call(ctx, opPropose, proposeRequest{Group: g.number, Command: command}, &result)
	if err == nil || !errors.As(err, new(*hsmproto.Error)) {
		return result, asUnavailable(err)
	}
	if errors.Is(err, &hsmproto.Error{Code: codeNotHere}) {
		return hsm.Result{}, errNotProposed
	}
	return hsm.Result{}, err
}

func asUnavailable(err error) error {
	if err == nil {
		return nil
	}
	return unavailable("the leader was lost")
}

// lead proposes as the leader and waits until all HSMs have applied the command.
func (g *group) lead(ctx context.Context, command []byte) (hsm.Result, error) {
	command, err := g.complete(command)
	if err != nil {
		return hsm.Result{}, err
	}
	future := g.raft.Apply(g.keys.log.seal(command, nil), leaderWait)
	switch err := future.Error(); {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		return hsm.Result{}, errNotProposed
	case err != nil:
		return hsm.Result{}, unavailable("the cluster did not agree: " + err.Error())
	}
	result, ok := future.Response().(hsm.Result)
	if !ok {
		return hsm.Result{}, fmt.Errorf("hsmnode: unexpected response %T", future.Response())
	}
	if result.Refusal != nil { // nothing changed: nothing to spread
		return result, nil
	}
	if err := g.node.recorded(); err != nil {
		return hsm.Result{}, err
	}
	return result, g.confirm(ctx, future.Index())
}

// complete fills in what only the leader knows: how many HSMs will hold a new key.
func (g *group) complete(command []byte) ([]byte, error) {
	c, err := hsm.DecodeCommand(command)
	if err != nil {
		return nil, err
	}
	generate, ok := c.(*hsm.GenerateKey)
	if !ok {
		return command, nil
	}
	generate.Hsms = len(g.others()) + 1
	return hsm.EncodeCommand(generate)
}

// others are the voters beside this HSM that count as HSMs of the cluster: the control plane has not fenced them.
func (g *group) others() []hsmproto.Member {
	voters := votersOf(g.raft.GetConfiguration().Configuration())
	var others []hsmproto.Member
	for _, m := range g.node.vault.get().Members {
		if m.Node != g.node.config.Node && slices.Contains(voters, m.Node) {
			others = append(others, m)
		}
	}
	return others
}

// confirm returns once every other voter has applied the entry, which is what lets any survivor go on alone with
// everything that was acknowledged.
func (g *group) confirm(ctx context.Context, index uint64) error {
	if g.node.vault.get().Epoch < g.state.epoch() {
		return unavailable("the leader has not been told of all HSMs")
	}
	others := g.others()
	if len(others) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, confirmLimit)
	defer cancel()
	all, ctx := errgroup.WithContext(ctx)
	for _, m := range others {
		all.Go(func() error { return g.confirmOne(ctx, m, index) })
	}
	if err := all.Wait(); err != nil {
		return unavailable("an HSM did not confirm the change")
	}
	return nil
}

func (g *group) confirmOne(ctx context.Context, m hsmproto.Member, index uint64) error {
	for {
		err := g.node.callPeer(ctx, m, opApplied, appliedRequest{Group: g.number, Index: index}, nil)
		if err == nil {
			return nil
		}
		if _, named := g.node.vault.get().member(m.Node); !named {
			return nil // fenced meanwhile: it counts no longer
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return err
		}
	}
}

// await returns once this HSM has applied the entry.
func (s *state) await(ctx context.Context, index uint64) error {
	for {
		applied := s.applied.wait()
		if at, _ := s.agreed(); at >= index {
			return nil
		}
		select {
		case <-applied:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
