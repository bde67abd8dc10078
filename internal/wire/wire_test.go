package wire_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/identity"
	"keyward/internal/operation"
	"keyward/internal/secret"
	"keyward/internal/storage/sqlite"
	"keyward/internal/wire"
)

const account = "111122223333"

// sealer is AES-256-GCM under a key that lives as long as the test.
type sealer struct{ cipher.AEAD }

func newSealer(t testing.TB) sealer {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return sealer{aead}
}

func (s sealer) Seal(purpose string, plaintext []byte) ([]byte, error) {
	return s.AEAD.Seal(nil, nil, plaintext, []byte(purpose)), nil
}

func (s sealer) Open(purpose string, sealed []byte) ([]byte, error) {
	return s.AEAD.Open(nil, nil, sealed, []byte(purpose))
}

// newDatabase is an empty one, for identities.
func newDatabase(t testing.TB) *sqlite.DB {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "keyward.db"), sqlite.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// journal is a recorder that keeps events in their stored form, and that a test can break.
type journal struct {
	broken atomic.Bool
	mu     sync.Mutex
	lines  []string
}

func (j *journal) Record(_ context.Context, e *audit.Event) error {
	if j.broken.Load() {
		return errors.New("disk full: marker-cause")
	}
	line, err := e.AppendJSON(nil)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(line))
	e.Kept = true
	return nil
}

func (j *journal) events() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// world is a server on a real port.
type world struct {
	t        testing.TB
	url      string
	handler  http.Handler
	key      identity.AccessKey
	secret   secret.Bytes
	identity *identity.Service
	journal  journal
	now      atomic.Pointer[time.Time]
	log      lockedBuffer
	observed chan string // what Observe was told, if a test made the channel
}

func newWorld(t testing.TB) *world { return newWorldWith(t, nil) }

// newWorldWith takes another recorder than the world's journal.
func newWorldWith(t testing.TB, recorder audit.Recorder) *world {
	w := &world{t: t}
	if recorder == nil {
		recorder = &w.journal
	}
	w.setNow(time.Now())
	w.identity = identity.New(identity.Config{Store: newDatabase(t).Identity(), Sealer: newSealer(t), Now: func() time.Time { return *w.now.Load() }})
	var err error
	if w.key, w.secret, err = w.identity.CreateAdministrator(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	h, err := wire.New(wire.Config{
		Services:      []operation.Service{toyKMS(), toyCloudHSM(), w.identity.IAM(), w.identity.STS(), toyEC2()},
		Authenticator: w.identity, Recorder: recorder,
		Now: func() time.Time { return *w.now.Load() },
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Observe: func(service, operation, code string, took time.Duration) {
			if took < 0 {
				t.Errorf("%s %s took %v", service, operation, took)
			}
			if w.observed != nil {
				w.observed <- service + " " + operation + " " + code
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handler = h
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) setNow(t time.Time) { w.now.Store(&t) }

func (w *world) config() aws.Config {
	return aws.Config{
		Region: "eu-central-1", BaseEndpoint: &w.url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(w.key.AccessKeyID, string(w.secret.Expose()), ""),
	}
}

// events are the kept events, oldest first.
func (w *world) events() []string { return w.journal.events() }

// toyKMS has operations that show what the wire does with each kind of outcome.
func toyKMS() operation.Service {
	return operation.Service{SigningName: "kms", Target: "TrentService", EventSource: "kms.amazonaws.com", Rows: []operation.Row{
		operation.Read("Encrypt", func(_ context.Context, c *operation.Call, in *kms.EncryptInput) (*kms.EncryptOutput, error) {
			c.About("AWS::KMS::Key", c.Scope.Key(*in.KeyId))
			return &kms.EncryptOutput{CiphertextBlob: in.Plaintext, KeyId: aws.String(c.Scope.Key(*in.KeyId))}, nil
		}, "KeyId", "EncryptionAlgorithm", "EncryptionContext"),
		operation.Read("ListKeys", func(context.Context, *operation.Call, *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
			return &kms.ListKeysOutput{Keys: nil}, nil
		}),
		operation.Write("EnableKey", func(context.Context, *operation.Call, *kms.EnableKeyInput) (*operation.Void, error) {
			return nil, nil
		}, "KeyId"),
		operation.Write("TagResource", func(_ context.Context, _ *operation.Call, in *kms.TagResourceInput) (*operation.Void, error) {
			return nil, fault.New("NotFoundException", "Key '%s' does not exist", *in.KeyId)
		}, "KeyId", "Tags"),
		operation.Write("DisableKey", func(_ context.Context, c *operation.Call, _ *kms.DisableKeyInput) (*operation.Void, error) {
			c.Event.Kept = true // as storage does in the transaction of the change
			return nil, nil
		}, "KeyId"),
		operation.Read("Decrypt", func(context.Context, *operation.Call, *kms.DecryptInput) (*kms.DecryptOutput, error) {
			return nil, fault.New("InvalidCiphertextException", "")
		}),
		operation.Read("DescribeKey", func(_ context.Context, _ *operation.Call, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
			return nil, errors.New("marker-cause")
		}, "KeyId"),
		operation.Read("GetKeyPolicy", func(_ context.Context, _ *operation.Call, in *kms.GetKeyPolicyInput) (*kms.GetKeyPolicyOutput, error) {
			panic("marker-input " + *in.KeyId)
		}),
		operation.Read("GenerateRandom", func(context.Context, *operation.Call, *kms.GenerateRandomInput) (*kms.GenerateRandomOutput, error) {
			return nil, &fault.Error{Code: "AccessDeniedException", Message: "no"}
		}),
	}}
}

func toyCloudHSM() operation.Service {
	return operation.Service{SigningName: "cloudhsm", Target: "BaldrApiService", EventSource: "cloudhsm.amazonaws.com", Rows: []operation.Row{
		operation.Read("DescribeClusters", func(context.Context, *operation.Call, *cloudhsmv2.DescribeClustersInput) (*cloudhsmv2.DescribeClustersOutput, error) {
			return nil, errors.New("marker-cause")
		}),
		operation.Write("CopyBackupToRegion", func(context.Context, *operation.Call, *cloudhsmv2.CopyBackupToRegionInput) (*cloudhsmv2.CopyBackupToRegionOutput, error) {
			return &cloudhsmv2.CopyBackupToRegionOutput{}, nil
		}).On(func(context.Context, *operation.Call, any) ([]operation.Resource, error) {
			return []operation.Resource{{ARN: "arn:aws:cloudhsm:::one"}, {ARN: "arn:aws:cloudhsm:::two", Action: "cloudhsm:TagResource"}}, nil
		}),
		operation.Write("DeleteCluster", func(_ context.Context, _ *operation.Call, in *cloudhsmv2.DeleteClusterInput) (*cloudhsmv2.DeleteClusterOutput, error) {
			return nil, fault.New("CloudHsmResourceNotFoundException", "Cluster %s not found", *in.ClusterId)
		}),
	}}
}

type describeVpcsInput struct {
	VpcIDs []string `query:"VpcId"`
	DryRun *bool
}

type describeVpcsOutput struct {
	Vpcs []struct {
		ID string `xml:"vpcId"`
	} `xml:"vpcSet"`
}

func toyEC2() operation.Service {
	return operation.Service{SigningName: "ec2", EventSource: "ec2.amazonaws.com", Rows: []operation.Row{
		operation.Read("DescribeVpcs", func(_ context.Context, _ *operation.Call, in *describeVpcsInput) (*describeVpcsOutput, error) {
			out := &describeVpcsOutput{}
			for _, id := range in.VpcIDs {
				out.Vpcs = append(out.Vpcs, struct {
					ID string `xml:"vpcId"`
				}{id})
			}
			return out, nil
		}, "VpcIDs"),
		operation.Write("DeleteVpc", func(context.Context, *operation.Call, *struct {
			ID string `query:"VpcId"`
		}) (*operation.Void, error) {
			return nil, nil
		}),
	}}
}

func TestSDKClients(t *testing.T) {
	w := newWorld(t)
	who, err := sts.NewFromConfig(w.config()).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *who.Account != account || *who.Arn != "arn:aws:iam::"+account+":user/admin" || *who.UserId != w.key.PrincipalID {
		t.Errorf("got %s %s %s", *who.Account, *who.Arn, *who.UserId)
	}
	out, err := kms.NewFromConfig(w.config()).Encrypt(t.Context(), &kms.EncryptInput{
		KeyId: aws.String("k"), Plaintext: []byte("marker-plaintext"), EncryptionContext: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if string(out.CiphertextBlob) != "marker-plaintext" || *out.KeyId != "arn:aws:kms:eu-central-1:"+account+":key/k" {
		t.Errorf("got %q %s", out.CiphertextBlob, *out.KeyId)
	}
	if _, err := kms.NewFromConfig(w.config()).EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: aws.String("k")}); err != nil {
		t.Error(err)
	}
	if _, err := kms.NewFromConfig(w.config()).DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: aws.String("k")}); err != nil {
		t.Error(err)
	}
	events := w.events()
	if len(events) != 3 { // the change kept its own
		t.Fatalf("%d events", len(events))
	}
	for _, part := range []string{`"eventName":"Encrypt"`, `"awsRegion":"eu-central-1"`, `"requestParameters":{"keyId":"k","encryptionContext":{"a":"b"}}`, `"sourceIPAddress":"127.0.0.1"`, `"accessKeyId":"` + w.key.AccessKeyID} {
		if !strings.Contains(events[1], part) {
			t.Errorf("%s lacks %s", events[1], part)
		}
	}
	if strings.Contains(strings.Join(events, ""), "marker") {
		t.Error("an event holds the plaintext")
	}
}

func TestSDKClientsUnderstandRefusals(t *testing.T) {
	w := newWorld(t)
	_, err := kms.NewFromConfig(w.config()).TagResource(t.Context(), &kms.TagResourceInput{KeyId: aws.String("k"), Tags: nil})
	if err == nil {
		t.Error("the SDK sends no request without tags")
	}
	for want, call := range map[string]func() error{
		"InvalidCiphertextException: ": func() error {
			_, err := kms.NewFromConfig(w.config()).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte{1}})
			return err
		},
		"CloudHsmResourceNotFoundException: Cluster cluster-abcdefghijk not found": func() error {
			_, err := cloudhsmv2.NewFromConfig(w.config()).DeleteCluster(t.Context(), &cloudhsmv2.DeleteClusterInput{ClusterId: aws.String("cluster-abcdefghijk")})
			return err
		},
		"KMSInternalException: The request was rejected because an internal exception occurred. The request can be retried.": func() error {
			_, err := kms.NewFromConfig(w.config()).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("k")})
			return err
		},
	} {
		var api smithy.APIError
		if err := call(); !errors.As(err, &api) || api.ErrorCode()+": "+api.ErrorMessage() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestNoAnswerWithoutRecord(t *testing.T) {
	w := newWorld(t)
	w.journal.broken.Store(true)
	client := kms.NewFromConfig(w.config())
	for name, call := range map[string]func() error{
		"read": func() error { _, err := client.ListKeys(t.Context(), nil); return err },
		"no change": func() error {
			_, err := client.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: aws.String("k")})
			return err
		},
		"refusal": func() error {
			_, err := client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte{1}})
			return err
		},
	} {
		var api smithy.APIError
		if err := call(); !errors.As(err, &api) || api.ErrorCode() != "KMSInternalException" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.Contains(w.log.String(), "disk full") {
		t.Errorf("the log does not say why: %s", w.log.String())
	}
}

func TestCausesStayInTheLog(t *testing.T) {
	w := newWorld(t)
	client := kms.NewFromConfig(w.config())
	_, internal := client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("k")})
	_, panicked := client.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: aws.String("k")})
	_, denied := client.GenerateRandom(t.Context(), &kms.GenerateRandomInput{})
	for _, err := range []error{internal, panicked} {
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != "KMSInternalException" || strings.Contains(err.Error(), "marker") {
			t.Errorf("the client reads %v", err)
		}
	}
	log := w.log.String()
	if !strings.Contains(log, "marker-cause") || !strings.Contains(log, "wire_test.go") {
		t.Errorf("the log lacks the cause or the stack: %s", log)
	}
	if strings.Contains(log, "marker-input") {
		t.Error("the log holds the input")
	}
	events := w.events()
	if len(events) != 3 || !strings.Contains(events[1], `"errorCode":"KMSInternalException"`) || !strings.Contains(events[2], `"errorCode":"AccessDenied"`) {
		t.Errorf("%v, %v", denied, events)
	}
}

func TestMountRefusesWhatDoesNotFit(t *testing.T) {
	in := func(name string, logged ...string) operation.Service {
		return operation.Service{SigningName: "kms", Target: "T", Rows: []operation.Row{
			operation.Read(name, func(context.Context, *operation.Call, *kms.EncryptInput) (*kms.EncryptOutput, error) { return nil, nil }, logged...)}}
	}
	for what, s := range map[string]operation.Service{
		"an operation without rules": in("Uncrypt"),
		"a member that is not there": in("Encrypt", "Key"),
		"a blob to be logged":        in("Encrypt", "Plaintext"),
		"an unknown JSON service":    {SigningName: "x", Target: "T"},
		"an unknown Query service":   {SigningName: "x"},
		"a row twice":                {SigningName: "kms", Target: "T", Rows: append(in("Encrypt").Rows, in("Encrypt").Rows...)},
	} {
		if _, err := wire.New(wire.Config{Services: []operation.Service{s}}); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

func TestStalledBodyDoesNotReachTheOperation(t *testing.T) {
	w := newWorld(t)
	body, feed := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.ContentLength = 10
	go func() { _ = feed.CloseWithError(errors.New("gone")) }()
	if resp, err := http.DefaultClient.Do(r); err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Error("half a body was answered")
		}
	}
	if len(w.events()) != 0 {
		t.Error("half a body was recorded")
	}
}
