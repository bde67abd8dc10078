package hsmnode

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"keyward/internal/hardening"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

const maxBootLine = 1 << 20 // bytes

// Main is an HSM's life: it speaks the boot dialogue of hsmproto over stdin and stdout, serves its ports, and returns
// when ctx ends or stdin does, with nil; or when it cannot go on, with the reason, which it has told the supervisor
// too. The process must do nothing else: Main hardens it.
func Main(ctx context.Context, stdin io.Reader, stdout io.Writer, log *slog.Logger) error {
	boot := &dialogue{in: bufio.NewReaderSize(stdin, maxBootLine), out: json.NewEncoder(stdout)}
	err := run(ctx, boot, log)
	if err != nil {
		boot.say(hsmproto.BootHello{Error: err.Error(), BadBackup: errors.As(err, new(*badBackup))})
	}
	return errors.Join(err, boot.err)
}

func run(ctx context.Context, boot *dialogue, log *slog.Logger) error {
	if err := hardening.Process(); err != nil {
		return err
	}
	var config hsmproto.BootConfig
	if err := boot.hear(&config); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n, err := newNode(ctx, config, boot, log)
	if err != nil {
		return err
	}
	go func() {
		// The supervisor holds the other end and never speaks again: whatever comes is the end.
		_, _ = boot.in.ReadByte()
		cancel()
	}()
	return n.run(func() { boot.say(hsmproto.BootHello{Ready: true}) })
}

// dialogue is the supervisor's end of standard input and output, in lines of JSON.
type dialogue struct {
	in  *bufio.Reader
	out *json.Encoder
	err error // the first failure to speak
}

func (d *dialogue) hear(message any) error {
	line, err := d.in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("hsmnode: listening to the supervisor: %w", err)
	}
	defer clear(line) // it may hold the platform secret
	if err := json.Unmarshal(line, message); err != nil {
		return fmt.Errorf("hsmnode: understanding the supervisor: %w", err)
	}
	return nil
}

func (d *dialogue) say(hello hsmproto.BootHello) {
	if err := d.out.Encode(hello); err != nil && d.err == nil {
		d.err = fmt.Errorf("hsmnode: speaking to the supervisor: %w", err)
	}
}

// node is one HSM.
type node struct {
	config   hsmproto.BootConfig // without its secrets
	provider secret.Bytes        // share of the key that seals backups; empty in an installation without
	log      *slog.Logger
	roots    roots
	vault    *vault
	audit    *auditLog
	mute     atomic.Bool // the audit log's failure was told
	hardware tls.Certificate

	ctx      context.Context // ends with the HSM
	cancel   context.CancelCauseFunc
	work     sync.WaitGroup
	links    *links
	peers    *peers
	sessions *sessions
	hasher   *hasher

	group      atomic.Pointer[group] // nil until the HSM is taken in
	regroup    sync.Mutex            // one change of group at a time
	leadership signal                // there may be another leader, or another group
	told       signal                // the control plane spoke
}

func newNode(ctx context.Context, config hsmproto.BootConfig, boot *dialogue, log *slog.Logger) (*node, error) {
	n := &node{config: config, links: newLinks(), hasher: newHasher(), log: log.With("hsm", config.HsmID)}
	n.config.PlatformSecret, n.config.ProviderShare = nil, nil
	n.provider = secret.New(bytes.Clone(config.ProviderShare))
	n.ctx, n.cancel = context.WithCancelCause(ctx)
	n.peers, n.sessions = newPeers(n), newSessions(n)
	var err error
	if n.roots, err = parseRoots(&config); err != nil {
		return nil, err
	}
	if n.vault, err = openDevice(&config, n.roots, boot); err != nil {
		return nil, err
	}
	if err := n.openAudit(filepath.Join(config.Dir, auditFolder)); err != nil {
		return nil, err
	}
	d := n.vault.get()
	key, err := parseKey(d.HardwareKey)
	if err != nil {
		return nil, err
	}
	leaf, public, err := n.roots.parseHardware(d.Provider, d.Node)
	if err != nil {
		return nil, err
	}
	if !public.Equal(key.Public().(*ecdsa.PublicKey)) {
		return nil, errors.New("hsmnode: the hardware certificate is for another key")
	}
	n.hardware = tls.Certificate{Certificate: [][]byte{d.Provider}, PrivateKey: key, Leaf: leaf}
	return n, n.vault.sweep()
}

// run serves until the context ends; ready is called once all ports are open.
func (n *node) run(ready func()) error {
	listeners, err := n.listen()
	if err != nil {
		return err
	}
	g, err := n.startGroup()
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	n.group.Store(g)
	for i, serve := range []func(net.Listener){n.acceptClients, n.acceptManagement, n.acceptPeers} {
		n.work.Go(func() { serve(listeners[i]) })
	}
	n.work.Go(func() { n.sessions.run(n.ctx) })
	ready()
	n.log.Info("HSM is ready", "node", n.config.Node, "address", n.config.Address)
	<-n.ctx.Done()
	return n.shutdown(listeners)
}

func (n *node) shutdown(listeners []net.Listener) error {
	err := context.Cause(n.ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	err = errors.Join(err, closeAll(listeners))
	n.links.cut(func(string) bool { return true })
	n.work.Wait()
	n.regroup.Lock()
	defer n.regroup.Unlock()
	if g := n.group.Load(); g != nil {
		err = errors.Join(err, g.close())
	}
	return errors.Join(err, n.audit.settle(), n.audit.close())
}

// fail ends the HSM because of err, which it returns: the supervisor starts it again.
func (n *node) fail(err error) error {
	n.log.Error("HSM fails", "error", err)
	n.cancel(err)
	return err
}

// listen opens the three ports, in the order client, management, peer.
func (n *node) listen() ([]net.Listener, error) {
	var listeners []net.Listener
	for _, port := range []int{hsmproto.ClientPort, hsmproto.ManagementPort, hsmproto.PeerPort} {
		l, err := net.Listen("tcp", net.JoinHostPort(n.config.Address, strconv.Itoa(port)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("hsmnode: opening a port: %w", err), closeAll(listeners))
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) error {
	var err error
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return err
}
