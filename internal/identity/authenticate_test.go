package identity_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyward/internal/fault"
	"keyward/internal/identity"
	"keyward/internal/policy"
)

func TestAdministrator(t *testing.T) {
	w := newWorld(t)
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(w.admin.AccessKeyID) || len(w.admin.SecretAccessKey) != 40 {
		t.Errorf("access key %s with a secret of %d characters", w.admin.AccessKeyID, len(w.admin.SecretAccessKey))
	}
	p, err := w.identity.Principal(t.Context(), w.admin.AccessKeyID)
	if err != nil {
		t.Fatal(err)
	}
	want := policy.Caller{
		Type: "IAMUser", PrincipalID: p.PrincipalID, ARN: "arn:aws:iam::" + account + ":user/admin", Account: account,
		AccessKeyID: w.admin.AccessKeyID, UserName: "admin",
	}
	if p.Caller != want || !regexp.MustCompile(`^AIDA[A-Z2-7]{16}$`).MatchString(p.PrincipalID) {
		t.Errorf("got %+v", p.Caller)
	}
	if got := w.whoami(w.admin); got != want.ARN {
		t.Errorf("authenticated as %s", got)
	}
	if got := w.listKeys(w.admin); got != "" {
		t.Errorf("the administrator may not list keys: %s", got)
	}
}

func TestSecretsAreNotStoredInClear(t *testing.T) {
	w := newWorld(t)
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(w.dir + "/keyward.db" + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), w.admin.SecretAccessKey) {
			t.Errorf("the secret is in keyward.db%s", suffix)
		}
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	wrong := w.admin
	wrong.SecretAccessKey = wrong.SecretAccessKey[1:] + "x"
	unknown := w.admin
	unknown.AccessKeyID = "AKIABBBBBBBBBBBBBBBB"
	tokened := w.admin
	tokened.SessionToken = "token"
	for name, c := range map[string]struct {
		aws.Credentials
		json, query string
	}{
		"wrong secret":                    {wrong, "InvalidSignatureException", "SignatureDoesNotMatch"},
		"unknown key":                     {unknown, "UnrecognizedClientException", "InvalidClientTokenId"},
		"a token with a user's key":       {tokened, "UnrecognizedClientException", "InvalidClientTokenId"},
		"no kind of key that there is":    {aws.Credentials{AccessKeyID: "x", SecretAccessKey: "y"}, "UnrecognizedClientException", "InvalidClientTokenId"},
		"a session that was never opened": {aws.Credentials{AccessKeyID: "ASIAAAAAAAAAAAAAAAAA", SecretAccessKey: "y", SessionToken: "z"}, "UnrecognizedClientException", "InvalidClientTokenId"},
	} {
		if got := w.listKeys(c.Credentials); got != c.json {
			t.Errorf("%s: %s", name, got)
		}
		if got := w.whoami(c.Credentials); got != c.query {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// watched is a store that counts look-ups, and that a test can break or change.
type watched struct {
	identity.Store
	lookups atomic.Int32
	broken  error
	change  func(*identity.AccessKey)
}

func (s *watched) AccessKey(ctx context.Context, id string) (*identity.AccessKey, error) {
	s.lookups.Add(1)
	if s.broken != nil {
		return nil, s.broken
	}
	k, err := s.Store.AccessKey(ctx, id)
	if err == nil && s.change != nil {
		s.change(k)
	}
	return k, err
}

func TestStoreFailureIsNotARefusal(t *testing.T) {
	w := newWorld(t)
	s := w.service(&watched{Store: w.db.Identity(), broken: errors.New("disk gone")})
	if _, err := s.Principal(t.Context(), w.admin.AccessKeyID); err == nil || errors.Is(err, fault.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestExchangedSecretsDoNotOpen(t *testing.T) {
	w := newWorld(t)
	k, _, err := w.identity.CreateAccount(t.Context(), identity.Account{ID: other}, false)
	if err != nil {
		t.Fatal(err)
	}
	s := w.service(&watched{Store: w.db.Identity(), change: func(own *identity.AccessKey) { own.SealedSecret = k.SealedSecret }})
	if _, err := s.Principal(t.Context(), w.admin.AccessKeyID); err == nil {
		t.Error("a secret sealed for one key opened for another")
	}
}

func TestChangesBehindOurBackAreNoticedWithinASecond(t *testing.T) {
	w := newWorld(t)
	store := &watched{Store: w.db.Identity()}
	start := time.Now()
	now := start
	s := identity.New(identity.Config{Store: store, Sealer: w.root, Now: func() time.Time { return now }})
	for range 3 {
		if _, err := s.Principal(t.Context(), w.admin.AccessKeyID); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.lookups.Load(); n != 1 {
		t.Errorf("%d look-ups for one key", n)
	}
	store.change = func(k *identity.AccessKey) { k.Status = identity.Inactive }
	now = start.Add(time.Second)
	if _, err := s.Principal(t.Context(), w.admin.AccessKeyID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// slow is a store whose reading of one key is overtaken by a change.
type slow struct {
	identity.Store
	overtake func()
}

func (s *slow) AccessKey(ctx context.Context, id string) (*identity.AccessKey, error) {
	k, err := s.Store.AccessKey(ctx, id)
	if overtake := s.overtake; overtake != nil {
		s.overtake = nil
		overtake()
	}
	return k, err
}

func TestWhatAChangeOvertookIsNotCached(t *testing.T) {
	w := newWorld(t)
	store := &slow{Store: w.db.Identity()}
	s := w.service(store)
	store.overtake = func() {
		if _, _, err := s.CreateAdministrator(t.Context(), account); err != nil { // the old key goes
			t.Error(err)
		}
	}
	if _, err := s.Principal(t.Context(), w.admin.AccessKeyID); err != nil {
		t.Fatal(err) // what was read before the change still counts
	}
	if _, err := s.Principal(t.Context(), w.admin.AccessKeyID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestRootUser(t *testing.T) {
	w := newWorld(t)
	k, secret, err := w.identity.CreateAccount(t.Context(), identity.Account{ID: other, Name: "second"}, true)
	if err != nil {
		t.Fatal(err)
	}
	root := aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: string(secret.Expose())}
	if got := w.whoami(root); got != "arn:aws:iam::"+other+":root" {
		t.Errorf("authenticated as %s", got)
	}
	if got := w.listKeys(root); got != "" {
		t.Errorf("the root user may not list keys: %s", got)
	}
	if e := w.lastEvent("ListKeys"); !strings.Contains(e, `"userIdentity":{"type":"Root","principalId":"`+other+`"`) {
		t.Errorf("event %s", e)
	}
	if _, _, err := w.identity.CreateAccount(t.Context(), identity.Account{ID: other}, false); !errors.Is(err, identity.ErrAccountExists) {
		t.Errorf("an account twice: %v", err)
	}
	all, err := w.identity.Accounts(t.Context())
	if err != nil || len(all) != 2 || all[1].Name != "second" {
		t.Errorf("accounts %v, %v", all, err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	w := newWorld(t)
	k, secret, err := w.identity.CreateAccount(t.Context(), identity.Account{ID: other}, false)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", k, secret, secret), string(secret.Expose())) {
		t.Error("the secret prints")
	}
}
