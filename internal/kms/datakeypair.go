package kms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/operation"
	"keyward/internal/secret"
)

func (s *Service) generateDataKeyPair(
	ctx context.Context, call *operation.Call, in *kms.GenerateDataKeyPairInput,
) (*kms.GenerateDataKeyPairOutput, error) {
	if in.Recipient != nil {
		return nil, errRecipient
	}
	p, err := s.dataKeyPair(ctx, call, "GenerateDataKeyPair", &kms.GenerateDataKeyPairWithoutPlaintextInput{
		KeyId: in.KeyId, KeyPairSpec: in.KeyPairSpec,
		EncryptionContext: in.EncryptionContext, GrantTokens: in.GrantTokens, DryRun: in.DryRun,
	})
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyPairOutput{
		PrivateKeyCiphertextBlob: p.blob, PrivateKeyPlaintext: p.private.Expose(), PublicKey: p.public,
		KeyPairSpec: in.KeyPairSpec, KeyId: &p.key.arn, KeyMaterialId: materialID(p.key),
	}, nil
}

func (s *Service) generateDataKeyPairWithoutPlaintext(
	ctx context.Context, call *operation.Call, in *kms.GenerateDataKeyPairWithoutPlaintextInput,
) (*kms.GenerateDataKeyPairWithoutPlaintextOutput, error) {
	p, err := s.dataKeyPair(ctx, call, "GenerateDataKeyPairWithoutPlaintext", in)
	if err != nil {
		return nil, err
	}
	p.private.Wipe()
	return &kms.GenerateDataKeyPairWithoutPlaintextOutput{
		PrivateKeyCiphertextBlob: p.blob, PublicKey: p.public,
		KeyPairSpec: in.KeyPairSpec, KeyId: &p.key.arn, KeyMaterialId: materialID(p.key),
	}, nil
}

type dataKeyPair struct {
	key     *snapshot
	private secret.Bytes // PKCS #8, DER
	public  []byte       // SubjectPublicKeyInfo, DER
	blob    []byte       // private, encrypted
}

// dataKeyPair makes a key pair and encrypts its private key.
func (s *Service) dataKeyPair(
	ctx context.Context, call *operation.Call, operation string, in *kms.GenerateDataKeyPairWithoutPlaintextInput,
) (p dataKeyPair, err error) {
	if err := s.requests.admitPair(call, in.KeyPairSpec); err != nil {
		return p, err
	}
	if in.KeyPairSpec == types.DataKeyPairSpecSm2 {
		return p, elsewhere("KeyPairSpec", string(in.KeyPairSpec))
	}
	if err := checkContext(symmetric, in.EncryptionContext); err != nil {
		return p, err
	}
	u := encryption(question{operation: operation, tokens: in.GrantTokens, context: in.EncryptionContext}, symmetric, "")
	u.request = append(with(keyDataKeyPairSpec, in.KeyPairSpec), withSymmetric...)
	if p.key, err = s.usable(ctx, call, u, *in.KeyId); err != nil {
		return p, err
	}
	if aws.ToBool(in.DryRun) {
		return p, errDryRun
	}
	if p.private, p.public, err = s.standard.pair(ctx, types.KeySpec(in.KeyPairSpec)); err != nil {
		return p, unexpected("making a data key pair", err)
	}
	if p.blob, err = s.seal(ctx, p.key, in.EncryptionContext, p.private.Expose()); err != nil {
		p.private.Wipe()
		return p, err
	}
	return p, nil
}
