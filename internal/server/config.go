// Package server turns a configuration into a running installation: it opens the data folder, starts the HSMs, puts
// the services behind one listener and takes all of it down again in order. It is the only place where adapters and
// services meet.
package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"time"
)

// Config says what to run. Data, Account, Region, Listen and Executable must be set; Defaults fills in the rest of
// what the command line leaves open.
type Config struct {
	// Data is the installation's folder. It is made, mode 0700, when it is not there.
	Data string
	// Listen is the endpoint's TCP address. Anything but a loopback address needs TLS.
	Listen string
	// Region is where the first start puts the default VPC and the example store; requests choose their own.
	Region string
	// Account is the installation's account, 12 digits.
	Account string
	// Empty leaves out the example cluster and key store on the first start.
	Empty bool
	// Dev allows rehearsal aids: the clock can be moved.
	Dev bool
	// RelaxedAudit answers read-only calls before their event is on the disk.
	RelaxedAudit bool
	// Quotas adjusts resource quotas, by their names on the command line; AWS's values hold for all others.
	Quotas map[string]int
	// AWSRequestQuotas bounds how often accounts may call as AWS does. RequestQuotas adjusts or adds bounds, in requests
	// per second, by AWS's names (kms.NewRequestQuotas). With neither there is no bound.
	AWSRequestQuotas bool
	RequestQuotas    map[string]float64
	// KeyStoreRate is the request quota of each key store, which counts cryptographic operations, when it is not zero.
	KeyStoreRate int
	// SettleTime is how long a key stays Creating after ReplicateKey and Updating after UpdatePrimaryRegion.
	SettleTime time.Duration
	// TLSCert and TLSKey are PEM files; TLSSelfSigned makes a certificate instead.
	TLSCert, TLSKey string
	TLSSelfSigned   bool
	// SealKey is the file that unlocks the root key; empty means "seal.key" in Data.
	SealKey string
	// SealPassphraseFile holds a passphrase that unlocks the root key instead.
	SealPassphraseFile string
	// Executable is the command, with its leading arguments, that runs one HSM.
	Executable []string
	// Log receives the installation's log.
	Log *slog.Logger
	// Progress is told what a slow step is about, in a few words.
	Progress func(step string)
}

// Defaults of the command line (product contract).
const (
	DefaultData    = "./keyward-data"
	DefaultListen  = "127.0.0.1:4766"
	DefaultRegion  = "us-east-1"
	DefaultAccount = "111122223333"
)

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	regionForm  = regexp.MustCompile(`^([a-z]+-){2,3}\d+$`)
)

// validate names the first setting that cannot be.
func (c *Config) validate() error {
	switch {
	case c.Data == "":
		return errors.New("no data folder is given: use --data DIR")
	case !accountForm.MatchString(c.Account):
		return fmt.Errorf("account %q is not 12 digits", c.Account)
	case !regionForm.MatchString(c.Region):
		return fmt.Errorf("region %q is not of the form us-east-1", c.Region)
	case c.SettleTime < 0:
		return fmt.Errorf("a settle time of %v is over before it begins", c.SettleTime)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case c.TLSCert != "" && c.TLSSelfSigned:
		return errors.New("--tls-self-signed makes a certificate of its own: leave out --tls-cert and --tls-key")
	case len(c.Executable) == 0:
		return errors.New("no command to run HSMs with")
	}
	if !c.tls() && !loopback(c.Listen) {
		return fmt.Errorf("%s is not a loopback address, so requests need TLS: add --tls-self-signed, or --tls-cert and --tls-key", c.Listen)
	}
	_, err := c.quotas()
	return err
}

func (c *Config) tls() bool { return c.TLSSelfSigned || c.TLSCert != "" }

// loopback is true only where every address the listener would take is a loopback address.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// path is a file or folder of the installation.
func (c *Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Data}, elem...)...)
}

func (c *Config) sealKey() string {
	if c.SealKey != "" {
		return c.SealKey
	}
	return c.path("seal.key")
}

// Time limits of the endpoint.
const (
	headerTime   = 10 * time.Second // a request's headers
	requestTime  = 60 * time.Second // a whole request, its body included
	answerTime   = 2 * time.Minute  // an answer, and all that led to it where net/http sends it
	idleTime     = 2 * time.Minute  // a connection without requests
	shutdownTime = 20 * time.Second // requests in flight, when asked to stop
)

// tlsConfig is what the endpoint asks of clients.
func tlsConfig(certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12, // AWS's own minimum: older SDKs still speak it
		NextProtos:   []string{"http/1.1"},
	}
}
