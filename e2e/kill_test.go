package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	hsmtypes "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/keywardtest"
	"keyward/internal/secret"
	"keyward/internal/server"
)

// exampleStore is the ready-made store.
func exampleStore(t *testing.T, i *keywardtest.Installation) types.CustomKeyStoresListEntry {
	t.Helper()
	page, err := i.KMS().DescribeCustomKeyStores(t.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreName: aws.String("ExampleKeyStore")})
	if err != nil {
		t.Fatal(err)
	}
	return page.CustomKeyStores[0]
}

func exampleCluster(t *testing.T, i *keywardtest.Installation) hsmtypes.Cluster {
	t.Helper()
	page, err := i.CloudHSM().DescribeClusters(t.Context(), &cloudhsmv2.DescribeClustersInput{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Clusters[0]
}

func activeHSMs(c hsmtypes.Cluster) (n int) {
	for _, h := range c.Hsms {
		if h.State == hsmtypes.HsmStateActive {
			n++
		}
	}
	return n
}

func createStoreKey(t *testing.T, i *keywardtest.Installation) string {
	t.Helper()
	made, err := i.KMS().CreateKey(t.Context(), &kms.CreateKeyInput{
		Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: exampleStore(t, i).CustomKeyStoreId,
	})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(made.KeyMetadata.KeyId)
}

// load runs clients that encrypt and decrypt under a key until stopped. Every call must succeed: what fails over does
// so inside the call.
func load(t *testing.T, i *keywardtest.Installation, key string, clients int) (stop func() (calls int64)) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var calls atomic.Int64
	for n := range clients {
		all.Go(func() {
			client, plain := i.KMS(), []byte(fmt.Sprint("client ", n))
			for ctx.Err() == nil {
				if err := roundTrip(ctx, client, key, plain); err != nil && ctx.Err() == nil {
					t.Errorf("client %d: %v", n, err)
					return
				}
				calls.Add(2)
			}
		})
	}
	return func() int64 { cancel(); all.Wait(); return calls.Load() }
}

func roundTrip(ctx context.Context, client *kms.Client, key string, plain []byte) error {
	sealed, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: plain})
	if err != nil {
		return err
	}
	opened, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	if err != nil {
		return err
	}
	if string(opened.Plaintext) != string(plain) {
		return fmt.Errorf("decrypted %q, encrypted %q", opened.Plaintext, plain)
	}
	return nil
}

// TestOneHSMDiesUnderLoad kills HSMs one by one while eight clients work: nobody notices.
func TestOneHSMDiesUnderLoad(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Race: true})
	key := createStoreKey(t, i)
	stop := load(t, i, key, 8)
	for round := range 4 {
		hsms := i.HSMs()
		if len(hsms) != 2 {
			t.Fatalf("%d HSM processes run; want 2", len(hsms))
		}
		victim := hsms[round%2]
		if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		i.Await("the killed HSM to run again", func() bool {
			for _, h := range i.HSMs() {
				if h.ID == victim.ID && h.PID != victim.PID {
					return activeHSMs(exampleCluster(t, i)) == 2
				}
			}
			return false
		})
		i.Await("a session on both HSMs, so that the next one may die", func() bool { return canCreate(t, i) })
	}
	if calls := stop(); calls == 0 {
		t.Error("the clients did nothing")
	}
}

// canCreate reports whether a key can be created, which needs both HSMs.
func canCreate(t *testing.T, i *keywardtest.Installation) bool {
	_, err := i.KMS().CreateKey(t.Context(), &kms.CreateKeyInput{
		Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: exampleStore(t, i).CustomKeyStoreId,
	})
	return err == nil
}

// TestOneHSMIsGoneForGood loses an HSM with its disk: using keys, disconnecting and connecting go on with the other,
// creating keys does not, until there is a replacement.
func TestOneHSMIsGoneForGood(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	key, store := createStoreKey(t, i), exampleStore(t, i).CustomKeyStoreId
	stop := load(t, i, key, 8)
	victim := i.HSMs()[0]
	if err := os.RemoveAll(filepath.Join(i.Data, "hsms", victim.ID)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	i.Await("the HSM to read DEGRADED", func() bool { return activeHSMs(exampleCluster(t, i)) == 1 })
	stop()

	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := i.KMS().DisconnectCustomKeyStore(ctx, &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: store}); err != nil {
		t.Fatal(err)
	}
	i.Await("DISCONNECTED", func() bool { return exampleStore(t, i).ConnectionState == types.ConnectionStateTypeDisconnected })
	if _, err := i.KMS().ConnectCustomKeyStore(ctx, &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: store}); err != nil {
		t.Fatal(err)
	}
	i.Await("the end of CONNECTING", func() bool { return exampleStore(t, i).ConnectionState != types.ConnectionStateTypeConnecting })
	if s := exampleStore(t, i); s.ConnectionState != types.ConnectionStateTypeConnected {
		t.Fatalf("with one HSM left the store is %s %s", s.ConnectionState, s.ConnectionErrorCode)
	}
	if err := ctx.Err(); err != nil {
		t.Errorf("disconnecting and connecting took %v; 10 s are promised", time.Since(began))
	}
	if err := roundTrip(t.Context(), i.KMS(), key, []byte("alone")); err != nil {
		t.Error(err)
	}

	_, err := i.KMS().CreateKey(t.Context(), &kms.CreateKeyInput{Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: store})
	var refused *types.CloudHsmClusterInvalidConfigurationException
	if !errors.As(err, &refused) {
		t.Errorf("creating a key with one HSM: %v; want CloudHsmClusterInvalidConfigurationException", err)
	}

	cluster := exampleCluster(t, i)
	zone := ""
	for _, h := range cluster.Hsms {
		if aws.ToString(h.HsmId) == victim.ID {
			zone = aws.ToString(h.AvailabilityZone)
		}
	}
	if _, err := i.CloudHSM().DeleteHsm(t.Context(), &cloudhsmv2.DeleteHsmInput{ClusterId: cluster.ClusterId, HsmId: &victim.ID}); err != nil {
		t.Fatal(err)
	}
	i.Await("the dead HSM to leave the list", func() bool { return len(exampleCluster(t, i).Hsms) == 1 })
	if _, err := i.CloudHSM().CreateHsm(t.Context(), &cloudhsmv2.CreateHsmInput{ClusterId: cluster.ClusterId, AvailabilityZone: &zone}); err != nil {
		t.Fatal(err)
	}
	i.Await("the replacement", func() bool { return activeHSMs(exampleCluster(t, i)) == 2 })
	i.Await("a key to be created again", func() bool { return canCreate(t, i) })
	if err := roundTrip(t.Context(), i.KMS(), key, []byte("together")); err != nil {
		t.Error(err)
	}
}

// kept is everything that was answered with success.
type kept struct {
	mu      sync.Mutex // guards what follows
	keys    []string
	aliases []keptAlias
	sealed  []keptCiphertext
	users   []string // crypto users of the HSMs
}

type keptAlias struct{ name, key string }

type keptCiphertext struct {
	plaintext  string
	ciphertext []byte
}

// marks is up to where everything was found.
type marks struct{ keys, aliases, sealed int }

// TestKillEverything kills every process at a random moment, again and again, while clients create keys, aliases and HSM
// users and encrypt. What was answered must be there after each new start.
func TestKillEverything(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	i := keywardtest.Start(t, keywardtest.Options{})
	all := &kept{}
	all.keys = append(all.keys, createStoreKey(t, i))
	store := exampleStore(t, i).CustomKeyStoreId
	admin, seen := newAdministrator(t, i), marks{}
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for w := range 4 {
			client := i.KMS()
			writers.Go(func() { all.write(ctx, client, store, fmt.Sprintf("%d-%d", round, w)) })
		}
		writers.Go(func() { all.addUsers(ctx, admin, fmt.Sprintf("u%d", round)) })
		// A random moment is what this test is about; nothing is awaited.
		<-time.After(time.Duration(50+rand.IntN(2000)) * time.Millisecond)
		i.Kill()
		cancel()
		writers.Wait()
		i.Up()
		// Everything at the end; in between what is new, so that a loss shows near its cause.
		if round == rounds-1 {
			seen = marks{}
		}
		seen = all.check(t, i, seen)
		if t.Failed() {
			t.Fatalf("lost in round %d", round)
		}
	}
	all.checkUsers(t, admin)
	t.Logf("%d keys, %d aliases, %d ciphertexts, %d users survived %d kills",
		len(all.keys), len(all.aliases), len(all.sealed), len(all.users), rounds)
}

// write creates and encrypts until the service is gone, remembering what was answered.
func (k *kept) write(ctx context.Context, client *kms.Client, store *string, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		in := &kms.CreateKeyInput{}
		if n%2 == 0 {
			in = &kms.CreateKeyInput{Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: store}
		}
		made, err := client.CreateKey(ctx, in)
		if err != nil {
			continue // killed meanwhile, or not all HSMs are back yet: nothing was promised
		}
		key := aws.ToString(made.KeyMetadata.KeyId)
		k.remember(func() { k.keys = append(k.keys, key) })
		alias := fmt.Sprintf("alias/%s-%d", name, n)
		if _, err := client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: &key}); err == nil {
			k.remember(func() { k.aliases = append(k.aliases, keptAlias{alias, key}) })
		}
		sealed, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte(alias)})
		if err == nil {
			k.remember(func() { k.sealed = append(k.sealed, keptCiphertext{alias, sealed.CiphertextBlob}) })
		}
	}
}

func (k *kept) remember(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// check looks for everything that was answered since the marks, and returns new ones.
func (k *kept) check(t *testing.T, i *keywardtest.Installation, since marks) marks {
	t.Helper()
	client := i.KMS()
	for _, key := range k.keys[since.keys:] {
		if _, err := client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &key}); err != nil {
			t.Errorf("key %s: %v", key, err)
		}
	}
	for _, alias := range k.aliases[since.aliases:] {
		described, err := client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &alias.name})
		if err != nil || aws.ToString(described.KeyMetadata.KeyId) != alias.key {
			t.Errorf("%s: %v, %v", alias.name, described, err)
		}
	}
	for _, sealed := range k.sealed[since.sealed:] {
		opened, err := client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.ciphertext})
		if err != nil || string(opened.Plaintext) != sealed.plaintext {
			t.Errorf("ciphertext of %q: %v", sealed.plaintext, err)
		}
	}
	if s := exampleStore(t, i); s.ConnectionState != types.ConnectionStateTypeConnected {
		t.Errorf("the store is %s %s", s.ConnectionState, s.ConnectionErrorCode)
	}
	return marks{len(k.keys), len(k.aliases), len(k.sealed)}
}

// administrator reaches the example cluster's HSMs as the operators' shell does.
type administrator struct {
	addresses []string
	anchor    []byte
	password  []byte
}

func newAdministrator(t *testing.T, i *keywardtest.Installation) administrator {
	t.Helper()
	password, err := server.ReadExamplePassword(i.Data)
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := os.ReadFile(filepath.Join(i.Data, server.ExampleStoreName, server.ExampleCA))
	if err != nil {
		t.Fatal(err)
	}
	a := administrator{anchor: anchor, password: password.Expose()}
	for _, h := range exampleCluster(t, i).Hsms {
		a.addresses = append(a.addresses, aws.ToString(h.EniIp))
	}
	return a
}

// open connects and logs in. The caller closes.
func (a administrator) open(ctx context.Context) (*hsmclient.Cluster, error) {
	client, err := hsmclient.New(hsmclient.Config{
		TrustAnchor: a.anchor,
		Addresses:   func(context.Context) ([]string, error) { return a.addresses, nil },
	})
	if err != nil {
		return nil, err
	}
	if err := client.Connect(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	_, err = client.Login(ctx, hsmclient.Credentials{User: "admin", Role: hsmproto.RoleAdmin, Password: secret.New(bytes.Clone(a.password))})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// addUsers creates crypto users until the HSMs are gone.
func (k *kept) addUsers(ctx context.Context, admin administrator, prefix string) {
	client, err := admin.open(ctx)
	if err != nil {
		return // killed before the login
	}
	defer func() { _ = client.Close() }() // to HSMs that may be dead
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("%s_%d", prefix, n)
		if _, err := client.CreateUser(ctx, name, hsmproto.RoleCryptoUser, secret.FromString("password-of-"+name)); err == nil {
			k.remember(func() { k.users = append(k.users, name) })
		}
	}
}

func (k *kept) checkUsers(t *testing.T, admin administrator) {
	t.Helper()
	client, err := admin.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	listed, err := client.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, u := range listed.Users {
		there[u.Name] = true
	}
	for _, name := range k.users {
		if !there[name] {
			t.Errorf("user %s is gone", name)
		}
	}
	if len(k.users) == 0 {
		t.Error("no user was ever created: the test shows nothing about them")
	}
}
