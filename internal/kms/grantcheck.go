package kms

import (
	"slices"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/policy"
)

// Bounds of a grant constraint (AWS KMS API Reference, GrantConstraints).
const (
	maxConstraintPairs = 8
	maxConstraint      = 384 // characters of all keys and values together
)

var errGrantID = fault.New("InvalidGrantIdException", "The request was rejected because the specified GrantId is not valid.")

func isGrantID(id string) bool { return len(id) == 64 && isHex(id) }

func grantNotFound(id string) error {
	return fault.New("NotFoundException", "Grant ID %s not found", id)
}

func checkConstraint(pairs map[string]string) error {
	if len(pairs) > maxConstraintPairs {
		return invalid("A grant constraint can have at most %d encryption context pairs.", maxConstraintPairs)
	}
	n := 0
	for name, value := range pairs {
		n += utf8.RuneCountInString(name) + utf8.RuneCountInString(value)
	}
	if n > maxConstraint {
		return invalid("A grant constraint can have at most %d characters.", maxConstraint)
	}
	return nil
}

// Operations that grants can allow (AWS KMS Developer Guide, "Grant operations"): with every key, and by the key's usage.
var (
	anyKeysOperations = []types.GrantOperation{
		types.GrantOperationDescribeKey, types.GrantOperationCreateGrant, types.GrantOperationRetireGrant,
	}
	symmetricOperations = []types.GrantOperation{
		types.GrantOperationDecrypt, types.GrantOperationEncrypt, types.GrantOperationGenerateDataKey,
		types.GrantOperationGenerateDataKeyWithoutPlaintext, types.GrantOperationGenerateDataKeyPair,
		types.GrantOperationGenerateDataKeyPairWithoutPlaintext, types.GrantOperationReEncryptFrom, types.GrantOperationReEncryptTo,
	}
	usageOperations = map[types.KeyUsageType][]types.GrantOperation{
		types.KeyUsageTypeEncryptDecrypt: {
			types.GrantOperationDecrypt, types.GrantOperationEncrypt, types.GrantOperationReEncryptFrom, types.GrantOperationReEncryptTo,
			types.GrantOperationGetPublicKey,
		},
		types.KeyUsageTypeSignVerify:             {types.GrantOperationSign, types.GrantOperationVerify, types.GrantOperationGetPublicKey},
		types.KeyUsageTypeGenerateVerifyMac:      {types.GrantOperationGenerateMac, types.GrantOperationVerifyMac},
		types.KeyUsageTypeKeyAgreement:           {types.GrantOperationDeriveSharedSecret, types.GrantOperationGetPublicKey},
		types.KeyUsageTypeEncapsulateDecapsulate: {types.GrantOperationEncapsulate, types.GrantOperationDecapsulate, types.GrantOperationGetPublicKey},
	}
)

// fitGrant checks that k is of a type that can do what the grant says.
func fitGrant(k *Key, g *Grant) error {
	own := usageOperations[k.Usage]
	if k.Spec == types.KeySpecSymmetricDefault {
		own = symmetricOperations
	}
	for _, o := range g.Operations {
		if !slices.Contains(anyKeysOperations, o) && !slices.Contains(own, o) {
			return invalid("The grant operation %s is not supported for a KMS key with key spec %s and key usage %s.", o, k.Spec, k.Usage)
		}
	}
	if k.Spec != types.KeySpecSymmetricDefault && (g.Equals != nil || g.Subset != nil) {
		return invalid("Grant constraints are supported for symmetric encryption KMS keys only.")
	}
	return nil
}

// aboutGrant is CreateGrant's question. Its encryption context is what the constraints say (AWS KMS Developer Guide,
// "kms:EncryptionContext:context-key").
func aboutGrant(in *kms.CreateGrantInput, g *Grant) question {
	q := aboutGrants("CreateGrant")
	q.tokens = in.GrantTokens
	q.child = g
	q.context = make(map[string]string, len(g.Equals)+len(g.Subset))
	operations := make([]string, len(g.Operations))
	for i, o := range g.Operations {
		operations[i] = string(o)
	}
	q.add("kms:grantoperations", operations...)
	q.add("kms:granteeprincipal", *in.GranteePrincipal)
	if in.RetiringPrincipal != nil {
		q.add("kms:retiringprincipal", *in.RetiringPrincipal)
	}
	var constraints []string
	for name, pairs := range map[string]map[string]string{"EncryptionContextEquals": g.Equals, "EncryptionContextSubset": g.Subset} {
		if pairs != nil {
			constraints = append(constraints, name)
		}
		for k, v := range pairs {
			q.context[k] = v
		}
	}
	if slices.Sort(constraints); constraints != nil {
		q.add("kms:grantconstrainttype", constraints...)
	}
	return q
}

// aboutGrants is the question of an operation on grants. No integrated service calls here on somebody's behalf.
func aboutGrants(operation string) question {
	q := about(operation)
	q.add("kms:grantisforawsresource", "false")
	return q
}

// begets reports whether a grant may be the source of another: the child may do no more operations, and its constraints
// are at least as strict (AWS KMS Developer Guide, "Grants", CreateGrant through a grant).
func begets(parent *policy.Grant, child *Grant) bool {
	for _, o := range child.Operations {
		if !slices.Contains(parent.Operations, string(o)) {
			return false
		}
	}
	if e := parent.EncryptionContextEquals; e != nil && (child.Equals == nil || len(child.Equals) != len(e) || !within(e, child.Equals)) {
		return false
	}
	return within(parent.EncryptionContextSubset, child.Equals) || within(parent.EncryptionContextSubset, child.Subset)
}

// within reports whether all pairs of part are in whole.
func within(part, whole map[string]string) bool {
	for name, value := range part {
		if v, ok := whole[name]; !ok || v != value {
			return false
		}
	}
	return true
}
