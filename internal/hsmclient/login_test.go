package hsmclient

import (
	"context"
	"errors"
	"testing"

	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

func TestLoginStopsAtTheFirstRefusal(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.client(t, nil, hsms...)
	must(t, client.Connect(t.Context()))
	if _, err := client.Login(t.Context(), kmsuser("wrong")); !errors.Is(err, errIncorrect) {
		t.Fatalf("%v", err)
	}
	if a, b := hsms[0].offered("wrong"), hsms[1].offered("wrong"); a != 1 || b != 0 {
		t.Errorf("the wrong password was offered %d and %d times", a, b)
	}
	if _, err := client.Encrypt(t.Context(), encrypting); !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("after a refused login: %v", err)
	}
}

func TestRefusedLoginLeavesNobodyLoggedIn(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	hsms[1].lock()
	client := fake.client(t, nil, hsms...)
	must(t, client.Connect(t.Context()))
	if _, err := client.Login(t.Context(), kmsuser("password-1")); !errors.Is(err, errLocked) {
		t.Fatalf("%v", err)
	}
	if n := hsms[0].count(hsmproto.OpLogout); n != 1 {
		t.Errorf("%d logouts where the login had succeeded", n)
	}
}

func TestLoginReplacesLogin(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	_, err := client.Login(t.Context(), kmsuser("password-1"))
	must(t, err)
	_, err = client.Encrypt(t.Context(), encrypting)
	must(t, err)
}

func TestLogout(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	must(t, client.Logout(t.Context()))
	for _, h := range hsms {
		if h.count(hsmproto.OpLogout) != 1 {
			t.Error("an HSM was left logged in")
		}
	}
	if err := client.Logout(t.Context()); !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("a second logout: %v", err)
	}
	hsms[0].kill()
	hsms[0].start()
	eventually(t, client, "reconnected", func(s []HsmState) bool { return s[0].Connected && s[1].Connected })
	if _, err := client.Encrypt(t.Context(), encrypting); !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("after a reconnection: %v", err)
	}
	if n := hsms[0].offered("password-1"); n != 1 {
		t.Errorf("%d logins on an HSM after one Login", n)
	}
}

// A wrong password is offered once in all, however often connections come back.
func TestWrongPasswordIsOfferedOnce(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	fake.setPassword("password-2")
	for range 3 {
		for i, h := range hsms {
			h.kill()
			eventually(t, client, "loss noticed", func(s []HsmState) bool { return !s[i].Connected })
			h.start()
			eventually(t, client, "connected", func(s []HsmState) bool { return s[i].Connected })
		}
		eventually(t, client, "refusal known", func(s []HsmState) bool {
			return errors.Is(s[0].Err, errIncorrect) && errors.Is(s[1].Err, errIncorrect)
		})
	}
	if _, err := client.Encrypt(t.Context(), encrypting); !errors.Is(err, errIncorrect) {
		t.Errorf("calls fail with %v", err)
	}
	if n := hsms[0].offered("password-1") + hsms[1].offered("password-1") - 2; n != 1 {
		t.Errorf("the wrong password was offered %d times", n)
	}
	client.SetPassword(secret.FromString("password-2"))
	eventually(t, client, "logged in", allLoggedIn(2))
}

// A lock is one HSM's own: the other goes on serving.
func TestLockedOnOneHsm(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	hsms[0].kill()
	eventually(t, client, "loss noticed", func(s []HsmState) bool { return !s[0].Connected })
	hsms[0].lock()
	hsms[0].start()
	eventually(t, client, "lock known", func(s []HsmState) bool { return errors.Is(s[0].Err, errLocked) })
	_, err := client.Encrypt(t.Context(), encrypting)
	must(t, err)
	client.timing.patience = 0
	hsms[1].kill()
	if _, err := client.Encrypt(t.Context(), encrypting); !errors.Is(err, errLocked) {
		t.Errorf("when only the locked one is left: %v", err)
	}
	if n := hsms[0].offered("password-1"); n != 2 {
		t.Errorf("%d logins where the user is locked", n)
	}
}

func TestOwnPasswordIsKept(t *testing.T) {
	fake, hsms := newFakeCluster(t, 2)
	client := fake.connected(t, nil, hsms...)
	_, err := client.ChangePassword(t.Context(), "KMSUSER", hsmproto.RoleCryptoUser, secret.FromString("password-2"))
	must(t, err)
	hsms[1].kill()
	eventually(t, client, "loss noticed", func(s []HsmState) bool { return !s[1].Connected })
	hsms[1].start()
	eventually(t, client, "logged in again", allLoggedIn(2))
	if hsms[1].offered("password-2") != 1 || hsms[1].offered("password-1") != 1 {
		t.Error("the new password was not used at once")
	}
}

func TestAmbiguousPasswordChange(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	fake.decide(func(_ *fakeHsm, op hsmproto.Op) fate {
		if op == hsmproto.OpChangePassword {
			return cutAfter
		}
		return serve
	})
	_, err := client.ChangePassword(t.Context(), "kmsuser", hsmproto.RoleCryptoUser, secret.FromString("password-2"))
	if !errors.Is(err, ErrAmbiguous) {
		t.Fatalf("%v", err)
	}
	eventually(t, client, "connected", func(s []HsmState) bool { return s[0].Connected })
	if _, err := client.Encrypt(t.Context(), encrypting); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("calls fail with %v", err)
	}
	if hsms[0].offered("password-1") != 1 || hsms[0].offered("password-2") != 0 {
		t.Error("a login was tried before it was known which password holds")
	}
	client.SetPassword(secret.FromString("password-2"))
	eventually(t, client, "logged in", allLoggedIn(1))
}

func TestCancelledPasswordChangeIsAmbiguous(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	ctx, cancel := context.WithCancel(t.Context())
	fake.decide(func(_ *fakeHsm, op hsmproto.Op) fate {
		if op == hsmproto.OpChangePassword {
			cancel()
			return ignore
		}
		return serve
	})
	_, err := client.ChangePassword(ctx, "kmsuser", hsmproto.RoleCryptoUser, secret.FromString("password-2"))
	if !errors.Is(err, ErrAmbiguous) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestRefusedPasswordChangeIsClear(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.connected(t, nil, hsms...)
	fake.decide(func(_ *fakeHsm, op hsmproto.Op) fate {
		if op == hsmproto.OpChangePassword {
			return forgetting
		}
		return serve
	})
	_, err := client.ChangePassword(t.Context(), "kmsuser", hsmproto.RoleCryptoUser, secret.FromString("password-2"))
	if !errors.Is(err, ErrNotLoggedIn) || errors.Is(err, ErrAmbiguous) {
		t.Errorf("%v", err)
	}
	_, err = client.Encrypt(t.Context(), encrypting)
	must(t, err)
}

// The caller's password stays the caller's.
func TestPasswordIsCopied(t *testing.T) {
	fake, hsms := newFakeCluster(t, 1)
	client := fake.client(t, nil, hsms...)
	must(t, client.Connect(t.Context()))
	credentials := kmsuser("password-1")
	_, err := client.Login(t.Context(), credentials)
	must(t, err)
	credentials.Password.Wipe()
	hsms[0].kill()
	eventually(t, client, "loss noticed", func(s []HsmState) bool { return !s[0].Connected })
	hsms[0].start()
	eventually(t, client, "logged in again", allLoggedIn(1))
}
