// Package operation describes API operations as rows of a table, so that every call goes one way: authenticate,
// decode, validate, act and record, answer. The wire package walks the rows; services fill them.
package operation

import (
	"context"
	"strings"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/policy"
)

// Call is what a service learns of one request beside its input.
type Call struct {
	Scope  arn.Scope // the caller's account, and the Region of the request's signature
	Caller policy.Caller
	// Principal is the caller with all that decides what it may do; nil for calls that need no authentication.
	Principal *policy.Principal
	RequestID string
	Time      time.Time
	// Event is the call's record. The wire fills in who, when and the logged request members; the operation adds
	// resources, additional data and, inside its transaction, the response members.
	Event *audit.Event
	// Quotas names the request quotas that the call was counted towards.
	Quotas []string

	globals globals
}

// About adds a resource to the call's event, once.
func (c *Call) About(kind, arn string) {
	for _, r := range c.Event.Resources {
		if r.ARN == arn {
			return
		}
	}
	c.Event.Resources = append(c.Event.Resources, audit.Resource{Type: kind, ARN: arn})
}

// Row is one operation.
type Row struct {
	Name string
	// ReadOnly is CloudTrail's readOnly: true also for cryptographic operations, which change no resource.
	ReadOnly bool
	// Void operations answer success with an empty body.
	Void bool
	// Logged names the input members that the event may hold; all others stay out of it.
	Logged []string
	// Asks: the handler asks for permission itself, or none is needed. For all other rows the wire asks for the action of
	// the row's name on each of Resources before it invokes the handler.
	Asks bool
	// Open operations need no signature: their input holds what says who calls.
	Open bool
	// Resources says what a call is about, from an input that has been validated. Nil stands for "*".
	Resources func(context.Context, *Call, any) ([]Resource, error)
	// NewInput makes an empty input, a pointer to a struct.
	NewInput func() any
	// Invoke runs the operation on an input made by NewInput. The result is a pointer to a struct, or nil when Void.
	Invoke func(context.Context, *Call, any) (any, error)
}

// Asking is the row with Asks set.
func (r Row) Asking() Row {
	r.Asks = true
	return r
}

// Unsigned is the row with Open and Asks set.
func (r Row) Unsigned() Row {
	r.Open, r.Asks = true, true
	return r
}

// On is the row with Resources set to what f says.
func (r Row) On(f func(context.Context, *Call, any) ([]Resource, error)) Row {
	r.Resources = f
	return r
}

// Resource is what permission is asked for.
type Resource struct {
	ARN  string // or "*"
	Keys Keys   // those of the action, beside the ones that every action has
	// Action such as "ec2:CreateTags", which the call needs beside the row's own; empty for that.
	Action string
}

// Keys are values of condition keys by their names in lower case.
type Keys map[string][]string

// Lookup implements policy.Context.
func (k Keys) Lookup(key string) ([]string, bool) {
	values, present := k[key]
	return values, present
}

// ResourceTag adds what aws:ResourceTag/… says of a tag that the resource has. Tags whose keys differ by case count both.
func (k Keys) ResourceTag(key, value string) {
	name := "aws:resourcetag/" + strings.ToLower(key)
	k[name] = append(k[name], value)
}

// RequestTag adds what aws:RequestTag/… and aws:TagKeys say of a tag that the request gives.
func (k Keys) RequestTag(key, value string) {
	name := "aws:requesttag/" + strings.ToLower(key)
	k[name] = append(k[name], value)
	k["aws:tagkeys"] = append(k["aws:tagkeys"], key)
}

// Void is the output of an operation that answers with an empty body.
type Void struct{}

// Read makes the row of an operation that changes nothing.
func Read[In, Out any](name string, h func(context.Context, *Call, *In) (*Out, error), logged ...string) Row {
	return row(name, true, h, logged)
}

// Write makes the row of an operation that changes something. It must keep its event in the transaction of the change.
func Write[In, Out any](name string, h func(context.Context, *Call, *In) (*Out, error), logged ...string) Row {
	return row(name, false, h, logged)
}

func row[In, Out any](name string, readOnly bool, h func(context.Context, *Call, *In) (*Out, error), logged []string) Row {
	_, void := any((*Out)(nil)).(*Void)
	return Row{
		Name:     name,
		ReadOnly: readOnly,
		Void:     void,
		Logged:   logged,
		NewInput: func() any { return new(In) },
		Invoke: func(ctx context.Context, c *Call, in any) (any, error) {
			out, err := h(ctx, c, in.(*In))
			if err != nil || void {
				return nil, err
			}
			return out, nil
		},
	}
}

// Service is one API: its rows and how it presents itself.
type Service struct {
	// SigningName is the service in the credential scope: "kms", "cloudhsm", "sts", "ec2".
	SigningName string
	// Target is the prefix of X-Amz-Target for JSON services: "TrentService". Empty for Query services.
	Target string
	// EventSource is CloudTrail's name for the service: "kms.amazonaws.com".
	EventSource string
	// Admit is asked about every call, by the name of its operation, before the request is decoded: it may refuse what
	// comes too often. Nil admits everything.
	Admit func(c *Call, operation string) error
	Rows  []Row
}
