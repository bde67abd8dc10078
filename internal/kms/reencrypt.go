package kms

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/arn"
	"keyward/internal/operation"
)

func (s *Service) reEncrypt(ctx context.Context, call *operation.Call, in *kms.ReEncryptInput) (*kms.ReEncryptOutput, error) {
	fromAlgorithm, toAlgorithm := algorithmOf(in.SourceEncryptionAlgorithm), algorithmOf(in.DestinationEncryptionAlgorithm)
	call.Event.Request.Add("sourceEncryptionAlgorithm", fromAlgorithm)
	call.Event.Request.Add("destinationEncryptionAlgorithm", toAlgorithm)
	if err := checkContext(toAlgorithm, in.DestinationEncryptionContext); err != nil {
		return nil, err
	}
	dryRun := aws.ToBool(in.DryRun)
	from, to := s.reEncryption(ctx, call, in)
	c := ciphertext{in.CiphertextBlob, in.SourceEncryptionContext, in.SourceKeyId, "sourceKeyId", dryRun, in.DryRunModifiers}
	source, err := s.decipher(ctx, call, from, c)
	if err != nil && err != error(errDryRun) {
		return nil, err
	}
	destination, err := s.usable(ctx, call, to, *in.DestinationKeyId)
	if err != nil {
		return nil, err
	}
	if dryRun {
		return nil, errDryRun
	}
	plaintext, err := s.decrypted(ctx, source, fromAlgorithm, in.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	if err := checkPlaintext(destination.Spec, toAlgorithm, plaintext); err != nil {
		return nil, err
	}
	blob, err := s.encipher(ctx, destination, toAlgorithm, in.DestinationEncryptionContext, plaintext)
	if err != nil {
		return nil, err
	}
	return &kms.ReEncryptOutput{
		CiphertextBlob:                 blob,
		SourceKeyId:                    &source.key.arn,
		KeyId:                          &destination.arn,
		SourceEncryptionAlgorithm:      fromAlgorithm,
		DestinationEncryptionAlgorithm: toAlgorithm,
		SourceKeyMaterialId:            source.materialID(),
		DestinationKeyMaterialId:       materialID(destination),
	}, nil
}

// reEncryption is the use of a ReEncrypt's two keys.
func (s *Service) reEncryption(ctx context.Context, call *operation.Call, in *kms.ReEncryptInput) (from, to use) {
	from = encryption(question{
		operation: "ReEncrypt", action: "ReEncryptFrom", tokens: in.GrantTokens, context: in.SourceEncryptionContext,
	}, algorithmOf(in.SourceEncryptionAlgorithm), "source")
	to = encryption(question{
		operation: "ReEncrypt", action: "ReEncryptTo", tokens: in.GrantTokens, context: in.DestinationEncryptionContext,
	}, algorithmOf(in.DestinationEncryptionAlgorithm), "destination")
	same := s.staysWithKey(ctx, call, in)
	from.request = withReEncryption(from.algorithm, same)
	to.request = withReEncryption(to.algorithm, same)
	return from, to
}

// staysWithKey reports whether a ReEncrypt names one key twice. It compares names only: whether there is such a key, and
// whether the caller may use it, is asked later.
func (s *Service) staysWithKey(ctx context.Context, call *operation.Call, in *kms.ReEncryptInput) bool {
	destination := s.idOf(ctx, call, *in.DestinationKeyId)
	if in.SourceKeyId != nil {
		return s.idOf(ctx, call, *in.SourceKeyId) == destination
	}
	c, err := parseBlob(in.CiphertextBlob)
	return err == nil && c.header.keyID() == destination
}

// idOf is the id of the key that a caller named; empty if the name cannot be one.
func (s *Service) idOf(ctx context.Context, call *operation.Call, name string) string {
	scope := call.Scope
	if arn.Is(name) {
		a, err := arn.Parse(name)
		if err != nil {
			return ""
		}
		scope, name = a.Scope(), strings.TrimPrefix(a.Resource, keyPrefix)
	}
	if strings.HasPrefix(name, aliasPrefix) {
		id, err := s.snapshots.target(ctx, aliasRef{scope, name})
		if err != nil {
			return ""
		}
		return id
	}
	return name
}
