package kms_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/kms"
	"keyward/internal/operation"
	"keyward/internal/policy"
	"keyward/internal/rootkey"
	"keyward/internal/storage/sqlite"
)

var (
	home  = arn.Scope{Account: "111122223333", Region: "us-east-1"}
	admin = policy.Caller{Type: "IAMUser", PrincipalID: "AIDAADMIN", ARN: "arn:aws:iam::111122223333:user/admin", Account: home.Account}
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// everything is the identity policy of those who may do everything.
var everything = identityPolicy(`{"Effect":"Allow","Action":"*","Resource":"*"}`)

// identityPolicy of these statements.
func identityPolicy(statements string) *policy.Policy {
	p, err := policy.Compile(policy.Identity, "test", []byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), nil)
	if err != nil {
		panic(err)
	}
	return p
}

// allowed is a caller who may do everything that keys leave to IAM.
func allowed(c policy.Caller) *policy.Principal {
	return &policy.Principal{Caller: c, Identity: []*policy.Policy{everything}}
}

// world is a service over a real database, with a clock that tests move and custom key stores that they connect.
type world struct {
	testing.TB
	service *kms.Service
	store   kms.Store
	db      *sqlite.DB
	stores  *fakeStores
	root    rootkey.Key
	// directory knows principals; nil at first.
	directory kms.Directory
	rows      map[string]operation.Row
	scope     arn.Scope // of calls
	// requests are the request quotas of the next restart.
	requests *kms.RequestQuotas
	// settle is the settle time of the next restart.
	settle  time.Duration
	imports map[string]*awskms.GetParametersForImportOutput

	mu  sync.Mutex
	now time.Time
}

func newWorld(t testing.TB, limits kms.Limits) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "keyward.db"), sqlite.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	root, err := rootkey.Create(filepath.Join(dir, "root.json"), rootkey.KeyFile(filepath.Join(dir, "seal.key")))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, db: db, store: db.KMS(), root: root, scope: home, now: start, imports: map[string]*awskms.GetParametersForImportOutput{}}
	w.stores = newFakeStores(root)
	w.restart(limits)
	return w
}

// with is the same world for a subtest.
func (w *world) with(t testing.TB) *world {
	return &world{
		TB: t, service: w.service, store: w.store, db: w.db, stores: w.stores, root: w.root, rows: w.rows, scope: w.scope, now: w.now,
		imports: w.imports,
	}
}

// restart makes a new service over the same database.
func (w *world) restart(limits kms.Limits) {
	w.service = kms.New(kms.Config{
		Store: w.store, Root: w.root, Directory: w.directory, Default: kms.NewDefaultStore(w.root), Stores: w.stores, Now: w.clock,
		Log: slog.New(slog.DiscardHandler), Limits: limits, Requests: w.requests, Settle: w.settle,
	})
	w.rows = map[string]operation.Row{}
	for _, row := range w.service.API().Rows {
		w.rows[row.Name] = row
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) call(name string) *operation.Call {
	return &operation.Call{
		Scope: w.scope, Caller: admin, Principal: allowed(admin), RequestID: "r", Time: w.clock(),
		Event: &audit.Event{ID: "e", Name: name, Time: w.clock(), Region: w.scope.Region, Caller: admin},
	}
}

// in has f's calls made in another Region.
func (w *world) in(region string, f func()) {
	before := w.scope
	w.scope.Region = region
	defer func() { w.scope = before }()
	f()
}

// invoke runs one operation as the wire does.
func (w *world) invoke(call *operation.Call, name string, in any) (any, error) {
	w.Helper()
	row, ok := w.rows[name]
	if !ok {
		w.Fatalf("there is no operation %s", name)
	}
	out, err := row.Invoke(context.Background(), call, in)
	if err == nil && !row.ReadOnly && !call.Event.Kept {
		w.Errorf("%s succeeded without keeping its event", name)
	}
	if err != nil && call.Event.Response != nil {
		w.Errorf("%s failed and its event has response elements %v", name, call.Event.Response)
	}
	if _, err := call.Event.AppendJSON(nil); err != nil {
		w.Errorf("%s: the event cannot be written: %v", name, err)
	}
	return out, err
}

// do runs an operation that must succeed.
func do[Out any](w *world, name string, in any) *Out {
	w.Helper()
	out, err := w.invoke(w.call(name), name, in)
	if err != nil {
		w.Fatalf("%s: %v", name, err)
	}
	if out == nil {
		return nil
	}
	return out.(*Out)
}

func (w *world) must(name string, in any) {
	w.Helper()
	if _, err := w.invoke(w.call(name), name, in); err != nil {
		w.Fatalf("%s: %v", name, err)
	}
}

// refused runs an operation that must fail with this exception and sentence.
func (w *world) refused(name string, in any, code, message string) {
	w.Helper()
	_, err := w.invoke(w.call(name), name, in)
	w.isFault(name, err, code, message)
}

func (w *world) isFault(name string, err error, code, message string) {
	w.Helper()
	f, ok := fault.As(err)
	switch {
	case !ok:
		w.Errorf("%s: %v; want %s: %s", name, err, code, message)
	case f.Code != code || f.Message != message:
		w.Errorf("%s: %s: %q; want %s: %q", name, f.Code, f.Message, code, message)
	}
}

func (w *world) createKey() *types.KeyMetadata {
	w.Helper()
	return do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{}).KeyMetadata
}

func (w *world) createStoreKey() *types.KeyMetadata {
	w.Helper()
	return do[awskms.CreateKeyOutput](w, "CreateKey", &awskms.CreateKeyInput{
		Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: aws.String(storeID)}).KeyMetadata
}

func (w *world) describe(id string) *types.KeyMetadata {
	w.Helper()
	return do[awskms.DescribeKeyOutput](w, "DescribeKey", &awskms.DescribeKeyInput{KeyId: &id}).KeyMetadata
}

func (w *world) encrypt(id, plaintext string, context map[string]string) []byte {
	w.Helper()
	return do[awskms.EncryptOutput](w, "Encrypt", &awskms.EncryptInput{
		KeyId: &id, Plaintext: []byte(plaintext), EncryptionContext: context}).CiphertextBlob
}

func (w *world) decrypt(blob []byte, context map[string]string) string {
	w.Helper()
	return string(do[awskms.DecryptOutput](w, "Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context}).Plaintext)
}

// events lists the kept events of an operation, oldest first, in their stored form.
func (w *world) events(name string) (all []string) {
	w.Helper()
	err := w.db.Events(context.Background(), func(line []byte) error {
		if strings.Contains(string(line), `"eventName":"`+name+`"`) {
			all = append(all, string(line))
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

const storeID = "cks-1234567890abcdef0"

// fakeStores is one custom key store: its keys' material is held here as a cluster would, and it can be disconnected
// and emptied.
type fakeStores struct {
	mu        sync.Mutex
	connected bool
	next      int
	material  map[string]kms.MaterialRecord // by backing key id
	keys      *kms.DefaultStore
	// failDiscard is what Discard answers, once set.
	failDiscard error
}

func newFakeStores(root kms.RootKey) *fakeStores {
	return &fakeStores{connected: true, material: map[string]kms.MaterialRecord{}, keys: kms.NewDefaultStore(root)}
}

func (f *fakeStores) connect(connected bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connected = connected
}

func (f *fakeStores) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.material)
}

// made is how many keys it ever made material for.
func (f *fakeStores) made() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

func (f *fakeStores) check(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id != storeID {
		return fault.New("CustomKeyStoreNotFoundException", "not found")
	}
	if !f.connected {
		return fault.New("CustomKeyStoreInvalidStateException", "not connected")
	}
	return nil
}

func (f *fakeStores) Admit(_ context.Context, _ arn.Scope, id string) error { return f.check(id) }

func (f *fakeStores) Cluster(string) string { return "cluster-abcdefghijk" }

func (f *fakeStores) RandomOf(ctx context.Context, _ arn.Scope, id string, n int) ([]byte, error) {
	if err := f.check(id); err != nil {
		return nil, err
	}
	return f.keys.Random(ctx, nil, n)
}

func (f *fakeStores) Available(*kms.Key) bool { return f.check(storeID) == nil }

func (f *fakeStores) Generate(ctx context.Context, k *kms.Key) (kms.MaterialRecord, error) {
	if err := f.check(k.StoreID); err != nil {
		return kms.MaterialRecord{}, err
	}
	made, err := f.keys.Generate(ctx, k)
	if err != nil {
		return made, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	id := fmt.Sprintf("%032x", f.next)
	f.material[id] = made
	return kms.MaterialRecord{BackingKeyID: id}, nil
}

// inCluster is k with the material that the cluster has for it.
func (f *fakeStores) inCluster(k *kms.Key) (*kms.Key, error) {
	if err := f.check(k.StoreID); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found, ok := f.material[k.Material.BackingKeyID]
	if !ok {
		return nil, fault.New("KMSInvalidStateException", "no key material")
	}
	c := *k
	c.Material = found
	return &c, nil
}

func (f *fakeStores) Seal(ctx context.Context, k *kms.Key, aad, plaintext []byte) ([]byte, error) {
	c, err := f.inCluster(k)
	if err != nil {
		return nil, err
	}
	return f.keys.Seal(ctx, c, aad, plaintext)
}

func (f *fakeStores) Open(ctx context.Context, k *kms.Key, _ *kms.MaterialRecord, aad, sealed []byte) ([]byte, error) {
	c, err := f.inCluster(k)
	if err != nil {
		return nil, err
	}
	return f.keys.Open(ctx, c, &c.Material, aad, sealed)
}

func (f *fakeStores) Random(ctx context.Context, k *kms.Key, n int) ([]byte, error) {
	if _, err := f.inCluster(k); err != nil {
		return nil, err
	}
	return f.keys.Random(ctx, k, n)
}

func (f *fakeStores) Discard(_ context.Context, k *kms.Key) error {
	if f.failDiscard != nil {
		return f.failDiscard
	}
	if err := f.check(k.StoreID); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.material[k.Material.BackingKeyID]; !ok {
		return errors.New("no such key in the cluster")
	}
	delete(f.material, k.Material.BackingKeyID)
	return nil
}
