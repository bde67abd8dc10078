package matrix

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// kind is a sort of KMS key: everything that decides which operations it has.
type kind struct {
	spec   types.KeySpec
	usage  types.KeyUsageType
	origin types.OriginType
}

func (k kind) String() string { return fmt.Sprintf("%s %s %s", k.spec, k.usage, k.origin) }

// kinds is every spec of the SDK with every usage that AWS documents for it, in every origin that a caller can choose. A
// kind that cannot be created is a column of its own: its refusal is part of the page.
func kinds() []kind {
	var all []kind
	for _, origin := range []types.OriginType{
		types.OriginTypeAwsKms, types.OriginTypeExternal, types.OriginTypeAwsCloudhsm, types.OriginTypeExternalKeyStore,
	} {
		for _, spec := range types.KeySpec("").Values() {
			for _, usage := range usages(spec) {
				all = append(all, kind{spec, usage, origin})
			}
		}
	}
	return all
}

func usages(spec types.KeySpec) []types.KeyUsageType {
	switch name := string(spec); {
	case spec == types.KeySpecSymmetricDefault:
		return []types.KeyUsageType{types.KeyUsageTypeEncryptDecrypt}
	case strings.HasPrefix(name, "HMAC_"):
		return []types.KeyUsageType{types.KeyUsageTypeGenerateVerifyMac}
	case strings.HasPrefix(name, "RSA_"):
		return []types.KeyUsageType{types.KeyUsageTypeEncryptDecrypt, types.KeyUsageTypeSignVerify}
	case strings.HasPrefix(name, "ECC_NIST_P"):
		return []types.KeyUsageType{types.KeyUsageTypeSignVerify, types.KeyUsageTypeKeyAgreement}
	case strings.HasPrefix(name, "ML_KEM_"):
		return []types.KeyUsageType{types.KeyUsageTypeEncapsulateDecapsulate}
	case spec == types.KeySpecSm2:
		return []types.KeyUsageType{types.KeyUsageTypeEncryptDecrypt, types.KeyUsageTypeSignVerify, types.KeyUsageTypeKeyAgreement}
	default:
		return []types.KeyUsageType{types.KeyUsageTypeSignVerify}
	}
}
