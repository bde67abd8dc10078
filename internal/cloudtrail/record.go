package cloudtrail

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/policy"
)

// Limits of a record's parts in bytes (CloudTrail User Guide, "CloudTrail record contents"). What is longer is left
// out, and Omitted stands in its place.
const (
	maxElements   = 100 << 10 // requestParameters, responseElements, serviceEventDetails: each
	maxAdditional = 28 << 10
	maxRecord     = 256 << 10
)

// record is one event as CloudTrail writes it. The order of the fields is the order of the members.
type record struct {
	EventVersion        string         `json:"eventVersion"`
	UserIdentity        userIdentity   `json:"userIdentity"`
	EventTime           string         `json:"eventTime"`
	EventSource         string         `json:"eventSource"`
	EventName           string         `json:"eventName"`
	AWSRegion           string         `json:"awsRegion"`
	SourceIPAddress     string         `json:"sourceIPAddress"`
	UserAgent           string         `json:"userAgent"`
	ErrorCode           string         `json:"errorCode,omitzero"`
	ErrorMessage        string         `json:"errorMessage,omitzero"`
	RequestParameters   jsontext.Value `json:"requestParameters"`
	ResponseElements    jsontext.Value `json:"responseElements"`
	AdditionalEventData jsontext.Value `json:"additionalEventData,omitzero"`
	RequestID           string         `json:"requestID,omitzero"`
	EventID             string         `json:"eventID"`
	ReadOnly            bool           `json:"readOnly"`
	Resources           []resource     `json:"resources,omitzero"`
	EventType           string         `json:"eventType"`
	ManagementEvent     bool           `json:"managementEvent"`
	RecipientAccountID  string         `json:"recipientAccountId"`
	SharedEventID       string         `json:"sharedEventID,omitzero"`
	ServiceEventDetails jsontext.Value `json:"serviceEventDetails,omitzero"`
	EventCategory       string         `json:"eventCategory"`
	TLSDetails          jsontext.Value `json:"tlsDetails,omitzero"`
}

// userIdentity is who called. Service events have no type.
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

// stored is an event as package audit writes it.
type stored struct {
	EventID             string         `json:"eventID"`
	RequestID           string         `json:"requestID"`
	EventTime           time.Time      `json:"eventTime"`
	AWSRegion           string         `json:"awsRegion"`
	EventSource         string         `json:"eventSource"`
	EventName           string         `json:"eventName"`
	ReadOnly            bool           `json:"readOnly"`
	UserIdentity        userIdentity   `json:"userIdentity"`
	SourceIPAddress     string         `json:"sourceIPAddress"`
	UserAgent           string         `json:"userAgent"`
	ErrorCode           string         `json:"errorCode"`
	ErrorMessage        string         `json:"errorMessage"`
	RequestParameters   jsontext.Value `json:"requestParameters"`
	ResponseElements    jsontext.Value `json:"responseElements"`
	AdditionalEventData jsontext.Value `json:"additionalEventData"`
	ServiceEventDetails jsontext.Value `json:"serviceEventDetails"`
	Resources           []resource     `json:"resources"`
	TLSDetails          jsontext.Value `json:"tlsDetails"`
	SharedEventID       string         `json:"sharedEventID"`
	Copies              []stamp        `json:"copies"`
}

// stamp is what is another account's own of a record that it shares.
type stamp struct {
	AccountID string `json:"accountId"`
	EventID   string `json:"eventID"`
}

// rendered is a record ready to be kept, with what it is searched by.
type rendered struct {
	scope arn.Scope // whose record it is
	time  time.Time // with milliseconds, which the record itself lacks
	facts
	json []byte
}

// Render turns an event's stored form, as audit.Event.AppendJSON wrote it, into CloudTrail's record of version 1.11: that
// of the caller's account.
func Render(line []byte) ([]byte, error) {
	all, err := render(line)
	if err != nil {
		return nil, err
	}
	return all[0].json, nil
}

// render makes all records of an event: the caller's account's, and those of the accounts that share it.
func render(line []byte) ([]rendered, error) {
	var s stored
	// A name that stands twice, as it may in a caller's map, must not keep the event from its record.
	if err := json.Unmarshal(line, &s, json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, fmt.Errorf("cloudtrail: reading a kept event: %w", err)
	}
	own := s.record()
	all := make([]rendered, 0, 1+len(s.Copies))
	first, err := s.finish(&own)
	if err != nil {
		return nil, err
	}
	all = append(all, first)
	for _, c := range s.Copies {
		theirs := own.sharedWith(c)
		r, err := s.finish(&theirs)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// sharedWith is the record as another account has it. Of the caller it tells the account and the unique id (CloudTrail
// User Guide, "CloudTrail userIdentity element", AWSAccount).
func (r *record) sharedWith(c stamp) record {
	theirs := *r
	theirs.EventID, theirs.RecipientAccountID = c.EventID, c.AccountID
	theirs.UserIdentity = userIdentity{
		Type: "AWSAccount", PrincipalID: r.UserIdentity.PrincipalID, AccountID: r.UserIdentity.AccountID, InvokedBy: r.UserIdentity.InvokedBy,
	}
	return theirs
}

// finish writes a record down.
func (s *stored) finish(r *record) (rendered, error) {
	text, err := json.Marshal(r, jsontext.AllowDuplicateNames(true))
	if err == nil && len(text) > maxRecord {
		r.RequestParameters, r.ResponseElements = omit(r.RequestParameters, 0), omit(r.ResponseElements, 0)
		text, err = json.Marshal(r, jsontext.AllowDuplicateNames(true))
	}
	if err != nil {
		return rendered{}, fmt.Errorf("cloudtrail: rendering event %s: %w", s.EventID, err)
	}
	return rendered{
		scope: arn.Scope{Account: r.RecipientAccountID, Region: r.AWSRegion},
		time:  s.EventTime, facts: factsOf(r), json: text,
	}, nil
}

func (s *stored) record() record {
	r := record{
		EventVersion: "1.11", UserIdentity: s.UserIdentity,
		EventTime:   s.EventTime.UTC().Format(time.RFC3339),
		EventSource: s.EventSource, EventName: s.EventName, AWSRegion: s.AWSRegion,
		SourceIPAddress: s.SourceIPAddress, UserAgent: s.UserAgent,
		ErrorCode: s.ErrorCode, ErrorMessage: s.ErrorMessage,
		RequestParameters:   orNull(omit(s.RequestParameters, maxElements)),
		ResponseElements:    orNull(omit(s.ResponseElements, maxElements)),
		AdditionalEventData: omit(s.AdditionalEventData, maxAdditional),
		RequestID:           s.RequestID, EventID: s.EventID, ReadOnly: s.ReadOnly,
		Resources: s.resources(), EventType: "AwsApiCall", ManagementEvent: true,
		RecipientAccountID:  s.UserIdentity.AccountID,
		SharedEventID:       s.SharedEventID,
		ServiceEventDetails: omit(s.ServiceEventDetails, maxElements),
		EventCategory:       "Management", TLSDetails: s.TLSDetails,
	}
	if s.UserIdentity.Type == audit.ServiceCaller {
		if s.RequestID == "" { // SynchronizeMultiRegionKey has one, and counts as a call
			r.EventType = "AwsServiceEvent"
		}
		r.UserIdentity = userIdentity{AccountID: s.UserIdentity.AccountID, InvokedBy: "AWS Internal"}
	}
	if s.UserIdentity.Type == policy.TypeWebIdentity {
		r.UserIdentity.AccountID = ""
	}
	if s.ErrorCode != "" {
		r.ResponseElements = null
	}
	return r
}

// resources are always there for calls of KMS but those on custom key stores, and elsewhere where there are any.
func (s *stored) resources() []resource {
	for i, r := range s.Resources {
		if name, err := arn.Parse(r.ARN); err == nil {
			s.Resources[i].AccountID = name.Account
		}
	}
	if s.Resources == nil && s.EventSource == "kms.amazonaws.com" && !strings.Contains(s.EventName, "CustomKeyStore") {
		return []resource{}
	}
	return s.Resources
}

var null = jsontext.Value("null")

func orNull(v jsontext.Value) jsontext.Value {
	if v == nil {
		return null
	}
	return v
}

// omit puts a note in the place of a value that is longer than limit.
func omit(v jsontext.Value, limit int) jsontext.Value {
	if len(v) <= limit || slices.Equal(v, null) {
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

func factsOf(r *record) facts {
	return facts{
		eventID: r.EventID, eventName: r.EventName, eventSource: r.EventSource,
		userName: userName(&r.UserIdentity), accessKeyID: r.UserIdentity.AccessKeyID,
		readOnly: r.ReadOnly, resources: r.Resources,
	}
}

// userName is LookupEvents' Username: the user's, the session's name of an assumed role, or "root".
func userName(u *userIdentity) string {
	switch u.Type {
	case "Root":
		return "root"
	case "AssumedRole":
		return u.ARN[strings.LastIndexByte(u.ARN, '/')+1:]
	default:
		return u.UserName
	}
}

// readRecord takes a record of a segment apart again.
func readRecord(text []byte) (facts, error) {
	var r record
	if err := json.Unmarshal(text, &r, jsontext.AllowDuplicateNames(true)); err != nil {
		return facts{}, fmt.Errorf("cloudtrail: reading a record: %w", err)
	}
	return factsOf(&r), nil
}
