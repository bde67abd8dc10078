package kms

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

func (s *Service) encrypt(ctx context.Context, call *operation.Call, in *kms.EncryptInput) (*kms.EncryptOutput, error) {
	algorithm := algorithmOf(in.EncryptionAlgorithm)
	call.Event.Request.Add("encryptionAlgorithm", algorithm)
	if err := checkContext(algorithm, in.EncryptionContext); err != nil {
		return nil, err
	}
	q := question{operation: "Encrypt", tokens: in.GrantTokens, context: in.EncryptionContext}
	u := encryption(q, algorithm, "")
	k, err := s.usable(ctx, call, u, *in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := checkPlaintext(k.Spec, algorithm, in.Plaintext); err != nil {
		return nil, err
	}
	if aws.ToBool(in.DryRun) {
		return nil, errDryRun
	}
	blob, err := s.encipher(ctx, k, algorithm, in.EncryptionContext, in.Plaintext)
	if err != nil {
		return nil, err
	}
	return &kms.EncryptOutput{CiphertextBlob: blob, KeyId: &k.arn, EncryptionAlgorithm: algorithm}, nil
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
	plaintext, err := s.decrypted(ctx, opened, algorithm, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &kms.DecryptOutput{
		Plaintext: plaintext, KeyId: &opened.key.arn, EncryptionAlgorithm: algorithm, KeyMaterialId: opened.materialID(),
	}, nil
}

// materialID of what encrypts; absent for keys in custom key stores and all but symmetric encryption keys.
func materialID(k *snapshot) *string {
	if k.Spec != types.KeySpecSymmetricDefault {
		return nil
	}
	return k.Material.id()
}

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
func (c *ciphertext) check(algorithm types.EncryptionAlgorithmSpec) error {
	if len(c.modifiers) > 0 && !c.dryRun {
		return invalid("DryRunModifiers can only be used when DryRun is true.")
	}
	switch ignored := c.ignored(); {
	case !ignored && c.blob == nil:
		return missing("ciphertextBlob")
	case ignored && c.keyID == nil:
		return missing(c.keyMember)
	case algorithm != symmetric && c.keyID == nil:
		return invalid("%s must not be null", strings.ToUpper(c.keyMember[:1])+c.keyMember[1:])
	default:
		return checkContext(algorithm, c.context)
	}
}

// ignored reports whether there need not be a ciphertext: a dry run with IGNORE_CIPHERTEXT only asks whether the caller may
// use the key.
func (c *ciphertext) ignored() bool {
	return slices.Contains(c.modifiers, types.DryRunModifierTypeIgnoreCiphertext)
}

// parsed is a ciphertext with the key that it names.
type parsed struct {
	key *snapshot
	blob
}

// materialID of what decrypts, which is not always what encrypts; absent for keys in custom key stores.
func (p *parsed) materialID() *string {
	if m := p.key.sealedBy(&p.header); m != nil {
		return m.id()
	}
	return nil
}

// decipher finds and checks the key of a ciphertext. A key that the caller names must be there and its to use before the
// ciphertext is looked at; a ciphertext that names another key is for the wrong one. Those of asymmetric keys name none.
func (s *Service) decipher(ctx context.Context, call *operation.Call, u use, c ciphertext) (parsed, error) {
	if err := c.check(types.EncryptionAlgorithmSpec(u.algorithm)); err != nil {
		return parsed{}, err
	}
	if c.ignored() || u.algorithm != string(symmetric) {
		return s.ofNamedKey(ctx, call, u, c)
	}
	var p parsed
	var err error
	if c.keyID != nil {
		p, err = s.parseFor(ctx, call, u, c)
	} else {
		p, err = s.parse(ctx, call, u, c)
	}
	if err != nil {
		return parsed{}, err
	}
	if p.key.Spec != types.KeySpecSymmetricDefault {
		return parsed{}, invalidCiphertext(errBlob)
	}
	noteMaterial(call, p.key, p.key.sealedBy(&p.header), u.prefix)
	if err := s.fit(call, u, p.key); err != nil {
		return parsed{}, err
	}
	if c.dryRun {
		return parsed{}, errDryRun
	}
	return p, nil
}

// ofNamedKey is a ciphertext with the key of which the caller says that it is for.
func (s *Service) ofNamedKey(ctx context.Context, call *operation.Call, u use, c ciphertext) (parsed, error) {
	k, err := s.usable(ctx, call, u, *c.keyID)
	if err != nil {
		return parsed{}, err
	}
	if c.dryRun {
		return parsed{}, errDryRun
	}
	return parsed{key: k, blob: blob{sealed: c.blob}}, nil
}

// parseFor takes a ciphertext apart that is to be opened with the key that the caller named. One that names another key
// is for the wrong one, whosever that is.
func (s *Service) parseFor(ctx context.Context, call *operation.Call, u use, c ciphertext) (p parsed, err error) {
	if p.key, err = s.key(ctx, call, u.question, *c.keyID); err != nil {
		return p, err
	}
	if p.blob, err = parseBlob(c.blob); err == nil {
		err = s.marks.check(&p.blob, p.key)
	}
	switch {
	case err != nil:
		return p, invalidCiphertext(err)
	case p.header.keyID() != p.key.ID:
		return p, errIncorrectKey
	default:
		return p, nil
	}
}

// parse takes a ciphertext apart and finds the key that it names, whosever it is.
func (s *Service) parse(ctx context.Context, call *operation.Call, u use, c ciphertext) (p parsed, err error) {
	if p.blob, err = parseBlob(c.blob); err != nil {
		return p, invalidCiphertext(err)
	}
	t := target{on: policy.OnCiphertext, account: nowhere}
	k, err := s.snapshots.sealer(ctx, call.Scope, p.header.keyID())
	switch {
	case err == nil:
		t.key, t.arn, t.account = k, k.arn, k.Scope.Account
	case !errors.Is(err, fault.ErrNotFound):
		return p, unexpected("reading a key", err)
	}
	if err := s.marks.check(&p.blob, k); err != nil {
		return p, invalidCiphertext(err)
	}
	if t.account == call.Scope.Account {
		addOnce(&call.Event.Request, c.keyMember, t.arn)
	}
	if err := s.admit(ctx, call, &u.question, &t); err != nil {
		return p, err
	}
	addOnce(&call.Event.Request, c.keyMember, t.arn)
	p.key = k
	return p, nil
}
