package e2e

import (
	"os"
	"strings"
	"testing"

	"keyward/internal/keywardtest"
)

// TestIdentities gives a user, a role and another account their permissions, and takes them away, with the AWS CLI.
func TestIdentities(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	out := i.Shell(t.TempDir(), `set -eu
refused() { code=$1; shift; { ! "$@" 2>&1; } | grep -o "$code"; }
aws iam create-user --user-name alice --query User.Arn --output text
aws iam put-user-policy --user-name alice --policy-name list --policy-document \
  '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:ListKeys","sts:AssumeRole"],"Resource":"*"}]}'
aws iam create-role --role-name maker --assume-role-policy-document \
  '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}' \
  --query Role.AssumeRolePolicyDocument.Statement[0].Action --output text
aws iam attach-role-policy --role-name maker --policy-arn arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser
aws iam list-attached-role-policies --role-name maker --query AttachedPolicies[0].PolicyName --output text
keys=$(aws iam create-access-key --user-name alice --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)
as_alice() { AWS_ACCESS_KEY_ID=${keys%%[[:space:]]*} AWS_SECRET_ACCESS_KEY=${keys##*[[:space:]]} "$@"; }
as_alice aws sts get-caller-identity --query Arn --output text
as_alice aws kms list-keys --query 'length(Keys)'
refused AccessDeniedException as_alice aws kms create-key
refused 'AccessDenied)' as_alice aws iam list-users
session=$(as_alice aws sts assume-role --role-arn arn:aws:iam::111122223333:role/maker --role-session-name job \
  --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text)
as_job() { AWS_ACCESS_KEY_ID=$1 AWS_SECRET_ACCESS_KEY=$2 AWS_SESSION_TOKEN=$3 aws kms create-key --query KeyMetadata.KeyState --output text; }
as_job $session
aws iam detach-role-policy --role-name maker --policy-arn arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser
refused AccessDeniedException as_job $session
aws iam update-access-key --user-name alice --access-key-id ${keys%%[[:space:]]*} --status Inactive
refused UnrecognizedClientException as_alice aws kms list-keys
keyward admin create-account --account 444455556666 --name second
. "$KEYWARD_DATA/env-444455556666"
aws sts get-caller-identity --query Arn --output text
keyward admin list-accounts | cut -c 1-12,25-
`, "")
	want := []string{
		"arn:aws:iam::111122223333:user/alice", "sts:AssumeRole", "AWSKeyManagementServicePowerUser", "arn:aws:iam::111122223333:user/alice", "0",
		"AccessDeniedException", "AccessDenied)", "Enabled", "AccessDeniedException", "UnrecognizedClientException", "env-444455556666",
		"arn:aws:iam::444455556666:user/admin", "111122223333", "444455556666  second",
	}
	rest := out
	for _, part := range want {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%q is missing in %q, in\n%s", part, rest, out)
		}
		rest = after
	}
	info, err := os.Stat(i.Data + "/env-444455556666")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the key: %v, %v", info, err)
	}
}
