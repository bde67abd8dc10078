package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sops keeps a file of secrets in a repository: encrypts its values, changes one, rotates its data key, adds a second KMS
// key, and opens the file with that one alone.
func sops(t *testing.T, h house) {
	onPath(t, "sops")
	dir, printed := h.typed(t, "sops")
	wants(t, printed, "correct horse battery staple", "much better", "ENC[AES256_GCM,", "much better")
	sealed, err := os.ReadFile(filepath.Join(dir, "secrets.enc.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sealed), "much better") || strings.Count(string(sealed), "arn: arn:aws:kms:") != 2 {
		t.Errorf("the file at rest:\n%s", sealed)
	}
	h.on(t, func(t *testing.T, key string) { h.sopsRefusals(t, key) })
}

// sopsRefusals spoils an encrypted file in ways that KMS must notice.
func (h house) sopsRefusals(t *testing.T, key string) {
	t.Setenv("KEY", key)
	printed := h.shell(t, t.TempDir(), `
		printf 'password: hunter2\n' > secrets.yaml
		sops encrypt --kms "$KEY" --encryption-context app:shop secrets.yaml > secrets.enc.yaml
		sops decrypt secrets.enc.yaml
		sed 's/app: shop/app: toys/' secrets.enc.yaml > other-context.enc.yaml
		! sops decrypt other-context.enc.yaml 2> context.log
		grep -o 'InvalidCiphertextException' context.log | uniq
		aws kms disable-key --key-id "$KEY"
		! sops decrypt secrets.enc.yaml 2> disabled.log
		grep -o 'DisabledException' disabled.log | uniq
		aws kms enable-key --key-id "$KEY"
		sops decrypt secrets.enc.yaml`)
	if want := "password: hunter2\nInvalidCiphertextException\nDisabledException\npassword: hunter2\n"; printed != want {
		t.Errorf("printed\n%s\nwant\n%s", printed, want)
	}
}
