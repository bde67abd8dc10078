package hsmclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// Info identifies each connected HSM, in the order of their addresses. HSMs lost while asking, and those that have not
// joined their cluster yet, are left out.
func (c *Cluster) Info(ctx context.Context) ([]hsmproto.InfoReply, error) {
	links, err := c.awaitLinks(ctx, anyone)
	if err != nil {
		return nil, err
	}
	var replies []hsmproto.InfoReply
	var reasons []reason
	for _, l := range links {
		var reply hsmproto.InfoReply
		switch err := l.conn.Call(ctx, hsmproto.OpInfo, hsmproto.Empty{}, &reply); {
		case err == nil:
			replies = append(replies, reply)
		case lost(err), errors.Is(err, errUnavailable):
			reasons = append(reasons, reason{l.member.address, err})
		default:
			return nil, err
		}
	}
	if len(replies) == 0 {
		return nil, unreachable(reasons)
	}
	return replies, nil
}

// Users lists the cluster's users; no login is needed.
func (c *Cluster) Users(ctx context.Context) (hsmproto.ListUsersReply, error) {
	var reply hsmproto.ListUsersReply
	err := c.call(ctx, anyone, hsmproto.OpListUsers, hsmproto.Empty{}, &reply)
	return reply, err
}

// Activate sets the first password of user admin. Refusals: ALREADY_ACTIVATED, BAD_PASSWORD. May be ErrAmbiguous.
func (c *Cluster) Activate(ctx context.Context, password secret.Bytes) error {
	request := &hsmproto.ActivateRequest{Password: password.Expose()}
	return c.callOnce(ctx, anyone, hsmproto.OpActivate, request, nil)
}

// CreateUser adds a user on all HSMs. Refusals: NOT_LOGGED_IN, PERMISSION, USER_EXISTS, BAD_NAME, BAD_PASSWORD,
// TOO_MANY_USERS. May be ErrAmbiguous.
func (c *Cluster) CreateUser(ctx context.Context, user string, role hsmproto.Role, password secret.Bytes) (hsmproto.UserReply, error) {
	return c.changeUser(ctx, hsmproto.OpCreateUser, user, role, password)
}

// DeleteUser removes a user from all HSMs. Refusals: NOT_LOGGED_IN, PERMISSION, USER_NOT_FOUND, USER_LOGGED_IN,
// USER_OWNS_KEYS, LAST_ADMIN. May be ErrAmbiguous.
func (c *Cluster) DeleteUser(ctx context.Context, user string, role hsmproto.Role) (hsmproto.UserReply, error) {
	return c.changeUser(ctx, hsmproto.OpDeleteUser, user, role, secret.Bytes{})
}

// ChangePassword sets a user's password on all HSMs, which also unlocks the user. Refusals: NOT_LOGGED_IN, PERMISSION,
// USER_NOT_FOUND, USER_LOGGED_IN, USER_EXCLUSIVE, BAD_PASSWORD.
//
// When it is the password of the user logged in here, it is kept for logging in again in place of the old one, and no
// login happens meanwhile. If it fails with ErrAmbiguous, nobody is logged in again with either until SetPassword or
// Login says which; existing sessions go on.
func (c *Cluster) ChangePassword(ctx context.Context, user string, role hsmproto.Role, password secret.Bytes) (hsmproto.UserReply, error) {
	// Waiting for a session comes first: none could come about while this holds the right to log in.
	if _, err := c.awaitLinks(ctx, session); err != nil {
		return hsmproto.UserReply{}, err
	}
	release, err := c.acquire(ctx)
	if err != nil {
		return hsmproto.UserReply{}, err
	}
	defer release()
	reply, err := c.changeUser(ctx, hsmproto.OpChangePassword, user, role, password)
	c.notePassword(user, role, password, err)
	return reply, err
}

func (c *Cluster) notePassword(user string, role hsmproto.Role, password secret.Bytes, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.login.is(user, role):
	case err == nil:
		c.setPasswordLocked(password)
	case errors.Is(err, ErrAmbiguous):
		c.login.refused = err
	}
}

func (c *Cluster) changeUser(ctx context.Context, op hsmproto.Op, user string, role hsmproto.Role, password secret.Bytes) (hsmproto.UserReply, error) {
	request := &hsmproto.UserRequest{User: user, Role: role, Password: password.Expose()}
	var reply hsmproto.UserReply
	err := c.callOnce(ctx, session, op, request, &reply)
	return reply, err
}

// GenerateKey makes a token key on all HSMs. With an id in the request, an outcome that is not known does no harm: the
// id is looked up before the request is repeated on another HSM. Without one the error is then ErrAmbiguous.
//
// Refusals: NOT_LOGGED_IN, PERMISSION, KEY_ID_EXISTS, KEY_ATTRIBUTE, KEY_AVAILABILITY, CAPACITY, BAD_REQUEST,
// UNAVAILABLE (with ErrAmbiguous: the key may yet appear under its id).
func (c *Cluster) GenerateKey(ctx context.Context, request hsmproto.GenerateKeyRequest) (hsmproto.Key, error) {
	var unsure error // why the outcome of an earlier attempt is not known
	for attempt := range MaxHsms {
		var reply hsmproto.GenerateKeyReply
		hsms, err := c.callNth(ctx, attempt, session, hsmproto.OpGenerateKey, &request, &reply)
		switch {
		case err == nil:
			return reply.Key, nil
		case errors.Is(err, ErrAmbiguous):
			unsure = err
		case unsure == nil:
			return hsmproto.Key{}, err
		case errors.Is(err, errKeyExists): // an earlier attempt was carried out in the end
			return c.findGenerated(ctx, request)
		default:
			return hsmproto.Key{}, fmt.Errorf("%w (after: %w)", err, unsure)
		}
		if len(request.ID) == 0 {
			break
		}
		key, err := c.findGenerated(ctx, request)
		if err == nil {
			return key, nil
		}
		elsewhere := lost(unsure) || attempt+1 < hsms
		if !errors.Is(err, errKeyNotFound) || !elsewhere {
			break
		}
	}
	return hsmproto.Key{}, unsure
}

// findGenerated looks for the key that request asked for; KEY_NOT_FOUND if there is none.
func (c *Cluster) findGenerated(ctx context.Context, request hsmproto.GenerateKeyRequest) (hsmproto.Key, error) {
	found, err := c.FindKeys(ctx, hsmproto.FindKeysRequest{ID: &request.ID, Max: 2})
	if err != nil {
		return hsmproto.Key{}, err
	}
	for _, key := range found.Keys {
		if key.Label == request.Label && bytes.Equal(key.ID, request.ID) {
			return key, nil
		}
	}
	return hsmproto.Key{}, errKeyNotFound
}

// FindKeys lists one page of the keys visible to the login.
func (c *Cluster) FindKeys(ctx context.Context, request hsmproto.FindKeysRequest) (hsmproto.FindKeysReply, error) {
	var reply hsmproto.FindKeysReply
	err := c.call(ctx, session, hsmproto.OpFindKeys, &request, &reply)
	return reply, err
}

// DeleteKey removes a key from all HSMs. References are never used again, so that a lost reply can be followed by
// another attempt, which then finds the key gone. Refusals: NOT_LOGGED_IN, PERMISSION, KEY_NOT_FOUND, KEY_ACCESS,
// KEY_ATTRIBUTE, UNAVAILABLE (with ErrAmbiguous).
func (c *Cluster) DeleteKey(ctx context.Context, reference uint64) error {
	var unsure error
	for range MaxHsms + 1 {
		err := c.callOnce(ctx, session, hsmproto.OpDeleteKey, &hsmproto.DeleteKeyRequest{Reference: reference}, nil)
		switch {
		case unsure != nil && errors.Is(err, errKeyNotFound):
			return nil
		case !lost(err):
			return err
		}
		unsure = err
	}
	return unsure
}

// Encrypt returns IV‖ciphertext‖tag. The IV is made in the HSM: two calls give two ciphertexts. At most
// hsmproto.MaxData bytes.
func (c *Cluster) Encrypt(ctx context.Context, request hsmproto.CryptRequest) ([]byte, error) {
	return c.crypt(ctx, hsmproto.OpEncrypt, &request)
}

// Decrypt returns the plaintext of what Encrypt returned. Refusals: BAD_CIPHERTEXT, KEY_NOT_FOUND, KEY_ATTRIBUTE.
func (c *Cluster) Decrypt(ctx context.Context, request hsmproto.CryptRequest) ([]byte, error) {
	return c.crypt(ctx, hsmproto.OpDecrypt, &request)
}

func (c *Cluster) crypt(ctx context.Context, op hsmproto.Op, request *hsmproto.CryptRequest) ([]byte, error) {
	var reply hsmproto.CryptReply
	if err := c.call(ctx, session, op, request, &reply); err != nil {
		return nil, err
	}
	return reply.Data, nil
}

// Random returns n bytes, at most hsmproto.MaxData, of an HSM's generator.
func (c *Cluster) Random(ctx context.Context, n int) ([]byte, error) {
	var reply hsmproto.RandomReply
	err := c.call(ctx, session, hsmproto.OpRandom, &hsmproto.RandomRequest{Length: n}, &reply)
	if err != nil {
		return nil, err
	}
	if len(reply.Data) != n {
		return nil, fmt.Errorf("hsmclient: an HSM gave %d random bytes instead of %d", len(reply.Data), n)
	}
	return reply.Data, nil
}
