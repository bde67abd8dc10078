package wire_test

import (
	"errors"
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

// TestDenialsInEachServicesWords asks as a user who may do nothing.
func TestDenialsInEachServicesWords(t *testing.T) {
	w := newWorld(t)
	if _, err := iam.NewFromConfig(w.config()).CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("alice")}); err != nil {
		t.Fatal(err)
	}
	out, err := iam.NewFromConfig(w.config()).CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("alice")})
	if err != nil {
		t.Fatal(err)
	}
	c := w.config()
	c.Credentials = credentials.NewStaticCredentialsProvider(*out.AccessKey.AccessKeyId, *out.AccessKey.SecretAccessKey, "")
	_, err = kms.NewFromConfig(c).ListKeys(t.Context(), &kms.ListKeysInput{})
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
