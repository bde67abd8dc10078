package identity

import (
	"context"
	"errors"
	"fmt"

	"keyward/internal/fault"
	"keyward/internal/secret"
)

// administrator is the name of the user that every account begins with.
const administrator = "admin"

// CreateAdministrator makes the account, where it is missing, and its user "admin" with all permissions and one new
// access key, of which it returns both halves. The secret is shown this once; it is stored sealed. Access keys that the
// user has go: a first start that was cut short never handed them out.
func (s *Service) CreateAdministrator(ctx context.Context, account string) (AccessKey, secret.Bytes, error) {
	var k AccessKey
	var plain secret.Bytes
	err := s.change(ctx, nil, func(tx Tx) error {
		err := tx.InsertAccount(&Account{ID: account, Created: s.config.Now()})
		if err != nil && !errors.Is(err, fault.ErrExists) {
			return err
		}
		user, err := s.ensureAdministrator(ctx, tx, account)
		if err != nil {
			return err
		}
		k, plain, err = s.insertKey(tx, account, user.ID)
		return err
	})
	if err != nil {
		return AccessKey{}, secret.Bytes{}, fmt.Errorf("making the administrator of account %s: %w", account, err)
	}
	return k, plain, nil
}

// ensureAdministrator finds the user without its access keys, or makes it.
func (s *Service) ensureAdministrator(ctx context.Context, tx Tx, account string) (*Entity, error) {
	user, err := tx.Entity(ctx, account, User, administrator)
	if errors.Is(err, fault.ErrNotFound) {
		user = &Entity{
			Account: account, Kind: User, Name: administrator, ID: newID(userID), Path: "/", Created: s.config.Now(),
			Attached: []string{AdministratorAccess},
		}
		return user, tx.InsertEntity(user)
	}
	if err != nil {
		return nil, err
	}
	keys, err := tx.AccessKeys(ctx, account, user.ID)
	for _, k := range keys {
		err = errors.Join(err, tx.DeleteAccessKey(k))
	}
	return user, err
}

// ErrAccountExists is returned when an account is to be made that is there.
var ErrAccountExists = errors.New("the account exists already")

// CreateAccount makes an account with a user "admin" that has all permissions in it, and returns an access key: the
// user's, or with asRoot one of the account's root user. ErrAccountExists if the account is there.
func (s *Service) CreateAccount(ctx context.Context, a Account, asRoot bool) (AccessKey, secret.Bytes, error) {
	var k AccessKey
	var plain secret.Bytes
	a.Created = s.config.Now()
	err := s.change(ctx, nil, func(tx Tx) error {
		err := tx.InsertAccount(&a)
		if errors.Is(err, fault.ErrExists) {
			return ErrAccountExists
		}
		if err != nil {
			return err
		}
		user, err := s.ensureAdministrator(ctx, tx, a.ID)
		if err != nil {
			return err
		}
		owner := user.ID
		if asRoot {
			owner = a.ID
		}
		k, plain, err = s.insertKey(tx, a.ID, owner)
		return err
	})
	return k, plain, err
}

// Accounts lists the installation's accounts in the order of their numbers.
func (s *Service) Accounts(ctx context.Context) ([]*Account, error) {
	return s.config.Store.Accounts(ctx)
}

// insertKey makes an access key for a principal.
func (s *Service) insertKey(tx Tx, account, principalID string) (AccessKey, secret.Bytes, error) {
	k := AccessKey{
		AccessKeyID: newID(permanent), Account: account, PrincipalID: principalID, Status: Active, Created: s.config.Now(),
	}
	plain := newSecret()
	sealed, err := s.config.Sealer.Seal(purpose(k.AccessKeyID), plain.Expose())
	if err != nil {
		return AccessKey{}, secret.Bytes{}, fmt.Errorf("sealing a secret access key: %w", err)
	}
	k.SealedSecret = sealed
	return k, plain, tx.InsertAccessKey(&k)
}
