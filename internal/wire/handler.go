// Package wire is where AWS calls meet HTTP, and the only place that knows of it. One handler serves every service on
// one port: JSON services are told by X-Amz-Target, Query services by the service in the credential scope.
//
// Every call goes one way: read (at most 1 MiB), route, authenticate, admit, decode, validate, authorize, invoke, record,
// answer. An event that storage did not keep together with a change is recorded durably before the answer leaves; if it
// cannot be, the call is refused. What AWS does on oversized bodies and foreign content types is undocumented; keyward answers
// 413 RequestEntityTooLargeException, which Lambda and the SDKs know, and UnknownOperationException, which is what an
// AWS JSON front end says to a request that it cannot dispatch.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
	"keyward/internal/sigv4"
	"keyward/internal/wire/validation"
)

// Authenticator says who signed a request. A refusal is a *sigv4.Error; other errors are internal failures.
type Authenticator interface {
	Authenticate(ctx context.Context, r *sigv4.Request, service string) (*policy.Principal, arn.Scope, error)
}

// Config is what a Handler needs; every field but Observe is required.
type Config struct {
	Services      []operation.Service
	Authenticator Authenticator
	Recorder      audit.Recorder
	Now           func() time.Time
	Log           *slog.Logger
	// Observe is told of every request once, after its answer was given to the connection: the service's signing name and
	// the operation, each "other" where a request names none that exists, the exception's code, empty on success, and the
	// time from the request's head to the answer. All values but the time are from a bounded set, so they may be labels.
	Observe func(service, operation, code string, took time.Duration)
}

// Handler serves the AWS APIs. It is an http.Handler for the path "/".
type Handler struct {
	config  Config
	targets map[string]*service // JSON services by X-Amz-Target prefix
	queries map[string]*service // Query services by signing name
	anyone  *service            // the Query service for requests that name none: STS, which serves strangers too, if it is there
}

// New makes a Handler. It fails if a row does not fit its input type or the service's validation table.
func New(c Config) (*Handler, error) {
	h := &Handler{config: c, targets: map[string]*service{}, queries: map[string]*service{}}
	for _, s := range c.Services {
		mounted, err := mount(s)
		if err != nil {
			return nil, err
		}
		if s.Target != "" {
			h.targets[s.Target] = mounted
			continue
		}
		h.queries[s.SigningName] = mounted
		if h.anyone == nil || s.SigningName == "sts" {
			h.anyone = mounted
		}
	}
	return h, nil
}

// exchange is one request on its way through.
type exchange struct {
	requestID string
	service   *service     // nil until routed
	row       *row         // nil until dispatched
	event     *audit.Event // &record, nil until dispatched
	record    audit.Event
	request   sigv4.Request
	answer    []byte // encoded, in the buffer of ServeHTTP
	form      form   // Query only
	lost      map[string]validation.Loss
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{}
	var eventID string
	x.requestID, eventID = newIDs()
	began := time.Now()
	out := buffers.Get().(*[]byte)
	x.answer = *out
	body, status := h.guarded(w, r, &x, eventID)
	send(w, &x, status, body)
	if *out = x.answer; r.ProtoMajor == 1 { // an HTTP/2 stream that was cut off may still be sending
		release(out)
	}
	if h.config.Observe != nil {
		h.config.Observe(x.serviceName(), x.operationName(), status.code, time.Since(began))
	}
}

// other stands for every name that a client made up.
const other = "other"

func (x *exchange) serviceName() string {
	if x.service == nil {
		return other
	}
	return x.service.SigningName
}

func (x *exchange) operationName() string {
	if x.row == nil {
		return other
	}
	return x.row.Name
}

// guarded runs the call and turns a panic into an internal failure.
func (h *Handler) guarded(w http.ResponseWriter, r *http.Request, x *exchange, eventID string) (body []byte, status answer) {
	defer func() {
		if p := recover(); p != nil {
			body, status = h.refuse(r.Context(), x, panicked(p))
		}
	}()
	buffer := buffers.Get().(*[]byte)
	defer release(buffer)
	out, err := h.call(w, r, x, eventID, buffer)
	if err != nil {
		return h.refuse(r.Context(), x, err)
	}
	return out, answer{status: http.StatusOK}
}

// call takes a request through all steps and returns the body of its answer.
func (h *Handler) call(w http.ResponseWriter, r *http.Request, x *exchange, eventID string, buffer *[]byte) ([]byte, error) {
	routed := h.route(r, x)
	if err := readBody(w, r, buffer); err != nil {
		return nil, err
	}
	if routed != nil {
		return nil, routed
	}
	x.request = sigv4.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Host: r.Host, Header: r.Header, Body: *buffer,
	}
	principal, scope, err := h.identify(r, x)
	if err != nil {
		return nil, err
	}
	now := h.config.Now()
	x.record = audit.Event{
		ID: eventID, RequestID: x.requestID, Time: now, Region: scope.Region, Caller: principal.Caller,
		SourceIP: sourceIP(r), UserAgent: cut(r.UserAgent(), maxText),
		Source: x.service.EventSource, Name: x.row.Name, ReadOnly: x.row.ReadOnly, TLS: tlsOf(r),
	}
	x.event = &x.record
	c := &operation.Call{Scope: scope, Caller: principal.Caller, Principal: principal, RequestID: x.requestID, Time: now, Event: x.event}
	out, err := h.act(r.Context(), x, c)
	if err != nil {
		return nil, err
	}
	if err := h.keep(r.Context(), x.event); err != nil {
		return nil, err
	}
	return out, nil
}

// act admits, decodes, validates, authorizes, invokes and encodes.
func (h *Handler) act(ctx context.Context, x *exchange, c *operation.Call) ([]byte, error) {
	if admit := x.service.Admit; admit != nil {
		if err := admit(c, x.row.Name); err != nil {
			return nil, err
		}
	}
	in := x.row.NewInput()
	if err := x.service.protocol.decode(x, in); err != nil {
		return nil, err
	}
	if err := x.row.validator.Validate(in, x.lost); err != nil {
		return nil, err
	}
	x.row.log(in, &x.event.Request)
	if err := h.authorize(ctx, x, c, in); err != nil {
		return nil, err
	}
	out, err := x.row.Invoke(ctx, c, in)
	if err != nil {
		return nil, err
	}
	if x.row.Void {
		out = nil
	}
	x.answer, err = x.service.protocol.encode(x.answer, x, out)
	return x.answer, err
}

// keep records an event that storage has not kept yet. A client that hangs up does not get out of the record.
func (h *Handler) keep(ctx context.Context, e *audit.Event) error {
	if e.Kept {
		return nil
	}
	if err := h.config.Recorder.Record(context.WithoutCancel(ctx), e); err != nil {
		return fmt.Errorf("keeping the audit event: %w", err)
	}
	return nil
}

// refuse words err for the client, completes the event with it, and logs what the client must not see.
func (h *Handler) refuse(ctx context.Context, x *exchange, err error) ([]byte, answer) {
	f := x.fault(err)
	if x.event != nil && !x.event.Kept && x.event.Caller.Account != "" {
		x.event.ErrorCode, x.event.ErrorMessage = loggedCode(f.Code), cut(f.Message, maxText)
		if kept := h.keep(ctx, x.event); kept != nil {
			err = errors.Join(err, kept)
			f = x.manner().internal(err)
		}
	}
	h.log(ctx, x, f, err)
	return x.manner().refuse(x, f), answer{status: f.HTTPStatus(), code: f.Code}
}

func (h *Handler) log(ctx context.Context, x *exchange, f *fault.Error, err error) {
	if f.HTTPStatus() < http.StatusInternalServerError && f.Cause == nil {
		return
	}
	level := slog.LevelWarn
	if f.HTTPStatus() >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	name := ""
	if x.row != nil {
		name = x.row.Name
	}
	attrs := []slog.Attr{slog.String("requestID", x.requestID), slog.String("operation", name), slog.Any("error", err)}
	if p := (*panicError)(nil); errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	h.config.Log.LogAttrs(ctx, level, "call failed", attrs...)
}

// panicError is a panic on its way to the log. It names the kind of value only, which could hold parts of the input,
// except for the runtime's own errors.
type panicError struct {
	what  string
	stack []byte
}

func (p *panicError) Error() string { return "panic: " + p.what }

func panicked(p any) error {
	if p == http.ErrAbortHandler {
		panic(p)
	}
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	return &panicError{what, debug.Stack()}
}

// maxText is CloudTrail's limit for the user agent and for error messages, in bytes.
const maxText = 1024

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
