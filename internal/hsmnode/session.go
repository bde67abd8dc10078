package hsmnode

import (
	"context"
	"sync"
	"time"

	"keyward/internal/hsm"
)

// sweepInterval is how soon an attempt to close sessions is made again.
const sweepInterval = 2 * time.Second

// sessions keeps what the cluster believes of this HSM's sessions equal to the connections that there are.
type sessions struct {
	node    *node
	orphans signal        // there may be sessions without a connection
	started chan struct{} // closed when sessions of an earlier run are over

	mu   sync.Mutex
	live map[string]bool
}

func newSessions(n *node) *sessions {
	return &sessions{node: n, started: make(chan struct{}), live: make(map[string]bool)}
}

func (s *sessions) begin(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[id] = true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	delete(s.live, id)
	s.mu.Unlock()
	s.orphans.fire()
}

func (s *sessions) alive(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[id]
}

// opened hears of a session that was agreed on, perhaps long after its connection was lost.
func (s *sessions) opened(open *hsm.OpenSession) {
	if open.Node == s.node.config.Node && !s.alive(open.ID) {
		s.orphans.fire()
	}
}

// wait returns when logins may be served.
func (s *sessions) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	select {
	case <-s.started:
		return nil
	case <-ctx.Done():
		return unavailable("the HSM has just started")
	}
}

// run ends the sessions of an earlier run of this HSM, then, as long as the HSM lives, those that lost their
// connection.
func (s *sessions) run(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := s.node.propose(ctx, &hsm.CloseSessionsOf{Node: s.node.config.Node}); err == nil {
			close(s.started)
			break
		}
		select {
		case <-time.After(retryPause): // some refusals are immediate
		case <-ctx.Done():
		}
	}
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		orphans := s.orphans.wait()
		s.sweep(ctx)
		select {
		case <-orphans:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *sessions) sweep(ctx context.Context) {
	g := s.node.group.Load()
	if g == nil {
		return
	}
	var ids []string
	g.state.read(func(m *hsm.Machine) { ids = m.SessionsOf(s.node.config.Node) })
	for _, id := range ids {
		if s.alive(id) {
			continue
		}
		if _, err := s.node.propose(ctx, &hsm.CloseSession{Session: id}); err != nil {
			return // the ticker brings the next attempt
		}
	}
}
