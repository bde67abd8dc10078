package wire

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"keyward/internal/audit"
)

// loggedMember is an input member that goes into the event.
type loggedMember struct {
	name  string // as CloudTrail writes it
	index int
}

// loggedMembers finds names in the struct that in points to. Blobs are refused: they are never logged.
func loggedMembers(in any, names []string) ([]loggedMember, error) {
	t := reflect.TypeOf(in).Elem()
	members := make([]loggedMember, 0, len(names))
	for _, name := range names {
		f, ok := t.FieldByName(name)
		if !ok || len(f.Index) != 1 {
			return nil, fmt.Errorf("%s has no member %s to log", t, name)
		}
		if f.Type == blobType {
			return nil, fmt.Errorf("%s.%s is a blob and must not be logged", t, name)
		}
		members = append(members, loggedMember{lowerFirst(name), f.Index[0]})
	}
	return members, nil
}

var (
	blobType = reflect.TypeFor[[]byte]()
	timeType = reflect.TypeFor[time.Time]()
)

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// log adds the members that the request has to m.
func (r *row) log(in any, m *audit.Members) {
	if len(r.logged) == 0 {
		return
	}
	v := reflect.ValueOf(in).Elem()
	*m = make(audit.Members, 0, len(r.logged)+2)
	for _, l := range r.logged {
		if f := v.Field(l.index); !absent(f) {
			m.Add(l.name, plain(f))
		}
	}
}

func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	default:
		return false
	}
}

// plain takes structures apart into members and leaves everything else as it is.
func plain(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.Pointer && structured(v.Type().Elem()):
		return plain(v.Elem())
	case structured(v.Type()):
		return members(v)
	case v.Kind() == reflect.Slice && structured(v.Type().Elem()):
		list := make([]audit.Members, v.Len())
		for i := range list {
			list[i] = members(v.Index(i))
		}
		return list
	default:
		return v.Interface()
	}
}

func structured(t reflect.Type) bool { return t.Kind() == reflect.Struct && t != timeType }

func members(v reflect.Value) audit.Members {
	t := v.Type()
	m := make(audit.Members, 0, t.NumField())
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && f.Type != blobType && !absent(v.Field(i)) {
			m.Add(lowerFirst(f.Name), plain(v.Field(i)))
		}
	}
	return m
}

// tlsOf is the request's protected connection, nil for one in clear.
func tlsOf(r *http.Request) *audit.TLS {
	if r.TLS == nil {
		return nil
	}
	t := &audit.TLS{
		Version:     strings.Replace(tls.VersionName(r.TLS.Version), "TLS ", "TLSv", 1),
		CipherSuite: tls.CipherSuiteName(r.TLS.CipherSuite),
		Host:        cut(r.Host, maxText),
	}
	if r.TLS.CurveID != 0 {
		t.KeyExchange = r.TLS.CurveID.String()
	}
	return t
}

// loggedCode is CloudTrail's errorCode for an exception: its name, but for denied access.
func loggedCode(code string) string {
	switch code {
	case "AccessDeniedException", "CloudHsmAccessDeniedException":
		return audit.Denied
	case "UnauthorizedOperation":
		return "Client.UnauthorizedOperation"
	default:
		return code
	}
}
