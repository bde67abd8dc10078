package kms

import (
	"context"
	"errors"

	"github.com/google/uuid"

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
	// child is the grant that CreateGrant wants to make; nil for all others.
	child *Grant
}

// add gives the question one more condition key of the request.
func (q *question) add(key string, values ...string) {
	q.request = append(q.request, condition{key, values})
}

// condition is a condition key, in lower case, with its values.
type condition struct {
	key    string
	values []string
}

// about asks a plain question about a key that is named by id or ARN.
func about(operation string, request ...condition) question {
	return question{operation: operation, request: request}
}

func (q *question) iam() string {
	if q.action != "" {
		return q.action
	}
	return q.operation
}

// key finds the key that the caller named, asks whether it may do with it what it wants, and notes the key in the call's
// event. A key of another account is noted only once the caller was let in: the caller's own trail must not tell it which
// keys others have.
func (s *Service) key(ctx context.Context, call *operation.Call, q question, name string) (*snapshot, error) {
	t, err := s.resolve(ctx, call, name, q.accepts)
	if err != nil {
		return nil, err
	}
	return t.key, s.admit(ctx, call, &q, &t)
}

// admit is the second half of key, for a key that was found by other means than a name.
func (s *Service) admit(ctx context.Context, call *operation.Call, q *question, t *target) error {
	if t.key != nil {
		if t.account == call.Scope.Account {
			call.About(keyType, t.key.arn)
		}
		if err := s.requests.admitUse(call, q.operation, t.key.Spec); err != nil {
			return err
		}
	}
	if err := s.checkTokens(q.tokens); err != nil {
		return err
	}
	if err := s.authorize(ctx, call, q, t); err != nil {
		return err
	}
	if t.key == nil { // nothing can allow anything with it
		return errors.New("kms: a key that is not there was used")
	}
	share(call, t.key)
	return nil
}

// share notes a key that the caller was let in to. If another account owns it, the call is in that account's trail too.
func share(call *operation.Call, k *snapshot) {
	call.About(keyType, k.arn)
	if k.Scope.Account != call.Scope.Account {
		call.Event.Share(k.Scope.Account, uuid.NewString)
	}
}
