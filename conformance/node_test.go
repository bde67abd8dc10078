package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func awsSDKForJavaScript(t *testing.T, h house) {
	shows(t, "aws-sdk-js", "js", "js/kms.test.mjs")
	h.node(t, "kms.test.mjs")
}

func encryptionSDKForJavaScript(t *testing.T, h house) {
	shows(t, "encryption-sdk-js", "js", "js/encryption-sdk.test.mjs")
	h.node(t, "encryption-sdk.test.mjs")
}

// node runs a file of tests with node's own runner.
func (h house) node(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("js", "node_modules")); err != nil {
		t.Skip("the JavaScript clients are not installed: npm ci --prefix conformance/js")
	}
	run := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", file)
	run.Dir, run.Env = "js", append(os.Environ(), "PLAIN_KEY="+h.plain, "STORED_KEY="+h.stored)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
