package cloudtrail_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyward/internal/arn"
	"keyward/internal/audit"
)

// TestSharedEventIsInBothTrails: the owner of a resource has a record of its own, which does not name the caller.
func TestSharedEventIsInBothTrails(t *testing.T) {
	w := newWorld(t)
	owner := arn.Scope{Account: "444455556666", Region: home.Region}
	share := func(e *audit.Event) {
		e.Resources = []audit.Resource{{Type: "AWS::KMS::Key", ARN: owner.Key("k")}}
		e.Share(owner.Account, uuid.NewString)
	}
	e := w.keep("Encrypt", share)
	w.keep("Decrypt", func(e *audit.Event) {
		share(e)
		e.ErrorCode = audit.Denied
	})
	type shared struct {
		EventID, EventName, SharedEventID, RecipientAccountID string
		UserIdentity                                          map[string]string
	}
	records := func(scope arn.Scope) (all []shared) {
		t.Helper()
		w.now = w.now.Add(time.Second)
		out, err := w.callIn(scope, "LookupEvents", &cloudtrail.LookupEventsInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range out.(*cloudtrail.LookupEventsOutput).Events {
			var r shared
			if err := json.Unmarshal([]byte(*found.CloudTrailEvent), &r); err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		return all
	}
	own := records(home)
	if len(own) != 2 || own[0].EventName != "Decrypt" || own[0].SharedEventID != "" || own[1].EventID != e.ID ||
		own[1].SharedEventID != e.SharedID || own[1].RecipientAccountID != home.Account || own[1].UserIdentity["arn"] != alice.ARN {
		t.Errorf("the caller's: %+v", own)
	}
	want := []shared{{
		EventID: e.IDFor(owner.Account), EventName: "Encrypt", SharedEventID: e.SharedID, RecipientAccountID: owner.Account,
		UserIdentity: map[string]string{"type": "AWSAccount", "principalId": alice.PrincipalID, "accountId": home.Account},
	}}
	if diff := cmp.Diff(want, records(owner)); diff != "" {
		t.Errorf("the owner's: %s", diff)
	}
}
