package kms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/keyspec"
	"keyward/internal/operation"
)

func (s *Service) deriveSharedSecret(
	ctx context.Context, call *operation.Call, in *kms.DeriveSharedSecretInput,
) (*kms.DeriveSharedSecretOutput, error) {
	if in.Recipient != nil {
		return nil, errRecipient
	}
	q := question{
		operation: "DeriveSharedSecret", accepts: byAnyName, tokens: in.GrantTokens,
		request: with(keyKeyAgreementAlgorithm, in.KeyAgreementAlgorithm),
	}
	k, err := s.usable(ctx, call, use{q, types.KeyUsageTypeKeyAgreement, string(in.KeyAgreementAlgorithm), ""}, *in.KeyId)
	if err != nil {
		return nil, err
	}
	peer, err := keyspec.ParsePublic(k.Spec, in.PublicKey)
	if err != nil {
		return nil, fault.New("ValidationException", "").Because(err) // AWS sends no sentence
	}
	if aws.ToBool(in.DryRun) {
		return nil, errDryRun
	}
	var shared []byte
	err = s.standard.with(ctx, k.Key, func(key *keyspec.Key) (err error) {
		shared, err = key.Agree(peer)
		return err
	})
	if err != nil {
		return nil, unexpected("agreeing on a secret", err)
	}
	return &kms.DeriveSharedSecretOutput{
		KeyId: &k.arn, SharedSecret: shared, KeyAgreementAlgorithm: in.KeyAgreementAlgorithm, KeyOrigin: k.Origin,
	}, nil
}
