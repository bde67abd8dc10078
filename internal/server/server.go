package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/arn"
	"keyward/internal/clock"
	"keyward/internal/cloudhsm"
	"keyward/internal/cloudtrail"
	"keyward/internal/durable"
	"keyward/internal/fault"
	"keyward/internal/fleet"
	"keyward/internal/hardening"
	"keyward/internal/httpserver"
	"keyward/internal/identity"
	"keyward/internal/keystore"
	keys "keyward/internal/kms"
	"keyward/internal/network"
	"keyward/internal/operation"
	"keyward/internal/rootkey"
	"keyward/internal/secret"
	"keyward/internal/storage/sqlite"
	"keyward/internal/wire"
)

// Run serves an installation until ctx ends, then finishes what is in flight. It calls ready with the endpoint's URL
// once requests are served and, on a first start, the example store is connected.
func Run(ctx context.Context, c Config, ready func(endpoint string)) (err error) {
	if err := c.validate(); err != nil {
		return err
	}
	if err := hardening.Process(); err != nil {
		return fmt.Errorf("hardening the process: %w", err)
	}
	i, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	if err := i.listen(ctx); err != nil {
		return err
	}
	if !c.Empty {
		if err := i.example().build(ctx); err != nil {
			return i.interrupted(ctx, err)
		}
	}
	ready(i.endpoint)
	select {
	case <-ctx.Done():
		return nil
	case err := <-i.failed:
		return err
	}
}

// installation is one that is open. Its parts are closed in the reverse order of their opening.
type installation struct {
	config  Config
	quotas  quotas
	scope   arn.Scope
	closers []func() error
	failed  chan error // a part that cannot go on

	root     rootkey.Key
	db       *sqlite.DB
	clock    *clock.Clock
	trail    *cloudtrail.Service
	identity *identity.Service
	network  *network.Service
	clusters *cloudhsm.Service
	hsms     atomic.Pointer[fleet.Fleet] // nil until they are opened: the socket for commands is there before
	stores   *keystore.Manager
	keys     *keys.Service
	handler  http.Handler
	metrics  *metrics

	accessKeyID string
	secretKey   secret.Bytes
	endpoint    string
	caBundle    []byte      // PEM of a self-signed endpoint certificate
	serving     atomic.Bool // the four above are set
}

// open opens the data folder and starts everything behind the listener.
func open(ctx context.Context, c Config) (_ *installation, err error) {
	limited, err := c.quotas()
	if err != nil {
		return nil, err
	}
	i := &installation{config: c, quotas: limited, scope: arn.Scope{Account: c.Account, Region: c.Region}, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.close())
		}
	}()
	for _, part := range []func(context.Context) error{
		i.openFolder, i.openRootKey, i.openDatabase, i.openClock, i.openTrail, i.openIdentity, i.openAdmin, i.openNetwork,
		i.openClusters, i.openKeyStores, i.openKeys, i.openHandler,
	} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// onClose registers what undoes the newest part.
func (i *installation) onClose(f func() error) { i.closers = append(i.closers, f) }

func (i *installation) close() error {
	var all error
	for n := len(i.closers) - 1; n >= 0; n-- {
		all = errors.Join(all, i.closers[n]())
	}
	i.closers = nil
	return all
}

// background runs work until the installation closes.
func (i *installation) background(run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { run(ctx) })
	i.onClose(func() error {
		cancel()
		done.Wait()
		return nil
	})
}

// interrupted is nil when the operator ended a start, otherwise err.
func (i *installation) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("building %s: %w", ExampleStoreName, err)
}

func (i *installation) openFolder(context.Context) error {
	if err := durable.Mkdir(i.config.Data); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	lock, err := lockFolder(i.config.Data)
	if err != nil {
		return err
	}
	i.onClose(lock.Close)
	return nil
}

// openRootKey opens the root key, or makes it on a first start: the key comes before the database, so that a database
// without its key is never started anew.
func (i *installation) openRootKey(context.Context) error {
	path := i.config.path("root.key")
	by, err := rootkey.ChooseSealer(i.config.sealKey(), i.config.SealPassphraseFile)
	if err != nil {
		return err
	}
	database, err := isThere(i.databasePath())
	if err != nil {
		return err
	}
	key, err := isThere(path)
	if err != nil {
		return err
	}
	switch {
	case key:
		i.root, err = rootkey.Open(path, by)
	case database:
		return fmt.Errorf("%s is missing: without it nothing in %s can be opened; put it back", path, i.databasePath())
	default:
		i.root, err = rootkey.Create(path, by)
	}
	return err
}

func (i *installation) databasePath() string { return i.config.path("keyward.db") }

func (i *installation) openDatabase(ctx context.Context) error {
	there, err := isThere(i.databasePath())
	if err != nil {
		return err
	}
	i.db, err = sqlite.Open(ctx, i.databasePath(), sqlite.Options{Create: !there, RelaxedAudit: i.config.RelaxedAudit})
	if err != nil {
		return err
	}
	i.onClose(i.db.Close)
	return nil
}

func (i *installation) openClock(ctx context.Context) error {
	offset, err := clockOffset(ctx, i.db)
	if err != nil {
		return err
	}
	i.clock = clock.New(offset)
	return nil
}

// clockOffset is how far the installation's clock is ahead of the machine's.
func clockOffset(ctx context.Context, db *sqlite.DB) (time.Duration, error) {
	text, err := db.Setting(ctx, offsetSetting)
	if errors.Is(err, fault.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return time.ParseDuration(string(text))
}

// serve reports when a listener stops for any reason but being closed.
func (i *installation) serve(s interface{ Serve(l net.Listener) error }, l net.Listener) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		i.fail(fmt.Errorf("serving %s: %w", l.Addr(), err))
	}
}

// fail tells Run that a part cannot go on. It does not wait: one reason to stop is enough, and nobody asks for another.
func (i *installation) fail(err error) {
	select {
	case i.failed <- err:
	default:
	}
}

// handOut is the administrator's access key, kept sealed for DIR/env to be written again.
const handOut = "administrator access key"

type sealedHandOut struct {
	AccessKeyID string `json:"accessKeyId"`
	Secret      []byte `json:"secret"`
}

// openIdentity makes the administrator on a first start. A start that was cut short between making the user and
// keeping the key makes another key: the first one was never handed out.
func (i *installation) openIdentity(ctx context.Context) error {
	// Signatures are judged by the machine's clock: clients know of no rehearsal.
	i.identity = identity.New(identity.Config{Store: i.db.Identity(), Sealer: i.root, Now: time.Now})
	i.background(func(ctx context.Context) {
		i.identity.Run(ctx, func(err error) { i.config.Log.Error("tidying identities", "error", err) })
	})
	sealed, err := i.db.Setting(ctx, handOut)
	if errors.Is(err, fault.ErrNotFound) {
		return i.makeAdministrator(ctx)
	}
	if err != nil {
		return err
	}
	plain, err := i.root.Open(handOut, sealed)
	if err != nil {
		return err
	}
	defer clear(plain)
	var kept sealedHandOut
	if err := json.Unmarshal(plain, &kept); err != nil {
		return fmt.Errorf("reading the administrator's access key: %w", err)
	}
	i.accessKeyID, i.secretKey = kept.AccessKeyID, secret.New(kept.Secret)
	return nil
}

func (i *installation) makeAdministrator(ctx context.Context) error {
	key, secretKey, err := i.identity.CreateAdministrator(ctx, i.config.Account)
	if err != nil {
		return err
	}
	i.accessKeyID, i.secretKey = key.AccessKeyID, secretKey
	plain, err := json.Marshal(sealedHandOut{key.AccessKeyID, secretKey.Expose()})
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := i.root.Seal(handOut, plain)
	if err != nil {
		return err
	}
	return i.db.PutSetting(ctx, handOut, sealed)
}

func (i *installation) openClusters(ctx context.Context) error {
	authority, err := cloudhsm.OpenAuthority(ctx, i.db, i.root, time.Now)
	if err != nil {
		return err
	}
	hsms, err := fleet.New(fleet.Config{
		Dir:        i.config.Data,
		Executable: i.config.Executable,
		Authority:  authority,
		PlatformSecret: func(hsmID string) ([]byte, error) {
			return i.root.Derive("hsm platform " + hsmID).Expose(), nil
		},
		Log: i.config.Log,
	})
	if err != nil {
		return err
	}
	i.onClose(hsms.Close)
	i.hsms.Store(hsms)
	i.clusters = cloudhsm.New(cloudhsm.Config{
		Store: i.db.CloudHSM(), Network: sites{i.network}, Fleet: hsms, Authority: authority,
		Now: i.clock.Now, Log: i.config.Log,
	})
	i.clock.OnMove(i.clusters.Wake)
	i.background(func(ctx context.Context) {
		if err := i.clusters.Run(ctx); err != nil && ctx.Err() == nil {
			i.fail(fmt.Errorf("keeping clusters: %w", err))
		}
	})
	return nil
}

func (i *installation) openKeyStores(ctx context.Context) error {
	i.stores = keystore.New(keystore.Config{
		Store: i.db.KeyStores(), Sealer: i.root,
		Clusters: keystore.ClustersOf(i.clusters), Network: keystore.NetworkOf(i.clusters, i.network),
		Now: i.clock.Now, Log: i.config.Log,
		OperationsPerSecond: i.quotas.storeRate, MaxStores: i.quotas.stores,
	})
	i.onClose(func() error { i.stores.Close(); return nil })
	return i.stores.Start(ctx)
}

func (i *installation) openKeys(context.Context) error {
	i.keys = keys.New(keys.Config{
		Store: i.db.KMS(), Root: i.root, Directory: i.identity, Default: keys.NewDefaultStore(i.root), Stores: i.stores,
		Now: i.clock.Now, Log: i.config.Log, Settle: i.config.SettleTime,
		Limits: i.quotas.limits, Requests: i.quotas.requests,
	})
	i.clock.OnMove(i.keys.Wake)
	i.background(i.keys.Run)
	return nil
}

// services are the APIs behind the endpoint.
func (i *installation) services() []operation.Service {
	kmsAPI := i.keys.API()
	kmsAPI.Rows = append(kmsAPI.Rows, keys.OnNoKey(i.stores.Rows())...)
	return []operation.Service{kmsAPI, i.clusters.API(), i.identity.IAM(), i.identity.STS(), i.network.API(), i.trail.API()}
}

func (i *installation) openHandler(context.Context) (err error) {
	i.metrics = newMetrics(i)
	i.handler, err = wire.New(wire.Config{
		Services:      i.services(),
		Authenticator: i.identity,
		Recorder:      i.db,
		Now:           i.clock.Now,
		Log:           i.config.Log,
		Observe:       i.metrics.observe,
	})
	return err
}

// listen opens the endpoint and writes DIR/env.
func (i *installation) listen(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", i.config.Listen)
	if err != nil {
		return fmt.Errorf("opening the endpoint: %w", err)
	}
	scheme := "http"
	if i.config.tls() {
		certificate, err := i.certificate()
		if err != nil {
			return errors.Join(err, l.Close())
		}
		l, scheme = tls.NewListener(l, tlsConfig(certificate)), "https"
	}
	i.endpoint = scheme + "://" + l.Addr().String()
	s := httpserver.New(i.handler, &http.Server{
		Handler:           i.routes(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		ErrorLog:          errorLog(i.config.Log),
	})
	i.serving.Store(true)
	go i.serve(s, l)
	i.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		return s.Shutdown(ctx)
	})
	return i.writeEnvironment()
}

func (i *installation) certificate() (tls.Certificate, error) {
	if !i.config.TLSSelfSigned {
		return tls.LoadX509KeyPair(i.config.TLSCert, i.config.TLSKey)
	}
	certificate, text, err := selfSigned(i.config.Listen, time.Now())
	i.caBundle = text
	return certificate, err
}

func (i *installation) writeEnvironment() error {
	if i.caBundle != nil {
		if err := durable.WriteFile(i.bundlePath(), i.caBundle); err != nil {
			return err
		}
	}
	return i.environment(i.accessKeyID, i.secretKey).write(i.config.path("env"))
}

func (i *installation) bundlePath() string { return i.config.path("endpoint.crt") }

// environment is what a shell needs to call the installation with an access key.
func (i *installation) environment(accessKeyID string, secretKey secret.Bytes) environment {
	e := environment{
		endpoint: i.endpoint, accessKeyID: accessKeyID, secretKey: secretKey, region: i.config.Region, data: i.config.Data,
	}
	if i.caBundle != nil {
		e.caBundle = i.bundlePath()
	}
	return e
}

func (i *installation) example() *example {
	client := aws.Config{
		Region:       i.config.Region,
		BaseEndpoint: aws.String(i.endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(i.accessKeyID, string(i.secretKey.Expose()), ""),
	}
	if i.caBundle != nil {
		client.HTTPClient = trusting(i.caBundle)
	}
	return &example{
		kms: kms.NewFromConfig(client), hsm: cloudhsmv2.NewFromConfig(client),
		subnets: func(ctx context.Context) ([]string, error) { return i.network.DefaultSubnets(ctx, i.scope) },
		keep:    i.db, sealer: i.root,
		dir:      i.config.path(ExampleStoreName),
		cliDir:   filepath.Join(i.config.Data, "cloudhsm-cli"),
		endpoint: i.endpoint,
		progress: i.config.Progress, log: i.config.Log,
	}
}
