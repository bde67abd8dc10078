package wire

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"

	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/sigv4"
	"keyward/internal/wire/awsjson"
	"keyward/internal/wire/awsquery"
)

// protocol is how one service speaks.
type protocol interface {
	contentType() []string // as a header's values; not to be changed
	// operation reads the operation's name.
	operation(x *exchange, r *http.Request) (string, error)
	// unknown is the refusal of an operation that does not exist.
	unknown(x *exchange, name string) *fault.Error
	decode(x *exchange, in any) error
	// encode appends an answer of success to b; out is nil for an operation without output.
	encode(b []byte, x *exchange, out any) ([]byte, error)
	refuse(x *exchange, f *fault.Error) []byte
	unauthenticated(*sigv4.Error) *fault.Error
	// denied is the refusal of a caller without permission; message says why.
	denied(message string) *fault.Error
	internal(cause error) *fault.Error
	// errorHeader reports whether X-Amzn-ErrorType is sent.
	errorHeader() bool
}

// form is a Query request's parameters.
type form = url.Values

// protocolOf chooses by what the service says of itself.
func protocolOf(s operation.Service) (protocol, error) {
	if s.Target == "" {
		dialect, ok := dialects[s.SigningName]
		if !ok {
			return nil, fmt.Errorf("wire: no Query dialect is known for %s", s.SigningName)
		}
		return query{dialect}, nil
	}
	p, ok := jsonServices[s.SigningName]
	if !ok {
		return nil, fmt.Errorf("wire: no JSON manners are known for %s", s.SigningName)
	}
	return p, nil
}

var dialects = map[string]awsquery.Dialect{"sts": awsquery.STS, "iam": awsquery.IAM, "ec2": awsquery.EC2}

var jsonServices = map[string]jsonProtocol{
	"kms":        {message: "message", internalCode: "KMSInternalException", deniedCode: "AccessDeniedException"},
	"cloudhsm":   {message: "Message", internalCode: "CloudHsmInternalFailureException", deniedCode: "CloudHsmAccessDeniedException", header: true},
	"cloudtrail": {message: "message", internalCode: "InternalFailure", deniedCode: "AccessDeniedException"},
}

// plainJSON answers requests that reach no service.
var plainJSON = jsonProtocol{message: "message", internalCode: "InternalFailure"}

const (
	jsonType    = "application/x-amz-json-1.1"
	internalMsg = "The request was rejected because an internal exception occurred. The request can be retried."
)

var (
	jsonTypes = []string{jsonType}
	xmlTypes  = []string{"text/xml;charset=UTF-8"}
)

// jsonProtocol is AWS JSON 1.1.
type jsonProtocol struct {
	message      string // the error member that holds the sentence
	internalCode string
	deniedCode   string
	header       bool
}

func (jsonProtocol) contentType() []string { return jsonTypes }

func (p jsonProtocol) errorHeader() bool { return p.header }

func (jsonProtocol) operation(_ *exchange, r *http.Request) (string, error) {
	_, name := splitTarget(r.Header.Get("X-Amz-Target"))
	return name, nil
}

func (jsonProtocol) unknown(*exchange, string) *fault.Error { return errUnknownOperation }

func (jsonProtocol) decode(x *exchange, in any) error {
	if err := awsjson.Decode(x.request.Body, in); err != nil {
		return err
	}
	x.lost = lost(x.request.Body)
	return nil
}

func (jsonProtocol) encode(b []byte, _ *exchange, out any) ([]byte, error) {
	if out == nil {
		return b, nil
	}
	return awsjson.Append(b, out)
}

func (p jsonProtocol) refuse(_ *exchange, f *fault.Error) []byte {
	b := append(make([]byte, 0, 256), `{"__type":"`...)
	b = append(append(b, f.Code...), '"')
	if f.Message != "" {
		b = append(append(append(b, `,"`...), p.message...), `":`...)
		// Invalid UTF-8, which only a message that quotes the request can hold, is replaced.
		b, _ = jsontext.AppendQuote(b, f.Message)
	}
	return append(b, '}')
}

func (jsonProtocol) unauthenticated(e *sigv4.Error) *fault.Error {
	return fault.New(jsonRefusals[e.Kind], "%s", e.Message)
}

var jsonRefusals = map[sigv4.Kind]string{
	sigv4.Missing:      "MissingAuthenticationTokenException",
	sigv4.Incomplete:   "IncompleteSignatureException",
	sigv4.Scope:        "InvalidSignatureException",
	sigv4.UnknownKey:   "UnrecognizedClientException",
	sigv4.ExpiredToken: "ExpiredTokenException",
	sigv4.Expired:      "InvalidSignatureException",
	sigv4.Mismatch:     "InvalidSignatureException",
}

func (p jsonProtocol) denied(message string) *fault.Error {
	return fault.New(p.deniedCode, "%s", message)
}

func (p jsonProtocol) internal(cause error) *fault.Error {
	return fault.Internal(p.internalCode, cause, internalMsg)
}

// query is AWS Query, in either dialect.
type query struct{ awsquery.Dialect }

func (query) contentType() []string { return xmlTypes }

func (query) errorHeader() bool { return false }

// operation reads the form as well: the name stands in it.
func (q query) operation(x *exchange, r *http.Request) (string, error) {
	var err error
	if x.form, err = parseForm(r, x.request.Body); err != nil {
		return "", fault.New("MalformedQueryString", "The query string contains a syntax error.")
	}
	name := x.form.Get("Action")
	if name == "" {
		return "", fault.New("MissingAction", "The request is missing an action or operation parameter.")
	}
	if x.form.Get("Version") != q.Version {
		return "", q.unknown(x, name)
	}
	return name, nil
}

// parseForm joins the parameters of the URL and of the body.
func parseForm(r *http.Request, body []byte) (form, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || r.Method == http.MethodGet {
		return values, err
	}
	posted, err := url.ParseQuery(string(body))
	for name, v := range values {
		posted[name] = append(posted[name], v...)
	}
	return posted, err
}

func (q query) unknown(x *exchange, name string) *fault.Error {
	if q.EC2 {
		return fault.New("InvalidAction", "The action %s is not valid for this web service.", name)
	}
	version := x.form.Get("Version")
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	return fault.New("InvalidAction", "Could not find operation %s for version %s", name, version)
}

func (query) decode(x *exchange, in any) error { return awsquery.Decode(x.form, in) }

func (q query) encode(b []byte, x *exchange, out any) ([]byte, error) {
	text, err := q.Encode(x.row.Name, x.requestID, out)
	return append(b, text...), err
}

func (q query) refuse(x *exchange, f *fault.Error) []byte { return q.Error(x.requestID, f) }

func (q query) unauthenticated(e *sigv4.Error) *fault.Error {
	if q.EC2 {
		return ec2Refusal(e)
	}
	f := fault.New(queryRefusals[e.Kind], "%s", e.Message)
	f.Status = http.StatusForbidden
	return f
}

var queryRefusals = map[sigv4.Kind]string{
	sigv4.Missing:      "MissingAuthenticationToken",
	sigv4.Incomplete:   "IncompleteSignature",
	sigv4.Scope:        "SignatureDoesNotMatch",
	sigv4.UnknownKey:   "InvalidClientTokenId",
	sigv4.ExpiredToken: "ExpiredToken",
	sigv4.Expired:      "SignatureDoesNotMatch",
	sigv4.Mismatch:     "SignatureDoesNotMatch",
}

// ec2Refusal speaks as EC2 does, which does not tell an unknown key from a wrong signature.
func ec2Refusal(e *sigv4.Error) *fault.Error {
	switch e.Kind {
	case sigv4.Expired, sigv4.ExpiredToken:
		return fault.New("RequestExpired", "Request has expired.")
	case sigv4.Missing, sigv4.Incomplete:
		f := fault.New(queryRefusals[e.Kind], "%s", e.Message)
		f.Status = http.StatusForbidden
		return f
	default:
		f := fault.New("AuthFailure", "AWS was not able to validate the provided access credentials")
		f.Status = http.StatusUnauthorized
		return f
	}
}

func (q query) denied(message string) *fault.Error {
	f := fault.New("AccessDenied", "%s", message)
	if q.EC2 {
		f = fault.New("UnauthorizedOperation", "You are not authorized to perform this operation. %s", message)
	}
	f.Status = http.StatusForbidden
	return f
}

func (query) internal(cause error) *fault.Error {
	return fault.Internal("InternalFailure", cause, internalMsg)
}
