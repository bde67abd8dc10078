package keystore

import (
	"context"
	"errors"

	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// maxRotations bounds how often one attempt begins to change the password, because it was interrupted.
const maxRotations = 3

// errSuperseded ends an attempt whose record has moved on without it.
var errSuperseded = errors.New("keystore: the store was disconnected meanwhile")

// rotate changes kmsuser's password to a random one: step 10. The new password is kept before it is sent, so that
// after a crash at any point one of the two kept passwords is kmsuser's. It leaves the one that is as the record's
// Candidate; going CONNECTED makes it the Password.
func (a *attempt) rotate(ctx context.Context) (err error) {
	for range maxRotations {
		if err = a.keepCandidate(ctx); err != nil {
			return err
		}
		_, err = a.pool.ChangePassword(ctx, kmsuser, hsmproto.RoleCryptoUser, a.candidate)
		if err == nil {
			return nil
		}
		if !errors.Is(err, hsmclient.ErrAmbiguous) {
			// Nothing was changed. The old password is certain again.
			a.forgetCandidate()
			if !passing(err) && !isCode(err, hsmproto.CodeNotLoggedIn) {
				return err
			}
		}
		took, err := a.logIn(ctx)
		if err != nil || took {
			return err
		}
	}
	return err
}

// keepCandidate makes a new password durable beside the one in force.
func (a *attempt) keepCandidate(ctx context.Context) error {
	a.candidate.Wipe()
	a.candidate = newPassword()
	password, err := a.m.sealPassword(a.record.ID, a.password)
	if err != nil {
		return err
	}
	candidate, err := a.m.sealPassword(a.record.ID, a.candidate)
	if err != nil {
		return err
	}
	a.dropCandidate = false
	return a.m.change(ctx, nil, func(tx Tx) (*Record, error) {
		now, err := current(tx, a.record)
		if err != nil {
			return nil, err
		}
		if now == nil {
			return nil, errSuperseded
		}
		now.Password, now.Candidate = password, candidate
		return now, tx.Update(now)
	})
}

func (a *attempt) forgetCandidate() {
	a.candidate.Wipe()
	a.candidate = secret.Bytes{}
	a.dropCandidate = true
}
