package keystore

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// attempt is the asynchronous part of ConnectCustomKeyStore (spec key-stores 5.2). Its steps follow each other; the
// first that fails ends it, and the cause becomes the ConnectionErrorCode.
type attempt struct {
	m      *Manager
	record *Record
	pool   Pool

	password  secret.Bytes // kmsuser's, as far as known
	candidate secret.Bytes // set perhaps by a rotation that was not finished; empty if there is none
	// dropCandidate is set once the HSMs have said that the candidate kept in the record is not the password.
	dropCandidate bool
}

func (a *attempt) run(ctx context.Context) error {
	defer a.wipe()
	steps := []func(context.Context) error{
		a.examine, a.attach, a.reach, a.findUser, a.openPasswords, a.firstLogin, a.rotate,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) wipe() {
	a.password.Wipe()
	a.candidate.Wipe()
}

// failure is a step's failure whose code the step knows itself.
type failure struct {
	code  types.ConnectionErrorCodeType
	cause error
}

func (f *failure) Error() string { return string(f.code) + ": " + f.cause.Error() }

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.cause }

func failed(code types.ConnectionErrorCodeType, cause string) error {
	return &failure{code, errors.New(cause)}
}

// examine looks at the cluster: steps 1 to 4.
func (a *attempt) examine(ctx context.Context) error {
	c, err := a.m.clusters.Cluster(ctx, a.record.Scope, a.record.ClusterID)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return failed(types.ConnectionErrorCodeTypeClusterNotFound, "the cluster does not exist")
	case err != nil:
		return err
	case !c.Serving || len(c.Hsms) == 0:
		return failed(types.ConnectionErrorCodeTypeInsufficientCloudhsmHsms, "the cluster has no active HSM")
	}
	return a.m.clusters.Subnets(ctx, a.record.Scope, a.record.ClusterID)
}

// attach makes the store's network interfaces: step 5.
func (a *attempt) attach(ctx context.Context) error {
	if a.m.network == nil {
		return nil
	}
	return a.m.network.Attach(ctx, a.record.Scope, a.record.ID, a.record.ClusterID)
}

// reach opens the channel to the HSMs and verifies them against the trust anchor: step 6.
func (a *attempt) reach(ctx context.Context) error { return a.m.insist(ctx, a.pool.Connect) }

// findUser looks kmsuser up: step 7. A user of that name in another role does not count.
func (a *attempt) findUser(ctx context.Context) error {
	var listed hsmproto.ListUsersReply
	err := a.m.insist(ctx, func(ctx context.Context) (err error) {
		listed, err = a.pool.Users(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(listed.Users, func(u hsmproto.User) bool {
		return u.Name == kmsuser && u.Role == hsmproto.RoleCryptoUser
	}) {
		return failed(types.ConnectionErrorCodeTypeUserNotFound, "the cluster has no crypto user kmsuser")
	}
	return nil
}

func (a *attempt) openPasswords(context.Context) (err error) {
	if a.password, err = a.m.openPassword(a.record.ID, a.record.Password); err != nil {
		return err
	}
	a.candidate, err = a.m.openPassword(a.record.ID, a.record.Candidate)
	return err
}

// firstLogin takes the user exclusively: steps 8 and 9. The candidate of a rotation that never ended goes first. When
// the HSMs refuse both passwords, the candidate is out of the question for good, so that the next attempt costs one
// failed login and not two.
func (a *attempt) firstLogin(ctx context.Context) error {
	took, err := a.logIn(ctx)
	if err != nil {
		a.dropCandidate = isCode(err, hsmproto.CodeIncorrectCredentials)
		return err
	}
	if took {
		a.password.Wipe()
		a.password, a.candidate = a.candidate, secret.Bytes{}
	}
	return nil
}

// logIn offers the candidate, if there is one, and then the password, each at most once, and reports whether it was
// the candidate that the HSMs took. Any refusal that is not about the password ends it.
func (a *attempt) logIn(ctx context.Context) (candidate bool, err error) {
	if !a.candidate.Empty() {
		err = a.offer(ctx, a.candidate)
		if !isCode(err, hsmproto.CodeIncorrectCredentials) {
			return err == nil, err
		}
	}
	return false, a.offer(ctx, a.password)
}

func (a *attempt) offer(ctx context.Context, password secret.Bytes) error {
	return a.m.insist(ctx, func(ctx context.Context) error {
		_, err := a.pool.Login(ctx, hsmclient.Credentials{
			User: kmsuser, Role: hsmproto.RoleCryptoUser, Password: password, Exclusive: true,
		})
		return err
	})
}

func isCode(err error, code hsmproto.Code) bool { return errors.Is(err, &hsmproto.Error{Code: code}) }

// passing reports whether the failure may be over in a moment: HSMs come back, or agree again after one was lost.
// What answers without being trusted does not count.
func passing(err error) bool {
	var lost *hsmproto.LostError
	return errors.Is(err, hsmclient.ErrUnreachable) || errors.As(err, &lost) ||
		isCode(err, hsmproto.CodeUnavailable) || isCode(err, hsmproto.CodeNoSession)
}

// refusedPassword reports whether offering the same password again is useless and perhaps harmful.
func refusedPassword(err error) bool {
	return isCode(err, hsmproto.CodeIncorrectCredentials) || isCode(err, hsmproto.CodeLocked)
}

// errorCode is the ConnectionErrorCode for what ended an attempt (spec key-stores 5.3).
func errorCode(err error) types.ConnectionErrorCodeType {
	var known *failure
	switch {
	case errors.As(err, &known):
		return known.code
	case errors.Is(err, ErrSubnetNotFound):
		return types.ConnectionErrorCodeTypeSubnetNotFound
	case errors.Is(err, ErrSubnetFull):
		return types.ConnectionErrorCodeTypeInsufficientFreeAddressesInSubnet
	case isCode(err, hsmproto.CodeIncorrectCredentials):
		return types.ConnectionErrorCodeTypeInvalidCredentials
	case isCode(err, hsmproto.CodeLocked):
		return types.ConnectionErrorCodeTypeUserLockedOut
	case isCode(err, hsmproto.CodeUserLoggedIn), isCode(err, hsmproto.CodeUserExclusive):
		return types.ConnectionErrorCodeTypeUserLoggedIn
	case isCode(err, hsmproto.CodeUnavailable), isCode(err, hsmproto.CodeNoSession):
		return types.ConnectionErrorCodeTypeInternalError // the HSMs answered: the network is not what is wrong
	case passing(err), errors.Is(err, hsmclient.ErrUntrusted), errors.Is(err, context.DeadlineExceeded):
		return types.ConnectionErrorCodeTypeNetworkErrors
	default:
		return types.ConnectionErrorCodeTypeInternalError
	}
}
