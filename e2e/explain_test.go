package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keywardtest"
)

// TestExplain asks a running installation about a user's permissions, and has its answers agree with what the user's
// policies and grants are.
func TestExplain(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	ctx := t.Context()
	user, err := iam.NewFromConfig(i.Config()).CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")})
	if err != nil {
		t.Fatal(err)
	}
	alice := *user.User.Arn
	made, err := i.KMS().CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	id, name := *made.KeyMetadata.KeyId, *made.KeyMetadata.Arn
	explain := func(args ...string) (status int, out string) {
		t.Helper()
		command := exec.CommandContext(ctx, i.Binary, append([]string{"admin", "explain", "--data", i.Data}, args...)...)
		text, err := command.CombinedOutput()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return exit.ExitCode(), string(text)
		} else if err != nil {
			t.Fatal(err)
		}
		return 0, string(text)
	}
	says := func(wantStatus int, want string, args ...string) {
		t.Helper()
		if status, out := explain(args...); status != wantStatus || out != want {
			t.Errorf("%q: status %d\n%s\nwant %d\n%s", args, status, out, wantStatus, want)
		}
	}
	says(1, `decision: denied
reason:   no allow
by:       identity policy
through:  resource policy "default", statement 1 (Enable IAM User Permissions)
message:  User: `+alice+` is not authorized to perform: kms:Encrypt on resource: `+name+` because no identity-based policy allows the kms:Encrypt action
`, "--principal", alice, "--action", "kms:Encrypt", "--key", id)
	grant, err := i.KMS().CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: &id, GranteePrincipal: &alice, Operations: []types.GrantOperation{"Encrypt"},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1,2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	says(0, "decision: allowed\nreason:   allowed by a grant\nby:       grant "+*grant.GrantId+"\n",
		"--principal", alice, "--action", "kms:Encrypt", "--key", name, "--encryption-context", "a=1,2", "--encryption-context", "b=3")
	if status, out := explain("--principal", alice, "--action", "kms:Encrypt", "--key", id, "--encryption-context", "a=2"); status != 1 {
		t.Errorf("another context: status %d\n%s", status, out)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"Office","Effect":"Allow","Principal":{"AWS":"` + alice + `"},"Action":"kms:Decrypt","Resource":"*",` +
		`"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}},{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}]}`
	if _, err := i.KMS().PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &id, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	says(0, "decision: allowed\nreason:   allowed by a statement\nby:       resource policy \"default\", statement 1 (Office)\n",
		"--principal", alice, "--action", "kms:Decrypt", "--key", id, "--context", "aws:SourceIp=192.0.2.7")
	for _, wrong := range []struct{ says, principal, action, key string }{
		{"there is no principal", "arn:aws:iam::111122223333:user/bob", "kms:Encrypt", id},
		{"is no action of KMS", alice, "kms:ReEncrypt", id},
		{"does not exist", alice, "kms:Encrypt", "11111111-2222-4333-8444-555555555555"},
	} {
		status, out := explain("--principal", wrong.principal, "--action", wrong.action, "--key", wrong.key)
		if status != 1 || !strings.HasPrefix(out, "keyward: ") || !strings.Contains(out, wrong.says) {
			t.Errorf("status %d\n%s", status, out)
		}
	}
}
