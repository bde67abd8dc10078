package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
	"keyward/internal/secret"
	"keyward/internal/sigv4"
)

const account = "111122223333"

// memory is a Store that counts look-ups.
type memory struct {
	keys    map[string]*AccessKey
	lookups atomic.Int32
	broken  error
}

func (m *memory) AccessKey(_ context.Context, id string) (*AccessKey, error) {
	m.lookups.Add(1)
	if m.broken != nil {
		return nil, m.broken
	}
	if k := m.keys[id]; k != nil {
		return k, nil
	}
	return nil, fault.ErrNotFound
}

func (m *memory) InsertAccessKey(_ context.Context, k *AccessKey) error {
	if m.keys[k.AccessKeyID] != nil {
		return fault.ErrExists
	}
	m.keys[k.AccessKeyID] = k
	return nil
}

// xor is a sealer that is good enough to show whether something was sealed, and for which purpose.
type xor struct{}

func (xor) Seal(purpose string, plaintext []byte) ([]byte, error) {
	sealed := []byte(purpose + "|")
	for _, b := range plaintext {
		sealed = append(sealed, b^0xff)
	}
	return sealed, nil
}

func (xor) Open(purpose string, sealed []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(sealed), purpose+"|")
	if !ok {
		return nil, errors.New("sealed for another purpose")
	}
	plain := []byte(rest)
	for i := range plain {
		plain[i] ^= 0xff
	}
	return plain, nil
}

type world struct {
	*Service
	store  *memory
	now    time.Time
	key    AccessKey
	secret secret.Bytes
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{store: &memory{keys: map[string]*AccessKey{}}, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	w.Service = New(Config{Store: w.store, Sealer: xor{}, Now: func() time.Time { return w.now }})
	var err error
	if w.key, w.secret, err = w.CreateAdministrator(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	return w
}

// signed makes a request signed now with the given access key.
func (w *world) signed(t *testing.T, id, secretKey string) *sigv4.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sts.us-east-1.amazonaws.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := sha256.Sum256(nil)
	c := aws.Credentials{AccessKeyID: id, SecretAccessKey: secretKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(empty[:]), "sts", "us-west-2", w.now); err != nil {
		t.Fatal(err)
	}
	return &sigv4.Request{Method: r.Method, Path: "/", Host: r.Host, Header: r.Header}
}

func (w *world) authenticate(t *testing.T, id, secretKey string) error {
	t.Helper()
	_, _, err := w.Authenticate(t.Context(), w.signed(t, id, secretKey), "sts")
	return err
}

func kind(err error) sigv4.Kind {
	if e := (*sigv4.Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

func TestAdministrator(t *testing.T) {
	w := newWorld(t)
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(w.key.AccessKeyID) || !regexp.MustCompile(`^AIDA[A-Z2-7]{16}$`).MatchString(w.key.PrincipalID) {
		t.Errorf("ids %s, %s", w.key.AccessKeyID, w.key.PrincipalID)
	}
	if w.secret.Len() != 40 {
		t.Errorf("a secret of %d characters", w.secret.Len())
	}
	if strings.Contains(string(w.store.keys[w.key.AccessKeyID].SealedSecret), string(w.secret.Expose())) {
		t.Error("the secret is stored in clear")
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", w.key, w.key, w.secret), string(w.secret.Expose())) {
		t.Error("the secret prints")
	}
	caller, scope, err := w.Authenticate(t.Context(), w.signed(t, w.key.AccessKeyID, string(w.secret.Expose())), "sts")
	if err != nil {
		t.Fatal(err)
	}
	want := policy.Caller{Type: "IAMUser", PrincipalID: w.key.PrincipalID, ARN: "arn:aws:iam::" + account + ":user/admin", Account: account,
		AccessKeyID: w.key.AccessKeyID, UserName: "admin"}
	if caller != want || scope != (arn.Scope{Account: account, Region: "us-west-2"}) {
		t.Errorf("got %+v in %+v", caller, scope)
	}
	out, err := getCallerIdentity(t.Context(), &operation.Call{Caller: caller}, nil)
	if err != nil || *out != (GetCallerIdentityOutput{Arn: want.ARN, UserId: want.PrincipalID, Account: account}) {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestRoot(t *testing.T) {
	k := AccessKey{Account: account, ARN: arn.Root(account), PrincipalID: account}
	if got := k.Caller().Type; got != "Root" {
		t.Errorf("type %s", got)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	good := string(w.secret.Expose())
	if got := kind(w.authenticate(t, "AKIABBBBBBBBBBBBBBBB", good)); got != sigv4.UnknownKey {
		t.Errorf("unknown key: %v", got)
	}
	if got := kind(w.authenticate(t, w.key.AccessKeyID, good[1:]+"x")); got != sigv4.Mismatch {
		t.Errorf("wrong secret: %v", got)
	}
	r := w.signed(t, w.key.AccessKeyID, good)
	if _, _, err := w.Authenticate(t.Context(), r, "kms"); kind(err) != sigv4.Scope {
		t.Errorf("other service: %v", err)
	}
	w.now = w.now.Add(sigv4.MaxSkew + time.Second)
	if _, _, err := w.Authenticate(t.Context(), r, "sts"); kind(err) != sigv4.Expired {
		t.Errorf("late: %v", err)
	}
}

func TestSessionTokensAreRefused(t *testing.T) {
	w := newWorld(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://h/", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := aws.Credentials{AccessKeyID: w.key.AccessKeyID, SecretAccessKey: string(w.secret.Expose()), SessionToken: "token"}
	empty := sha256.Sum256(nil)
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(empty[:]), "sts", "us-west-2", w.now); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Authenticate(t.Context(), &sigv4.Request{Method: r.Method, Path: "/", Host: r.Host, Header: r.Header}, "sts")
	if !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("got %v", err)
	}
}

func TestStoreFailureIsNotARefusal(t *testing.T) {
	w := newWorld(t)
	w.store.broken = errors.New("disk gone")
	if err := w.authenticate(t, w.key.AccessKeyID, string(w.secret.Expose())); err == nil || kind(err) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestExchangedSecretsDoNotOpen(t *testing.T) {
	w := newWorld(t)
	other, _, err := w.CreateAdministrator(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	w.store.keys[other.AccessKeyID].SealedSecret = w.store.keys[w.key.AccessKeyID].SealedSecret
	if err := w.authenticate(t, other.AccessKeyID, string(w.secret.Expose())); err == nil {
		t.Error("a secret sealed for one key opened for another")
	}
}

func TestDeactivationIsNoticedWithinAMinute(t *testing.T) {
	w := newWorld(t)
	good := string(w.secret.Expose())
	for range 3 {
		if err := w.authenticate(t, w.key.AccessKeyID, good); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.store.lookups.Load(); n != 1 {
		t.Errorf("%d look-ups for one key", n)
	}
	w.store.keys[w.key.AccessKeyID].Status = Inactive
	w.now = w.now.Add(freshness)
	if err := w.authenticate(t, w.key.AccessKeyID, good); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("got %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(3)
	e := &entry{expires: time.Unix(1, 0)}
	for i := range 10 {
		c.put(fmt.Sprint(i), e)
		if c.get(fmt.Sprint(i), time.Time{}) != e {
			t.Fatal("the newest entry is missing")
		}
	}
	if len(c.keys) != 3 {
		t.Errorf("%d entries", len(c.keys))
	}
	if c.get("9", time.Unix(1, 0)) != nil {
		t.Error("an entry outlived its time")
	}
}
