package kms

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
)

// algorithms are what keys of one spec and usage are used with: in one list, the others are empty. Values are shared and
// never changed.
type algorithms struct {
	names         []string // of them all
	encryption    []types.EncryptionAlgorithmSpec
	signing       []types.SigningAlgorithmSpec
	mac           []types.MacAlgorithmSpec
	agreement     []types.KeyAgreementAlgorithmSpec
	encapsulation []types.EncapsulationAlgorithmSpec
}

func (a *algorithms) include(name string) bool { return slices.Contains(a.names, name) }

// purpose is what a key is, and what it is for.
type purpose struct {
	spec  types.KeySpec
	usage types.KeyUsageType
}

// purposes are those that keys can have.
var purposes = func() map[purpose]*algorithms {
	all := map[purpose]*algorithms{}
	for _, spec := range keyspec.All() {
		for _, usage := range spec.Usages() {
			all[purpose{spec.Name, usage}] = newAlgorithms(spec, usage)
		}
	}
	return all
}()

func newAlgorithms(spec *keyspec.Spec, usage types.KeyUsageType) *algorithms {
	a := &algorithms{}
	switch usage {
	case types.KeyUsageTypeEncryptDecrypt:
		a.encryption = spec.EncryptionAlgorithms()
	case types.KeyUsageTypeSignVerify:
		a.signing = spec.SigningAlgorithms()
	case types.KeyUsageTypeGenerateVerifyMac:
		a.mac = spec.MacAlgorithms()
	case types.KeyUsageTypeKeyAgreement:
		a.agreement = spec.KeyAgreementAlgorithms()
	case types.KeyUsageTypeEncapsulateDecapsulate:
		a.encapsulation = spec.EncapsulationAlgorithms()
	}
	a.names = slices.Concat(names(a.encryption), names(a.signing), names(a.mac), names(a.agreement), names(a.encapsulation))
	return a
}

func names[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, name := range list {
		out[i] = string(name)
	}
	return out
}

// fits reports whether keys of a spec can be for a usage. SM2, which is not served, fits what AWS says.
func fits(spec types.KeySpec, usage types.KeyUsageType) bool {
	if spec == types.KeySpecSm2 {
		return usage != types.KeyUsageTypeGenerateVerifyMac && usage != types.KeyUsageTypeEncapsulateDecapsulate
	}
	return purposes[purpose{spec, usage}] != nil
}

// algorithmsOf gives those of a key that was made, whose usage fits its spec.
func algorithmsOf(k *Key) *algorithms { return purposes[purpose{k.Spec, k.Usage}] }

// asymmetric reports whether keys of a spec have a public half.
func asymmetric(name types.KeySpec) bool {
	spec, ok := keyspec.Of(name)
	return ok && spec.Asymmetric()
}
