package cloudhsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// Waits before a step that failed is tried again.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 15 * time.Second
)

// Limits of the steps.
const (
	makeTime = time.Minute      // from nothing to a serving HSM, or to a backup
	stepTime = 15 * time.Second // everything else
)

// idleTick is how often a keeper looks at a cluster in which nothing can happen by itself.
const idleTick = 5 * time.Second

// Run takes up the work of all clusters where it was left and keeps at it until ctx ends, then waits for steps under
// way. It is called once.
func (s *Service) Run(ctx context.Context) error {
	s.mu.Lock()
	s.run, s.started = ctx, time.Now() // before the clusters are listed: one made meanwhile wakes its keeper itself
	s.mu.Unlock()
	all, err := s.releaseOrphans(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err := s.dropOrphans(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	for _, c := range all {
		s.wake(c.Scope, c.ID)
	}
	s.group.Go(func() { s.archivist(ctx) })
	s.relay(ctx)
	// wake starts no keeper once ctx has ended, and does so under the lock: after this the group only shrinks.
	s.mu.Lock()
	s.run = nil
	s.mu.Unlock()
	s.group.Wait()
	return nil
}

// Wake makes everything that works in the background look at once: the clock was moved.
func (s *Service) Wake() {
	s.pokeArchivist()
	s.wakeKeepers()
}

func (s *Service) wakeKeepers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keepers {
		k.poke()
	}
}

// relay wakes the keepers when the health of an HSM changes.
func (s *Service) relay(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.fleet.Changed():
			s.wakeKeepers()
		}
	}
}

// releaseOrphans releases network interfaces whose HSM was never recorded, because of a crash in between. It returns
// all clusters. No HSM can be created meanwhile.
func (s *Service) releaseOrphans(ctx context.Context) ([]*Cluster, error) {
	s.allocation.Lock()
	defer s.allocation.Unlock()
	all, err := s.store.AllClusters(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the clusters: %w", err)
	}
	orphans, err := s.network.ManagedInterfaces(ctx, requester)
	if err != nil {
		return nil, fmt.Errorf("listing network interfaces: %w", err)
	}
	for _, c := range all {
		for _, h := range c.Hsms {
			delete(orphans, h.EniID)
		}
	}
	for eni, scope := range orphans {
		s.log.Warn("releasing a network interface of no HSM", "eni", eni)
		if err := s.network.ReleaseInterface(ctx, scope, eni); err != nil {
			return nil, fmt.Errorf("releasing network interface %s: %w", eni, err)
		}
	}
	return all, nil
}

// wake makes the cluster's keeper look at once, starting it if there is none.
func (s *Service) wake(scope arn.Scope, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil || s.run.Err() != nil {
		return // Run will look at everything
	}
	k := s.keepers[id]
	if k == nil {
		k = &keeper{
			Service: s, scope: scope, id: id, log: s.log.With("cluster", id),
			signal: make(chan struct{}, 1), busy: make(map[string]*attempt),
		}
		s.keepers[id] = k
		ctx := s.run
		s.group.Go(func() { k.loop(ctx) })
	}
	k.poke()
}

// keeper brings one cluster to what is recorded of it. Steps on different HSMs run side by side; on one HSM, one at a
// time.
type keeper struct {
	*Service
	scope  arn.Scope
	id     string
	log    *slog.Logger
	signal chan struct{} // capacity 1: look now

	stepMu sync.Mutex // guards busy
	busy   map[string]*attempt
	steps  sync.WaitGroup
}

// attempt is a step under way, or one that failed and waits.
type attempt struct {
	running  bool
	failures int
	next     time.Time // not before
}

func (k *keeper) poke() {
	select {
	case k.signal <- struct{}{}:
	default:
	}
}

func (k *keeper) loop(ctx context.Context) {
	defer k.steps.Wait()
	for {
		tick, err := k.turn(ctx)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			k.retire()
			return
		case err != nil && ctx.Err() == nil:
			k.log.Error("looking after a cluster", "error", err)
		}
		timer := time.NewTimer(tick)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-k.signal:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// retire forgets the keeper of a record that is gone.
func (k *keeper) retire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.keepers, k.id)
}

// turn makes a plan and takes its steps. Decisions are followed by another look at once.
func (k *keeper) turn(ctx context.Context) (tick time.Duration, err error) {
	for {
		busy := k.underWay() // before the record is read, so that what a finished step recorded is seen
		c, err := k.store.Cluster(ctx, k.scope, k.id)
		if err != nil {
			return k.timing.Tick, err
		}
		decided := false
		for _, step := range plan(k.observe(c, busy)) {
			if step.action != actRecord {
				k.start(ctx, c, step)
				continue
			}
			if err := k.record(ctx, step); err != nil {
				return k.timing.Tick, err
			}
			decided = true
		}
		if !decided {
			return k.tick(c), nil
		}
	}
}

func (k *keeper) tick(c *Cluster) time.Duration {
	if len(c.Hsms) == 0 && c.State != types.ClusterStateCreateInProgress && c.State != types.ClusterStateDeleteInProgress {
		return idleTick
	}
	return k.timing.Tick
}

// underWay lists what has a step under way, or waits after a failure.
func (k *keeper) underWay() map[string]bool {
	k.stepMu.Lock()
	defer k.stepMu.Unlock()
	busy := make(map[string]bool)
	for id, a := range k.busy {
		busy[id] = a.running || time.Now().Before(a.next)
	}
	return busy
}

func (k *keeper) observe(c *Cluster, busy map[string]bool) situation {
	s := situation{
		cluster: c, now: time.Now(), started: k.started, clock: k.now(), timing: k.timing,
		health: make(map[string]Health), folder: make(map[string]bool), busy: busy,
	}
	for _, h := range c.Hsms {
		s.health[h.ID] = k.fleet.Health(h.ID)
		s.folder[h.ID] = k.fleet.HasFolder(h.ID)
	}
	return s
}

// record keeps a decision, unless the cluster changed since it was made: then the next plan decides.
func (k *keeper) record(ctx context.Context, st step) error {
	err := k.store.Change(ctx, nil, func(tx Tx) error { return tx.Update(st.cluster) })
	if errors.Is(err, fault.ErrConflict) || errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	if err == nil {
		k.log.Info(st.why, "state", st.cluster.State, "epoch", st.cluster.Epoch)
	}
	return err
}

// amend changes the cluster's record as it is now.
func (k *keeper) amend(ctx context.Context, fn func(Tx, *Cluster) error) error {
	return k.store.Change(ctx, nil, func(tx Tx) error {
		c, err := tx.Cluster(k.scope, k.id)
		if err != nil {
			return err
		}
		if err := fn(tx, c); err != nil {
			return err
		}
		if err := c.settleState(); err != nil {
			return err
		}
		return tx.Update(c)
	})
}

// start takes a step in the background. Its end is a reason to look again; after a failure the next attempt waits.
func (k *keeper) start(ctx context.Context, c *Cluster, st step) {
	k.stepMu.Lock()
	defer k.stepMu.Unlock()
	lane := cmp.Or(st.lane, st.hsm)
	a := k.busy[lane]
	if a == nil {
		a = new(attempt)
		k.busy[lane] = a
	}
	a.running = true
	k.steps.Go(func() {
		limit := stepTime
		switch st.action {
		case actMake, actRestore, actBackup:
			limit = makeTime
		}
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := k.take(limited, c, st)
		if err != nil && ctx.Err() == nil {
			k.log.Warn("a step failed and will be tried again", "hsm", st.hsm, "error", err)
		}
		k.finish(lane, a, err)
		if st.action != actRun {
			k.poke()
		}
	})
}

func (k *keeper) finish(lane string, a *attempt, err error) {
	k.stepMu.Lock()
	defer k.stepMu.Unlock()
	a.running = false
	if err == nil {
		delete(k.busy, lane)
		return
	}
	a.next = time.Now().Add(min(firstRetry<<min(a.failures, 10), lastRetry))
	a.failures++
}
