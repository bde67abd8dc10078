package cloudtrail

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"keyward/internal/arn"
)

// Limits of a record's parts in bytes (CloudTrail User Guide, "CloudTrail record contents"). What is longer is left
// out, and Omitted stands in its place.
const (
	maxElements   = 100 << 10 // requestParameters, responseElements, serviceEventDetails: each
	maxAdditional = 28 << 10
	maxRecord     = 256 << 10
)

// record is one event as an account's trail has it: the event's own texts, and what differs among accounts.
type record struct {
	*stored
	time        time.Time
	account     string
	who         *identity
	resources   []byte // nil where there is no such member
	eventID     []byte
	serviceCall bool // what a service did by itself
}

// rendered is a record ready to be kept, with what it is searched by.
type rendered struct {
	scope arn.Scope // whose record it is
	time  time.Time // with milliseconds, which the record itself lacks
	facts
	json []byte
}

// append writes a record of version 1.11 down, whose members have CloudTrail's order.
func (r *record) append(b []byte) []byte {
	start := len(b)
	b = r.appendWith(b, omit(r.requestParameters, maxElements), omit(r.responseElements, maxElements))
	if len(b)-start > maxRecord {
		b = r.appendWith(b[:start], omit(r.requestParameters, 0), omit(r.responseElements, 0))
	}
	return b
}

func (r *record) appendWith(b []byte, request, response jsontext.Value) []byte {
	if r.errorCode != nil {
		response = nil
	}
	eventType := `"AwsApiCall"`
	if r.serviceCall {
		eventType = `"AwsServiceEvent"`
	}
	b = append(append(b, `{"eventVersion":"1.11","userIdentity":`...), r.who.text...)
	b = append(r.time.UTC().AppendFormat(append(b, `,"eventTime":"`...), time.RFC3339), '"')
	b = appendMember(b, `,"eventSource":`, r.eventSource)
	b = appendMember(b, `,"eventName":`, r.eventName)
	b = appendMember(b, `,"awsRegion":`, r.awsRegion)
	b = appendMember(b, `,"sourceIPAddress":`, or(r.sourceIPAddress, `""`))
	b = appendMember(b, `,"userAgent":`, or(r.userAgent, `""`))
	b = appendMember(b, `,"errorCode":`, r.errorCode)
	b = appendMember(b, `,"errorMessage":`, r.errorMessage)
	b = appendMember(b, `,"requestParameters":`, or(request, `null`))
	b = appendMember(b, `,"responseElements":`, or(response, `null`))
	b = appendMember(b, `,"additionalEventData":`, omit(r.additionalEventData, maxAdditional))
	b = appendMember(b, `,"requestID":`, r.requestID)
	b = appendMember(b, `,"eventID":`, r.eventID)
	b = appendMember(b, `,"readOnly":`, or(r.readOnly, `false`))
	b = appendMember(b, `,"resources":`, r.resources)
	b = append(append(b, `,"eventType":`...), eventType...)
	b = appendMember(append(b, `,"managementEvent":true`...), `,"recipientAccountId":`, quoted(r.account))
	b = appendMember(b, `,"sharedEventID":`, r.sharedEventID)
	b = appendMember(b, `,"serviceEventDetails":`, omit(r.serviceEventDetails, maxElements))
	b = appendMember(append(b, `,"eventCategory":"Management"`...), `,"tlsDetails":`, r.tlsDetails)
	return append(b, '}')
}

// appendMember appends a member that is there.
func appendMember(b []byte, name string, value []byte) []byte {
	if value == nil {
		return b
	}
	return append(append(b, name...), value...)
}

func or(v []byte, absent string) []byte {
	if v == nil {
		return []byte(absent)
	}
	return v
}

// omit puts a note in the place of a value that is longer than limit.
func omit(v jsontext.Value, limit int) jsontext.Value {
	if len(v) <= limit || string(v) == "null" {
		return v
	}
	return jsontext.Value(fmt.Sprintf(`{"omitted":true,"originalSize":%d}`, len(v)))
}

// facts are what LookupEvents finds a record by and says of it.
type facts struct {
	eventID, eventName, eventSource, userName, accessKeyID string
	readOnly                                               bool
	resources                                              []resource
}

// likewise reports whether two records are found by the same, but for their ids.
func (f *facts) likewise(g *facts) bool {
	return f.eventName == g.eventName && f.eventSource == g.eventSource && f.userName == g.userName &&
		f.accessKeyID == g.accessKeyID && f.readOnly == g.readOnly && slices.Equal(f.resources, g.resources)
}

// userName is LookupEvents' Username: the user's, the session's name of an assumed role, or "root".
func (u *userIdentity) userName() string {
	switch u.Type {
	case "Root":
		return "root"
	case "AssumedRole":
		return u.ARN[strings.LastIndexByte(u.ARN, '/')+1:]
	default:
		return u.UserName
	}
}

// readRecord finds the facts in a record of a segment.
func readRecord(text []byte) (facts, error) {
	var r struct {
		UserIdentity userIdentity `json:"userIdentity"`
		EventSource  string       `json:"eventSource"`
		EventName    string       `json:"eventName"`
		EventID      string       `json:"eventID"`
		ReadOnly     bool         `json:"readOnly"`
		Resources    []resource   `json:"resources"`
	}
	if err := json.Unmarshal(text, &r, jsontext.AllowDuplicateNames(true)); err != nil {
		return facts{}, fmt.Errorf("cloudtrail: reading a record: %w", err)
	}
	return facts{
		eventID: r.EventID, eventName: r.EventName, eventSource: r.EventSource,
		userName: r.UserIdentity.userName(), accessKeyID: r.UserIdentity.AccessKeyID,
		readOnly: r.ReadOnly, resources: r.Resources,
	}, nil
}

// quoted is a JSON string.
func quoted(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s) // fails for invalid UTF-8 only, which it replaces
	return b
}
