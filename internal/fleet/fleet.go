// Package fleet runs the HSMs of an installation as processes of this machine: it starts them, starts them again when
// they end, watches them over a management connection each, and carries the control plane's words to them. It decides
// nothing: who exists and who belongs to a cluster is told by package cloudhsm.
//
// An HSM's folder is DIR/hsms/<hsm id>; what it holds is sealed by the HSM itself. A folder that has gone is never made
// again for an HSM that had one. DIR/backups holds backups, sealed by HSMs; DIR/manufacturer is the HSMs' own, and
// nothing here opens it.
//
// HSM processes end when their standard input does, so none outlives this process for long.
package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"keyward/internal/cloudhsm"
	"keyward/internal/durable"
	"keyward/internal/hsmproto"
)

// Config of a Fleet. Fields without a default must be set.
type Config struct {
	// Dir is the installation's data folder.
	Dir string
	// Executable is the command, with its leading arguments, that runs one HSM.
	Executable []string
	// Authority certifies hardware keys and the control plane.
	Authority *cloudhsm.Authority
	// PlatformSecret gives the 32 bytes that are this machine's share of the key sealing an HSM's folder, and, for
	// "backups", the installation's share of the key sealing backups. The fleet wipes them.
	PlatformSecret func(name string) ([]byte, error)
	Log            *slog.Logger
}

// Fleet implements cloudhsm.Fleet.
type Fleet struct {
	config       Config
	provider     *x509.Certificate
	controlPlane tls.Certificate
	changed      chan struct{} // capacity 1
	ctx          context.Context
	cancel       context.CancelFunc

	mu     sync.Mutex // guards what follows
	units  map[string]*unit
	orders map[string]*sync.Mutex // held by whoever makes, runs or removes an HSM, so that these come in turn
	halted map[string]bool        // nodes that must not run again
}

// What enlist refuses.
var (
	errClosed = errors.New("fleet: closed")
	errHalted = errors.New("fleet: this incarnation was halted for good")
)

// New makes a fleet without HSMs.
func New(c Config) (*Fleet, error) {
	if len(c.Executable) == 0 {
		return nil, errors.New("fleet: no command to run HSMs with")
	}
	f := &Fleet{
		config: c, changed: make(chan struct{}, 1),
		units: make(map[string]*unit), orders: make(map[string]*sync.Mutex), halted: make(map[string]bool),
	}
	var err error
	if f.provider, err = x509.ParseCertificate(c.Authority.ProviderRoot()); err != nil {
		return nil, fmt.Errorf("reading the provider root: %w", err)
	}
	if f.controlPlane, err = c.Authority.ControlPlane(); err != nil {
		return nil, err
	}
	for _, dir := range []string{f.folder(""), filepath.Dir(f.backupPath(""))} {
		if err := durable.Mkdir(dir); err != nil {
			return nil, err
		}
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

func (f *Fleet) folder(hsmID string) string { return filepath.Join(f.config.Dir, "hsms", hsmID) }

// Close ends all HSMs in good order, those that do not end in time by force.
func (f *Fleet) Close() error {
	f.cancel()
	f.mu.Lock()
	var all []*unit
	for _, u := range f.units {
		all = append(all, u)
	}
	f.mu.Unlock()
	var ended sync.WaitGroup
	for _, u := range all {
		ended.Go(func() { u.end(true) })
	}
	ended.Wait()
	return nil
}

// order waits for earlier orders on an HSM and returns what lets the next one begin.
func (f *Fleet) order(hsmID string) (done func()) {
	f.mu.Lock()
	turn := f.orders[hsmID]
	if turn == nil {
		turn = new(sync.Mutex)
		f.orders[hsmID] = turn
	}
	f.mu.Unlock()
	turn.Lock()
	return turn.Unlock
}

func (f *Fleet) unit(hsmID string) *unit {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.units[hsmID]
}

// enlist makes u the HSM's unit, unless it must not run; the caller then supervises it.
func (f *Fleet) enlist(u *unit) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return errClosed
	}
	if f.halted[u.machine.Node] {
		return errHalted
	}
	f.units[u.machine.HsmID] = u
	return nil
}

// dismiss ends an HSM's process and supervision, if there are any. It stays listed until it is dead, so that others who
// want it dead wait as well.
func (f *Fleet) dismiss(u *unit, gently bool) {
	if u == nil {
		return
	}
	u.end(gently)
	f.mu.Lock()
	defer f.mu.Unlock()
	if id := u.machine.HsmID; f.units[id] == u {
		delete(f.units, id)
	}
}

// Changed implements cloudhsm.Fleet.
func (f *Fleet) Changed() <-chan struct{} { return f.changed }

func (f *Fleet) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Make implements cloudhsm.Fleet.
func (f *Fleet) Make(ctx context.Context, m cloudhsm.Machine, create hsmproto.Create) (cloudhsm.Hardware, error) {
	defer f.order(m.HsmID)()
	f.dismiss(f.unit(m.HsmID), false)
	if err := wipe(f.folder(m.HsmID)); err != nil {
		return cloudhsm.Hardware{}, fmt.Errorf("emptying the folder of %s: %w", m.HsmID, err)
	}
	from := origin{create: create}
	if create == hsmproto.CreateRestore {
		from.backup = f.backupPath(m.Backup)
	}
	m.Backup = "" // it is the same HSM however it began
	u := newUnit(f, m)
	p, hardware, err := u.start(ctx, from)
	if err != nil {
		return cloudhsm.Hardware{}, err
	}
	if err := f.enlist(u); err != nil {
		p.kill()
		return cloudhsm.Hardware{}, err
	}
	u.supervise(p)
	return hardware, nil
}

// Run implements cloudhsm.Fleet.
func (f *Fleet) Run(m cloudhsm.Machine) {
	defer f.order(m.HsmID)()
	if u := f.unit(m.HsmID); u != nil {
		if u.machine == m {
			return
		}
		f.dismiss(u, false)
	}
	if u := newUnit(f, m); f.enlist(u) == nil {
		u.supervise(nil)
	}
}

// Halt implements cloudhsm.Fleet. It waits for no other order: others of the cluster wait for this one to go on. An
// order to run this incarnation that comes late is refused.
func (f *Fleet) Halt(_ context.Context, hsmID, node string) error {
	f.mu.Lock()
	f.halted[node] = true
	u := f.units[hsmID]
	f.mu.Unlock()
	if u != nil && u.machine.Node == node {
		f.dismiss(u, false)
	}
	return nil
}

// Health implements cloudhsm.Fleet.
func (f *Fleet) Health(hsmID string) cloudhsm.Health {
	u := f.unit(hsmID)
	if u == nil {
		return cloudhsm.Health{Problem: "it is not running"}
	}
	return u.seen()
}

// errNotRunning is the answer of an HSM that cannot be talked to.
var errNotRunning = errors.New("fleet: the HSM is not running")

// call sends one management request to an HSM.
func (f *Fleet) call(ctx context.Context, hsmID string, op hsmproto.Op, in, out any) error {
	u := f.unit(hsmID)
	if u == nil {
		return errNotRunning
	}
	return u.call(ctx, op, in, out)
}

// Certificates implements cloudhsm.Fleet.
func (f *Fleet) Certificates(ctx context.Context, hsmID string) (reply hsmproto.CertificatesReply, err error) {
	err = f.call(ctx, hsmID, hsmproto.OpCertificates, hsmproto.Empty{}, &reply)
	return reply, err
}

// Initialize implements cloudhsm.Fleet.
func (f *Fleet) Initialize(ctx context.Context, hsmID string, r hsmproto.InitializeRequest) error {
	return f.call(ctx, hsmID, hsmproto.OpInitialize, r, nil)
}

// SetMembers implements cloudhsm.Fleet.
func (f *Fleet) SetMembers(ctx context.Context, hsmID string, r hsmproto.SetMembersRequest) error {
	return f.tell(ctx, hsmID, hsmproto.OpSetMembers, r)
}

// TakeOver implements cloudhsm.Fleet.
func (f *Fleet) TakeOver(ctx context.Context, hsmID string, r hsmproto.TakeOverRequest) error {
	return f.tell(ctx, hsmID, hsmproto.OpTakeOver, r)
}

// tell makes a request and looks at the HSM at once, so that its health shows that it was told.
func (f *Fleet) tell(ctx context.Context, hsmID string, op hsmproto.Op, r hsmproto.SetMembersRequest) error {
	u := f.unit(hsmID)
	if u == nil {
		return errNotRunning
	}
	if err := u.call(ctx, op, r, nil); err != nil {
		return err
	}
	u.look(ctx)
	return nil
}
