package keystore

import (
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// describeClusters is what making a key store needs beside its own permission (AWS KMS Developer Guide, "Controlling
// access to your AWS CloudHSM key store").
const describeClusters = "cloudhsm:DescribeClusters"

// permitted asks whether the caller's policies allow an action that is not the call's own.
func permitted(call *operation.Call, action string) error {
	p := call.Principal
	if p == nil {
		p = &policy.Principal{Caller: call.Caller}
	}
	r := policy.Request{Principal: p, Action: action, Resource: "*", Context: call.Globals(p, call.Scope.Account, nil)}
	if d := policy.Evaluate(&r); !d.Allowed {
		return fault.New("AccessDeniedException", "%s", d.Message(&r, ""))
	}
	return nil
}
