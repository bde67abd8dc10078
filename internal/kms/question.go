package kms

import (
	"context"

	"keyward/internal/operation"
)

// question is what an operation wants of a key that its caller names. Every operation on a key asks one before it looks
// at anything else of the key.
type question struct {
	operation string // of the API, for key states and texts: "Encrypt"
	action    string // IAM's, without "kms:"; empty where it is the operation
	accepts   form
	tokens    []string // grant tokens
	// request holds the kms: condition keys that come from the request's own members, defaults filled in.
	request []condition
	// context is the encryption context; nil for operations without one.
	context map[string]string
}

// condition is a condition key, in lower case, with its values.
type condition struct {
	key    string
	values []string
}

// about asks a plain question about a key that is named by id or ARN.
func about(operation string) question { return question{operation: operation} }

func (q *question) iam() string {
	if q.action != "" {
		return q.action
	}
	return q.operation
}

// key finds the key that the caller named and notes it in the call's event.
func (s *Service) key(ctx context.Context, call *operation.Call, q question, name string) (*snapshot, error) {
	k, err := s.resolve(ctx, call, q.iam(), name, q.accepts)
	if err != nil {
		return nil, err
	}
	call.About(keyType, k.arn)
	if err := s.requests.admitUse(call, q.operation, k.Spec); err != nil {
		return nil, err
	}
	return k, checkTokens(q.tokens)
}

// checkTokens refuses grant tokens: this service has issued none.
func checkTokens(tokens []string) error {
	if len(tokens) > 0 {
		return errGrantToken
	}
	return nil
}
