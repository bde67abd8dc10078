package audit

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"keyward/internal/policy"
)

// AppendJSON appends the event in its stored form, one JSON object without line feeds. The event's time is RFC 3339 in
// UTC with milliseconds; times among members are text as CloudTrail shows them ("Oct 14, 2021, 5:39:50 PM", UTC), since
// nobody could tell them from a caller's strings later. Members may hold strings, booleans, integers, times, slices and string-keyed maps of these, and
// Members; pointers to them are followed and nil ones left out.
func (e *Event) AppendJSON(buf []byte) ([]byte, error) {
	buf = append(buf, `{"eventID":`...)
	buf = appendString(buf, e.ID)
	buf = appendNamed(buf, "requestID", e.RequestID)
	buf = append(buf, `,"eventTime":`...)
	buf = appendTime(buf, e.Time)
	buf = appendNamed(buf, "awsRegion", e.Region)
	buf = appendNamed(buf, "eventSource", e.Source)
	buf = appendNamed(buf, "eventName", e.Name)
	buf = append(buf, `,"readOnly":`...)
	buf = strconv.AppendBool(buf, e.ReadOnly)
	buf = e.appendCaller(append(buf, `,"userIdentity":`...))
	buf = appendNamed(buf, "sourceIPAddress", e.SourceIP)
	buf = appendNamed(buf, "userAgent", e.UserAgent)
	buf = appendNamed(buf, "errorCode", e.ErrorCode)
	buf = appendNamed(buf, "errorMessage", e.ErrorMessage)
	var err error
	for _, part := range []struct {
		name    string
		members Members
	}{{"requestParameters", e.Request}, {"responseElements", e.Response}, {"additionalEventData", e.Additional}, {"serviceEventDetails", e.Details}} {
		if len(part.members) == 0 {
			continue
		}
		buf = append(buf, ',', '"')
		buf = append(append(buf, part.name...), '"', ':')
		if buf, err = appendMembers(buf, part.members); err != nil {
			return buf, fmt.Errorf("audit: event %s, %s: %w", e.Name, part.name, err)
		}
	}
	buf = appendTLS(appendResources(buf, e.Resources), e.TLS)
	if e.ErrorCode != Denied {
		buf = e.appendCopies(buf)
	}
	return append(buf, '}'), nil
}

func (e *Event) appendCopies(buf []byte) []byte {
	if len(e.Copies) == 0 {
		return buf
	}
	buf = append(appendNamed(buf, "sharedEventID", e.SharedID), `,"copies":[`...)
	for i, c := range e.Copies {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendString(append(buf, `{"accountId":`...), c.Account)
		buf = append(appendNamed(buf, "eventID", c.ID), '}')
	}
	return append(buf, ']')
}

func (e *Event) appendCaller(buf []byte) []byte {
	c := &e.Caller
	buf = append(buf, `{"type":`...)
	buf = appendString(buf, c.Type)
	buf = appendNamed(buf, "principalId", c.PrincipalID)
	buf = appendNamed(buf, "arn", c.ARN)
	buf = appendNamed(buf, "accountId", c.Account)
	buf = appendNamed(buf, "accessKeyId", c.AccessKeyID)
	buf = appendNamed(buf, "userName", c.UserName)
	if c.Temporary != nil {
		buf = appendSession(buf, c)
	}
	buf = appendNamed(buf, "invokedBy", e.InvokedBy)
	return append(buf, '}')
}

// appendSession tells of temporary credentials, or of the provider that vouches for somebody who has none yet.
func appendSession(buf []byte, c *policy.Caller) []byte {
	t := c.Temporary
	if c.Type == policy.TypeWebIdentity {
		return appendNamed(buf, "identityProvider", t.Provider)
	}
	buf = append(buf, `,"sessionContext":{`...)
	if i := t.Issuer; i != nil {
		buf = append(buf, `"sessionIssuer":{"type":`...)
		buf = appendString(buf, i.Type)
		buf = appendNamed(buf, "principalId", i.PrincipalID)
		buf = appendNamed(buf, "arn", i.ARN)
		buf = appendNamed(buf, "accountId", i.Account)
		buf = appendNamed(buf, "userName", i.UserName)
		buf = append(buf, '}', ',')
	}
	if t.Provider != "" {
		buf = append(buf, `"webIdFederationData":{"federatedProvider":`...)
		buf = append(appendString(buf, t.Provider), `,"attributes":{}},`...)
	}
	buf = append(buf, `"attributes":{"creationDate":"`...)
	buf = t.Created.UTC().AppendFormat(buf, time.RFC3339)
	// No second factor is known here.
	buf = append(buf, `","mfaAuthenticated":"false"}`...)
	buf = appendNamed(buf, "sourceIdentity", t.SourceIdentity)
	return append(buf, '}')
}

func appendTLS(buf []byte, t *TLS) []byte {
	if t == nil {
		return buf
	}
	buf = append(buf, `,"tlsDetails":{"tlsVersion":`...)
	buf = appendString(buf, t.Version)
	buf = appendNamed(buf, "cipherSuite", t.CipherSuite)
	buf = appendNamed(buf, "clientProvidedHostHeader", t.Host)
	buf = appendNamed(buf, "keyExchange", t.KeyExchange)
	return append(buf, '}')
}

func appendResources(buf []byte, resources []Resource) []byte {
	if len(resources) == 0 {
		return buf
	}
	buf = append(buf, `,"resources":[`...)
	for i, r := range resources {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, `{"type":`...)
		buf = appendString(buf, r.Type)
		buf = appendNamed(buf, "ARN", r.ARN)
		buf = append(buf, '}')
	}
	return append(buf, ']')
}

// appendNamed appends `,"name":"value"`, or nothing for an empty value.
func appendNamed(buf []byte, name, value string) []byte {
	if value == "" {
		return buf
	}
	buf = append(append(append(buf, ',', '"'), name...), '"', ':')
	return appendString(buf, value)
}

func appendMembers(buf []byte, members Members) ([]byte, error) {
	buf = append(buf, '{')
	first := true
	for _, m := range members {
		v := reflect.ValueOf(m.Value)
		for v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if !v.IsValid() || (nilable(v.Kind()) && v.IsNil()) {
			continue
		}
		if !first {
			buf = append(buf, ',')
		}
		first = false
		buf = append(appendString(buf, m.Name), ':')
		var err error
		if buf, err = appendValue(buf, v); err != nil {
			return buf, fmt.Errorf("member %s: %w", m.Name, err)
		}
	}
	return append(buf, '}'), nil
}

func nilable(k reflect.Kind) bool {
	return k == reflect.Pointer || k == reflect.Map || k == reflect.Slice || k == reflect.Interface
}

func appendValue(buf []byte, v reflect.Value) ([]byte, error) {
	switch x := v.Interface().(type) {
	case Members:
		return appendMembers(buf, x)
	case time.Time:
		buf = append(buf, '"')
		buf = x.UTC().AppendFormat(buf, "Jan 2, 2006, 3:04:05 PM")
		return append(buf, '"'), nil
	}
	switch v.Kind() {
	case reflect.String:
		return appendString(buf, v.String()), nil
	case reflect.Bool:
		return strconv.AppendBool(buf, v.Bool()), nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(buf, v.Int(), 10), nil
	case reflect.Slice:
		return appendSlice(buf, v)
	case reflect.Map:
		return appendMap(buf, v)
	default:
		return buf, fmt.Errorf("a %s cannot be part of an event", v.Type())
	}
}

func appendSlice(buf []byte, v reflect.Value) ([]byte, error) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return buf, fmt.Errorf("bytes are never part of an event")
	}
	buf = append(buf, '[')
	for i := range v.Len() {
		if i > 0 {
			buf = append(buf, ',')
		}
		var err error
		if buf, err = appendValue(buf, v.Index(i)); err != nil {
			return buf, err
		}
	}
	return append(buf, ']'), nil
}

// appendMap sorts the keys, so that equal events have equal stored forms.
func appendMap(buf []byte, v reflect.Value) ([]byte, error) {
	if v.Type().Key().Kind() != reflect.String {
		return buf, fmt.Errorf("a %s cannot be part of an event", v.Type())
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	buf = append(buf, '{')
	for i, k := range keys {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(appendString(buf, k.String()), ':')
		var err error
		if buf, err = appendValue(buf, v.MapIndex(k)); err != nil {
			return buf, err
		}
	}
	return append(buf, '}'), nil
}

func appendTime(buf []byte, t time.Time) []byte {
	buf = append(buf, '"')
	buf = t.UTC().AppendFormat(buf, "2006-01-02T15:04:05.000Z")
	return append(buf, '"')
}

// appendString takes the fast way for plain ASCII, which nearly all values are.
func appendString(buf []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil { // json.Marshal of a string cannot fail: invalid UTF-8 is replaced
				panic(err)
			}
			return append(buf, quoted...)
		}
	}
	buf = append(buf, '"')
	buf = append(buf, s...)
	return append(buf, '"')
}
