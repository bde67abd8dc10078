package hsmtest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"keyward/internal/hsmproto"
)

// Hsm is one HSM and, while it runs, its process.
type Hsm struct {
	ID      string
	Address string // IP

	cluster  *Cluster
	node     string
	dir      string
	hardware []byte // DER certificate under the provider root

	process *exec.Cmd // nil while it is down
	stdin   io.WriteCloser
}

func (c *Cluster) newHsm(address string) *Hsm {
	h := &Hsm{ID: "hsm-" + letters(11), Address: address, cluster: c, node: "node-" + letters(11)}
	h.dir = filepath.Join(c.t.TempDir(), h.ID)
	c.t.Cleanup(func() {
		if h.process != nil {
			h.Kill()
		}
	})
	return h
}

// Kill ends the process at once, as a power cut would.
func (h *Hsm) Kill() {
	h.cluster.t.Helper()
	h.cluster.must(h.process.Process.Kill())
	_ = h.process.Wait() // says that it was killed
	_ = h.stdin.Close()  // its reader is gone
	h.process = nil
}

// Start starts the HSM again after Kill and returns when it serves.
func (h *Hsm) Start() {
	h.cluster.t.Helper()
	h.boot("")
}

// Pause stops the process without ending it: it answers nothing until Resume, but its connections stand.
func (h *Hsm) Pause() {
	h.cluster.t.Helper()
	h.cluster.must(h.process.Process.Signal(syscall.SIGSTOP))
}

// Resume lets a paused process go on.
func (h *Hsm) Resume() {
	h.cluster.t.Helper()
	h.cluster.must(h.process.Process.Signal(syscall.SIGCONT))
}

// boot starts the process and goes through the boot dialogue.
func (h *Hsm) boot(create hsmproto.Create) {
	t := h.cluster.t
	t.Helper()
	h.process = exec.Command(os.Args[0])
	h.process.Env = append(os.Environ(), variable+"=1")
	h.process.Stderr = &logWriter{t: t, name: h.ID}
	stdin, err := h.process.StdinPipe()
	h.cluster.must(err)
	stdout, err := h.process.StdoutPipe()
	h.cluster.must(err)
	h.stdin = stdin
	h.cluster.must(h.process.Start())
	say, hear := json.NewEncoder(stdin), json.NewDecoder(stdout)
	h.cluster.must(say.Encode(h.config(create)))
	for {
		var hello hsmproto.BootHello
		if err := hear.Decode(&hello); err != nil {
			t.Fatalf("%s says nothing: %v", h.ID, err)
		}
		switch {
		case hello.Error != "":
			t.Fatalf("%s gives up: %s", h.ID, hello.Error)
		case hello.Ready:
			return
		}
		h.cluster.must(say.Encode(h.certify(hello.HardwareKey)))
	}
}

func (h *Hsm) config(create hsmproto.Create) hsmproto.BootConfig {
	return hsmproto.BootConfig{
		HsmID: h.ID, ClusterID: h.cluster.ID, Node: h.node, Address: h.Address, Dir: h.dir,
		HsmType: "hsm2m.medium", Mode: "FIPS", PlatformSecret: h.cluster.platform,
		ProviderRoot: h.cluster.provider.certificate.Raw, ManufacturerRoot: h.cluster.maker.certificate.Raw,
		Create: create,
	}
}

// certify vouches for a new HSM's hardware key, as provider and manufacturer.
func (h *Hsm) certify(der []byte) hsmproto.BootCertificates {
	t := h.cluster.t
	public, err := x509.ParsePKIXPublicKey(der)
	h.cluster.must(err)
	template := func() *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: h.node}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	h.hardware = h.cluster.provider.issue(t, template(), public).Raw
	return hsmproto.BootCertificates{Provider: h.hardware, Manufacturer: h.cluster.maker.issue(t, template(), public).Raw}
}

// manage opens a connection of the control plane.
func (h *Hsm) manage() *hsmproto.Conn {
	t := h.cluster.t
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{h.cluster.manager},
		InsecureSkipVerify: true, // compared below
		VerifyConnection: func(state tls.ConnectionState) error {
			if string(state.PeerCertificates[0].Raw) != string(h.hardware) {
				return errors.New("another HSM answers")
			}
			return nil
		},
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(h.Address, strconv.Itoa(hsmproto.ManagementPort)))
	h.cluster.must(err)
	return hsmproto.NewConn(conn)
}

// awaitJoined returns when the HSM counts itself in.
func (h *Hsm) awaitJoined() {
	h.cluster.t.Helper()
	conn := h.manage()
	defer conn.Close()
	h.cluster.await(h.ID+" does not join", func() bool {
		var status hsmproto.StatusReply
		h.cluster.must(conn.Call(h.cluster.t.Context(), hsmproto.OpStatus, hsmproto.Empty{}, &status))
		return status.Joined && status.Initialized
	})
}

// logWriter hands an HSM's log to its test.
type logWriter struct {
	t    testing.TB
	name string
	mu   sync.Mutex
	rest []byte
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		advance, line, _ := bufio.ScanLines(w.rest, false)
		if advance == 0 {
			return len(p), nil
		}
		w.t.Logf("%s: %s", w.name, line)
		w.rest = w.rest[advance:]
	}
}
