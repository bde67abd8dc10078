// Package demo plays the main job for a person to watch: a key store is used, broken and repaired. Every step prints
// the command that one would type and the answer that the running installation really gave; nothing here is a
// recording.
package demo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"keyward/internal/secret"
)

// Config says which installation to play on.
type Config struct {
	Endpoint    string
	Region      string
	AccessKeyID string
	SecretKey   secret.Bytes
	// AdminPassword of the cluster behind the store named StoreName.
	AdminPassword secret.Bytes
	StoreName     string
	// HSM runs the operator's shell with these arguments and this input, and returns its standard output.
	HSM func(ctx context.Context, args []string, input string) ([]byte, error)
	Out io.Writer
}

// connectTime bounds one connection attempt of the store.
const connectTime = 60 * time.Second

// Play plays all scenes. The store must be CONNECTED; it is CONNECTED again when Play returns nil.
func Play(ctx context.Context, cfg Config) error {
	s := &stage{Config: cfg, api: newAPI(cfg)}
	for _, scene := range []func(context.Context) error{
		s.useTheStore, s.changeThePassword, s.lockTheUser, s.repair,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	s.say("The first ciphertext decrypts again. Nothing was lost.")
	return s.failed
}

// stage is what the scenes share.
type stage struct {
	Config
	api    *api
	failed error // of writing to Out

	storeID, clusterID string
	keyID              string
	ciphertext         string // base64
}

const plaintext = "attack at dawn"

// Passwords that the operator of this story chooses. The last one is what the store is given; KMS replaces it when it
// connects.
const (
	changedPassword = "changedByHand1"
	repairPassword  = "repairPswd1"
	wrongPassword   = "notThePassword"
)

func (s *stage) useTheStore(ctx context.Context) error {
	s.title("A key store on a cluster of two HSMs")
	answer, err := s.call(ctx, "aws kms describe-custom-key-stores", "TrentService.DescribeCustomKeyStores", members{"CustomKeyStoreName": s.StoreName})
	if err != nil {
		return err
	}
	store, err := firstStore(answer)
	if err != nil {
		return err
	}
	if store.ConnectionState != "CONNECTED" {
		return fmt.Errorf("%s is %s: connect it, then play again", s.StoreName, store.ConnectionState)
	}
	s.storeID, s.clusterID = store.CustomKeyStoreId, store.CloudHsmClusterId

	s.title("A KMS key whose material never leaves the HSMs")
	answer, err = s.call(ctx, "aws kms create-key --origin AWS_CLOUDHSM --custom-key-store-id "+s.storeID,
		"TrentService.CreateKey", members{"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": s.storeID})
	if err != nil {
		return err
	}
	var created struct{ KeyMetadata struct{ KeyId string } }
	if err := answer.into(&created); err != nil {
		return err
	}
	s.keyID = created.KeyMetadata.KeyId

	answer, err = s.call(ctx, "aws kms encrypt --key-id "+s.keyID+" --plaintext fileb://<(printf '"+plaintext+"')",
		"TrentService.Encrypt", members{"KeyId": s.keyID, "Plaintext": base64.StdEncoding.EncodeToString([]byte(plaintext))})
	if err != nil {
		return err
	}
	var sealed struct{ CiphertextBlob string }
	if err := answer.into(&sealed); err != nil {
		return err
	}
	s.ciphertext = sealed.CiphertextBlob
	return s.decrypt(ctx)
}

// decrypt opens the first ciphertext and compares.
func (s *stage) decrypt(ctx context.Context) error {
	answer, err := s.call(ctx, "aws kms decrypt --ciphertext-blob fileb://<(base64 -d <<< $CIPHERTEXT)",
		"TrentService.Decrypt", members{"CiphertextBlob": s.ciphertext})
	if err != nil {
		return err
	}
	var opened struct{ Plaintext []byte }
	if err := answer.into(&opened); err != nil {
		return err
	}
	if string(opened.Plaintext) != plaintext {
		return errors.New("the ciphertext did not decrypt to what was encrypted")
	}
	s.say("$ base64 -d <<< $PLAINTEXT\n%s", opened.Plaintext)
	return nil
}

func (s *stage) changeThePassword(ctx context.Context) error {
	s.title("Break it: change kmsuser's password behind the service's back")
	if err := s.disconnect(ctx); err != nil {
		return err
	}
	err := s.shell(ctx, loginAdmin(s), line{
		text: "user change-password --username kmsuser --role crypto-user", typed: []string{changedPassword, changedPassword},
	}, line{text: "logout"})
	if err != nil {
		return err
	}
	if err := s.refusedUse(ctx); err != nil {
		return err
	}
	return s.connect(ctx, "FAILED", "INVALID_CREDENTIALS")
}

// refusedUse shows what users of the key get while its store is not connected.
func (s *stage) refusedUse(ctx context.Context) error {
	_, err := s.call(ctx, "aws kms decrypt --ciphertext-blob fileb://<(base64 -d <<< $CIPHERTEXT)",
		"TrentService.Decrypt", members{"CiphertextBlob": s.ciphertext})
	return expect(err, "KMSInvalidStateException")
}

func (s *stage) lockTheUser(ctx context.Context) error {
	s.title("Break it further: five wrong logins lock the user")
	var lines []line
	for range 5 {
		lines = append(lines, line{text: "login --username kmsuser --role crypto-user", typed: []string{wrongPassword}, fails: true})
	}
	if err := s.shell(ctx, append(lines, line{text: "user list"})...); err != nil {
		return err
	}
	s.say("Even the right password is refused now:")
	if err := s.disconnect(ctx); err != nil {
		return err
	}
	if err := s.update(ctx, changedPassword); err != nil {
		return err
	}
	return s.connect(ctx, "FAILED", "USER_LOCKED_OUT")
}

func (s *stage) repair(ctx context.Context) error {
	s.title("Repair it by the guide's steps: disconnect, new password, update, connect")
	if err := s.disconnect(ctx); err != nil {
		return err
	}
	err := s.shell(ctx, loginAdmin(s), line{
		text: "user change-password --username kmsuser --role crypto-user", typed: []string{repairPassword, repairPassword},
	}, line{text: "logout"})
	if err != nil {
		return err
	}
	if err := s.update(ctx, repairPassword); err != nil {
		return err
	}
	if err := s.connect(ctx, "CONNECTED", ""); err != nil {
		return err
	}
	return s.decrypt(ctx)
}

func (s *stage) disconnect(ctx context.Context) error {
	_, err := s.call(ctx, "aws kms disconnect-custom-key-store --custom-key-store-id "+s.storeID,
		"TrentService.DisconnectCustomKeyStore", members{"CustomKeyStoreId": s.storeID})
	if err != nil {
		return err
	}
	_, err = s.settle(ctx, "DISCONNECTING")
	return err
}

func (s *stage) update(ctx context.Context, password string) error {
	_, err := s.call(ctx, "aws kms update-custom-key-store --custom-key-store-id "+s.storeID+" --key-store-password "+password,
		"TrentService.UpdateCustomKeyStore", members{"CustomKeyStoreId": s.storeID, "KeyStorePassword": password})
	return err
}

// connect connects the store and checks how that ends.
func (s *stage) connect(ctx context.Context, state, code string) error {
	_, err := s.call(ctx, "aws kms connect-custom-key-store --custom-key-store-id "+s.storeID,
		"TrentService.ConnectCustomKeyStore", members{"CustomKeyStoreId": s.storeID})
	if err != nil {
		return err
	}
	answer, err := s.settle(ctx, "CONNECTING")
	if err != nil {
		return err
	}
	s.show("aws kms describe-custom-key-stores --custom-key-store-id "+s.storeID, answer)
	store, err := firstStore(answer)
	if err != nil {
		return err
	}
	if store.ConnectionState != state || store.ConnectionErrorCode != code {
		return fmt.Errorf("the store is %s %s, where %s %s was to be seen", store.ConnectionState, store.ConnectionErrorCode, state, code)
	}
	return nil
}

// settle asks until the store has left the state named.
func (s *stage) settle(ctx context.Context, state string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := s.api.do(ctx, "TrentService.DescribeCustomKeyStores", members{"CustomKeyStoreId": s.storeID})
		if err != nil {
			return nil, err
		}
		store, err := firstStore(a)
		if err != nil || store.ConnectionState != state {
			return a, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the store stays %s: %w", state, ctx.Err())
		}
	}
}

type storeEntry struct {
	CustomKeyStoreId, CloudHsmClusterId, ConnectionState, ConnectionErrorCode string
}

func firstStore(a answer) (storeEntry, error) {
	var page struct{ CustomKeyStores []storeEntry }
	if err := a.into(&page); err != nil {
		return storeEntry{}, err
	}
	if len(page.CustomKeyStores) == 0 {
		return storeEntry{}, errors.New("there is no such key store: was keyward started with --empty?")
	}
	return page.CustomKeyStores[0], nil
}
