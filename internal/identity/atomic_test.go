package identity_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/identity"
	"keyward/internal/operation"
)

// TestAChangeWithoutItsEventDoesNotHappen makes the event one that cannot be kept.
func TestAChangeWithoutItsEventDoesNotHappen(t *testing.T) {
	w := newWorld(t)
	p, err := w.identity.Principal(t.Context(), w.admin.AccessKeyID)
	w.must(err)
	for _, row := range w.identity.IAM().Rows {
		if row.Name != "CreateUser" {
			continue
		}
		call := &operation.Call{Scope: arn.Scope{Account: account}, Caller: p.Caller, Principal: p, Event: &audit.Event{}}
		call.Event.Request.Add("bytes", []byte{1})
		if _, err := row.Invoke(t.Context(), call, &iam.CreateUserInput{UserName: aws.String("alice")}); err == nil || call.Event.Kept {
			t.Fatalf("the change succeeds: %v", err)
		}
	}
	if _, err := w.db.Identity().Entity(t.Context(), account, identity.User, "alice"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the user is there: %v", err)
	}
}
