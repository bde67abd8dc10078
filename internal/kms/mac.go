package kms

import (
	"context"
	"crypto/hmac"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/keyspec"
	"keyward/internal/operation"
)

// errMac carries no sentence: AWS sends none.
var errMac = fault.New("KMSInvalidMacException", "")

// macking is the use of a key to make or verify MACs.
func macking(operation string, algorithm types.MacAlgorithmSpec, tokens []string) use {
	q := question{operation: operation, accepts: byAnyName, tokens: tokens, request: with(keyMacAlgorithm, algorithm)}
	return use{q, types.KeyUsageTypeGenerateVerifyMac, string(algorithm), ""}
}

func (s *Service) generateMac(ctx context.Context, call *operation.Call, in *kms.GenerateMacInput) (*kms.GenerateMacOutput, error) {
	k, err := s.usable(ctx, call, macking("GenerateMac", in.MacAlgorithm, in.GrantTokens), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if aws.ToBool(in.DryRun) {
		return nil, errDryRun
	}
	mac, err := s.mac(ctx, k, in.MacAlgorithm, in.Message)
	if err != nil {
		return nil, err
	}
	return &kms.GenerateMacOutput{KeyId: &k.arn, Mac: mac, MacAlgorithm: in.MacAlgorithm}, nil
}

func (s *Service) verifyMac(ctx context.Context, call *operation.Call, in *kms.VerifyMacInput) (*kms.VerifyMacOutput, error) {
	k, err := s.usable(ctx, call, macking("VerifyMac", in.MacAlgorithm, in.GrantTokens), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if aws.ToBool(in.DryRun) { // the MAC is not looked at
		return nil, errDryRun
	}
	mac, err := s.mac(ctx, k, in.MacAlgorithm, in.Message)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, in.Mac) {
		return nil, errMac
	}
	return &kms.VerifyMacOutput{KeyId: &k.arn, MacAlgorithm: in.MacAlgorithm, MacValid: true}, nil
}

func (s *Service) mac(ctx context.Context, k *snapshot, algorithm types.MacAlgorithmSpec, message []byte) (mac []byte, err error) {
	err = s.standard.with(ctx, k.Key, func(key *keyspec.Key) error {
		mac, err = key.MAC(algorithm, message)
		return err
	})
	if err != nil {
		return nil, unexpected("making a MAC", err)
	}
	return mac, nil
}
