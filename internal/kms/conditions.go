package kms

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// Condition keys that come from a request's own members (AWS KMS Developer Guide, "AWS KMS condition keys").
const (
	keyEncryptionAlgorithm   = "kms:encryptionalgorithm"
	keyReEncryptOnSameKey    = "kms:reencryptonsamekey"
	keyDataKeyPairSpec       = "kms:datakeypairspec"
	keySigningAlgorithm      = "kms:signingalgorithm"
	keyMessageType           = "kms:messagetype"
	keyMacAlgorithm          = "kms:macalgorithm"
	keyKeyAgreementAlgorithm = "kms:keyagreementalgorithm"
	keyRotationPeriod        = "kms:rotationperiodindays"
	keyPendingWindow         = "kms:schedulekeydeletionpendingwindowindays"
)

// withSymmetric is the request of nearly all calls; shared and never changed.
var withSymmetric = []condition{{keyEncryptionAlgorithm, []string{string(symmetric)}}}

// withEncryption is the request of operations that encrypt or decrypt.
func withEncryption(algorithm types.EncryptionAlgorithmSpec) []condition {
	if algorithm == symmetric {
		return withSymmetric
	}
	return with(keyEncryptionAlgorithm, algorithm)
}

// withReEncryption is that of ReEncrypt for either of its keys.
func withReEncryption(algorithm string, onSameKey bool) []condition {
	return append(with(keyEncryptionAlgorithm, algorithm), condition{keyReEncryptOnSameKey, []string{strconv.FormatBool(onSameKey)}})
}

// withSigning is the request of Sign and Verify.
func withSigning(algorithm types.SigningAlgorithmSpec, message types.MessageType) []condition {
	return append(with(keySigningAlgorithm, algorithm), condition{keyMessageType, []string{string(message)}})
}

// with is a request with one condition key.
func with[Value ~string](key string, value Value) []condition {
	return []condition{{key, []string{string(value)}}}
}
