// Package audit holds an API call's event as a value: who called what, on which resources, and how it ended. It knows
// neither CloudTrail's records nor where events are kept.
//
// One event belongs to one call. An event whose call changed something is kept in the transaction of the change; all
// others are kept by a Recorder before the answer leaves. If an event cannot be kept, the call is refused.
package audit

import (
	"context"
	"time"

	"keyward/internal/arn"
	"keyward/internal/policy"
)

// Member is one named value of an event's request, response or additional data.
type Member struct {
	Name  string // lower-case first letter, as CloudTrail writes it
	Value any
}

// Members keeps the order in which they were added.
type Members []Member

// Add appends a member.
func (m *Members) Add(name string, value any) { *m = append(*m, Member{name, value}) }

// Resource is something that a call was about.
type Resource struct {
	Type string // for example "AWS::KMS::Key"
	ARN  string
}

// TLS is the protected connection that a call came through, in CloudTrail's words.
type TLS struct {
	Version     string // for example "TLSv1.3"
	CipherSuite string // for example "TLS_AES_128_GCM_SHA256"
	Host        string // the Host header that the client sent
	KeyExchange string // for example "X25519MLKEM768"
}

// Use names a KMS key that a call performed cryptography with.
type Use struct {
	Scope arn.Scope // of the key
	KeyID string
}

// Copy is the record of a call that another account has, whose resource the call used.
type Copy struct {
	Account string
	ID      string // the copy's own, a UUID
}

// ServiceCaller is the Caller.Type of service events: what a service did by itself, at nobody's request. Of its other
// members only Account is set.
const ServiceCaller = "AWSService"

// Event is the record of one call. Nothing secret may be put into it: spec "never logged" lists hold for every field.
type Event struct {
	ID        string // UUID
	RequestID string // equals the response's x-amzn-RequestId
	Time      time.Time
	Region    string
	Caller    policy.Caller
	InvokedBy string // the AWS service that called on the caller's behalf, if one did
	SourceIP  string
	UserAgent string
	Source    string // for example "kms.amazonaws.com"
	Name      string // the operation
	ReadOnly  bool

	Request    Members
	Response   Members // mutating calls only
	Additional Members
	Details    Members // of service events: CloudTrail's serviceEventDetails
	Resources  []Resource
	TLS        *TLS // nil for connections in clear
	// Used is no part of the record. Who keeps the event of a call that succeeded keeps with it that these keys were last
	// used by it.
	Used []Use

	// Copies are the records that owners of resources have beside the caller's account, and SharedID, a UUID, is what all
	// have in common. A call that was not permitted is no business of theirs: it has none.
	Copies   []Copy
	SharedID string

	// ErrorCode and ErrorMessage are empty for a call that succeeded.
	ErrorCode    string
	ErrorMessage string

	// Kept is set by storage once the event is durable together with the change of its call.
	Kept bool
}

// Denied is the ErrorCode of calls that were not permitted.
const Denied = "AccessDenied"

// Share adds a copy for another account than the caller's, once. newID makes a UUID.
func (e *Event) Share(account string, newID func() string) {
	for _, c := range e.Copies {
		if c.Account == account {
			return
		}
	}
	if e.SharedID == "" {
		e.SharedID = newID()
	}
	e.Copies = append(e.Copies, Copy{account, newID()})
}

// IDFor is the id of the event's record in an account.
func (e *Event) IDFor(account string) string {
	for _, c := range e.Copies {
		if c.Account == account {
			return c.ID
		}
	}
	return e.ID
}

// Recorder keeps events of calls that changed nothing.
type Recorder interface {
	// Record returns once e is durable. It may gather events of concurrent calls into one write.
	Record(ctx context.Context, e *Event) error
}
