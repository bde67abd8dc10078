package bench

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/bench/bare"
	"keyward/internal/httpserver"
	"keyward/internal/identity"
	"keyward/internal/kms"
	"keyward/internal/operation"
	"keyward/internal/policy"
	"keyward/internal/rootkey"
	"keyward/internal/storage/sqlite"
	"keyward/internal/wire"
)

const account = "111122223333"

// stack is the default store's whole way through (identity, wire, kms, storage) in this process, where -cpuprofile and
// -memprofile see it.
type stack struct {
	handler     *wire.Handler
	credentials aws.Credentials
	bare        *bare.Handler
	key         string
	// What is behind the handler.
	store     kms.Store
	material  *kms.DefaultStore
	rows      map[string]operation.Row
	principal *policy.Principal
}

func newStack(b *testing.B, relaxed bool) *stack {
	b.Helper()
	dir := b.TempDir()
	db, err := sqlite.Open(b.Context(), filepath.Join(dir, "keyward.db"), sqlite.Options{Create: true, RelaxedAudit: relaxed})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	root, err := rootkey.Create(filepath.Join(dir, "root.json"), rootkey.KeyFile(filepath.Join(dir, "seal.key")))
	if err != nil {
		b.Fatal(err)
	}
	users := identity.New(identity.Config{Store: db.Identity(), Sealer: root, Now: time.Now})
	admin, secretKey, err := users.CreateAdministrator(b.Context(), account)
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s := &stack{
		credentials: aws.Credentials{AccessKeyID: admin.AccessKeyID, SecretAccessKey: string(secretKey.Expose())},
		store:       db.KMS(), material: kms.NewDefaultStore(root), rows: map[string]operation.Row{},
	}
	keys := kms.New(kms.Config{Store: s.store, Root: root, Default: s.material, Now: time.Now, Log: log})
	for _, row := range keys.API().Rows {
		s.rows[row.Name] = row
	}
	if s.bare, err = bare.New(admin.AccessKeyID, secretKey, time.Now); err != nil {
		b.Fatal(err)
	}
	s.handler, err = wire.New(wire.Config{
		Services: []operation.Service{keys.API()}, Authenticator: users, Recorder: db, Now: time.Now, Log: log,
	})
	if err != nil {
		b.Fatal(err)
	}
	if s.principal, err = users.Principal(b.Context(), admin.AccessKeyID); err != nil {
		b.Fatal(err)
	}
	s.key = *invoke[awskms.CreateKeyOutput](b, s, "CreateKey", &awskms.CreateKeyInput{}).KeyMetadata.KeyId
	return s
}

// home is where everything is.
var home = arn.Scope{Account: account, Region: "us-east-1"}

// invoke runs an operation without the wire.
func invoke[Out any](b *testing.B, s *stack, name string, in any) *Out {
	b.Helper()
	call := &operation.Call{
		Scope: home, Caller: s.principal.Caller, Principal: s.principal, Time: time.Now(), Event: &audit.Event{Time: time.Now()},
	}
	out, err := s.rows[name].Invoke(b.Context(), call, in)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return out.(*Out)
}

// endpoint serves a handler as an installation does.
func endpoint(b *testing.B, h http.Handler) (address string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server, ended := httpserver.New(h, &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, WriteTimeout: time.Minute}), make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	b.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return l.Addr().String()
}

// spent is the processor time that this process has used. Unlike the time of day it does not depend on what else the
// machine does.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkInProcess is BenchmarkEncrypt for a profiler: all in one process, load generator included, so its ratios are
// kinder than the real ones.
func BenchmarkInProcess(b *testing.B) {
	for _, c := range []struct {
		name    string
		relaxed bool
	}{{"audit=durable", false}, {"audit=relaxed", true}} {
		b.Run(c.name, func(b *testing.B) {
			s := newStack(b, c.relaxed)
			yardstick := httptest.NewServer(s.bare)
			defer yardstick.Close()
			ours := endpoint(b, s.handler)
			var sum, cpu [2]float64
			rounds := 0.0
			for b.Loop() {
				rounds++
				for n, address := range []string{strings.TrimPrefix(yardstick.URL, "http://"), ours} {
					request := signed(b, s.credentials, address, s.key)
					ctx, cancel := context.WithTimeout(b.Context(), slice/2)
					began := spent(b)
					perSecond, err := Load(ctx, address, request, connections)
					cancel()
					if err != nil {
						b.Fatal(err)
					}
					sum[n] += perSecond
					cpu[n] += float64((spent(b) - began).Microseconds()) / (perSecond * slice.Seconds() / 2)
				}
			}
			b.ReportMetric(0, "ns/op") // an iteration's time says nothing
			b.ReportMetric(sum[0]/rounds, "bare-req/s")
			b.ReportMetric(sum[1]/rounds, "req/s")
			b.ReportMetric(sum[1]/sum[0], "ratio")
			b.ReportMetric(cpu[0]/rounds, "bare-cpu-µs/req")
			b.ReportMetric(cpu[1]/rounds, "cpu-µs/req")
		})
	}
}
