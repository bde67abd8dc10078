package kms

import (
	"fmt"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// Exceptions of the KMS API that more than one operation gives. Sentences that no recording of the service attests are
// those of the API Reference.

func invalid(format string, args ...any) error {
	return fault.New("ValidationException", format, args...)
}

func missing(member string) error {
	return invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}

func unsupported(format string, args ...any) error {
	return fault.New("UnsupportedOperationException", format, args...)
}

// elsewhere answers for what AWS offers in China only.
func elsewhere(member, value string) error {
	return unsupported("%s %s is not supported in this Region", member, value)
}

func limitExceeded(format string, args ...any) error {
	return fault.New("LimitExceededException", format, args...)
}

// overQuota refuses one more of what an account or key can have limit of. The sentence is the one that CreateAlias was
// recorded to answer; the others are inferred.
func overQuota(what string, limit, usage int) error {
	return limitExceeded("%s quota for this account in this region is %d, current usage is %d.", what, limit, usage)
}

func keyNotFound(scope arn.Scope, id string) error {
	return fault.New("NotFoundException", "Key '%s' does not exist", scope.Key(id))
}

func aliasNotFound(scope arn.Scope, name string) error {
	return fault.New("NotFoundException", "Alias %s is not found.", scope.Alias(name))
}

// errAlias is for operations that take a key id or key ARN only.
var errAlias = fault.New("InvalidArnException", "Key Aliases are not supported for this operation.")

func invalidKeyID(id string) error {
	return fault.New("NotFoundException", "Invalid keyId '%s'", id)
}

// invalidCiphertext carries no sentence: it must not tell a wrong context from a changed ciphertext.
func invalidCiphertext(cause error) error {
	return fault.New("InvalidCiphertextException", "").Because(cause)
}

var (
	errIncorrectKey = fault.New("IncorrectKeyException",
		"The key ID in the request does not identify a CMK that can perform this operation.")
	errDryRun = fault.New("DryRunOperationException",
		"The request would have succeeded, but the DryRun option is set.")
	errGrantToken = fault.New("InvalidGrantTokenException",
		"The request was rejected because the specified grant token is not valid.")
	errMarker = fault.New("InvalidMarkerException",
		"The request was rejected because the marker that specifies where pagination should next begin is not valid.")
	errAsymmetric = fault.New("InvalidKeyUsageException", "You cannot generate a data key with an asymmetric CMK")
	errRecipient  = fault.New("UnsupportedOperationException",
		"Attested requests are not supported: this endpoint cannot verify the attestation document in Recipient.")
)

func wrongUsage(k *Key, operation string) error {
	return fault.New("InvalidKeyUsageException", "%s key usage is %s which is not valid for %s.", k.ARN(), k.Usage, operation)
}

// unexpected wraps what went wrong inside for the log.
func unexpected(doing string, err error) error {
	if _, ok := fault.As(err); ok {
		return err
	}
	return fmt.Errorf("kms: %s: %w", doing, err)
}
