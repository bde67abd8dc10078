package kms

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/policy"
)

// TestChildGrantsAreNoWider has the rules for making a grant through a grant.
func TestChildGrantsAreNoWider(t *testing.T) {
	type pairs = map[string]string
	one, two := pairs{"a": "1"}, pairs{"a": "1", "b": "2"}
	type constraints struct{ equals, subset pairs }
	for name, c := range map[string]struct {
		parent, child constraints
		may           bool
	}{
		"no constraint at all":           {may: true},
		"a constraint more":              {child: constraints{subset: one}, may: true},
		"subset kept":                    {parent: constraints{subset: one}, child: constraints{subset: one}, may: true},
		"subset with more pairs":         {parent: constraints{subset: one}, child: constraints{subset: two}, may: true},
		"subset with fewer pairs":        {parent: constraints{subset: two}, child: constraints{subset: one}},
		"subset with another value":      {parent: constraints{subset: one}, child: constraints{subset: pairs{"a": "2"}}},
		"subset becomes equals":          {parent: constraints{subset: one}, child: constraints{equals: two}, may: true},
		"subset becomes equals of fewer": {parent: constraints{subset: two}, child: constraints{equals: one}},
		"subset dropped":                 {parent: constraints{subset: one}},
		"equals kept":                    {parent: constraints{equals: one}, child: constraints{equals: one}, may: true},
		"equals becomes subset":          {parent: constraints{equals: one}, child: constraints{subset: one}},
		"equals of more":                 {parent: constraints{equals: one}, child: constraints{equals: two}},
		"equals of another value":        {parent: constraints{equals: one}, child: constraints{equals: pairs{"a": "2"}}},
		"equals dropped":                 {parent: constraints{equals: one}},
		"both kept":                      {parent: constraints{one, one}, child: constraints{one, one}, may: true},
		"equals kept, subset dropped":    {parent: constraints{two, one}, child: constraints{equals: two}, may: true},
		"no context kept":                {parent: constraints{equals: pairs{}}, child: constraints{equals: pairs{}}, may: true},
		"no context dropped":             {parent: constraints{equals: pairs{}}},
	} {
		parent := policy.Grant{
			Operations: []string{"Encrypt", "Decrypt", "CreateGrant"}, EncryptionContextEquals: c.parent.equals, EncryptionContextSubset: c.parent.subset,
		}
		child := &Grant{Operations: []types.GrantOperation{"Decrypt"}, Equals: c.child.equals, Subset: c.child.subset}
		if begets(&parent, child) != c.may {
			t.Errorf("%s: want %v", name, c.may)
		}
		child.Operations = append(child.Operations, "GenerateDataKey")
		if begets(&parent, child) {
			t.Errorf("%s, with an operation more: want false", name)
		}
	}
}
