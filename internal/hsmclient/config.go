// Package hsmclient holds one client's connections to all HSMs of a cluster: it verifies them, logs in on each, spreads
// calls over them, fails over within a call, and comes back by itself when an HSM was restarted or a new one joined.
//
// It knows the HSM's language (hsmproto) and nothing of KMS, key stores or the operators' shell, which use it. It
// never sees key material, and holds a password only to log in again where a connection was lost.
//
// Calls read an immutable view of the live connections and take no lock. What changes the view (connections that come
// and go, logins) is done by one goroutine per HSM and by Login and Logout, one at a time.
package hsmclient

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"keyward/internal/hsmproto"
)

// MaxHsms bounds the addresses of one cluster: AWS allows 28 HSMs in a cluster.
const MaxHsms = 28

// ClientIDLength is the length in bytes of Config.Client.
const ClientIDLength = 32

// Config says whom to talk to and whom to trust.
type Config struct {
	// Addresses gives the HSMs to use, as IPs or host:port (without a port: hsmproto.ClientPort). It is asked by
	// Connect, when a connection was lost, and every Refresh.
	Addresses func(ctx context.Context) ([]string, error)
	// TrustAnchor is PEM, one or more certificates: the customer's CA. An HSM's certificate must chain to one of them;
	// it names no host, and its key usages are not looked at.
	TrustAnchor []byte
	// ClusterCertificate, PEM, is optional: when set, the HSM's certificate must be this one.
	ClusterCertificate []byte
	// Dial opens a connection; nil means net.Dialer with a limit of two seconds.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Client ties the logins of this client on several HSMs and over its restarts together; nil means fresh random
	// bytes, otherwise it has ClientIDLength.
	Client []byte
	// MaxSessions bounds calls in progress; zero means hsmproto.MaxSessionsPerConnection.
	MaxSessions int
	// Refresh is how often Addresses is asked while all HSMs are connected; zero means five seconds, negative never.
	Refresh time.Duration
	// Now judges the validity of certificates and dates State; nil means time.Now.
	Now func() time.Time
	// Log receives comings and goings; nil discards them.
	Log *slog.Logger
}

// timing are the waits of a Cluster. They measure elapsed time on the machine's own clock, not on Config.Now, which may
// be moved.
type timing struct {
	connect   time.Duration // to dial and shake hands
	heartbeat time.Duration // between questions whether an HSM still answers
	silence   time.Duration // after which an HSM that does not answer is given up
	ask       time.Duration // for Config.Addresses
	login     time.Duration // for one login on one HSM
	change    time.Duration // for one change of users or keys, which HSMs have to agree on
	patience  time.Duration // for which a call waits for a lost connection to come back
	refresh   time.Duration // between questions for the addresses while an HSM is missing
	backoff   time.Duration // before the first new attempt to connect or log in; doubles
	backoffTo time.Duration // the longest of these
}

var defaultTiming = timing{
	connect:   4 * time.Second,
	heartbeat: time.Second,
	silence:   3 * time.Second,
	ask:       15 * time.Second,
	login:     10 * time.Second,
	change:    30 * time.Second,
	patience:  3 * time.Second,
	refresh:   5 * time.Second,
	backoff:   50 * time.Millisecond,
	backoffTo: 2 * time.Second,
}

// New checks cfg and dials nothing.
func New(cfg Config) (*Cluster, error) {
	if cfg.Addresses == nil {
		return nil, errors.New("hsmclient: no addresses")
	}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	trust, err := newTrust(cfg)
	if err != nil {
		return nil, err
	}
	return newCluster(cfg, trust.config()), nil
}

// complete sets the defaults.
func (cfg *Config) complete() error {
	switch len(cfg.Client) {
	case ClientIDLength:
	case 0:
		cfg.Client = make([]byte, ClientIDLength)
		_, _ = rand.Read(cfg.Client) // never fails
	default:
		return fmt.Errorf("hsmclient: the client id has %d bytes instead of %d", len(cfg.Client), ClientIDLength)
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: 2 * time.Second}).DialContext
	}
	if cfg.MaxSessions <= 0 {
		cfg.MaxSessions = hsmproto.MaxSessionsPerConnection
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = defaultTiming.refresh
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// addresses asks where the HSMs are and brings the answer into one form: with port, sorted, each once.
func (c *Cluster) addresses(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timing.ask)
	defer cancel()
	given, err := c.cfg.Addresses(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding the HSMs: %w", err)
	}
	if len(given) > MaxHsms {
		return nil, fmt.Errorf("finding the HSMs: %d addresses, more than the %d that a cluster can have", len(given), MaxHsms)
	}
	list := make([]string, len(given))
	for i, address := range given {
		list[i] = withPort(address)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(address, strconv.Itoa(hsmproto.ClientPort))
}

// dial opens a verified connection to one HSM.
func (c *Cluster) dial(ctx context.Context, address string) (*hsmproto.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timing.connect)
	defer cancel()
	raw, err := c.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dialling: %w", err)
	}
	secured := tls.Client(raw, c.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS handshake: %w", err), ignoreClosed(raw.Close()))
	}
	return hsmproto.NewConn(secured), nil
}

// ignoreClosed: a failed handshake may have closed the connection already.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
