package kms

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/operation"
)

func (s *Service) encrypt(ctx context.Context, call *operation.Call, in *kms.EncryptInput) (*kms.EncryptOutput, error) {
	algorithm := algorithmOf(in.EncryptionAlgorithm)
	call.Event.Request.Add("encryptionAlgorithm", algorithm)
	if err := checkContext(in.EncryptionContext); err != nil {
		return nil, err
	}
	q := question{operation: "Encrypt", tokens: in.GrantTokens, context: in.EncryptionContext}
	u := encryption(q, algorithm, "")
	k, err := s.usable(ctx, call, u, *in.KeyId)
	if err != nil {
		return nil, err
	}
	if aws.ToBool(in.DryRun) {
		return nil, errDryRun
	}
	blob, err := s.seal(ctx, k, in.EncryptionContext, in.Plaintext)
	if err != nil {
		return nil, err
	}
	return &kms.EncryptOutput{CiphertextBlob: blob, KeyId: &k.arn, EncryptionAlgorithm: symmetric}, nil
}

// algorithmOf is the algorithm with its default, which events always show.
func algorithmOf(a types.EncryptionAlgorithmSpec) types.EncryptionAlgorithmSpec {
	if a == "" {
		return symmetric
	}
	return a
}

func (s *Service) decrypt(ctx context.Context, call *operation.Call, in *kms.DecryptInput) (*kms.DecryptOutput, error) {
	algorithm := algorithmOf(in.EncryptionAlgorithm)
	call.Event.Request.Add("encryptionAlgorithm", algorithm)
	if in.Recipient != nil {
		return nil, errRecipient
	}
	q := question{operation: "Decrypt", tokens: in.GrantTokens, context: in.EncryptionContext}
	u := encryption(q, algorithm, "")
	c := ciphertext{in.CiphertextBlob, in.EncryptionContext, in.KeyId, "keyId", aws.ToBool(in.DryRun), in.DryRunModifiers}
	opened, err := s.decipher(ctx, call, u, c)
	if err != nil {
		return nil, err
	}
	plaintext, err := s.open(ctx, opened.key, &opened.header, opened.sealed, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &kms.DecryptOutput{
		Plaintext: plaintext, KeyId: &opened.key.arn, EncryptionAlgorithm: symmetric, KeyMaterialId: opened.materialID(),
	}, nil
}

// materialID of what encrypts; absent for keys in custom key stores.
func materialID(k *snapshot) *string { return k.Material.id() }

// id is absent in custom key stores.
func (m *MaterialRecord) id() *string {
	if m.ID == "" {
		return nil
	}
	return &m.ID
}

// ciphertext is what Decrypt and ReEncrypt are given to open.
type ciphertext struct {
	blob      []byte
	context   map[string]string
	keyID     *string // the key that the caller expects
	keyMember string  // the name of that member, for events and texts
	dryRun    bool
	modifiers []types.DryRunModifierType
}

// check covers what needs no key: the members that depend on one another.
func (c *ciphertext) check() error {
	if len(c.modifiers) > 0 && !c.dryRun {
		return invalid("DryRunModifiers can only be used when DryRun is true.")
	}
	switch ignored := c.ignored(); {
	case !ignored && c.blob == nil:
		return missing("ciphertextBlob")
	case ignored && c.keyID == nil:
		return missing(c.keyMember)
	default:
		return checkContext(c.context)
	}
}

// ignored: only the permission to use the key is asked about.
func (c *ciphertext) ignored() bool {
	return slices.Contains(c.modifiers, types.DryRunModifierTypeIgnoreCiphertext)
}

// parsed is a ciphertext with the key that it names.
type parsed struct {
	key    *snapshot
	header header
	sealed []byte
}

// materialID of what decrypts, which is not always what encrypts; absent for keys in custom key stores.
func (p *parsed) materialID() *string {
	if m := p.key.sealedBy(&p.header); m != nil {
		return m.id()
	}
	return nil
}

// decipher finds and checks the key of a ciphertext. A key that the caller names must exist before the ciphertext is
// looked at. A ciphertext that names no key of this account and Region is invalid, whatever key the caller expects; one
// that names another key than the expected one is for the wrong key.
func (s *Service) decipher(ctx context.Context, call *operation.Call, u use, c ciphertext) (parsed, error) {
	if err := c.check(); err != nil {
		return parsed{}, err
	}
	if c.ignored() {
		if _, err := s.usable(ctx, call, u, *c.keyID); err != nil {
			return parsed{}, err
		}
		return parsed{}, errDryRun
	}
	expected, err := s.expected(ctx, call, u, c)
	if err != nil {
		return parsed{}, err
	}
	p, err := s.parse(ctx, call, c.blob)
	if err != nil {
		return parsed{}, err
	}
	if expected == nil {
		addOnce(&call.Event.Request, c.keyMember, p.key.arn)
	} else if expected.ID != p.key.ID {
		return parsed{}, errIncorrectKey
	}
	call.About(keyType, p.key.arn)
	noteMaterial(call, p.key, p.key.sealedBy(&p.header), u.prefix)
	if err := s.requests.admitUse(call, u.operation, p.key.Spec); err != nil {
		return parsed{}, err
	}
	if err := checkTokens(u.tokens); err != nil {
		return parsed{}, err
	}
	if err := s.fit(call, u, p.key); err != nil {
		return parsed{}, err
	}
	if c.dryRun {
		return parsed{}, errDryRun
	}
	return p, nil
}

func (s *Service) parse(ctx context.Context, call *operation.Call, blob []byte) (p parsed, err error) {
	if p.header, p.sealed, err = parseBlob(blob); err != nil {
		return p, invalidCiphertext(err)
	}
	p.key, err = s.snapshots.key(ctx, keyRef{call.Scope, p.header.keyID()})
	if errors.Is(err, fault.ErrNotFound) {
		return p, invalidCiphertext(err)
	}
	if err != nil {
		return p, unexpected("reading a key", err)
	}
	return p, nil
}

// expected resolves the key that the caller named, or returns nil if there is none.
func (s *Service) expected(ctx context.Context, call *operation.Call, u use, c ciphertext) (*snapshot, error) {
	if c.keyID == nil {
		return nil, nil
	}
	k, err := s.resolve(ctx, call, u.iam(), *c.keyID, byAnyName)
	if err != nil {
		return nil, err
	}
	call.About(keyType, k.arn)
	return k, nil
}
