package identity_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func TestDirectory(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	made, err := w.iam(w.admin).CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice"), Path: aws.String("/team/")})
	w.must(err)
	w.role("reader", trusting("arn:aws:iam::"+account+":root"), listKeys)
	both := func(name string) string {
		t.Helper()
		id, ok, err := w.identity.UniqueID(ctx, name)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", name, ok, err)
		}
		for range 2 { // the second answer is remembered
			if back, ok, err := w.identity.Name(ctx, id); err != nil || !ok || back != name {
				t.Errorf("%s came back as %s, %v, %v", name, back, ok, err)
			}
		}
		return id
	}
	alice := *made.User.Arn
	if id := both(alice); id != *made.User.UserId {
		t.Errorf("alice is %s", id)
	}
	role := both("arn:aws:iam::" + account + ":role/reader")
	if id := both("arn:aws:sts::" + account + ":assumed-role/reader/s"); id != role+":s" {
		t.Errorf("the session is %s", id)
	}
	both("arn:aws:iam::" + account + ":root")
	if id := both("arn:aws:sts::" + account + ":federated-user/kim"); id != account+":kim" {
		t.Errorf("the federated user is %s", id)
	}
	for _, name := range []string{
		"", "x", "arn:aws:iam::" + account + ":user/alice", "arn:aws:iam::" + account + ":user/team/Alice", "arn:aws:iam::" + other + ":root",
		"arn:aws:iam::" + account + ":group/x", "arn:aws:sts::" + account + ":assumed-role/reader", "arn:aws:sts::" + account + ":assumed-role/Reader/s",
		"arn:aws:s3:::bucket", "arn:aws:sts::" + other + ":federated-user/kim", "arn:aws:sts::" + account + ":federated-user/",
	} {
		if id, ok, err := w.identity.UniqueID(ctx, name); err != nil || ok {
			t.Errorf("%q: %s, %v", name, id, err)
		}
	}
	_, err = w.iam(w.admin).DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("alice")})
	w.must(err)
	if _, ok, err := w.identity.Name(ctx, *made.User.UserId); err != nil || ok {
		t.Errorf("a user who is gone has a name: %v", err)
	}
	if _, ok, err := w.identity.UniqueID(ctx, alice); err != nil || ok {
		t.Errorf("a user who is gone has an id: %v", err)
	}
}
