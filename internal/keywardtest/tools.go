package keywardtest

import (
	"os/exec"
	"testing"
)

// NeedTools skips a test that types what an operator types where the operator's tools are missing.
func NeedTools(t testing.TB) {
	t.Helper()
	for _, tool := range []string{"bash", "aws", "openssl", "base64", "pgrep", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: apt-get install awscli openssl procps python3", tool)
		}
	}
}
