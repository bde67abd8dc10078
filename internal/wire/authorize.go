package wire

import (
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// nothingNamed is what a call is about whose row names no resources.
var nothingNamed = []string{"*"}

// authorize asks whether the caller may do what it asks for, unless the operation does so itself. Resources are those of
// the caller's account: what has policies of its own asks itself.
func (x *exchange) authorize(c *operation.Call, in any) error {
	if x.row.Asks {
		return nil
	}
	resources := nothingNamed
	if x.row.Resources != nil {
		resources = x.row.Resources(c, in)
	}
	for _, resource := range resources {
		r := policy.Request{
			Principal: c.Principal, Action: x.row.action, Resource: resource,
			Context: c.Globals(c.Principal, c.Scope.Account, nil),
		}
		if d := policy.Evaluate(&r); !d.Allowed {
			return x.service.protocol.denied(d.Message(&r, ""))
		}
	}
	return nil
}
