package wire

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// anything is what a call is about whose row names no resources.
var anything = []operation.Resource{{ARN: "*"}}

// authorize asks whether the caller's own policies allow what it asks for, on resources of its own account. An operation on
// resources that have policies too, such as keys, asks by itself (Row.Asks). The log has what decided a refusal.
func (h *Handler) authorize(ctx context.Context, x *exchange, c *operation.Call, in any) (err error) {
	if x.row.Asks {
		return nil
	}
	resources := anything
	if x.row.Resources != nil {
		if resources, err = x.row.Resources(ctx, c, in); err != nil {
			return err
		}
	}
	for _, resource := range resources {
		r := policy.Request{
			Principal: c.Principal, Action: cmp.Or(resource.Action, x.row.action), Resource: resource.ARN,
			Context: c.Globals(c.Principal, c.Scope.Account, resource.Keys),
		}
		if d := policy.Evaluate(&r); !d.Allowed {
			h.config.Log.Info("access denied", "requestID", c.RequestID, "principal", c.Principal.ARN,
				"action", r.Action, "resource", r.Resource, "decision", d.String())
			return x.service.protocol.denied(d.Message(&r, ""))
		}
	}
	return nil
}

// identify says who calls, and finds the operation, which only an authenticated caller may ask for unless it is open to
// everybody.
func (h *Handler) identify(r *http.Request, x *exchange) (*policy.Principal, arn.Scope, error) {
	if x.service.open && !signed(r) {
		if err := x.dispatch(r); err == nil && x.row.Open {
			return &anybody, arn.Scope{Region: openRegion}, nil
		}
		x.row = nil
	}
	principal, scope, err := h.config.Authenticator.Authenticate(r.Context(), &x.request, x.service.SigningName)
	if err != nil {
		return nil, arn.Scope{}, err
	}
	return principal, scope, x.dispatch(r)
}

// anybody is who calls an open operation before it has said who that is. Its account is empty: an event without an
// account is in nobody's trail.
var anybody = policy.Principal{Caller: policy.Caller{Type: policy.TypeWebIdentity}}

// openRegion stands for the Region that a request without signature does not name: that of AWS's global endpoints.
const openRegion = "us-east-1"

// signed reports whether the request as much as claims to have a signature.
func signed(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || strings.Contains(r.URL.RawQuery, "X-Amz-Signature") ||
		strings.Contains(r.URL.RawQuery, "X-Amz-Credential")
}
