package cloudhsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	"pgregory.net/rapid"

	"keyward/internal/hsmproto"
)

var origin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// member is an HSM in step, ACTIVE.
func member(id string) Hsm {
	return Hsm{ID: id, State: types.HsmStateActive, Incarnation: Incarnation{Node: id + ".n"}, Member: true, InStep: true}
}

// at is a situation in which all HSMs are well and have been told.
func at(state types.ClusterState, hsms ...Hsm) *situation {
	s := &situation{
		cluster: &Cluster{ID: "cluster-aaaaaaaaaaa", State: state, Epoch: 7, Hsms: hsms, ClusterCertificate: "certificate", LastBackup: origin},
		health:  map[string]Health{}, folder: map[string]bool{}, busy: map[string]bool{},
		now: origin.Add(time.Hour), started: origin, clock: origin,
		timing: Timing{Fence: 3 * time.Second, Grace: 10 * time.Second},
	}
	var voters []string
	for _, h := range hsms {
		if h.Member {
			voters = append(voters, h.Node)
		}
	}
	for _, h := range hsms {
		s.folder[h.ID] = h.Node != ""
		if h.Member {
			s.health[h.ID] = Health{Live: true, Since: origin, Status: hsmproto.StatusReply{
				Node: h.Node, Joined: true, Initialized: true, Activated: true, Epoch: 7, Leader: voters[0], Voters: voters, LastIndex: 100,
			}}
		}
	}
	return s
}

// with changes the health of one HSM.
func (s *situation) with(id string, change func(*Health)) *situation {
	h := s.health[id]
	change(&h)
	s.health[id] = h
	return s
}

func dead(silence time.Duration) func(*Health) {
	return func(h *Health) { h.Live, h.Since = false, origin.Add(time.Hour-silence) }
}

func lost(h *Health) { h.Live, h.Lost = false, true }

// planText writes a plan so that tables can hold it.
func planText(steps []step) string {
	names := map[action]string{
		actFound: "found", actDissolve: "dissolve", actForget: "forget", actInitialize: "initialize", actMake: "make",
		actRun: "run", actTell: "tell", actTakeOver: "take over", actCertify: "certify", actRemove: "remove",
		actRestore: "restore", actBackup: "back up",
	}
	var parts []string
	for _, st := range steps {
		if st.action != actRecord {
			parts = append(parts, strings.TrimSpace(names[st.action]+" "+st.hsm+" "+string(st.create)))
			continue
		}
		part := fmt.Sprintf("record %s %d", st.cluster.State, st.cluster.Epoch)
		if st.cluster.TakeOver != "" {
			part += " >" + st.cluster.TakeOver
		}
		for _, h := range st.cluster.Hsms {
			part += fmt.Sprintf(" %s:%s", h.ID, h.State)
			if h.Member {
				part += "+"
			}
			if !h.InStep {
				part += "-"
			}
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

const (
	uninitialized = types.ClusterStateUninitialized
	initialized   = types.ClusterStateInitialized
	serves        = types.ClusterStateActive
	updating      = types.ClusterStateUpdateInProgress
	degraded      = types.ClusterStateDegraded
)

func leaving(h Hsm) Hsm { h.State = types.HsmStateDeleteInProgress; return h }
func fresh(id string) Hsm {
	return Hsm{ID: id, State: types.HsmStateCreateInProgress, Incarnation: Incarnation{}}
}
func fenced(h Hsm) Hsm {
	h.State, h.Member, h.InStep = types.HsmStateDegraded, false, false
	return h
}
func joining(h Hsm) Hsm { h.State, h.InStep = types.HsmStateCreateInProgress, false; return h }

func TestPlan(t *testing.T) {
	a, b, c := member("a"), member("b"), member("c")
	first := at(uninitialized, joining(a))
	first.cluster.ClusterCertificate = ""
	takingOver := at(serves, a, fenced(b))
	takingOver.cluster.TakeOver = "a.n"
	notLeading := at(serves, a, fenced(b)).with("a", func(h *Health) { h.Status.Leader = "" })
	notLeading.cluster.TakeOver = "a.n"
	early := at(serves, a, b).with("b", dead(9*time.Second))
	early.started = early.now.Add(-9 * time.Second)
	expired := at(types.ClusterStateDeleted)
	expired.clock = origin.Add(time.Second)
	daily := at(serves, a)
	daily.clock = origin.Add(24 * time.Hour)
	dailyDown := at(serves, a).with("a", dead(time.Second))
	dailyDown.clock = origin.Add(24 * time.Hour)
	retrying := at(updating, a, fresh("b"))
	retrying.busy["b"] = true

	for name, test := range map[string]struct {
		s    *situation
		want string
	}{
		"a new cluster is founded":                 {at(types.ClusterStateCreateInProgress), "found"},
		"a deleted one dissolved":                  {at(types.ClusterStateDeleteInProgress), "dissolve"},
		"then forgotten":                           {expired, "forget"},
		"nothing to do":                            {at(serves, a, b), ""},
		"the first HSM is made":                    {at(uninitialized, fresh("a")), "make a first"},
		"and certified when it has joined":         {first, "certify a"},
		"an initialising HSM gets its certificate": {at(types.ClusterStateInitializeInProgress, a), "initialize a"},
		"activation is noticed":                    {at(initialized, a), "record ACTIVE 7 a:ACTIVE+"},
		"no activation, no change":                 {at(initialized, a).with("a", func(h *Health) { h.Status.Activated = false }), ""},

		"another HSM is made to join":          {at(updating, a, fresh("b")), "make b join"},
		"not before its turn":                  {retrying, ""},
		"not while nobody can take it in":      {at(updating, a, fresh("b")).with("a", dead(time.Second)), "run a"},
		"it is told":                           {at(updating, a, joining(b)).with("b", func(h *Health) { h.Status.Epoch = 0 }), "tell b"},
		"it becomes ACTIVE when it has joined": {at(updating, a, joining(b)), "record ACTIVE 7 a:ACTIVE+ b:ACTIVE+"},
		"not by its own word alone":            {at(updating, a, joining(b)).with("a", func(h *Health) { h.Status.Voters = []string{"a.n"} }), ""},

		"a member that is down is run":             {at(serves, a, b).with("b", dead(time.Second)), "run b"},
		"after three seconds it is fenced":         {at(serves, a, b).with("b", dead(4*time.Second)), "record ACTIVE 8 >a.n a:ACTIVE+ b:DEGRADED-"},
		"at once when its storage is gone":         {at(serves, a, b).with("b", lost), "record ACTIVE 8 >a.n a:ACTIVE+ b:DEGRADED-"},
		"not while everything starts":              {early, "run b"},
		"never the last":                           {at(serves, a).with("a", dead(time.Minute)), "record DEGRADED 7 a:DEGRADED+"},
		"nor when all are dead":                    {at(serves, a, b).with("a", dead(time.Minute)).with("b", dead(time.Minute)), "record ACTIVE 7 a:DEGRADED+ b:ACTIVE+"},
		"nor when the only live one lacks writes":  {at(updating, a, joining(b)).with("a", dead(time.Minute)), "record UPDATE_IN_PROGRESS 7 a:DEGRADED+ b:CREATE_IN_PROGRESS+-"},
		"of three the majority goes on by itself":  {at(serves, a, b, c).with("c", dead(4*time.Second)), "record ACTIVE 8 a:ACTIVE+ b:ACTIVE+ c:DEGRADED-"},
		"two dead of three: one survivor":          {at(serves, a, b, c).with("a", dead(4*time.Second)).with("c", lost), "record ACTIVE 8 >b.n a:DEGRADED- b:ACTIVE+ c:DEGRADED+-"},
		"another process in its place is not it":   {at(serves, a, b).with("b", func(h *Health) { h.Status.Node = "x" }), ""},
		"the survivor is told to take over":        {takingOver.untold("a"), "take over a"},
		"a takeover ends when it leads":            {takingOver.alone("a"), "record ACTIVE 7 a:ACTIVE+ b:DEGRADED-"},
		"not before":                               {notLeading, ""},
		"a fenced HSM is made anew":                {at(serves, a, fenced(b)), "make b join"},
		"not when its storage is gone":             {at(serves, a, fenced(b)).gone("b"), "record ACTIVE 7 a:ACTIVE+ b:DEGRADED-"},
		"a DEGRADED member that is back is ACTIVE": {at(degraded, sick(a)), "record ACTIVE 7 a:ACTIVE+"},

		"the last HSM goes":                      {at(updating, leaving(a)), "remove a"},
		"even when its storage is gone":          {at(updating, leaving(a)).with("a", lost), "remove a"},
		"not before the cluster was initialised": {at(uninitialized, leaving(a)), "remove a"},
		"one of two leaves":                      {at(updating, leaving(a), b), "record UPDATE_IN_PROGRESS 8 >b.n a:DELETE_IN_PROGRESS- b:ACTIVE+"},
		"one of three leaves":                    {at(updating, leaving(a), b, c), "record UPDATE_IN_PROGRESS 8 a:DELETE_IN_PROGRESS- b:ACTIVE+ c:ACTIVE+"},
		"then it is removed":                     {at(updating, left(a), b), "remove a"},
		"not before another has everything":      {at(updating, leaving(a), joining(b)).with("b", func(h *Health) { h.Status.Joined = false }), ""},
		"nor while the other is down":            {at(updating, leaving(a), b).with("b", dead(time.Second)), "run b"},
		"both are deleted: one goes first":       {at(updating, leaving(a), leaving(b)), "record UPDATE_IN_PROGRESS 8 >b.n a:DELETE_IN_PROGRESS- b:DELETE_IN_PROGRESS+"},

		"a day after the last there is a backup": {daily, "back up a"},
		"not while nobody is there to make it":   {dailyDown, "run a"},
		"not before the cluster is activated":    {at(initialized, a).with("a", func(h *Health) { h.Status.Activated = false }).due(), ""},
		"one that is due is made at once":        {at(serves, a, b).due(), "back up a"},
		"one that was begun goes on":             {at(serves, a).begun(), "back up a"},
		"one at a time":                          {at(serves, a).begun().busyWith(backupLane), ""},
		"it comes before an HSM leaves":          {at(updating, leaving(a), b).due(), "back up a"},
		"from whoever is there":                  {at(updating, leaving(a), b).due().with("a", dead(time.Second)), "back up b; run a"},
		"and before the last HSM is removed":     {at(updating, leaving(a)).begun().busyWith(backupLane), ""},
		"which is run for it":                    {at(updating, leaving(a)).due().with("a", dead(time.Minute)), "run a"},
		"unless there is nothing to back up":     {at(updating, leaving(a)).due().with("a", lost), "remove a"},
		"a cluster without members is restored":  {at(updating, fresh("a"), fresh("b")), "restore a"},
		"by the first that stays":                {at(updating, leaving(fresh("a")), fresh("b")), "remove a; restore b"},
		"not by one that failed":                 {at(degraded, sick(fresh("a"))), ""},
		"not beside a member":                    {at(updating, a, fresh("b")).with("a", lost), "record UPDATE_IN_PROGRESS 7 a:DEGRADED+ b:CREATE_IN_PROGRESS-"},

		"an HSM that was never made is removed": {at(updating, a, leaving(fresh("b"))), "remove b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := planText(plan(*test.s)); got != test.want {
				t.Errorf("plan\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func sick(h Hsm) Hsm { h.State = types.HsmStateDegraded; return h }
func left(h Hsm) Hsm { h = leaving(h); h.Member, h.InStep = false, false; return h }

func (s *situation) due() *situation {
	s.cluster.BackupDue = true
	return s
}

func (s *situation) begun() *situation {
	s.cluster.Backup = "backup-a"
	return s
}

func (s *situation) busyWith(lane string) *situation {
	s.busy[lane] = true
	return s
}

// untold is the same situation with an HSM that knows an older membership only.
func (s *situation) untold(id string) *situation {
	return s.copy().with(id, func(h *Health) { h.Status.Epoch = 6 })
}

// alone is the same situation with an HSM that leads a group of its own.
func (s *situation) alone(id string) *situation {
	return s.copy().with(id, func(h *Health) { h.Status.Leader, h.Status.Voters = id+".n", []string{id + ".n"} })
}

func (s *situation) gone(id string) *situation {
	delete(s.folder, id)
	return s
}

func (s *situation) copy() *situation {
	c := *s
	c.health = map[string]Health{}
	for id, h := range s.health {
		c.health[id] = h
	}
	return &c
}

// Whatever the situation, no decision loses acknowledged writes: a membership always keeps an HSM in step if there was
// one whose storage is there, epochs only grow, a new membership changes by one HSM, and only states the tables know
// are entered.
func TestDecisionsAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		next, _ := s.decide()
		if next == nil {
			return
		}
		before, after := members(s.cluster), members(next)
		if len(after) < len(before)-1 || len(after) > len(before) {
			t.Fatalf("membership %v becomes %v", before, after)
		}
		if (len(after) != len(before)) != (next.Epoch > s.cluster.Epoch) || next.Epoch < s.cluster.Epoch {
			t.Fatalf("membership %v becomes %v, epoch %d becomes %d", before, after, s.cluster.Epoch, next.Epoch)
		}
		if safe(s, s.cluster) && !safe(s, next) {
			t.Fatalf("the last HSM in step is let go: %v", planText([]step{{action: actRecord, cluster: next}}))
		}
		if next.State != s.cluster.State && !slices.Contains(transitions[s.cluster.State], next.State) {
			t.Fatalf("cluster %s becomes %s", s.cluster.State, next.State)
		}
		if next.TakeOver != "" && next.TakeOver != s.cluster.TakeOver && !slices.ContainsFunc(next.Hsms, func(h Hsm) bool {
			return h.Member && h.InStep && h.Node == next.TakeOver
		}) {
			t.Fatalf("%s takes over without being in step", next.TakeOver)
		}
	})
}

func members(c *Cluster) (ids []string) {
	for _, h := range c.Hsms {
		if h.Member {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// safe reports whether some member in step still has its storage.
func safe(s situation, c *Cluster) bool {
	return slices.ContainsFunc(c.Hsms, func(h Hsm) bool { return h.Member && h.InStep && !s.health[h.ID].Lost })
}

func drawSituation(t *rapid.T) situation {
	var hsms []Hsm
	for i := range rapid.IntRange(0, 4).Draw(t, "hsms") {
		h := member(string(rune('a' + i)))
		shape := rapid.SampledFrom([]func(Hsm) Hsm{
			func(h Hsm) Hsm { return h }, leaving, fenced, joining, sick, left, func(h Hsm) Hsm { return leaving(joining(h)) },
			func(h Hsm) Hsm { return fresh(h.ID) },
		}).Draw(t, "shape")
		hsms = append(hsms, shape(h))
	}
	state := rapid.SampledFrom([]types.ClusterState{uninitialized, types.ClusterStateInitializeInProgress, initialized, serves, updating, degraded}).Draw(t, "state")
	s := at(state, hsms...)
	for _, h := range hsms {
		s.with(h.ID, func(health *Health) {
			switch rapid.SampledFrom([]string{"well", "dead", "silent", "lost", "behind", "not joined"}).Draw(t, "health") {
			case "dead":
				dead(time.Second)(health)
			case "silent":
				dead(time.Minute)(health)
			case "lost":
				lost(health)
			case "behind":
				health.Status.Epoch = 3
			case "not joined":
				health.Status.Joined = false
			}
			health.Status.LastIndex = rapid.Uint64Range(1, 9).Draw(t, "index")
		})
		s.folder[h.ID] = rapid.Bool().Draw(t, "folder")
		s.busy[h.ID] = rapid.Bool().Draw(t, "busy")
		if h.Member && h.InStep && rapid.IntRange(0, 5).Draw(t, "takeover") == 0 {
			s.cluster.TakeOver = h.Node
		}
	}
	s.cluster.BackupDue = rapid.Bool().Draw(t, "backup due")
	return *s
}
