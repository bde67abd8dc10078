package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"

	"keyward/internal/keywardtest"
	"keyward/internal/server"
)

// operator is a person at the operators' shell, with the example cluster's admin password at hand.
type operator struct {
	t       *testing.T
	i       *keywardtest.Installation
	cluster string
	admin   string
}

func newOperator(t *testing.T, i *keywardtest.Installation) operator {
	t.Helper()
	password, err := server.ReadExamplePassword(i.Data)
	if err != nil {
		t.Fatal(err)
	}
	return operator{t, i, aws.ToString(exampleCluster(t, i).ClusterId), string(password.Expose())}
}

// shell is an interactive session that stays open until quit.
type shell struct {
	t     *testing.T
	input interface {
		Write([]byte) (int, error)
		Close() error
	}
	answers *json.Decoder
	process *exec.Cmd
}

func (o operator) open() *shell {
	o.t.Helper()
	cmd := exec.Command(o.i.Binary, "cloudhsm-cli", "--cluster-id", o.cluster, "interactive")
	cmd.Env = o.i.Env()
	input, err := cmd.StdinPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	return &shell{o.t, input, json.NewDecoder(output), cmd}
}

// run types a command and what its prompts ask for, and returns the answer as compact JSON.
func (s *shell) run(command string, typed ...string) string {
	s.t.Helper()
	if _, err := s.input.Write([]byte(strings.Join(append([]string{command}, typed...), "\n") + "\n")); err != nil {
		s.t.Fatal(err)
	}
	var answer json.RawMessage
	if err := s.answers.Decode(&answer); err != nil {
		s.t.Fatalf("%s: %v", command, err)
	}
	var compact strings.Builder
	for line := range strings.Lines(string(answer)) {
		compact.WriteString(strings.TrimSpace(line))
	}
	return compact.String()
}

// want types a command and compares the answer.
func (s *shell) want(answer, command string, typed ...string) {
	s.t.Helper()
	if diff := cmp.Diff(answer, s.run(command, typed...)); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", command, diff)
	}
}

func (s *shell) quit() {
	s.t.Helper()
	if _, err := s.input.Write([]byte("quit\n")); err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Wait(); err != nil {
		s.t.Errorf("the shell: %v", err)
	}
}

// owner operates the example key store.
type owner struct {
	t     *testing.T
	i     *keywardtest.Installation
	store *string
}

func (o owner) disconnect() {
	o.t.Helper()
	if _, err := o.i.KMS().DisconnectCustomKeyStore(o.t.Context(), &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: o.store}); err != nil {
		o.t.Fatal(err)
	}
	o.i.Await("DISCONNECTED", func() bool { return exampleStore(o.t, o.i).ConnectionState == types.ConnectionStateTypeDisconnected })
}

func (o owner) update(password string) {
	o.t.Helper()
	_, err := o.i.KMS().UpdateCustomKeyStore(o.t.Context(), &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: o.store, KeyStorePassword: &password})
	if err != nil {
		o.t.Fatal(err)
	}
}

// connect connects and checks how the attempt ends.
func (o owner) connect(state types.ConnectionStateType, code types.ConnectionErrorCodeType) {
	o.t.Helper()
	if _, err := o.i.KMS().ConnectCustomKeyStore(o.t.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: o.store}); err != nil {
		o.t.Fatal(err)
	}
	o.i.Await("the end of CONNECTING", func() bool { return exampleStore(o.t, o.i).ConnectionState != types.ConnectionStateTypeConnecting })
	if s := exampleStore(o.t, o.i); s.ConnectionState != state || s.ConnectionErrorCode != code {
		o.t.Fatalf("the store is %s %s; want %s %s", s.ConnectionState, s.ConnectionErrorCode, state, code)
	}
}

const (
	adminIn     = `{"error_code": 0,"data": {"username": "admin","role": "admin"}}`
	kmsuserIs   = `{"error_code": 0,"data": {"username": "kmsuser","role": "crypto-user"}}`
	loggedOut   = `{"error_code": 0,"data": "Logout successful"}`
	badLogin    = `{"error_code": 1,"data": "Login failed: Incorrect authentication credentials"}`
	lockedLogin = `{"error_code": 1,"data": "Login failed: User account is locked"}`
)

// TestLogInAsKmsuserAndReconnect is the guide's "How to log in as kmsuser" and its two ways to get it wrong.
func TestLogInAsKmsuserAndReconnect(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Race: true})
	o, owner := newOperator(t, i), owner{t, i, exampleStore(t, i).CustomKeyStoreId}
	key := createStoreKey(t, i)

	s := o.open()
	s.want(adminIn, "login --username admin --role admin", o.admin)
	s.want(loggedOut, "logout")
	if got := s.run("login --username kmsuser --role crypto-user", "anything-at-all"); !strings.Contains(got, `"error_code": 1`) {
		t.Errorf("logging in as kmsuser while the store is connected: %s", got)
	}

	owner.disconnect()
	s.want(adminIn, "login --username admin --role admin", o.admin)
	s.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", "tempPassword1", "tempPassword1")
	s.want(kmsuserIs, "login --username kmsuser --role crypto-user", "tempPassword1")
	listed := s.run(`key list --filter attr.label="` + keyARN(t, i, key) + `" --verbose`)
	for _, want := range []string{`"total_key_count": 1`, `"key-type": "aes"`, `"extractable": false`, `"encrypt": true`, `"decrypt": true`, `"key-length-bytes": 32`, `"username": "kmsuser","key-coverage": "full"`} {
		if !strings.Contains(listed, want) {
			t.Errorf("key list lacks %s: %s", want, listed)
		}
	}

	owner.update("tempPassword1")
	owner.connect(types.ConnectionStateTypeFailed, types.ConnectionErrorCodeTypeUserLoggedIn)
	if got := s.run("key list"); !strings.Contains(got, `"error_code": 0`) {
		t.Errorf("the person's session did not survive: %s", got)
	}
	s.want(loggedOut, "logout")
	owner.disconnect()
	owner.update("tempPassword1")
	owner.connect(types.ConnectionStateTypeConnected, "")
	if err := roundTrip(t.Context(), i.KMS(), key, []byte("again")); err != nil {
		t.Error(err)
	}
	// The password was rotated: the one the operator set is no longer good, and the store holds the user.
	if got := s.run("login --username kmsuser --role crypto-user", "tempPassword1"); !strings.Contains(got, `"error_code": 1`) {
		t.Errorf("the operator's password still works: %s", got)
	}
	s.quit()
}

func keyARN(t *testing.T, i *keywardtest.Installation, key string) string {
	t.Helper()
	described, err := i.KMS().DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &key})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(described.KeyMetadata.Arn)
}

// TestWrongStoredPasswordLocksTheUser connects with a stale password until the user is locked, and repairs it.
func TestWrongStoredPasswordLocksTheUser(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	o, owner := newOperator(t, i), owner{t, i, exampleStore(t, i).CustomKeyStoreId}
	key := createStoreKey(t, i)
	s := o.open()
	owner.disconnect()
	s.want(adminIn, "login --username admin --role admin", o.admin)
	s.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", "rightPswd1", "rightPswd1")
	s.want(loggedOut, "logout")
	for range 5 {
		owner.update("wrongPswd1")
		owner.connect(types.ConnectionStateTypeFailed, types.ConnectionErrorCodeTypeInvalidCredentials)
		owner.disconnect()
	}
	if got := s.run("user list"); !strings.Contains(got, `"username": "kmsuser","role": "crypto-user","locked": "inconsistent"`) {
		t.Errorf("after five wrong passwords on one HSM of two: %s", got)
	}
	owner.update("rightPswd1")
	owner.connect(types.ConnectionStateTypeFailed, types.ConnectionErrorCodeTypeUserLockedOut)
	owner.disconnect()
	s.want(lockedLogin, "login --username kmsuser --role crypto-user", "rightPswd1")

	s.want(adminIn, "login --username admin --role admin", o.admin)
	s.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", "newPswd1", "newPswd1")
	s.want(loggedOut, "logout")
	owner.update("newPswd1")
	owner.connect(types.ConnectionStateTypeConnected, "")
	if err := roundTrip(t.Context(), i.KMS(), key, []byte("again")); err != nil {
		t.Error(err)
	}
	s.quit()
}

// TestDisconnected is what users of keys see while the store is disconnected (key store statements 44 and 48 to 52).
func TestDisconnected(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	client, owner := i.KMS(), owner{t, i, exampleStore(t, i).CustomKeyStoreId}
	enabled, disabled, pending := createStoreKey(t, i), createStoreKey(t, i), createStoreKey(t, i)
	if _, err := client.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &disabled}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &pending}); err != nil {
		t.Fatal(err)
	}
	wantState := func(key string, state types.KeyState) {
		t.Helper()
		described, err := client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &key})
		if err != nil {
			t.Fatal(err)
		}
		if m := described.KeyMetadata; m.KeyState != state || m.Enabled != (state == types.KeyStateEnabled) {
			t.Errorf("key reads %s, enabled %v; want %s", m.KeyState, m.Enabled, state)
		}
	}
	owner.disconnect()
	wantState(enabled, types.KeyStateUnavailable)
	wantState(disabled, types.KeyStateUnavailable)
	wantState(pending, types.KeyStatePendingDeletion)

	_, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &enabled, Plaintext: []byte("x")})
	var invalid *types.KMSInvalidStateException
	if !errors.As(err, &invalid) || aws.ToString(invalid.Message) != keyARN(t, i, enabled)+" is unavailable." {
		t.Errorf("encrypt: %v", err)
	}
	_, err = client.CreateKey(t.Context(), &kms.CreateKeyInput{Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: owner.store})
	var storeInvalid *types.CustomKeyStoreInvalidStateException
	if !errors.As(err, &storeInvalid) {
		t.Errorf("create-key: %v", err)
	}
	// What is asked for now takes effect after the connection.
	if _, err := client.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &enabled}); err != nil {
		t.Error(err)
	}
	if _, err := client.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &disabled}); err != nil {
		t.Error(err)
	}
	wantState(enabled, types.KeyStateUnavailable)
	if _, err := client.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: &pending}); err != nil {
		t.Error(err)
	}
	wantState(pending, types.KeyStateUnavailable)

	owner.connect(types.ConnectionStateTypeConnected, "")
	wantState(enabled, types.KeyStateDisabled)
	wantState(disabled, types.KeyStateEnabled)
	wantState(pending, types.KeyStateDisabled)
}

// TestKeyStoreTakesOnlySymmetricKeys asks for keys that a store cannot hold (statement 45), and for data keys, which it
// can make (statement 47).
func TestKeyStoreTakesOnlySymmetricKeys(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	client, o := i.KMS(), owner{t, i, exampleStore(t, i).CustomKeyStoreId}
	for name, in := range map[string]*kms.CreateKeyInput{
		"RSA":          {KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify},
		"HMAC":         {KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac},
		"multi-Region": {MultiRegion: aws.Bool(true)},
	} {
		in.Origin, in.CustomKeyStoreId = types.OriginTypeAwsCloudhsm, o.store
		_, err := client.CreateKey(t.Context(), in)
		var unsupported *types.UnsupportedOperationException
		if !errors.As(err, &unsupported) {
			t.Errorf("%s: %v; want UnsupportedOperationException", name, err)
		}
	}
	key := createStoreKey(t, i)
	made, err := client.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &key, KeySpec: types.DataKeySpecAes256})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: made.CiphertextBlob})
	if err != nil || string(opened.Plaintext) != string(made.Plaintext) || len(made.Plaintext) != 32 {
		t.Errorf("the data key of %d bytes decrypts to %d: %v", len(made.Plaintext), len(opened.Plaintext), err)
	}

	freeKmsuser(t, i, o, "tempPassword1")
	s := newOperator(t, i).open()
	s.want(kmsuserIs, "login --username kmsuser --role crypto-user", "tempPassword1")
	if got := s.run("key list"); !strings.Contains(got, `"total_key_count": 1`) {
		t.Errorf("the HSMs hold more than the one key that was made: %s", got)
	}
	s.quit()
}
