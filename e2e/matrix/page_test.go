// Package matrix calls every operation of the KMS API on a key of every spec, usage and origin of a running installation
// and keeps docs/key-operations.md equal to what it saw.
package matrix

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"keyward/internal/keywardtest"
)

var update = flag.Bool("update", false, "rewrite docs/key-operations.md")

const page = "../../docs/key-operations.md"

func TestMain(m *testing.M) {
	code := m.Run()
	keywardtest.Cleanup()
	os.Exit(code)
}

// TestPage fails where the page does not say what the server does.
func TestPage(t *testing.T) {
	i := keywardtest.Start(t, keywardtest.Options{})
	api := i.KMS()
	w := &world{T: t, i: i, api: api, store: exampleStore(t, api), symmetric: newKey(t, api)}
	seen := w.withoutKey()
	columns := w.examine(kinds())
	complete(t, seen, columns)
	made := render(seen, columns)
	kept, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if string(kept) == made {
		return
	}
	if !*update {
		t.Fatalf("%s does not say what the server does: run `go test ./e2e/matrix -update` and look at the difference", page)
	}
	if err := os.WriteFile(page, []byte(made), 0o644); err != nil {
		t.Fatal(err)
	}
}

type world struct {
	*testing.T
	i         *keywardtest.Installation
	api       *kms.Client
	store     string
	symmetric string
}

// elsewhere is a client of the Region that replicas are in.
func (w *world) elsewhere() *kms.Client {
	config := w.i.Config()
	config.Region = elsewhere
	return kms.NewFromConfig(config)
}

func exampleStore(t *testing.T, api *kms.Client) string {
	t.Helper()
	out, err := api.DescribeCustomKeyStores(t.Context(), &kms.DescribeCustomKeyStoresInput{})
	if err != nil || len(out.CustomKeyStores) != 1 {
		t.Fatalf("%d key stores, %v", len(out.CustomKeyStores), err)
	}
	return *out.CustomKeyStores[0].CustomKeyStoreId
}

func newKey(t *testing.T, api *kms.Client) string {
	t.Helper()
	out, err := api.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.Arn
}

// column is what was seen of kinds that behave alike.
type column struct {
	kinds []kind
	cells map[string]string // by operation
}

// examine calls every step on a key of every kind and puts kinds of the same outcome together.
func (w *world) examine(kinds []kind) []column {
	var columns []column
	for _, k := range kinds {
		cells := w.outcomes(k)
		same := slices.IndexFunc(columns, func(c column) bool { return reflect.DeepEqual(c.cells, cells) })
		if same < 0 {
			columns, same = append(columns, column{cells: cells}), len(columns)
		}
		columns[same].kinds = append(columns[same].kinds, k)
	}
	return columns
}

const supported = "yes"

func (w *world) outcomes(k kind) map[string]string {
	s := &subject{
		kind: k, ctx: context.Background(), api: w.api, elsewhere: w.elsewhere(), store: w.store, symmetric: w.symmetric,
	}
	cells := map[string]string{"CreateKey": w.outcome("CreateKey", k, s.create())}
	if cells["CreateKey"] != supported {
		return cells
	}
	for _, step := range steps {
		cells[step.operation] = w.outcome(step.operation, k, step.call(s))
	}
	return cells
}

// outcome is the exception's name, or "yes". What is neither, and what says that an operation is not there, fails the
// test: an operation may be refused for a kind of key, but never missing.
func (w *world) outcome(operation string, k kind, err error) string {
	if err == nil {
		return supported
	}
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorFault() == smithy.FaultServer || e.ErrorCode() == "UnknownOperationException" ||
		e.ErrorCode() == "AccessDeniedException" || e.ErrorCode() == "KMSInternalException" {
		w.Errorf("%s on %s: %v", operation, k, err)
		return "broken"
	}
	return strings.TrimSuffix(e.ErrorCode(), "Exception")
}

// complete compares what was called with the SDK, so that an operation that AWS adds is missed here.
func complete(t *testing.T, seen map[string]string, columns []column) {
	t.Helper()
	client := reflect.TypeFor[*kms.Client]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() < 3 || m.Type.In(1) != reflect.TypeFor[context.Context]() {
			continue
		}
		_, alone := seen[m.Name]
		if _, ofKeys := columns[0].cells[m.Name]; !alone && !ofKeys {
			t.Errorf("%s was not called", m.Name)
		}
	}
}

// withoutKey calls what acts on no key. What it says of key stores is seen on the installation's own.
func (w *world) withoutKey() map[string]string {
	none := kind{}
	seen := map[string]string{}
	for name, call := range map[string]func(context.Context) error{
		"ListKeys": func(ctx context.Context) error { return just(w.api.ListKeys(ctx, nil)) },
		"ListAliases": func(ctx context.Context) error {
			return just(w.api.ListAliases(ctx, nil))
		},
		"ListRetirableGrants": func(ctx context.Context) error {
			me := myself
			return just(w.api.ListRetirableGrants(ctx, &kms.ListRetirableGrantsInput{RetiringPrincipal: &me}))
		},
		"GenerateRandom": func(ctx context.Context) error {
			n := int32(32)
			return just(w.api.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: &n, CustomKeyStoreId: &w.store}))
		},
		"DescribeCustomKeyStores": func(ctx context.Context) error { return just(w.api.DescribeCustomKeyStores(ctx, nil)) },
	} {
		seen[name] = w.outcome(name, none, call(w.Context()))
	}
	w.moveStore(seen)
	return seen
}

// moveStore disconnects the key store, deletes it, makes it again on the same cluster and connects it.
func (w *world) moveStore(seen map[string]string) {
	described, err := w.api.DescribeCustomKeyStores(w.Context(), nil)
	if err != nil {
		w.Fatal(err)
	}
	old := described.CustomKeyStores[0]
	const password = "movedOver1"
	saw := func(operation string, err error) { seen[operation] = w.outcome(operation, kind{}, err) }
	saw("DisconnectCustomKeyStore", just(w.api.DisconnectCustomKeyStore(w.Context(), &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: &w.store})))
	w.await(types.ConnectionStateTypeDisconnected)
	w.changePassword(*old.CloudHsmClusterId, password)
	saw("DeleteCustomKeyStore", just(w.api.DeleteCustomKeyStore(w.Context(), &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: &w.store})))
	name, secret := "moved", password
	made, err := w.api.CreateCustomKeyStore(w.Context(), &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CloudHsmClusterId: old.CloudHsmClusterId,
		TrustAnchorCertificate: old.TrustAnchorCertificate, KeyStorePassword: &secret,
	})
	saw("CreateCustomKeyStore", err)
	if err != nil {
		w.FailNow()
	}
	w.store = *made.CustomKeyStoreId
	saw("UpdateCustomKeyStore", just(w.api.UpdateCustomKeyStore(w.Context(),
		&kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: &w.store, NewCustomKeyStoreName: old.CustomKeyStoreName})))
	saw("ConnectCustomKeyStore", just(w.api.ConnectCustomKeyStore(w.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: &w.store})))
	w.await(types.ConnectionStateTypeConnected)
}

func (w *world) await(state types.ConnectionStateType) {
	w.i.Await("the key store to be "+string(state), func() bool {
		out, err := w.api.DescribeCustomKeyStores(w.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: &w.store})
		return err == nil && out.CustomKeyStores[0].ConnectionState == state
	})
}

// changePassword gives kmsuser a password as the operator does.
func (w *world) changePassword(cluster, password string) {
	w.i.Shell(w.TempDir(), fmt.Sprintf(`keyward cloudhsm-cli --cluster-id %s interactive <<END
login --username admin --role admin --password $(cat "$KEYWARD_DATA/ExampleKeyStore/admin-password")
user change-password --username kmsuser --role crypto-user --password %s
logout
END`, cluster, password), "")
}

// render writes the page.
func render(seen map[string]string, columns []column) string {
	var b strings.Builder
	b.WriteString(`# Operations by key

Made by ` + "`go test ./e2e/matrix -update`" + `, which calls all operations of the AWS SDK's KMS client on a key of every spec,
usage and origin of a running installation, each in a way that succeeds on keys that have it. "yes" means that the call
succeeded; anything else is the exception (without "Exception") that it was refused with, AWS's own for such a key unless
[compatibility.md](compatibility.md) says otherwise. Imported keys are looked at with their material in place.

## Kinds of key

| | origin, key specs and usages |
|---|---|
`)
	var refused []column
	var served []column
	for _, c := range columns {
		if c.cells["CreateKey"] == supported {
			served = append(served, c)
		} else {
			refused = append(refused, c)
		}
	}
	for i, c := range served {
		fmt.Fprintf(&b, "| **%s** | %s |\n", letter(i), describe(c.kinds))
	}
	b.WriteString("\nNot to be had:\n\n| CreateKey answers | origin, key specs and usages |\n|---|---|\n")
	for _, c := range refused {
		fmt.Fprintf(&b, "| %s | %s |\n", c.cells["CreateKey"], describe(c.kinds))
	}
	b.WriteString("\n## Operations on a key\n\n| |")
	for i := range served {
		fmt.Fprintf(&b, " %s |", letter(i))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(served)) + "\n")
	for _, operation := range append([]string{"CreateKey"}, operations()...) {
		fmt.Fprintf(&b, "| %s |", operation)
		for _, c := range served {
			fmt.Fprintf(&b, " %s |", c.cells[operation])
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Operations on no key\n\n| | |\n|---|---|\n")
	for _, operation := range slices.Sorted(maps.Keys(seen)) {
		fmt.Fprintf(&b, "| %s | %s |\n", operation, seen[operation])
	}
	return b.String()
}

func letter(i int) string { return string(rune('A' + i)) }

func operations() []string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.operation
	}
	slices.Sort(names)
	return names
}

// describe lists kinds, a line for each origin.
func describe(kinds []kind) string {
	var lines []string
	for _, origin := range types.OriginType("").Values() {
		var parts []string
		for _, usage := range types.KeyUsageType("").Values() {
			var specs []string
			for _, k := range kinds {
				if k.origin == origin && k.usage == usage {
					specs = append(specs, string(k.spec))
				}
			}
			if specs != nil {
				parts = append(parts, fmt.Sprintf("%s (%s)", strings.Join(specs, ", "), usage))
			}
		}
		if parts != nil {
			lines = append(lines, fmt.Sprintf("`%s`: %s", origin, strings.Join(parts, "; ")))
		}
	}
	return strings.Join(lines, "<br>")
}
