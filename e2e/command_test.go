package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"keyward/internal/keywardtest"
)

// TestCommandLine runs the scripts in testdata: what the commands say, and their exit status.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	binary := keywardtest.Binary(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+":"+env.Getenv("PATH"))
			return nil
		},
	})
}

// TestDemo plays the demo on an installation of its own, as the README's first command does.
func TestDemo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	demo := exec.CommandContext(ctx, keywardtest.Binary(t), "demo")
	demo.Dir = t.TempDir()
	var stderr strings.Builder
	demo.Stderr = &stderr
	out, err := demo.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, &stderr)
	}
	rest := string(out)
	for _, want := range []string{
		`"ConnectionState": "CONNECTED"`, "aws kms create-key --origin AWS_CLOUDHSM", "attack at dawn",
		"(KMSInvalidStateException)", `"ConnectionErrorCode": "INVALID_CREDENTIALS"`,
		"Login failed: Incorrect authentication credentials", `"locked": "inconsistent"`,
		`"ConnectionErrorCode": "USER_LOCKED_OUT"`, `"ConnectionState": "CONNECTED"`, "attack at dawn",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("the demo does not show %q where it should:\n%s", want, out)
		}
		rest = after
	}
	if entries, err := filepath.Glob(filepath.Join(demo.Dir, "*")); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestClock moves the clock of a rehearsal, and finds it moved after a restart.
func TestClock(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty", "--dev"}})
	dir := t.TempDir()
	if out := i.Shell(dir, "keyward clock advance 30d", ""); !strings.Contains(out, "720h0m0s ahead") {
		t.Errorf("clock advance: %s", out)
	}
	i.Kill()
	i.Up()
	if out := i.Shell(dir, "keyward clock", ""); !strings.Contains(out, "720h0m0s ahead") {
		t.Errorf("after a restart: %s", out)
	}
	// Signatures are judged by the machine's clock: clients know nothing of the rehearsal.
	if n := countKeys(t, i); n != 0 {
		t.Errorf("%d keys", n)
	}
}

// TestSelfSignedEndpoint uses the endpoint through TLS, with nothing but what DIR/env says.
func TestSelfSignedEndpoint(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty", "--tls-self-signed"}})
	if !strings.HasPrefix(i.Endpoint, "https://") {
		t.Fatalf("endpoint %s", i.Endpoint)
	}
	if out := i.Shell(t.TempDir(), "aws sts get-caller-identity", ""); !strings.Contains(out, "111122223333") {
		t.Error(out)
	}
}
