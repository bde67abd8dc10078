package cloudtrail

import (
	"bytes"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"keyward/internal/arn"
)

// stored is an event as package audit wrote it: its members' texts as they stand there, nil for what is absent.
type stored struct {
	eventID, requestID, eventTime, awsRegion, eventSource, eventName, readOnly, userIdentity,
	sourceIPAddress, userAgent, errorCode, errorMessage,
	requestParameters, responseElements, additionalEventData, serviceEventDetails,
	resources, tlsDetails, sharedEventID, copies jsontext.Value
}

// member is where a member, given by its quoted name, belongs; nil if package audit writes none of that name.
func (s *stored) member(name []byte) *jsontext.Value {
	switch string(name) {
	case `"eventID"`:
		return &s.eventID
	case `"requestID"`:
		return &s.requestID
	case `"eventTime"`:
		return &s.eventTime
	case `"awsRegion"`:
		return &s.awsRegion
	case `"eventSource"`:
		return &s.eventSource
	case `"eventName"`:
		return &s.eventName
	case `"readOnly"`:
		return &s.readOnly
	case `"userIdentity"`:
		return &s.userIdentity
	case `"sourceIPAddress"`:
		return &s.sourceIPAddress
	case `"userAgent"`:
		return &s.userAgent
	case `"errorCode"`:
		return &s.errorCode
	case `"errorMessage"`:
		return &s.errorMessage
	case `"requestParameters"`:
		return &s.requestParameters
	case `"responseElements"`:
		return &s.responseElements
	case `"additionalEventData"`:
		return &s.additionalEventData
	case `"serviceEventDetails"`:
		return &s.serviceEventDetails
	case `"resources"`:
		return &s.resources
	case `"tlsDetails"`:
		return &s.tlsDetails
	case `"sharedEventID"`:
		return &s.sharedEventID
	case `"copies"`:
		return &s.copies
	default:
		return nil
	}
}

// read takes a line apart. The texts are parts of it.
func (s *stored) read(d *jsontext.Decoder, line []byte) error {
	*s = stored{}
	// A name that stands twice, as it may in a caller's map, must not keep the event from its record.
	d.Reset(bytes.NewBuffer(line), jsontext.AllowDuplicateNames(true))
	if open, err := d.ReadToken(); err != nil || open.Kind() != '{' {
		return fmt.Errorf("cloudtrail: a kept event is no JSON object: %w", err)
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return fmt.Errorf("cloudtrail: reading a kept event: %w", err)
		}
		into := s.member(name)
		if into == nil {
			return fmt.Errorf("cloudtrail: a kept event has a member %s", name)
		}
		value, err := d.ReadValue()
		if err != nil {
			return fmt.Errorf("cloudtrail: reading a kept event: %w", err)
		}
		end := d.InputOffset() // value itself is the decoder's
		*into = jsontext.Value(line[end-int64(len(value)) : end])
	}
	if _, err := d.ReadToken(); err != nil {
		return fmt.Errorf("cloudtrail: reading a kept event: %w", err)
	}
	if more := int64(len(line)) - d.InputOffset(); more > 0 {
		return fmt.Errorf("cloudtrail: %d bytes stand behind a kept event", more)
	}
	return nil
}

// text is what a JSON string says, empty for one that is absent.
func text(v jsontext.Value) string {
	if len(v) < 2 || v[0] != '"' {
		return ""
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1])
	}
	plain, _ := jsontext.AppendUnquote(nil, v) // a value that was read is valid
	return string(plain)
}

// time is when the event happened.
func (s *stored) time() (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text(s.eventTime))
	if err != nil {
		return at, fmt.Errorf("cloudtrail: reading a kept event: %w", err)
	}
	return at, nil
}

// userIdentity is who called, in CloudTrail's words. Service events have no type.
type userIdentity struct {
	Type        string `json:"type,omitzero"`
	PrincipalID string `json:"principalId,omitzero"`
	ARN         string `json:"arn,omitzero"`
	AccountID   string `json:"accountId,omitzero"`
	AccessKeyID string `json:"accessKeyId,omitzero"`
	UserName    string `json:"userName,omitzero"`
	// IdentityProvider vouches for a WebIdentityUser, who is of no account.
	IdentityProvider string `json:"identityProvider,omitzero"`
	// SessionContext tells of temporary credentials, as package audit wrote it.
	SessionContext jsontext.Value `json:"sessionContext,omitzero"`
	InvokedBy      string         `json:"invokedBy,omitzero"`
}

type resource struct {
	AccountID string `json:"accountId,omitzero"`
	Type      string `json:"type"`
	ARN       string `json:"ARN"`
}

// readResources adds to the resources the accounts that own them.
func readResources(v jsontext.Value) ([]resource, error) {
	if v == nil {
		return nil, nil
	}
	var all []resource
	if err := json.Unmarshal(v, &all); err != nil {
		return nil, fmt.Errorf("cloudtrail: reading a kept event's resources: %w", err)
	}
	for i, r := range all {
		if name, err := arn.Parse(r.ARN); err == nil {
			all[i].AccountID = name.Account
		}
	}
	return all, nil
}

// stamp is what is another account's own of a record that it shares.
type stamp struct {
	AccountID string `json:"accountId"`
	EventID   string `json:"eventID"`
}

func readCopies(v jsontext.Value) ([]stamp, error) {
	if v == nil {
		return nil, nil
	}
	var all []stamp
	if err := json.Unmarshal(v, &all); err != nil {
		return nil, fmt.Errorf("cloudtrail: reading who shares a kept event: %w", err)
	}
	return all, nil
}
