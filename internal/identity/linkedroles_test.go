package identity_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/storage/sqlite"
)

// restart opens the database anew and serves it on another port.
func (w *world) restart() {
	w.Helper()
	w.must(w.db.Close())
	var err error
	w.db, err = sqlite.Open(w.Context(), filepath.Join(w.dir, "keyward.db"), sqlite.Options{})
	w.must(err)
	w.identity = w.service(w.db.Identity())
	w.serve()
}

// linked makes the role of a service and returns its name.
func (w *world) linked(service string) *string {
	w.Helper()
	out, err := w.iam(w.admin).CreateServiceLinkedRole(w.Context(), &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service})
	w.must(err)
	return out.Role.RoleName
}

func (w *world) deleteLinked(name *string) *string {
	w.Helper()
	out, err := w.iam(w.admin).DeleteServiceLinkedRole(w.Context(), &iam.DeleteServiceLinkedRoleInput{RoleName: name})
	w.must(err)
	return out.DeletionTaskId
}

// deletion is the status of a deletion, asked for by whom credentials are.
func (w *world) deletion(c aws.Credentials, task *string) (types.DeletionTaskStatusType, error) {
	out, err := w.iam(c).GetServiceLinkedRoleDeletionStatus(w.Context(), &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task})
	if err != nil {
		return "", err
	}
	return out.Status, nil
}

func TestServiceLinkedRolesAreDeletedAtOnce(t *testing.T) {
	w := newWorld(t)
	const service = "cloudhsm.amazonaws.com"
	name := w.linked(service)
	arn := "arn:aws:iam::" + account + ":role/aws-service-role/" + service + "/" + *name
	if _, there, err := w.identity.UniqueID(t.Context(), arn); err != nil || !there {
		t.Errorf("before: %v, %v", there, err)
	}
	first := w.deleteLinked(aws.String(strings.ToUpper(*name)))
	form := `^task/aws-service-role/` + regexp.QuoteMeta(service) + `/` + *name + `/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`
	if !regexp.MustCompile(form).MatchString(*first) {
		t.Errorf("task %s", *first)
	}
	if e := w.lastEvent("DeleteServiceLinkedRole"); !strings.Contains(e, `"responseElements":{"deletionTaskId":"`+*first+`"}`) {
		t.Errorf("event %s", e)
	}
	if id, there, err := w.identity.UniqueID(t.Context(), arn); err != nil || there { // sessions go by it
		t.Errorf("still %s, %v", id, err)
	}
	_, err := w.iam(w.admin).GetRole(t.Context(), &iam.GetRoleInput{RoleName: name})
	w.refused("the role", err, "NoSuchEntity", "The role with name "+*name+" cannot be found.")
	_, err = w.iam(w.admin).DeleteServiceLinkedRole(t.Context(), &iam.DeleteServiceLinkedRoleInput{RoleName: name})
	w.refused("once more", err, "NoSuchEntity", "The role with name "+*name+" cannot be found.")

	w.linked(service) // the name is free again
	second := w.deleteLinked(name)
	w.restart()
	for _, task := range []*string{first, second} {
		if status, err := w.deletion(w.admin, task); err != nil || status != types.DeletionTaskStatusTypeSucceeded {
			t.Errorf("%s: %s, %v", *task, status, err)
		}
	}
	_, err = w.deletion(w.account(other), first)
	w.refused("another account", err, "NoSuchEntity", "The deletion task with id "+*first+" cannot be found.")
}

func TestDeletionsThatNeverWereOrAreForgotten(t *testing.T) {
	w := newWorld(t)
	name := w.linked("cks.kms.amazonaws.com")
	for _, task := range []string{"task", "task/aws-service-role/", "task/aws-service-role/cks.kms.amazonaws.com/" + *name + "/none", "x/" + *name} {
		_, err := w.deletion(w.admin, &task)
		w.refused(task, err, "NoSuchEntity", "The deletion task with id "+task+" cannot be found.")
	}
	task := w.deleteLinked(name)
	w.ahead.Store(int64(25 * time.Hour))
	w.must(w.identity.Tidy(t.Context()))
	w.ahead.Store(0)
	_, err := w.deletion(w.admin, task)
	w.refused("after a day", err, "NoSuchEntity", "The deletion task with id "+*task+" cannot be found.")
}

func TestOnlyServiceLinkedRolesAreDeletedSo(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	w.role("crew", trusting(account), listKeys)
	_, err := admin.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: aws.String("crew")})
	w.refused("an account's own", err, "NoSuchEntity", "The service-linked role with name crew cannot be found.")
	_, err = admin.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("crew")})
	w.must(err)
}

func TestPermissionToDeleteServiceLinkedRoles(t *testing.T) {
	w := newWorld(t)
	name := w.linked("cks.kms.amazonaws.com")
	role := "arn:aws:iam::" + account + ":role/aws-service-role/cks.kms.amazonaws.com/" + *name
	on := func(resource string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"` + resource + `",
			"Action":["iam:DeleteServiceLinkedRole","iam:GetServiceLinkedRoleDeletionStatus"]}]}`
	}
	able, unable := w.user("able", on(role)), w.user("unable", on(role+"2"))
	self := "User: arn:aws:iam::" + account + ":user/unable is not authorized to perform: iam:"
	because := " on resource: " + role + " because no identity-based policy allows the iam:"
	_, err := w.iam(unable).DeleteServiceLinkedRole(t.Context(), &iam.DeleteServiceLinkedRoleInput{RoleName: name})
	w.refused("delete", err, "AccessDenied", self+"DeleteServiceLinkedRole"+because+"DeleteServiceLinkedRole action")
	out, err := w.iam(able).DeleteServiceLinkedRole(t.Context(), &iam.DeleteServiceLinkedRoleInput{RoleName: name})
	w.must(err)
	_, err = w.deletion(unable, out.DeletionTaskId)
	w.refused("status", err, "AccessDenied", self+"GetServiceLinkedRoleDeletionStatus"+because+"GetServiceLinkedRoleDeletionStatus action")
	_, err = w.deletion(able, out.DeletionTaskId)
	w.must(err)
}
