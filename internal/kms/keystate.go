package kms

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
)

//go:generate go run ./statetable key-states.csv keystate_table.go

// place is where the table of key states is read: an operation on a key of an origin in a state.
type place struct {
	operation string
	state     types.KeyState
	origin    types.OriginType // or anyOrigin
}

const anyOrigin types.OriginType = "*"

// verdict is what the table says there.
type verdict struct {
	outcome outcome
	code    string // exception, when refused
	message string // with keyARN standing for the key's ARN
}

type outcome byte

const (
	permitted outcome = iota + 1
	refused
	impossible // no key of this origin can be in this state
)

// keyARN is the placeholder of the table's messages.
const keyARN = "<key ARN>"

// permit says whether the state that callers see allows an operation on k.
func permit(operation string, k *Key, state types.KeyState) error {
	v, ok := verdicts[place{operation, state, anyOrigin}]
	if !ok {
		v = verdicts[place{operation, state, k.Origin}]
	}
	switch v.outcome {
	case permitted:
		return nil
	case refused:
		return fault.New(v.code, "%s", strings.Replace(v.message, keyARN, k.ARN(), 1))
	default:
		return fmt.Errorf("kms: the table of key states does not know %s of a key of origin %s in state %s", operation, k.Origin, state)
	}
}

// state is what callers see of a key's state: Unavailable while its material cannot be reached, unless it is pending
// deletion, which shows through (AWS KMS Developer Guide, "Key states of AWS KMS keys").
func (s *Service) state(k *Key) types.KeyState {
	if k.State != types.KeyStatePendingDeletion && !s.material(k).Available(k) {
		return types.KeyStateUnavailable
	}
	return k.State
}

// permits is permit for the state that callers see now.
func (s *Service) permits(operation string, k *Key) error {
	return permit(operation, k, s.state(k))
}
