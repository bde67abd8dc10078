package policy

import (
	"slices"
	"strings"
)

// granted is the relation in which a grant allows the action to the principal. A grant is to be read as a resource
// policy that names the grantee.
func (e *evaluation) granted(g *Grant) relation {
	if !e.operation(g) || !e.IgnoreConstraints && !g.admits(e.EncryptionContext) {
		return stranger
	}
	return newWho(g.Grantee, nil).relation(e.principal)
}

func (e *evaluation) operation(g *Grant) bool {
	name, isKMS := strings.CutPrefix(e.Action, "kms:")
	return isKMS && slices.Contains(g.Operations, name)
}

// admits holds the constraints against a request's encryption context (AWS KMS API Reference, GrantConstraints).
func (g *Grant) admits(context map[string]string) bool {
	if g.EncryptionContextEquals != nil && len(g.EncryptionContextEquals) != len(context) {
		return false
	}
	return subset(g.EncryptionContextEquals, context) && subset(g.EncryptionContextSubset, context)
}

func subset(part, whole map[string]string) bool {
	for name, value := range part {
		if v, present := whole[name]; !present || v != value {
			return false
		}
	}
	return true
}
