package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"keyward/internal/cloudhsm"
	"keyward/internal/hsmproto"
)

// Waits of the supervision.
const (
	firstRestart = 100 * time.Millisecond // after the end of a process; doubled each time
	lastRestart  = 5 * time.Second
	wellFor      = 30 * time.Second // after so long the next end counts as the first
	lookEvery    = 250 * time.Millisecond
	lookTime     = time.Second // an HSM that does not say how it is for so long is not live
)

// unit supervises one incarnation of an HSM.
type unit struct {
	fleet   *Fleet
	machine cloudhsm.Machine
	ctx     context.Context // ends the supervision
	cancel  context.CancelFunc
	done    chan struct{} // closed when the supervision has ended; nil before it began

	running atomic.Pointer[process] // nil while there is no process
	looking sync.Mutex              // one look at a time

	mu     sync.Mutex // guards what follows
	gently bool       // how the process is to end
	conn   *hsmproto.Conn
	health cloudhsm.Health
}

func newUnit(f *Fleet, m cloudhsm.Machine) *unit {
	u := &unit{fleet: f, machine: m, done: make(chan struct{})}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	u.health = cloudhsm.Health{Since: time.Now(), Problem: "it is starting"}
	return u
}

// supervise keeps the HSM running until end; p is its running process, or nil.
func (u *unit) supervise(p *process) {
	go func() {
		defer close(u.done)
		u.keepRunning(p)
	}()
}

// end ends supervision and process. The process is dead on return.
func (u *unit) end(gently bool) {
	u.mu.Lock()
	u.gently = gently
	u.mu.Unlock()
	u.cancel()
	<-u.done
}

func (u *unit) keepRunning(p *process) {
	wait := firstRestart
	for p != nil || u.ctx.Err() == nil { // a process that runs is attended to its end, even if that is now
		var err error
		if p == nil {
			p, err = u.restart()
		}
		if p != nil {
			since := time.Now()
			err = u.attend(p)
			if p = nil; time.Since(since) > wellFor {
				wait = firstRestart
			}
		}
		u.down(err)
		if !u.pause(wait) {
			return
		}
		wait = min(2*wait, lastRestart)
	}
}

// errLost says that the HSM's folder is gone.
var errLost = errors.New("its folder is gone")

// restart starts the process over the folder that must be there.
func (u *unit) restart() (*process, error) {
	if !u.fleet.HasFolder(u.machine.HsmID) {
		return nil, errLost
	}
	p, _, err := u.start(u.ctx, origin{})
	return p, err
}

func (u *unit) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-u.ctx.Done():
		return false
	}
}

// attend watches a running process until it is dead, and says why. A process whose folder was taken away is killed: what
// it acknowledges would not be kept.
func (u *unit) attend(p *process) error {
	u.running.Store(p)
	defer u.running.Store(nil)
	ctx, cancel := context.WithCancel(u.ctx)
	defer cancel()
	defer u.disconnect()
	go func() {
		select {
		case <-p.exited:
			cancel() // a look in progress need not wait
		case <-ctx.Done():
		}
	}()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		u.look(ctx)
		select {
		case <-p.exited:
			return fmt.Errorf("its process ended: %w", orEnded(p.status))
		case <-u.ctx.Done():
			u.finish(p)
			return u.ctx.Err()
		case <-ticker.C:
		}
		if !u.fleet.HasFolder(u.machine.HsmID) {
			p.kill()
			return errLost
		}
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (u *unit) finish(p *process) {
	u.mu.Lock()
	gently := u.gently
	u.mu.Unlock()
	if gently {
		p.stop()
	} else {
		p.kill()
	}
}

// down notes that the HSM does not run, because of err.
func (u *unit) down(err error) {
	if err == nil || u.ctx.Err() != nil {
		return
	}
	lost := errors.Is(err, errLost)
	if u.note(func(h *cloudhsm.Health) { h.Live, h.Lost, h.Problem = false, lost, err.Error() }) {
		u.fleet.config.Log.Warn("an HSM is down", "hsm", u.machine.HsmID, "cluster", u.machine.ClusterID, "error", err)
	}
}

// note changes the health; it reports whether that is worth another look by the keepers, and tells them if so.
func (u *unit) note(change func(*cloudhsm.Health)) bool {
	u.mu.Lock()
	before := u.health
	change(&u.health)
	if u.health.Live != before.Live {
		u.health.Since = time.Now()
	}
	after := u.health
	u.mu.Unlock()
	s, t := before.Status, after.Status
	worth := before.Live != after.Live || before.Lost != after.Lost || s.Joined != t.Joined || s.Epoch != t.Epoch ||
		s.Leader != t.Leader || s.Activated != t.Activated || s.Initialized != t.Initialized || !slices.Equal(s.Voters, t.Voters)
	if worth {
		u.fleet.signal()
	}
	return worth
}

func (u *unit) seen() cloudhsm.Health {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.health
}

// look asks the HSM how it is.
func (u *unit) look(ctx context.Context) {
	u.looking.Lock()
	defer u.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var status hsmproto.StatusReply
	err := u.connect(ctx)
	if err == nil {
		err = u.call(ctx, hsmproto.OpStatus, hsmproto.Empty{}, &status)
	}
	if err != nil {
		u.disconnect()
		u.note(func(h *cloudhsm.Health) { h.Live, h.Problem = false, "it does not answer: "+err.Error() })
		return
	}
	u.note(func(h *cloudhsm.Health) { h.Live, h.Lost, h.Problem, h.Status = true, false, "", status })
}

// connect makes the management connection if there is none.
func (u *unit) connect(ctx context.Context) error {
	if c := u.connection(); c != nil {
		return nil
	}
	address := net.JoinHostPort(u.machine.Address, strconv.Itoa(hsmproto.ManagementPort))
	raw, err := (&tls.Dialer{Config: u.trust()}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.conn = hsmproto.NewConn(raw)
	u.mu.Unlock()
	return nil
}

// trust is whom we believe to be this HSM: the node of that name, certified by the provider root itself.
func (u *unit) trust() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{u.fleet.controlPlane},
		InsecureSkipVerify: true, // VerifyConnection checks; the certificate names a node, not a host
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			if hsmproto.HardwareName(leaf) != u.machine.Node {
				return errors.New("fleet: another HSM answers")
			}
			return leaf.CheckSignatureFrom(u.fleet.provider)
		},
	}
}

// connection is the management connection, nil if there is none that works.
func (u *unit) connection() *hsmproto.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil && u.conn.Err() != nil {
		u.conn = nil
	}
	return u.conn
}

func (u *unit) disconnect() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil {
		u.conn.Close()
		u.conn = nil
	}
}

func (u *unit) call(ctx context.Context, op hsmproto.Op, in, out any) error {
	c := u.connection()
	if c == nil {
		return errNotRunning
	}
	return c.Call(ctx, op, in, out)
}
