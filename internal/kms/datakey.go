package kms

import (
	"context"
	"crypto/rand"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/operation"
)

// maxRandom is the largest number of bytes that one call gives.
const maxRandom = 1024

func (s *Service) generateDataKey(ctx context.Context, call *operation.Call, in *kms.GenerateDataKeyInput) (*kms.GenerateDataKeyOutput, error) {
	if in.Recipient != nil {
		return nil, errRecipient
	}
	d, err := s.dataKey(ctx, call, "GenerateDataKey", &kms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: in.KeyId, KeySpec: in.KeySpec, NumberOfBytes: in.NumberOfBytes,
		EncryptionContext: in.EncryptionContext, GrantTokens: in.GrantTokens, DryRun: in.DryRun,
	})
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyOutput{
		CiphertextBlob: d.blob, Plaintext: d.plaintext, KeyId: &d.key.arn, KeyMaterialId: materialID(d.key),
	}, nil
}

func (s *Service) generateDataKeyWithoutPlaintext(
	ctx context.Context, call *operation.Call, in *kms.GenerateDataKeyWithoutPlaintextInput,
) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	d, err := s.dataKey(ctx, call, "GenerateDataKeyWithoutPlaintext", in)
	if err != nil {
		return nil, err
	}
	clear(d.plaintext)
	return &kms.GenerateDataKeyWithoutPlaintextOutput{
		CiphertextBlob: d.blob, KeyId: &d.key.arn, KeyMaterialId: materialID(d.key),
	}, nil
}

type dataKey struct {
	key       *snapshot
	plaintext []byte
	blob      []byte
}

// dataKey draws a data key where the KMS key's material lives and encrypts it.
func (s *Service) dataKey(
	ctx context.Context, call *operation.Call, operation string, in *kms.GenerateDataKeyWithoutPlaintextInput,
) (d dataKey, err error) {
	size, err := dataKeySize(in.KeySpec, in.NumberOfBytes)
	if err != nil {
		return d, err
	}
	if err := checkContext(symmetric, in.EncryptionContext); err != nil {
		return d, err
	}
	u := encryption(question{operation: operation, tokens: in.GrantTokens, context: in.EncryptionContext}, symmetric, "")
	if d.key, err = s.usable(ctx, call, u, *in.KeyId); err != nil {
		return d, err
	}
	if aws.ToBool(in.DryRun) {
		return d, errDryRun
	}
	if d.plaintext, err = s.material(d.key.Key).Random(ctx, d.key.Key, size); err != nil {
		return d, unexpected("drawing a data key", err)
	}
	if d.blob, err = s.seal(ctx, d.key, in.EncryptionContext, d.plaintext); err != nil {
		clear(d.plaintext)
		return d, err
	}
	return d, nil
}

// dataKeySize takes exactly one of a spec and a number of bytes.
func dataKeySize(spec types.DataKeySpec, bytes *int32) (int, error) {
	if (spec == "") == (bytes == nil) {
		return 0, invalid("Please specify either number of bytes or key spec.")
	}
	switch spec {
	case "":
		return int(*bytes), nil
	case types.DataKeySpecAes128:
		return 16, nil
	default:
		return 32, nil
	}
}

func (s *Service) generateRandom(ctx context.Context, call *operation.Call, in *kms.GenerateRandomInput) (*kms.GenerateRandomOutput, error) {
	if in.NumberOfBytes == nil {
		return nil, invalid("NumberOfBytes is required.")
	}
	if in.Recipient != nil {
		return nil, errRecipient
	}
	if storeID := aws.ToString(in.CustomKeyStoreId); storeID != "" {
		call.Event.Additional.Add("customKeyStoreId", storeID)
		out, err := s.stores.RandomOf(ctx, call.Scope, storeID, int(*in.NumberOfBytes))
		if err != nil {
			return nil, unexpected("drawing random bytes", err)
		}
		return &kms.GenerateRandomOutput{Plaintext: out}, nil
	}
	out := make([]byte, min(*in.NumberOfBytes, maxRandom))
	if _, err := rand.Read(out); err != nil {
		return nil, err
	}
	return &kms.GenerateRandomOutput{Plaintext: out}, nil
}
