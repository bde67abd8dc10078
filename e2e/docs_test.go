package e2e

import (
	"strings"
	"testing"

	"keyward/internal/keywardtest"
)

// TestGettingStarted types docs/getting-started.md into a shell, as it stands.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	out := i.Shell(t.TempDir(), keywardtest.Script(keywardtest.Blocks(t, "../docs/getting-started.md", "getting-started", "sh")), "")
	for _, want := range []string{"Cluster activation successful", `"username": "kmsuser"`, `"KeyState": "Enabled"`, "same\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the page's commands did not print %q:\n%s", want, out)
		}
	}
}

// TestTour types the README's tour, then the seed procedures of troubleshooting.md on the same installation.
func TestTour(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{})
	out := i.Shell(t.TempDir(), keywardtest.Script(keywardtest.Blocks(t, "../README.md", "tour", "sh")), "")
	for _, want := range []string{`"Account": "111122223333"`, `"CustomKeyStoreName": "ExampleKeyStore"`, `"ConnectionState": "CONNECTED"`, "same\n", "Verified OK", "refused\n", "GrantId"} {
		if !strings.Contains(out, want) {
			t.Errorf("the tour did not print %q:\n%s", want, out)
		}
	}
}
