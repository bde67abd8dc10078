// Package conformance lets clients that others wrote for AWS KMS do their real job on a real installation. It is a module
// of its own, so that none of them enters the product's dependencies. What docs/clients.md tells a user to type or to
// write is what runs here.
package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keywardtest"
)

const page = "../docs/clients.md"

func TestMain(m *testing.M) {
	code := m.Run()
	keywardtest.Cleanup()
	os.Exit(code)
}

// house is the installation that the clients are guests of: reached through TLS, with a key store.
type house struct {
	*keywardtest.Installation
	plain  string // ARN of a symmetric key
	stored string // ARN of a symmetric key in the custom key store
}

// TestClients runs each client on one installation. They find it as a user's programs do, by the environment.
func TestClients(t *testing.T) {
	keywardtest.NeedTools(t)
	h := house{Installation: keywardtest.Start(t, keywardtest.Options{Args: []string{"--tls-self-signed"}})}
	adoptEnvironment(t, h.Installation)
	h.plain, h.stored = h.symmetricKey(t, types.OriginTypeAwsKms), h.symmetricKey(t, types.OriginTypeAwsCloudhsm)
	for _, client := range []struct {
		name string
		run  func(*testing.T, house)
	}{
		{"aws-cli", awsCLI},
		{"aws-sdk-go", awsSDKForGo},
		{"aws-sdk-js", awsSDKForJavaScript},
		{"sops", sops},
		{"cosign", cosign},
		{"tink", tinkEnvelopes},
		{"gocloud", goCloudSecrets},
		{"encryption-sdk-js", encryptionSDKForJavaScript},
	} {
		t.Run(client.name, func(t *testing.T) { client.run(t, h) })
	}
}

// adoptEnvironment sets in this process what `source DIR/env` sets in a shell. Retries are off: each answer must be right
// the first time.
func adoptEnvironment(t *testing.T, i *keywardtest.Installation) {
	t.Helper()
	for _, variable := range i.Env() {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value)
		}
	}
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	t.Setenv("NODE_EXTRA_CA_CERTS", os.Getenv("AWS_CA_BUNDLE"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none")) // nothing of the person who runs the tests
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
}

// symmetricKey makes a key of the origin, in the example's key store where that is AWS_CLOUDHSM.
func (h house) symmetricKey(t *testing.T, origin types.OriginType) string {
	t.Helper()
	client, input := kms.NewFromConfig(configuration(t)), &kms.CreateKeyInput{Origin: origin}
	if origin == types.OriginTypeAwsCloudhsm {
		stores, err := client.DescribeCustomKeyStores(t.Context(), &kms.DescribeCustomKeyStoresInput{})
		if err != nil || len(stores.CustomKeyStores) != 1 {
			t.Fatal(stores, err)
		}
		input.CustomKeyStoreId = stores.CustomKeyStores[0].CustomKeyStoreId
	}
	made, err := client.CreateKey(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(made.KeyMetadata.Arn)
}

// on runs a check with a key in the default store and with one in the custom key store.
func (h house) on(t *testing.T, check func(t *testing.T, key string)) {
	t.Run("default-store", func(t *testing.T) { check(t, h.plain) })
	t.Run("key-store", func(t *testing.T) { check(t, h.stored) })
}

// typed runs the page's shell blocks for a client in an empty folder, which it returns with what they print.
func (h house) typed(t *testing.T, client string) (dir, printed string) {
	t.Helper()
	dir = t.TempDir()
	return dir, h.shell(t, dir, keywardtest.Script(keywardtest.Blocks(t, page, client, "sh")))
}

// shell runs a script for one client's test.
func (h house) shell(t *testing.T, dir, script string) string {
	t.Helper()
	own := *h.Installation
	own.T = t
	return own.Shell(dir, script, "")
}

// onPath puts a client that is a tool of the module in clients on the PATH. Go keeps the built program in its cache.
func onPath(t *testing.T, tool string) {
	t.Helper()
	find := exec.Command("go", "tool", "-n", tool)
	find.Dir, find.Stderr = "clients", os.Stderr
	out, err := find.Output()
	if err != nil {
		t.Fatalf("building %s: %v", tool, err)
	}
	t.Setenv("PATH", filepath.Dir(strings.TrimSpace(string(out)))+":"+os.Getenv("PATH"))
}

// shows fails the test unless the page's code in a language for a client stands, line by line, in one of its source
// files.
func shows(t *testing.T, client, language, file string) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range keywardtest.Blocks(t, page, client, language) {
		if !strings.Contains(unindented(string(source)), unindented(block.Text)) {
			t.Errorf("%s does not run what %s shows:\n%s", file, page, block.Text)
		}
	}
}

func unindented(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// wants fails the test unless the texts stand in what was printed, in this order.
func wants(t *testing.T, printed string, texts ...string) {
	t.Helper()
	rest := printed
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Errorf("%q is not where it should be in:\n%s", text, printed)
			return
		}
		rest = after
	}
}
