package hsmnode

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"

	"keyward/internal/durable"
	"keyward/internal/secret"
)

// How long followers and leader do without hearing of the other. Tests wait longer: on a machine that they keep busy, HSMs
// are silent for as long as this without anything being wrong.
var (
	heartbeat   = 300 * time.Millisecond
	leaderLease = 250 * time.Millisecond
)

const (
	commitInterval   = 10 * time.Millisecond // how soon followers learn what is agreed on
	transportLimit   = 2 * time.Second
	segmentSize      = 4 << 20 // bytes of a log file, allocated in advance
	snapshotEvery    = 2 * time.Minute
	snapshotAfter    = 4096 // entries
	trailingEntries  = 1024 // kept after a snapshot for followers a little behind
	keptSnapshots    = 2
	transportPool    = 3
	observerCapacity = 64
)

// group is one run of this HSM's part in its replication group.
type group struct {
	number       uint64
	node         *node
	raft         *raft.Raft
	state        *state
	keys         *keyring
	partitionKey *ecdsa.PrivateKey
	storage      *storage
	transport    *raft.NetworkTransport
	stream       *stream
	arrived      atomic.Bool
	caughtUp     uint64 // tend's: the term under which this HSM, leading, has applied all that was agreed on before

	ctx  context.Context // ends with the group
	stop context.CancelFunc
	work sync.WaitGroup
}

// storage is the group's folder.
type storage struct {
	log       *wal.WAL
	meta      *metadb.BoltMetaDB // of log, which does not close it; while it is open nobody else can open the folder
	snapshots *raft.FileSnapshotStore
}

func openStorage(dir string, logger hclog.Logger) (*storage, error) {
	logs := filepath.Join(dir, "log")
	if err := durable.Mkdir(logs); err != nil {
		return nil, err
	}
	meta := new(metadb.BoltMetaDB)
	log, err := wal.Open(logs, wal.WithSegmentSize(segmentSize), wal.WithLogger(logger), wal.WithMetaStore(meta))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hsmnode: opening the log: %w", err), meta.Close())
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, keptSnapshots, logger)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hsmnode: opening the snapshots: %w", err), log.Close(), meta.Close())
	}
	return &storage{log, meta, snapshots}, nil
}

func (s *storage) close() error { return errors.Join(s.log.Close(), s.meta.Close()) }

func (s *storage) used() (bool, error) { return raft.HasExistingState(s.log, s.log, s.snapshots) }

// startGroup starts Raft over what the device file says. Nil without an error: the HSM has not been taken in yet.
func (n *node) startGroup() (*group, error) {
	d := n.vault.get()
	if d.Secrets == nil {
		return nil, nil
	}
	keys, err := newKeyring(secret.New(bytes.Clone(d.Secrets.MaskingKey)))
	if err != nil {
		return nil, err
	}
	partitionKey, err := parseKey(d.Secrets.PartitionKey)
	if err != nil {
		return nil, err
	}
	g := &group{number: d.Group, node: n, keys: keys, partitionKey: partitionKey, state: newState(keys)}
	g.ctx, g.stop = context.WithCancel(n.ctx)
	logger := quiet(n.log)
	if g.storage, err = openStorage(n.vault.raftDir(), logger); err != nil {
		return nil, err
	}
	g.stream = newStream(n, d.Group)
	g.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: g.stream, MaxPool: transportPool, Timeout: transportLimit, Logger: logger,
	})
	if err := g.start(d, logger); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// start completes what the device file says is unfinished, then runs Raft.
func (g *group) start(d *device, logger hclog.Logger) error {
	config := raftConfig(d.Node, logger)
	if err := g.prepare(d, config); err != nil {
		return err
	}
	g.state.opened = g.node.sessions.opened
	g.state.witness = &witness{log: g.node.audit, node: d.Node, dir: d.RaftDir}
	var err error
	if g.raft, err = raft.NewRaft(config, g.state, g.storage.log, g.storage.log, g.storage.snapshots, g.transport); err != nil {
		return errors.Join(fmt.Errorf("hsmnode: starting replication: %w", err), g.state.refused())
	}
	if d.Start == startBootstrap || d.Start == startRecover {
		if err := g.node.vault.update(func(d *device) error { d.Start = startNormal; return nil }); err != nil {
			return err
		}
	}
	g.observe()
	g.work.Go(g.tend)
	return nil
}

// prepare makes the storage ready. Every step may have been done before a crash.
func (g *group) prepare(d *device, config *raft.Config) error {
	used, err := g.storage.used()
	if err != nil {
		return fmt.Errorf("hsmnode: reading the log: %w", err)
	}
	if used {
		if err := g.storage.readable(g.keys); err != nil {
			return err
		}
	}
	alone := raft.Configuration{Servers: []raft.Server{{
		ID: raft.ServerID(d.Node), Address: raft.ServerAddress(peerAddress(g.node.config.Address)),
	}}}
	switch {
	case d.Start == startBootstrap && !used:
		err = raft.BootstrapCluster(config, g.storage.log, g.storage.log, g.storage.snapshots, g.transport, alone)
	case d.Start == startRecover && used:
		survivor := &survivor{newState(g.keys), d.Node}
		survivor.witness = &witness{log: g.node.audit, node: d.Node, dir: d.RaftDir, joined: true}
		err = raft.RecoverCluster(config, survivor, g.storage.log, g.storage.log, g.storage.snapshots, g.transport, alone)
	case d.Start != startFresh && !used:
		err = errors.New("the log is gone")
	}
	if err != nil {
		return fmt.Errorf("hsmnode: preparing replication: %w", err)
	}
	return nil
}

// readable tells before anything is replayed whether all of it can be: a log of another state machine format would
// make another state, one of another cluster none at all.
func (s *storage) readable(keys *keyring) error {
	next, err := s.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.log.LastIndex()
	if err != nil {
		return err
	}
	snapshots, err := s.snapshots.List()
	if err != nil {
		return err
	}
	if len(snapshots) > 0 { // newest first
		next = max(next, snapshots[0].Index+1)
	}
	var entry raft.Log
	for ; next <= last && last > 0; next++ {
		if err := s.log.GetLog(next, &entry); err != nil {
			return err
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		if _, err := openCommand(keys, &entry); err != nil {
			return err
		}
	}
	return nil
}

// survivor is the state during a takeover: its snapshot says that this HSM is the only voter.
type survivor struct {
	*state
	node string
}

// Snapshot implements raft.FSM.
func (s *survivor) Snapshot() (raft.FSMSnapshot, error) {
	s.mu.Lock()
	s.voters = []string{s.node}
	s.mu.Unlock()
	return s.state.Snapshot()
}

func raftConfig(node string, logger hclog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(node)
	c.HeartbeatTimeout = heartbeat
	c.ElectionTimeout = heartbeat
	c.LeaderLeaseTimeout = leaderLease
	c.CommitTimeout = commitInterval
	c.SnapshotInterval = snapshotEvery
	c.SnapshotThreshold = snapshotAfter
	c.TrailingLogs = trailingEntries
	c.NoLegacyTelemetry = true
	c.Logger = logger
	return c
}

// observe wakes those who wait for a leader.
func (g *group) observe() {
	seen := make(chan raft.Observation, observerCapacity)
	observer := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		default:
			return false
		}
	})
	g.raft.RegisterObserver(observer)
	g.work.Go(func() {
		for {
			select {
			case <-seen:
				g.node.leadership.fire()
			case <-g.ctx.Done():
				return
			}
		}
	})
}

// joined reports whether this HSM is a voter that has applied everything acknowledged before it became one. After a
// restart that is so once a leader has told how much of the log is agreed on.
func (g *group) joined() bool {
	_, voters := g.state.agreed()
	return slices.Contains(voters, g.node.config.Node)
}

// belongs reports whether this HSM has joined, in this run or an earlier one: then its disk holds everything that was
// acknowledged, even while it has no leader and has not replayed it.
func (g *group) belongs() bool {
	if g.joined() {
		return true
	}
	d := g.node.vault.get()
	return d.Group == g.number && d.Start == startNormal &&
		slices.Contains(votersOf(g.raft.GetConfiguration().Configuration()), d.Node)
}

// ready is joined, remembered: it is asked for every call. A member that leaves is fenced by others.
func (g *group) ready() bool {
	if g.arrived.Load() {
		return true
	}
	if g.joined() {
		g.arrived.Store(true)
		return true
	}
	return false
}

func (g *group) leads() bool { return g.raft.State() == raft.Leader }

// close ends the group's part in everything; the state stays readable.
func (g *group) close() error {
	g.stop()
	var err error
	if g.raft != nil {
		err = g.raft.Shutdown().Error()
	}
	g.work.Wait()
	g.transport.CloseStreams()
	return errors.Join(err, g.transport.Close(), g.storage.close())
}

// quiet lets warnings of the libraries through to the log. They name nodes and addresses, never contents.
func quiet(log *slog.Logger) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: lines{log}, DisableTime: true})
}

type lines struct{ log *slog.Logger }

// Write takes one message of hclog.
func (l lines) Write(p []byte) (int, error) {
	l.log.Debug("replication", "message", string(bytes.TrimSpace(p)))
	return len(p), nil
}
