package kms

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/keyspec"
	"keyward/internal/operation"
)

// errSignature carries no sentence: AWS sends none.
var errSignature = fault.New("KMSInvalidSignatureException", "")

// signing is the use of a key to sign or verify; it notes in the event what is not there yet.
func signing(
	call *operation.Call, operation string, algorithm types.SigningAlgorithmSpec, message types.MessageType, tokens []string,
) use {
	call.Event.Request.Add("messageType", message)
	q := question{operation: operation, accepts: byAnyName, tokens: tokens, request: withSigning(algorithm, message)}
	return use{q, types.KeyUsageTypeSignVerify, string(algorithm), ""}
}

// messageTypeOf is the type of a message with its default.
func messageTypeOf(m types.MessageType) types.MessageType {
	if m == "" {
		return types.MessageTypeRaw
	}
	return m
}

func (s *Service) sign(ctx context.Context, call *operation.Call, in *kms.SignInput) (*kms.SignOutput, error) {
	message := messageTypeOf(in.MessageType)
	k, err := s.usable(ctx, call, signing(call, "Sign", in.SigningAlgorithm, message, in.GrantTokens), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := checkMessage(k.Spec, in.SigningAlgorithm, message, in.Message); err != nil {
		return nil, err
	}
	if aws.ToBool(in.DryRun) {
		return nil, errDryRun
	}
	var signature []byte
	err = s.standard.with(ctx, k.Key, func(key *keyspec.Key) (err error) {
		signature, err = key.Sign(in.SigningAlgorithm, message, in.Message)
		return err
	})
	if err != nil {
		return nil, unexpected("signing", err)
	}
	return &kms.SignOutput{KeyId: &k.arn, Signature: signature, SigningAlgorithm: in.SigningAlgorithm}, nil
}

func (s *Service) verify(ctx context.Context, call *operation.Call, in *kms.VerifyInput) (*kms.VerifyOutput, error) {
	message := messageTypeOf(in.MessageType)
	k, err := s.usable(ctx, call, signing(call, "Verify", in.SigningAlgorithm, message, in.GrantTokens), *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := checkMessage(k.Spec, in.SigningAlgorithm, message, in.Message); err != nil {
		return nil, err
	}
	if aws.ToBool(in.DryRun) { // the signature is not looked at
		return nil, errDryRun
	}
	var valid bool
	err = s.standard.with(ctx, k.Key, func(key *keyspec.Key) (err error) {
		valid, err = key.Verify(in.SigningAlgorithm, message, in.Message, in.Signature)
		return err
	})
	if err != nil {
		return nil, unexpected("verifying", err)
	}
	if !valid {
		return nil, errSignature
	}
	return &kms.VerifyOutput{KeyId: &k.arn, SignatureValid: true, SigningAlgorithm: in.SigningAlgorithm}, nil
}

// checkMessage holds a message against the algorithm, which the key has: its type, and the length of what the caller has
// hashed (AWS KMS API Reference, Sign).
func checkMessage(spec types.KeySpec, algorithm types.SigningAlgorithmSpec, message types.MessageType, m []byte) error {
	if !takes(algorithm, message) {
		return wrongMessage(spec, algorithm, message)
	}
	if message != types.MessageTypeRaw && len(m) != hashSize(algorithm) {
		return invalid("Digest is invalid length for algorithm %s.", algorithm)
	}
	return nil
}

// takes reports whether an algorithm signs messages of a type. Ed25519ph hashes what the caller has hashed once more.
func takes(algorithm types.SigningAlgorithmSpec, message types.MessageType) bool {
	switch algorithm {
	case types.SigningAlgorithmSpecEd25519Sha512:
		return message == types.MessageTypeRaw
	case types.SigningAlgorithmSpecEd25519PhSha512:
		return message == types.MessageTypeDigest
	case types.SigningAlgorithmSpecMlDsaShake256:
		return message != types.MessageTypeDigest
	default:
		return message != types.MessageTypeExternalMu
	}
}

func wrongMessage(spec types.KeySpec, algorithm types.SigningAlgorithmSpec, message types.MessageType) error {
	if spec == types.KeySpecEccNistEdwards25519 {
		return invalid("Message type %s is incompatible with algorithm %s.", message, algorithm)
	}
	return invalid("Message type %s is incompatible with key spec %s.", message, spec)
}

// hashSize is the length in bytes of what an algorithm makes of a message before it signs: a digest, or the message
// representative μ of ML-DSA (FIPS 204, section 6.2).
func hashSize(algorithm types.SigningAlgorithmSpec) int {
	switch {
	case strings.HasSuffix(string(algorithm), "SHA_256"):
		return 32
	case strings.HasSuffix(string(algorithm), "SHA_384"):
		return 48
	default:
		return 64
	}
}
