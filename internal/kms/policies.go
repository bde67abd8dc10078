package kms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// policyName is the only name that a key policy can have.
const policyName = "default"

// defaultPolicy is what a key gets that is created without a policy: it leaves everything to the account's IAM
// policies. It reads as the live service returns it.
func defaultPolicy(account string) string {
	return `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",` +
		`"Principal":{"AWS":"` + arn.Root(account) + `"},"Action":"kms:*","Resource":"*"}]}`
}

func (s *Service) getKeyPolicy(ctx context.Context, call *operation.Call, in *kms.GetKeyPolicyInput) (*kms.GetKeyPolicyOutput, error) {
	k, err := s.key(ctx, call, about("GetKeyPolicy"), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if in.PolicyName != nil && *in.PolicyName != policyName {
		return nil, fault.New("NotFoundException", "No such policy exists")
	}
	text, err := s.shownPolicy(ctx, k)
	if err != nil {
		return nil, err
	}
	return &kms.GetKeyPolicyOutput{Policy: &text, PolicyName: aws.String(policyName)}, nil
}

func (s *Service) listKeyPolicies(ctx context.Context, call *operation.Call, in *kms.ListKeyPoliciesInput) (*kms.ListKeyPoliciesOutput, error) {
	if _, err := s.key(ctx, call, about("ListKeyPolicies"), *in.KeyId); err != nil {
		return nil, err
	}
	if in.Marker != nil { // one policy fits every page, so no marker was ever given out
		return nil, errMarker
	}
	return &kms.ListKeyPoliciesOutput{PolicyNames: []string{policyName}}, nil
}

func (s *Service) putKeyPolicy(ctx context.Context, call *operation.Call, in *kms.PutKeyPolicyInput) (*operation.Void, error) {
	if in.PolicyName != nil && *in.PolicyName != policyName {
		return nil, invalid("The only valid value of PolicyName is %s.", policyName)
	}
	q := about("PutKeyPolicy", bypassConditions(in.BypassPolicyLockoutSafetyCheck)...)
	k, err := s.key(ctx, call, q, *in.KeyId)
	if err != nil {
		return nil, err
	}
	// Outside of the transaction: reading a large document would keep all other writers waiting.
	p, err := s.checkPolicy(s.inquiry(ctx, call, &q, &target{key: k, arn: k.arn, account: k.Scope.Account}), *in.Policy, in.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	_, err = s.alter(ctx, call, "PutKeyPolicy", k, func(k *Key, _ *audit.Members) error {
		p.put(k)
		return nil
	})
	return nil, err
}
