package cloudhsm

import (
	"cmp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/hsmproto"
)

// situation is all that a plan depends on.
type situation struct {
	cluster *Cluster
	health  map[string]Health // by HSM id
	folder  map[string]bool   // whether an HSM's folder is there
	busy    map[string]bool   // lanes in which a step is under way or waits to be retried
	now     time.Time         // real time
	started time.Time         // when the keepers started
	clock   time.Time         // the service's clock
	timing  Timing
}

type action int

const (
	actRecord     action = iota // keep step.cluster, which was decided on
	actFound                    // make the security group of a new cluster
	actDissolve                 // remove what a deleted cluster still has
	actForget                   // remove the record
	actInitialize               // hand the cluster certificate to the HSM
	actMake                     // make a new HSM, as step.create says
	actRun                      // supervise an HSM
	actTell                     // tell an HSM the membership
	actTakeOver                 // tell an HSM to carry on alone
	actCertify                  // fetch the first HSM's certificates
	actRemove                   // remove an HSM that has left
	actRestore                  // make a new HSM from the latest backup
	actBackup                   // make a backup
)

// step is one thing to do.
type step struct {
	action  action
	hsm     string
	lane    string // steps of one lane are taken one at a time; empty means the HSM's own, or that of the cluster
	create  hsmproto.Create
	cluster *Cluster // actRecord: the new record
	why     string   // actRecord: for the log
}

// plan says what to do next. A decision is recorded before anything else is done; then the plan is made anew.
func plan(s situation) []step {
	switch s.cluster.State {
	case types.ClusterStateCreateInProgress:
		return s.unlessBusy("", step{action: actFound})
	case types.ClusterStateDeleteInProgress:
		return s.unlessBusy("", step{action: actDissolve})
	case types.ClusterStateDeleted:
		if s.cluster.gone(s.clock) {
			return s.unlessBusy("", step{action: actForget})
		}
		return nil
	}
	if next, why := s.decide(); next != nil {
		return []step{{action: actRecord, cluster: next, why: why}}
	}
	return s.work()
}

func (s situation) unlessBusy(id string, steps ...step) []step {
	if s.busy[id] {
		return nil
	}
	return steps
}

// work lists the steps that bring the world to what is recorded.
func (s situation) work() []step {
	var steps []step
	if s.cluster.State == types.ClusterStateInitializeInProgress {
		if h := s.witness(""); h != nil {
			steps = append(steps, s.unlessBusy(h.ID, step{action: actInitialize, hsm: h.ID})...)
		}
	}
	steps = append(steps, s.backup()...)
	for i := range s.cluster.Hsms {
		h := &s.cluster.Hsms[i]
		steps = append(steps, s.unlessBusy(h.ID, s.workOn(h)...)...)
	}
	return steps
}

func (s situation) workOn(h *Hsm) []step {
	switch {
	case h.State == types.HsmStateDeleteInProgress && (!h.Member || s.last(h)):
		return s.removal(h)
	case !h.Member:
		return s.making(h)
	default:
		return s.running(h)
	}
}

// last reports whether h is the only HSM of its cluster.
func (s situation) last(h *Hsm) bool { return len(s.cluster.Hsms) == 1 && s.cluster.Hsms[0].ID == h.ID }

// removal of an HSM. The last one of an activated cluster stays until what it holds is in a backup, for that is then
// all there is of the cluster's users and keys.
func (s situation) removal(h *Hsm) []step {
	if h.Member && !s.backedUp() {
		return s.running(h)
	}
	return []step{{action: actRemove, hsm: h.ID}}
}

// making of an HSM that is not, or no longer, a member. It needs a member to join; a fenced HSM whose folder is gone
// is not made again behind its owner's back.
func (s situation) making(h *Hsm) []step {
	if s.cluster.State == types.ClusterStateUninitialized && s.last(h) && h.Node == "" {
		return []step{{action: actMake, hsm: h.ID, create: hsmproto.CreateFirst}}
	}
	if s.restores(h) {
		return []step{{action: actRestore, hsm: h.ID}}
	}
	if !s.settled() || (h.State == types.HsmStateDegraded && !s.folder[h.ID]) {
		return nil
	}
	return []step{{action: actMake, hsm: h.ID, create: hsmproto.CreateJoin}}
}

// restores reports whether h is the one that starts an activated cluster without members again, from a backup: the
// first of those that are being created.
func (s situation) restores(h *Hsm) bool {
	if !s.cluster.Serving() || s.cluster.hasMember() {
		return false
	}
	for i := range s.cluster.Hsms {
		if o := &s.cluster.Hsms[i]; o.State == types.HsmStateCreateInProgress {
			return o.ID == h.ID
		}
	}
	return false
}

func (s situation) running(h *Hsm) []step {
	health := s.health[h.ID]
	if !health.Live {
		return []step{{action: actRun, hsm: h.ID}}
	}
	if health.Status.Epoch < s.cluster.Epoch {
		if s.cluster.TakeOver == h.Node {
			return []step{{action: actTakeOver, hsm: h.ID}}
		}
		return []step{{action: actTell, hsm: h.ID}}
	}
	if s.first(h) && s.joined(h) {
		return []step{{action: actCertify, hsm: h.ID}}
	}
	return nil
}

// first reports whether h is the first HSM of a cluster whose certificates are still to be fetched.
func (s situation) first(h *Hsm) bool {
	return s.cluster.State == types.ClusterStateUninitialized && s.cluster.ClusterCSR == "" && s.last(h)
}

// decide finds the next change of the record, nil when there is none.
func (s situation) decide() (next *Cluster, why string) {
	next = s.cluster.clone()
	for _, rule := range []func(*Cluster) string{
		s.takeOverDone, s.excludeOne, s.noticeJoined, s.noticeUnwell, s.noticeActivation,
	} {
		if why = rule(next); why != "" {
			break
		}
	}
	if err := next.settleState(); err != nil || (why == "" && next.State == s.cluster.State) {
		return nil, ""
	}
	return next, cmp.Or(why, "its HSMs amount to state "+string(next.State))
}

func (c *Cluster) clone() *Cluster {
	copied := *c
	copied.Hsms = slices.Clone(c.Hsms)
	return &copied
}

// excludeOne takes at most one member out of the membership: one that its owner deletes, or one that is dead while
// another can carry on. This is the only place where an HSM leaves a membership.
func (s situation) excludeOne(next *Cluster) string {
	for i := range next.Hsms {
		h := &next.Hsms[i]
		switch {
		case !h.Member:
		case s.silent(h) && s.witness(h.ID) != nil:
			s.exclude(next, h)
			if h.State == types.HsmStateActive {
				_ = h.enter(types.HsmStateDegraded, fencedMessage(s.health[h.ID])) // the table has this transition
			}
			return "HSM " + h.ID + " does not answer and is fenced"
		case h.State == types.HsmStateDeleteInProgress && s.backedUp() && s.mayLeave(h):
			s.exclude(next, h)
			return "HSM " + h.ID + " leaves"
		}
	}
	return ""
}

// mayLeave reports whether a member that is being deleted can go without taking acknowledged writes with it: another
// member is in step and alive or, where h is no better off, at least not lost. The last HSM does not leave, it is
// removed.
func (s situation) mayLeave(h *Hsm) bool {
	if s.last(h) {
		return false
	}
	health := s.health[h.ID]
	if health.Lost || !h.InStep || s.witness(h.ID) != nil {
		return true
	}
	return !health.Live && slices.ContainsFunc(s.cluster.Hsms, func(o Hsm) bool {
		return o.ID != h.ID && o.Member && o.InStep && !s.health[o.ID].Lost
	})
}

// exclude makes the membership without h. When those who are left and alive are no majority of those who were, one of
// them is told to carry on alone. It lacks no acknowledged write, for a write is acknowledged by every member in step;
// the others join it anew.
func (s situation) exclude(next *Cluster, h *Hsm) {
	before, alive := 0, 0
	for i := range next.Hsms {
		if m := &next.Hsms[i]; m.Member {
			before++
			if m.ID != h.ID && !s.silent(m) {
				alive++
			}
		}
	}
	h.Member, h.InStep = false, false
	next.Epoch++
	if slices.ContainsFunc(next.Hsms, func(m Hsm) bool { return m.Member && m.Node == next.TakeOver }) {
		return // a takeover that is not over yet stays with the one who was chosen
	}
	next.TakeOver = ""
	if 2*alive <= before {
		s.chooseSuccessor(next)
	}
}

// chooseSuccessor names who carries on alone: of the members in step, a live one before a silent one, then the one
// that has most.
func (s situation) chooseSuccessor(next *Cluster) {
	var chosen *Hsm
	for i := range next.Hsms {
		m := &next.Hsms[i]
		if m.Member && m.InStep && !s.health[m.ID].Lost && (chosen == nil || s.ahead(m, chosen)) {
			chosen = m
		}
	}
	if chosen == nil {
		return
	}
	next.TakeOver = chosen.Node
	for i := range next.Hsms {
		if m := &next.Hsms[i]; m.Member && m != chosen {
			m.InStep = false
			if m.State == types.HsmStateActive {
				_ = m.enter(types.HsmStateDegraded, "The HSM is being taken in again.")
			}
		}
	}
}

func (s situation) ahead(a, b *Hsm) bool {
	x, y := s.health[a.ID], s.health[b.ID]
	if x.Live != y.Live {
		return x.Live
	}
	return x.Status.LastIndex > y.Status.LastIndex
}

// takeOverDone ends a takeover: the chosen one leads a group that holds members only.
func (s situation) takeOverDone(next *Cluster) string {
	if next.TakeOver == "" {
		return ""
	}
	for _, h := range next.Hsms {
		health := s.health[h.ID]
		if h.Node == next.TakeOver && h.Member && s.told(&h) && health.Status.Joined && health.Status.Leader == h.Node &&
			s.onlyMembers(health.Status.Voters) {
			next.TakeOver = ""
			return "HSM " + h.ID + " carries on"
		}
	}
	return ""
}

func (s situation) onlyMembers(nodes []string) bool {
	for _, node := range nodes {
		if !slices.ContainsFunc(s.cluster.Hsms, func(h Hsm) bool { return h.Member && h.Node == node }) {
			return false
		}
	}
	return true
}

// noticeJoined makes HSMs ACTIVE that hold everything. The first HSM of a cluster becomes so with its certificates.
func (s situation) noticeJoined(next *Cluster) string {
	for i := range next.Hsms {
		h := &next.Hsms[i]
		if h.State == types.HsmStateDeleteInProgress || (h.InStep && h.State == types.HsmStateActive) ||
			s.first(h) || !s.joined(h) {
			continue
		}
		h.InStep = true
		_ = h.enter(types.HsmStateActive, "") // the table has this transition from all other states
		return "HSM " + h.ID + " is active"
	}
	return ""
}

// noticeUnwell marks HSMs that do not come back.
func (s situation) noticeUnwell(next *Cluster) string {
	for i := range next.Hsms {
		h := &next.Hsms[i]
		message := s.unwell(h)
		if message == "" || h.State == types.HsmStateDeleteInProgress ||
			(h.State == types.HsmStateDegraded && h.StateMessage == message) {
			continue
		}
		_ = h.enter(types.HsmStateDegraded, message)
		return "HSM " + h.ID + " is not well: " + message
	}
	return ""
}

// Messages of a DEGRADED HSM.
const (
	messageStorageGone = "The HSM's storage is gone: delete it and create another."
	messageSilent      = "The HSM does not answer."
)

func fencedMessage(h Health) string {
	if h.Lost {
		return messageStorageGone
	}
	return "The HSM did not answer and was taken out of the cluster. It is being made anew."
}

func (s situation) unwell(h *Hsm) string {
	switch {
	case h.Node == "":
		return "" // not made yet
	case s.health[h.ID].Lost, !h.Member && h.State == types.HsmStateDegraded && !s.folder[h.ID] && !s.busy[h.ID]:
		return messageStorageGone
	case h.Member && h.State == types.HsmStateActive && s.silent(h):
		return messageSilent
	default:
		return ""
	}
}

// noticeActivation learns from the HSM what no API call says: that the first password was set.
func (s situation) noticeActivation(next *Cluster) string {
	if next.State != types.ClusterStateInitialized {
		return ""
	}
	if w := s.witness(""); w == nil || !s.health[w.ID].Status.Activated {
		return ""
	}
	_ = next.enter(types.ClusterStateActive, "") // the table has this transition
	next.BackupDue = true
	return "the cluster is activated"
}

// witness is a live member in step, other than the one named; nil if there is none.
func (s situation) witness(except string) *Hsm {
	for i := range s.cluster.Hsms {
		h := &s.cluster.Hsms[i]
		if h.ID != except && h.Member && h.InStep && s.live(h) {
			return h
		}
	}
	return nil
}

// live reports whether the HSM answers, and as the incarnation that is recorded.
func (s situation) live(h *Hsm) bool {
	health := s.health[h.ID]
	return health.Live && health.Status.Node == h.Node
}

// told reports whether the HSM is live and knows the current membership.
func (s situation) told(h *Hsm) bool {
	return s.live(h) && s.health[h.ID].Status.Epoch == s.cluster.Epoch
}

// silent reports whether the HSM has been dead for too long, or will never live again.
func (s situation) silent(h *Hsm) bool {
	health := s.health[h.ID]
	if health.Lost {
		return true
	}
	if health.Live || s.now.Sub(s.started) <= s.timing.Grace {
		return false
	}
	since := health.Since
	if since.Before(s.started) {
		since = s.started
	}
	return s.now.Sub(since) > s.timing.Fence
}

// joined reports whether a member holds everything that was acknowledged: by its own word, and, where others are in
// step, by that of one of them. After a takeover an HSM may not have noticed yet that it was left behind.
func (s situation) joined(h *Hsm) bool {
	if !h.Member || !s.told(h) || !s.health[h.ID].Status.Joined || s.cluster.TakeOver != "" {
		return false
	}
	if !slices.ContainsFunc(s.cluster.Hsms, func(o Hsm) bool { return o.ID != h.ID && o.Member && o.InStep }) {
		return true
	}
	other := s.witness(h.ID)
	return other != nil && s.told(other) && slices.Contains(s.health[other.ID].Status.Voters, h.Node)
}

// settled reports whether the membership is in force, so that the next change can build on it: a live member in step
// is there, and all of them know who the members are.
func (s situation) settled() bool {
	if s.cluster.TakeOver != "" || s.witness("") == nil {
		return false
	}
	for i := range s.cluster.Hsms {
		if h := &s.cluster.Hsms[i]; h.Member && h.InStep && s.live(h) && !s.told(h) {
			return false
		}
	}
	return true
}
