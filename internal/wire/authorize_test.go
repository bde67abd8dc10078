package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
)

func errorCode(err error) string {
	if e := smithy.APIError(nil); errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// alice is the configuration of a user who may do nothing.
func (w *world) alice(t *testing.T) aws.Config {
	t.Helper()
	if _, err := iam.NewFromConfig(w.config()).CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("alice")}); err != nil {
		t.Fatal(err)
	}
	out, err := iam.NewFromConfig(w.config()).CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("alice")})
	if err != nil {
		t.Fatal(err)
	}
	c := w.config()
	c.Credentials = credentials.NewStaticCredentialsProvider(*out.AccessKey.AccessKeyId, *out.AccessKey.SecretAccessKey, "")
	return c
}

// TestEveryActionOfACallIsAskedFor: on its own resource each, and the call is made if all are allowed.
func TestEveryActionOfACallIsAskedFor(t *testing.T) {
	w := newWorld(t)
	c := w.alice(t)
	for policy, lacks := range map[string]string{
		`{"Effect":"Allow","Action":"cloudhsm:CopyBackupToRegion","Resource":"arn:aws:cloudhsm:::one"}`: "cloudhsm:TagResource on resource: arn:aws:cloudhsm:::two ",
		`{"Effect":"Allow","Action":"cloudhsm:*","Resource":"arn:aws:cloudhsm:::two"}`:                  "cloudhsm:CopyBackupToRegion on resource: arn:aws:cloudhsm:::one ",
		`{"Effect":"Allow","Action":"cloudhsm:CopyBackupToRegion","Resource":"arn:aws:cloudhsm:::one"},` +
			`{"Effect":"Allow","Action":"cloudhsm:TagResource","Resource":"arn:aws:cloudhsm:::two"}`: "",
	} {
		_, err := iam.NewFromConfig(w.config()).PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{
			UserName: aws.String("alice"), PolicyName: aws.String("p"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[` + policy + `]}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = cloudhsmv2.NewFromConfig(c).CopyBackupToRegion(t.Context(), &cloudhsmv2.CopyBackupToRegionInput{
			BackupId: aws.String("backup-abcdefghijk"), DestinationRegion: aws.String("eu-west-1"),
		})
		if (err == nil) != (lacks == "") || err != nil && !strings.Contains(err.Error(), lacks) {
			t.Errorf("%s: %v", policy, err)
		}
	}
}

// TestDenialsInEachServicesWords asks as a user who may do nothing.
func TestDenialsInEachServicesWords(t *testing.T) {
	w := newWorld(t)
	c := w.alice(t)
	_, err := kms.NewFromConfig(c).ListKeys(t.Context(), &kms.ListKeysInput{})
	if got := errorCode(err); got != "AccessDeniedException" {
		t.Errorf("KMS: %v", err)
	}
	_, err = cloudhsmv2.NewFromConfig(c).DescribeClusters(t.Context(), &cloudhsmv2.DescribeClustersInput{})
	if got := errorCode(err); got != "CloudHsmAccessDeniedException" {
		t.Errorf("CloudHSM: %v", err)
	}
	_, err = iam.NewFromConfig(c).ListUsers(t.Context(), &iam.ListUsersInput{})
	if got := errorCode(err); got != "AccessDenied" {
		t.Errorf("IAM: %v", err)
	}
}
