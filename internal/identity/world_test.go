package identity_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"keyward/internal/identity"
	"keyward/internal/operation"
	"keyward/internal/rootkey"
	"keyward/internal/storage/sqlite"
	"keyward/internal/wire"
)

const (
	account = "111122223333"
	other   = "444455556666"
)

// world is identities on a real database behind a real port, with one operation of another service to be allowed or
// not.
type world struct {
	testing.TB
	dir      string
	db       *sqlite.DB
	root     rootkey.Key
	identity *identity.Service
	url      string
	ahead    atomic.Int64 // how far the services' clock is ahead of the machine's, by which clients sign
	stopped  atomic.Pointer[time.Time]
	admin    aws.Credentials
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir()}
	var err error
	if w.root, err = rootkey.Create(filepath.Join(w.dir, "root.key"), rootkey.KeyFile(filepath.Join(w.dir, "seal.key"))); err != nil {
		t.Fatal(err)
	}
	if w.db, err = sqlite.Open(t.Context(), filepath.Join(w.dir, "keyward.db"), sqlite.Options{Create: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.identity = w.service(w.db.Identity())
	key, secret, err := w.identity.CreateAdministrator(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	w.admin = aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: string(secret.Expose())}
	w.serve()
	return w
}

func (w *world) now() time.Time {
	now := time.Now()
	if stopped := w.stopped.Load(); stopped != nil {
		now = *stopped
	}
	return now.Add(time.Duration(w.ahead.Load()))
}

// stop has the services' clock stand still but for ahead, so that nothing depends on how long the machine takes.
func (w *world) stop() {
	now := time.Now()
	w.stopped.Store(&now)
}

func (w *world) service(s identity.Store) *identity.Service {
	return identity.New(identity.Config{Store: s, Sealer: w.root, Now: w.now})
}

func (w *world) serve() {
	w.Helper()
	toy := operation.Service{SigningName: "kms", Target: "TrentService", EventSource: "kms.amazonaws.com", Rows: []operation.Row{
		operation.Read("ListKeys", func(context.Context, *operation.Call, *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
			return &kms.ListKeysOutput{}, nil
		}),
		operation.Write("EnableKey", func(context.Context, *operation.Call, *kms.EnableKeyInput) (*operation.Void, error) {
			return nil, nil
		}, "KeyId"),
	}}
	h, err := wire.New(wire.Config{
		Services:      []operation.Service{toy, w.identity.IAM(), w.identity.STS()},
		Authenticator: w.identity, Recorder: w.db, Now: w.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.Fatal(err)
	}
	server := httptest.NewServer(h)
	w.Cleanup(server.Close)
	w.url = server.URL
}

// config is that of a client with these credentials.
func (w *world) config(c aws.Credentials) aws.Config {
	return aws.Config{
		Region: "us-west-2", BaseEndpoint: &w.url, RetryMaxAttempts: 1,
		Credentials: credentials.StaticCredentialsProvider{Value: c},
	}
}

func (w *world) sts(c aws.Credentials) *sts.Client { return sts.NewFromConfig(w.config(c)) }

func (w *world) iam(c aws.Credentials) *iam.Client { return iam.NewFromConfig(w.config(c)) }

func (w *world) kms(c aws.Credentials) *kms.Client { return kms.NewFromConfig(w.config(c)) }

// listKeys is the error code of a call that needs kms:ListKeys, empty if it is allowed.
func (w *world) listKeys(c aws.Credentials) string {
	_, err := w.kms(c).ListKeys(context.Background(), &kms.ListKeysInput{})
	return code(err)
}

// whoami is the ARN behind credentials, or the error code.
func (w *world) whoami(c aws.Credentials) string {
	out, err := w.sts(c).GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
	if err != nil {
		return code(err)
	}
	return *out.Arn
}

// code is the exception that err is, empty for none.
func code(err error) string {
	if e := smithy.APIError(nil); errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func message(err error) string {
	if e := smithy.APIError(nil); errors.As(err, &e) {
		return e.ErrorMessage()
	}
	return ""
}

// events are the kept events, oldest first.
func (w *world) events() (all []string) {
	w.Helper()
	err := w.db.Events(context.Background(), func(line []byte) error {
		all = append(all, string(line))
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// lastEvent is the newest event of an operation.
func (w *world) lastEvent(name string) string {
	w.Helper()
	all := w.events()
	for i := len(all) - 1; i >= 0; i-- {
		if strings.Contains(all[i], `"eventName":"`+name+`"`) {
			return all[i]
		}
	}
	w.Fatalf("no event of %s", name)
	return ""
}

// account makes another account and returns its administrator's credentials.
func (w *world) account(id string) aws.Credentials {
	w.Helper()
	k, secret, err := w.identity.CreateAccount(context.Background(), identity.Account{ID: id}, false)
	if err != nil {
		w.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: string(secret.Expose())}
}
