package conformance

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// configuration is what a program gets that knows nothing of keyward.
func configuration(t *testing.T) aws.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func awsSDKForGo(t *testing.T, h house) {
	shows(t, "aws-sdk-go", "go", "awssdkgo_test.go")
	h.on(t, func(t *testing.T, key string) {
		sealed, err := sealWithGo(t.Context(), key, "attack at dawn")
		if err != nil {
			t.Fatal(err)
		}
		client := kms.NewFromConfig(configuration(t))
		opened, err := client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed, EncryptionContext: map[string]string{"app": "shop"}})
		if err != nil || string(opened.Plaintext) != "attack at dawn" || *opened.KeyId != key {
			t.Errorf("%+v, %v", opened, err)
		}
		_, err = client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed})
		if invalid := (*types.InvalidCiphertextException)(nil); !errors.As(err, &invalid) {
			t.Errorf("without its context: %v", err)
		}
	})
}

func sealWithGo(ctx context.Context, key, text string) ([]byte, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client := kms.NewFromConfig(cfg)
	sealed, err := client.Encrypt(ctx, &kms.EncryptInput{
		KeyId:             aws.String(key),
		Plaintext:         []byte(text),
		EncryptionContext: map[string]string{"app": "shop"},
	})
	if err != nil {
		return nil, err
	}
	return sealed.CiphertextBlob, nil
}
