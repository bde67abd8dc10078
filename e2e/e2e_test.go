// Package e2e tests whole installations through their public faces: the AWS CLI, the AWS SDK, openssl, the operators'
// shell, and signals to real processes. Each file is one promise.
package e2e

import (
	"os"
	"testing"

	"keyward/internal/keywardtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	keywardtest.Cleanup()
	os.Exit(code)
}
