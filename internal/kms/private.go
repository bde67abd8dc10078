package kms

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
	"keyward/internal/secret"
)

// Bounds of the keys kept ready.
const (
	openKeys     = 20_000
	openKeyBytes = 64 << 20
)

// weight is about what a key that is ready for use takes, in bytes: ML-DSA's matrices are large.
func weight(k *keyspec.Key) int {
	switch name := string(k.Spec.Name); {
	case strings.HasPrefix(name, "ML_DSA_"):
		return 128 << 10
	case strings.HasPrefix(name, "ML_KEM_"):
		return 32 << 10
	default:
		return 8 << 10
	}
}

// costly reports whether using a key of this spec takes a good part of a millisecond or more.
func costly(spec types.KeySpec) bool {
	return rsaKey(spec) || strings.HasPrefix(string(spec), "ML_DSA_") ||
		spec == types.KeySpecEccNistP384 || spec == types.KeySpecEccNistP521
}

// rsaKey reports whether making a key of this spec takes up to seconds.
func rsaKey(spec types.KeySpec) bool { return strings.HasPrefix(string(spec), "RSA_") }

// with calls do with the current material of k, which is asymmetric or an HMAC key. If its spec is costly, it first waits
// for a turn, since only so many such computations run at once.
func (d *DefaultStore) with(ctx context.Context, k *Key, do func(*keyspec.Key) error) error {
	if costly(k.Spec) {
		if err := d.using.take(ctx); err != nil {
			return err
		}
		defer d.using.give()
	}
	key, err := d.private(k, &k.Material)
	if err != nil {
		return err
	}
	return do(key)
}

// private returns one of k's materials ready for use.
func (d *DefaultStore) private(k *Key, m *MaterialRecord) (*keyspec.Key, error) {
	return opened(d, d.keys, k, m, func(material []byte) (*keyspec.Key, error) {
		spec, err := specOf(k.Spec)
		if err != nil {
			return nil, err
		}
		return spec.Parse(material)
	})
}

// generate makes new material for a key of this spec.
func (d *DefaultStore) generate(ctx context.Context, name types.KeySpec) (secret.Bytes, error) {
	spec, err := specOf(name)
	if err != nil {
		return secret.Bytes{}, err
	}
	if rsaKey(name) {
		if err := d.making.take(ctx); err != nil {
			return secret.Bytes{}, err
		}
		defer d.making.give()
	}
	return spec.Generate()
}

// pair makes a key pair that is not kept: its private key as PKCS #8, its public one as SubjectPublicKeyInfo.
func (d *DefaultStore) pair(ctx context.Context, name types.KeySpec) (private secret.Bytes, public []byte, err error) {
	if private, err = d.generate(ctx, name); err != nil {
		return private, nil, err
	}
	spec, err := specOf(name)
	if err != nil {
		return private, nil, err
	}
	key, err := spec.Parse(private.Expose())
	if err != nil {
		return private, nil, err
	}
	public, err = key.PublicKey()
	return private, public, err
}

func specOf(name types.KeySpec) (*keyspec.Spec, error) {
	spec, ok := keyspec.Of(name)
	if !ok {
		return nil, fmt.Errorf("kms: there is no key spec %s", name)
	}
	return spec, nil
}
