package kms

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestEverySpecHasAUsage: a spec that a new SDK brings is not refused with every usage.
func TestEverySpecHasAUsage(t *testing.T) {
	for _, spec := range types.KeySpec("").Values() {
		n := 0
		for _, usage := range types.KeyUsageType("").Values() {
			if fits(spec, usage) {
				n++
			}
		}
		if n == 0 {
			t.Errorf("%s is good for nothing", spec)
		}
	}
	if fits(types.KeySpecEccSecgP256k1, types.KeyUsageTypeKeyAgreement) || !fits(types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement) {
		t.Error("key agreement is for NIST curves")
	}
}
