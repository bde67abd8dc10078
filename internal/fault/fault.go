// Package fault holds the one typed error of keyward: what the caller is told (an AWS exception code, an HTTP status
// and a sentence) and, kept apart from it, what only the log may see.
//
// Services return faults; the wire package renders them. An error that is not a fault is an internal failure: the
// client learns nothing of its text.
package fault

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an answer of refusal.
type Error struct {
	// Code is the exception's name as it stands on the wire, for example "NotFoundException".
	Code string
	// Message is the sentence for the client. AWS sends some exceptions without any; then it is empty.
	Message string
	// Status is the HTTP status; zero means 400.
	Status int
	// Cause is for the log and errors.Is only. It never reaches a client.
	Cause error
}

// New makes a fault of HTTP status 400. The format and its arguments become the client's sentence, so they must hold
// nothing secret.
func New(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: sentence(format, args)}
}

// Internal makes a fault of HTTP status 500 with the cause kept for the log.
func Internal(code string, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Message: sentence(format, args), Status: http.StatusInternalServerError, Cause: cause}
}

func sentence(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// Because returns a copy of e that carries cause for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Error is the text for logs: it holds the cause, so it must not be sent to clients.
func (e *Error) Error() string {
	text := e.Code
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Cause != nil {
		text += " (" + e.Cause.Error() + ")"
	}
	return text
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// HTTPStatus is Status with its default.
func (e *Error) HTTPStatus() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}

// As finds the fault in err's chain.
func As(err error) (*Error, bool) {
	var f *Error
	ok := errors.As(err, &f)
	return f, ok
}

// Is reports whether err is a fault with this code.
func Is(err error, code string) bool {
	f, ok := As(err)
	return ok && f.Code == code
}
