package kms

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
	"keyward/internal/operation"
)

// encapsulation is the use of a key to encapsulate or decapsulate.
func encapsulation(operation string, algorithm types.EncapsulationAlgorithmSpec, tokens []string) use {
	q := question{operation: operation, accepts: byAnyName, tokens: tokens}
	return use{q, types.KeyUsageTypeEncapsulateDecapsulate, string(algorithm), ""}
}

func (s *Service) encapsulate(ctx context.Context, call *operation.Call, in *kms.EncapsulateInput) (*kms.EncapsulateOutput, error) {
	k, err := s.usable(ctx, call, encapsulation("Encapsulate", in.EncapsulationAlgorithm, in.GrantTokens), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if aws.ToBool(in.DryRun) {
		return nil, errDryRun
	}
	out := &kms.EncapsulateOutput{KeyId: &k.arn, EncapsulationAlgorithm: in.EncapsulationAlgorithm}
	err = s.standard.with(ctx, k.Key, func(key *keyspec.Key) (err error) {
		out.SharedSecret, out.SharedSecretCiphertextBlob, err = key.Encapsulate()
		return err
	})
	if err != nil {
		return nil, unexpected("encapsulating", err)
	}
	return out, nil
}

// decapsulate refuses nothing but a ciphertext of the wrong length: any other gives some secret (FIPS 203, implicit
// rejection).
func (s *Service) decapsulate(ctx context.Context, call *operation.Call, in *kms.DecapsulateInput) (*kms.DecapsulateOutput, error) {
	k, err := s.usable(ctx, call, encapsulation("Decapsulate", in.EncapsulationAlgorithm, in.GrantTokens), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if aws.ToBool(in.DryRun) {
		return nil, errDryRun
	}
	out := &kms.DecapsulateOutput{KeyId: &k.arn, EncapsulationAlgorithm: in.EncapsulationAlgorithm}
	err = s.standard.with(ctx, k.Key, func(key *keyspec.Key) (err error) {
		out.SharedSecret, err = key.Decapsulate(in.SharedSecretCiphertextBlob)
		return err
	})
	if errors.Is(err, keyspec.ErrCiphertext) {
		return nil, invalidCiphertext(err)
	}
	if err != nil {
		return nil, unexpected("decapsulating", err)
	}
	return out, nil
}
