package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
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
	t.Run("signature", signWithGo)
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

// signWithGo has KMS sign, and Go's own library verify with the public key.
func signWithGo(t *testing.T) {
	client := kms.NewFromConfig(configuration(t))
	made, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify})
	if err != nil {
		t.Fatal(err)
	}
	key := made.KeyMetadata.KeyId
	public, err := client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: key})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKIXPublicKey(public.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte(rand.Text())
	signed, err := client.Sign(t.Context(), &kms.SignInput{KeyId: key, Message: message, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(parsed.(*ecdsa.PublicKey), digest[:], signed.Signature) {
		t.Error("the signature does not verify")
	}
}
