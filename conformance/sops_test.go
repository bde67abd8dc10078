package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sops keeps a file of secrets in a repository: encrypts its values, changes one, rotates its data key, adds a second KMS
// key, opens the file with that one alone, and works with a role's permissions.
func sops(t *testing.T, h house) {
	onPath(t, "sops")
	dir, printed := h.typed(t, "sops")
	wants(t, printed, "correct horse battery staple", "much better", "ENC[AES256_GCM,", "much better", `"RoleName": "shop-secrets"`,
		"token: from a vault")
	sealed, err := os.ReadFile(filepath.Join(dir, "secrets.enc.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sealed), "much better") || strings.Count(string(sealed), "arn: arn:aws:kms:") != 2 {
		t.Errorf("the file at rest:\n%s", sealed)
	}
	h.on(t, func(t *testing.T, key string) { h.sopsRefusals(t, key) })
	h.sopsWithoutPermission(t, dir)
}

// sopsWithoutPermission takes its permission from the role that the page's commands made.
func (h house) sopsWithoutPermission(t *testing.T, dir string) {
	t.Helper()
	printed := h.shell(t, dir, `
		aws iam delete-role-policy --role-name shop-secrets --policy-name use-the-key
		! sops decrypt token.enc.yaml 2> denied.log
		tr -s ' |\n' ' ' < denied.log`)
	wants(t, printed, "AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/shop-secrets/sops@",
		"is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:111122223333:key/",
		"because no identity-based policy allows the kms:Decrypt action")
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
