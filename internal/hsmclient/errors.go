package hsmclient

import (
	"errors"
	"fmt"
	"strings"

	"keyward/internal/hsmproto"
)

// Causes of failure that no HSM reports, because none was asked. Refusals by an HSM are *hsmproto.Error; compare both
// kinds with errors.Is.
var (
	// ErrUnreachable: no HSM of the cluster answers. Nothing was done.
	ErrUnreachable = errors.New("hsmclient: no HSM of the cluster can be reached")
	// ErrUntrusted: what answers does not prove to be an HSM of the cluster. Nothing was sent to it.
	ErrUntrusted = errors.New("hsmclient: the HSM's certificate is not trusted")
	// ErrAmbiguous: the request was sent and may or may not have been carried out. Its cause is wrapped too.
	ErrAmbiguous = errors.New("hsmclient: it is not known whether the HSM carried out the request")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("hsmclient: closed")
)

// Refusals that this package itself looks at or makes.
var (
	// ErrNoSession: all sessions of this client are in use; the call may be repeated later.
	ErrNoSession error = &hsmproto.Error{Code: hsmproto.CodeNoSession}
	// ErrNotLoggedIn: Login was not called, or Logout was.
	ErrNotLoggedIn error = &hsmproto.Error{Code: hsmproto.CodeNotLoggedIn}

	errIncorrect   = &hsmproto.Error{Code: hsmproto.CodeIncorrectCredentials}
	errLocked      = &hsmproto.Error{Code: hsmproto.CodeLocked}
	errUnavailable = &hsmproto.Error{Code: hsmproto.CodeUnavailable}
	errKeyNotFound = &hsmproto.Error{Code: hsmproto.CodeKeyNotFound}
	errKeyExists   = &hsmproto.Error{Code: hsmproto.CodeKeyExists}
)

// reason is why one HSM could not be used.
type reason struct {
	address string
	err     error
}

// unreachable says per address why no HSM could be used. One certificate that is not trusted outweighs any number of
// HSMs that do not answer: it is what the operator has to look at.
func unreachable(reasons []reason) error {
	if len(reasons) == 0 {
		return fmt.Errorf("%w: there is none", ErrUnreachable)
	}
	kind := ErrUnreachable
	texts := make([]string, len(reasons))
	for i, r := range reasons {
		if errors.Is(r.err, ErrUntrusted) {
			kind = ErrUntrusted
		}
		texts[i] = fmt.Sprintf("%s: %v", r.address, r.err)
	}
	return fmt.Errorf("%w (%s)", kind, strings.Join(texts, "; "))
}

// lost reports whether the connection broke during the call.
func lost(err error) bool {
	var l *hsmproto.LostError
	return errors.As(err, &l)
}

// refused reports whether an HSM answered the request with a refusal after which it certainly did nothing.
func refused(err error) bool {
	var refusal *hsmproto.Error
	return errors.As(err, &refusal) && refusal.Code != hsmproto.CodeUnavailable && refusal.Code != hsmproto.CodeInternal
}

// settle marks the failure of a request that changes something and cannot be repeated, unless it is certain that
// nothing was done.
func settle(err error) error {
	if err == nil || refused(err) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAmbiguous, err)
}
