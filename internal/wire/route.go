package wire

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/sigv4"
	"keyward/internal/wire/validation"
)

// service is one API as mounted.
type service struct {
	operation.Service
	protocol protocol
	rows     map[string]*row
	open     bool // one of its operations is
}

// row is one operation with what was prepared for it.
type row struct {
	operation.Row
	action    string // "kms:Encrypt"
	validator *validation.Validator
	logged    []loggedMember
}

func mount(s operation.Service) (*service, error) {
	p, err := protocolOf(s)
	if err != nil {
		return nil, err
	}
	m := &service{Service: s, protocol: p, rows: make(map[string]*row, len(s.Rows))}
	for _, r := range s.Rows {
		in := r.NewInput()
		v, err := validation.For(s.SigningName, r.Name, in)
		if err != nil {
			return nil, fmt.Errorf("wire: %w", err)
		}
		logged, err := loggedMembers(in, r.Logged)
		if err != nil {
			return nil, fmt.Errorf("wire: %s %s: %w", s.SigningName, r.Name, err)
		}
		if m.rows[r.Name] != nil {
			return nil, fmt.Errorf("wire: %s %s is there twice", s.SigningName, r.Name)
		}
		m.open = m.open || r.Open
		m.rows[r.Name] = &row{r, s.SigningName + ":" + r.Name, v, logged}
	}
	return m, nil
}

// errUnknownOperation is what cannot be dispatched at all.
var errUnknownOperation = fault.New("UnknownOperationException", "")

// route finds the service a request is for, from its head alone.
func (h *Handler) route(r *http.Request, x *exchange) error {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return h.routeJSON(r, x, target)
	}
	signed := sigv4.Request{RawQuery: r.URL.RawQuery, Header: r.Header}
	x.service = h.queries[sigv4.ServiceOf(&signed)]
	if x.service == nil {
		x.service = h.anyone
	}
	post := r.Method == http.MethodPost && mediaType(r) == "application/x-www-form-urlencoded"
	if x.service == nil || !post && r.Method != http.MethodGet || !root(r) {
		return errUnknownOperation
	}
	return nil
}

func (h *Handler) routeJSON(r *http.Request, x *exchange, target string) error {
	prefix, _ := splitTarget(target)
	x.service = h.targets[prefix]
	if x.service == nil || r.Method != http.MethodPost || !root(r) || mediaType(r) != jsonType {
		return errUnknownOperation
	}
	return nil
}

// splitTarget takes "TrentService.Encrypt" apart. Some clients write a Java package before the service, as in
// "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents".
func splitTarget(target string) (service, operation string) {
	dot := strings.LastIndexByte(target, '.')
	if dot < 0 {
		return target, ""
	}
	service, operation = target[:dot], target[dot+1:]
	return service[strings.LastIndexByte(service, '.')+1:], operation
}

func root(r *http.Request) bool { return r.URL.Path == "/" || r.URL.Path == "" }

// mediaType is the content type without parameters.
func mediaType(r *http.Request) string {
	t := r.Header.Get("Content-Type")
	if t == jsonType { // spares the parser on nearly every call
		return t
	}
	plain, _, err := mime.ParseMediaType(t)
	if err != nil {
		return ""
	}
	return plain
}

// dispatch finds the operation, which only an authenticated caller may ask for.
func (x *exchange) dispatch(r *http.Request) error {
	name, err := x.service.protocol.operation(x, r)
	if err != nil {
		return err
	}
	if x.row = x.service.rows[name]; x.row == nil {
		return x.service.protocol.unknown(x, name)
	}
	return nil
}

// manner is the protocol in which x is answered, also when no service was found.
func (x *exchange) manner() protocol {
	if x.service == nil {
		return plainJSON
	}
	return x.service.protocol
}

// fault turns any error into an answer.
func (x *exchange) fault(err error) *fault.Error {
	if f, ok := fault.As(err); ok {
		return f
	}
	if refused := (*sigv4.Error)(nil); errors.As(err, &refused) {
		return x.manner().unauthenticated(refused)
	}
	return x.manner().internal(err)
}
