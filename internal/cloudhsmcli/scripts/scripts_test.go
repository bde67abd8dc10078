// Package scripts_test runs the command line as operators and their scripts do: as processes, against HSM processes.
package scripts_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"keyward/internal/cloudhsmcli"
	"keyward/internal/hsmproto"
	"keyward/internal/hsmtest"
)

// A test binary is also the command line and, as hsmtest asks, an HSM.
func TestMain(m *testing.M) {
	hsmtest.RunHsm()
	testscript.Main(m, map[string]func(){"cloudhsm-cli": func() {
		os.Exit(cloudhsmcli.Run(context.Background(), cloudhsmcli.Env{
			Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		}))
	}})
}

// Scripts run against real HSM processes. They see CLUSTER (an id), HSMS (addresses, separated by commas), IP1 and HSM1
// and so on (address of one, address and port), STRANGER (address and port of a server that is no HSM of the cluster)
// and ca.pem; the cluster is configured under KEYWARD_DATA. Numbers are those of spec cloudhsm-cli section 12.
func TestScripts(t *testing.T) {
	hsmtest.Sequential(t)
	for script, need := range map[string]struct {
		hsms  int
		users []string // nil: the cluster is not activated
	}{
		"activate": {1, nil},
		"single":   {1, []string{"alice"}},
		"users":    {2, []string{"alice", "kmsuser"}},
		"keys":     {2, []string{"alice", "bob"}},
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			cluster := hsmtest.Start(t, need.hsms)
			if need.users != nil {
				cluster.Activate(need.users...)
			}
			run(t, cluster, script)
		})
	}
}

func run(t *testing.T, cluster *hsmtest.Cluster, script string) {
	stranger, asked := strangeHsm(t)
	testscript.Run(t, testscript.Params{
		Files:               []string{filepath.Join("testdata", script+".txt")},
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("CLUSTER", cluster.ID)
			env.Setenv("HSMS", strings.Join(cluster.Addresses(), ","))
			for i, address := range cluster.Addresses() {
				env.Setenv("IP"+strconv.Itoa(i+1), address)
				env.Setenv("HSM"+strconv.Itoa(i+1), net.JoinHostPort(address, strconv.Itoa(hsmproto.ClientPort)))
			}
			env.Setenv("STRANGER", stranger)
			env.Setenv("KEYWARD_DATA", filepath.Join(env.WorkDir, "data"))
			if err := os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), cluster.CA, 0o600); err != nil {
				return err
			}
			return cloudhsmcli.SaveConfiguration(filepath.Join(env.WorkDir, "data", "cloudhsm-cli"), cloudhsmcli.Configuration{
				ClusterID: cluster.ID, Addresses: cluster.Addresses(), TrustAnchor: string(cluster.CA),
			})
		},
	})
	if asked.Load() {
		t.Error("something was sent to an HSM that is not trusted")
	}
}

// strangeHsm listens with a certificate of no customer, and notes whether anything is sent to it.
func strangeHsm(t *testing.T) (address string, asked *atomic.Bool) {
	asked = new(atomic.Bool)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{hsmtest.Stranger(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if n, _ := conn.Read(make([]byte, 1)); n > 0 {
				asked.Store(true)
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String(), asked
}
