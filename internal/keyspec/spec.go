package keyspec

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// Spec is what one key spec has. Its slices are shared and must not be changed.
type Spec struct {
	Name   types.KeySpec
	family family
	size   int // of raw material in bytes, of an RSA modulus in bits; else 0
	usages []usage
}

// usage is one of a spec's usages with its algorithms, in AWS's order. One list is filled.
type usage struct {
	name          types.KeyUsageType
	encryption    []types.EncryptionAlgorithmSpec
	signing       []types.SigningAlgorithmSpec
	mac           []types.MacAlgorithmSpec
	agreement     []types.KeyAgreementAlgorithmSpec
	encapsulation []types.EncapsulationAlgorithmSpec
}

type family int

const (
	symmetric family = iota
	hmacFamily
	rsaFamily
	nistCurve
	koblitz // secp256k1
	edwards // Ed25519
	mlDSA
	mlKEM
)

// Of returns the spec of a name; false for names that are not served. SM2 is one: AWS has it in China only, and no
// maintained library of it meets this project's bar.
func Of(name types.KeySpec) (*Spec, bool) {
	i := slices.IndexFunc(specs, func(s *Spec) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return specs[i], true
}

// All lists the specs that are served.
func All() []*Spec { return specs }

// Usages of the spec.
func (s *Spec) Usages() []types.KeyUsageType {
	names := make([]types.KeyUsageType, len(s.usages))
	for i := range s.usages {
		names[i] = s.usages[i].name
	}
	return names
}

// Has reports whether keys of the spec can be for a usage.
func (s *Spec) Has(name types.KeyUsageType) bool { return s.usage(name) != nil }

func (s *Spec) usage(name types.KeyUsageType) *usage {
	for i := range s.usages {
		if s.usages[i].name == name {
			return &s.usages[i]
		}
	}
	return nil
}

// Asymmetric reports whether keys of the spec have a public half.
func (s *Spec) Asymmetric() bool { return s.family != symmetric && s.family != hmacFamily }

// EncryptionAlgorithms of keys that encrypt; nil for others.
func (s *Spec) EncryptionAlgorithms() []types.EncryptionAlgorithmSpec {
	if u := s.usage(types.KeyUsageTypeEncryptDecrypt); u != nil {
		return u.encryption
	}
	return nil
}

// SigningAlgorithms of keys that sign; nil for others.
func (s *Spec) SigningAlgorithms() []types.SigningAlgorithmSpec {
	if u := s.usage(types.KeyUsageTypeSignVerify); u != nil {
		return u.signing
	}
	return nil
}

// MacAlgorithms of keys that make MACs; nil for others.
func (s *Spec) MacAlgorithms() []types.MacAlgorithmSpec {
	if u := s.usage(types.KeyUsageTypeGenerateVerifyMac); u != nil {
		return u.mac
	}
	return nil
}

// KeyAgreementAlgorithms of keys that agree on secrets; nil for others.
func (s *Spec) KeyAgreementAlgorithms() []types.KeyAgreementAlgorithmSpec {
	if u := s.usage(types.KeyUsageTypeKeyAgreement); u != nil {
		return u.agreement
	}
	return nil
}

// EncapsulationAlgorithms of keys that encapsulate secrets; nil for others.
func (s *Spec) EncapsulationAlgorithms() []types.EncapsulationAlgorithmSpec {
	if u := s.usage(types.KeyUsageTypeEncapsulateDecapsulate); u != nil {
		return u.encapsulation
	}
	return nil
}

// MaxPlaintext is the most that an algorithm encrypts under a key of the spec, in bytes; 0 where the two do not fit.
func MaxPlaintext(name types.KeySpec, algorithm types.EncryptionAlgorithmSpec) int {
	s, ok := Of(name)
	switch {
	case !ok || !slices.Contains(s.EncryptionAlgorithms(), algorithm):
		return 0
	case s.family == symmetric:
		return 4096
	case algorithm == types.EncryptionAlgorithmSpecRsaesOaepSha1:
		return s.size/8 - 2*20 - 2
	default:
		return s.size/8 - 2*32 - 2
	}
}
