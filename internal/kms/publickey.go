//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated in AWS's model and still answered.

package kms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
	"keyward/internal/operation"
)

// errNotAsymmetric carries no sentence: AWS sends none.
var errNotAsymmetric = unsupported("")

func (s *Service) getPublicKey(ctx context.Context, call *operation.Call, in *kms.GetPublicKeyInput) (*kms.GetPublicKeyOutput, error) {
	q := question{operation: "GetPublicKey", accepts: byAnyName, tokens: in.GrantTokens}
	k, err := s.key(ctx, call, q, *in.KeyId)
	if err != nil {
		return nil, err
	}
	if k.StoreID != "" { // in any state
		return nil, errNotAsymmetric
	}
	if err := s.permits("GetPublicKey", k.Key); err != nil {
		return nil, err
	}
	if !asymmetric(k.Spec) {
		return nil, errNotAsymmetric
	}
	a := algorithmsOf(k.Key)
	out := &kms.GetPublicKeyOutput{
		KeyId: &k.arn, KeySpec: k.Spec, CustomerMasterKeySpec: types.CustomerMasterKeySpec(k.Spec), KeyUsage: k.Usage,
		EncryptionAlgorithms: a.encryption, SigningAlgorithms: a.signing,
		KeyAgreementAlgorithms: a.agreement, EncapsulationAlgorithms: a.encapsulation,
	}
	err = s.standard.with(ctx, k.Key, func(key *keyspec.Key) error {
		out.PublicKey, err = key.PublicKey()
		return err
	})
	if err != nil {
		return nil, unexpected("reading a public key", err)
	}
	return out, nil
}
