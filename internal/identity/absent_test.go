package identity_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// absences are the calls that ask a client's user or role for what none has. They answer whether a list came and is empty.
var absences = []struct {
	operation, resource string // what permission is asked for
	call                func(c *iam.Client, t *testing.T, name, marker *string) (empty bool, err error)
}{
	{"ListInstanceProfilesForRole", "role/crew", func(c *iam.Client, t *testing.T, name, marker *string) (bool, error) {
		out, err := c.ListInstanceProfilesForRole(t.Context(), &iam.ListInstanceProfilesForRoleInput{RoleName: name, Marker: marker})
		return err == nil && out.InstanceProfiles != nil && len(out.InstanceProfiles) == 0 && !out.IsTruncated, err
	}},
	{"ListMFADevices", "user/crew", func(c *iam.Client, t *testing.T, name, marker *string) (bool, error) {
		out, err := c.ListMFADevices(t.Context(), &iam.ListMFADevicesInput{UserName: name, Marker: marker})
		return err == nil && out.MFADevices != nil && len(out.MFADevices) == 0 && !out.IsTruncated, err
	}},
	{"ListVirtualMFADevices", "mfa/", func(c *iam.Client, t *testing.T, _, marker *string) (bool, error) {
		out, err := c.ListVirtualMFADevices(t.Context(), &iam.ListVirtualMFADevicesInput{AssignmentStatus: "Assigned", Marker: marker})
		return err == nil && out.VirtualMFADevices != nil && len(out.VirtualMFADevices) == 0 && !out.IsTruncated, err
	}},
	{"ListSigningCertificates", "user/crew", func(c *iam.Client, t *testing.T, name, marker *string) (bool, error) {
		out, err := c.ListSigningCertificates(t.Context(), &iam.ListSigningCertificatesInput{UserName: name, Marker: marker})
		return err == nil && out.Certificates != nil && len(out.Certificates) == 0 && !out.IsTruncated, err
	}},
	{"ListSSHPublicKeys", "user/crew", func(c *iam.Client, t *testing.T, name, marker *string) (bool, error) {
		out, err := c.ListSSHPublicKeys(t.Context(), &iam.ListSSHPublicKeysInput{UserName: name, Marker: marker})
		return err == nil && out.SSHPublicKeys != nil && len(out.SSHPublicKeys) == 0 && !out.IsTruncated, err
	}},
	{"ListServiceSpecificCredentials", "user/crew", func(c *iam.Client, t *testing.T, name, marker *string) (bool, error) {
		out, err := c.ListServiceSpecificCredentials(t.Context(), &iam.ListServiceSpecificCredentialsInput{UserName: name, Marker: marker})
		return err == nil && out.ServiceSpecificCredentials != nil && len(out.ServiceSpecificCredentials) == 0 && !out.IsTruncated, err
	}},
	{"ListServiceSpecificCredentials", "user/*", func(c *iam.Client, t *testing.T, _, marker *string) (bool, error) {
		out, err := c.ListServiceSpecificCredentials(t.Context(), &iam.ListServiceSpecificCredentialsInput{AllUsers: aws.Bool(true), Marker: marker})
		return err == nil && out.ServiceSpecificCredentials != nil && len(out.ServiceSpecificCredentials) == 0 && !out.IsTruncated, err
	}},
}

func TestWhatNobodyHas(t *testing.T) {
	w := newWorld(t)
	admin, name, ghost := w.iam(w.admin), aws.String("crew"), aws.String("ghost")
	w.user(*name, "")
	w.role(*name, trusting(account), listKeys)
	stranger := w.iam(w.user("stranger", ""))
	for _, a := range absences {
		if empty, err := a.call(admin, t, name, nil); err != nil || !empty {
			t.Errorf("%s: %v, %v", a.operation, empty, err)
		}
		_, err := a.call(admin, t, name, aws.String("?"))
		w.refused(a.operation+" with a wrong marker", err, "ValidationError", "Invalid Marker.")
		if kind, one, _ := strings.Cut(a.resource, "/"); one == *name {
			_, err = a.call(admin, t, ghost, nil)
			w.refused(a.operation+" of nobody", err, "NoSuchEntity", "The "+kind+" with name ghost cannot be found.")
		}
		_, err = a.call(stranger, t, name, nil)
		w.refused(a.operation+" of a stranger", err, "AccessDenied", "User: arn:aws:iam::"+account+":user/stranger is not authorized to perform: iam:"+
			a.operation+" on resource: arn:aws:iam::"+account+":"+a.resource+" because no identity-based policy allows the iam:"+a.operation+" action")
	}
	own, err := admin.ListMFADevices(t.Context(), &iam.ListMFADevicesInput{})
	if err != nil || len(own.MFADevices) != 0 {
		t.Errorf("the caller's own: %v, %v", own, err)
	}
}

func TestNobodyHasAPassword(t *testing.T) {
	w := newWorld(t)
	w.user("crew", "")
	stranger := w.user("stranger", "")
	for operation, call := range map[string]func(c aws.Credentials, name *string) error{
		"GetLoginProfile": func(c aws.Credentials, name *string) error {
			_, err := w.iam(c).GetLoginProfile(t.Context(), &iam.GetLoginProfileInput{UserName: name})
			return err
		},
		"DeleteLoginProfile": func(c aws.Credentials, name *string) error {
			_, err := w.iam(c).DeleteLoginProfile(t.Context(), &iam.DeleteLoginProfileInput{UserName: name})
			return err
		},
	} {
		w.refused(operation, call(w.admin, aws.String("crew")), "NoSuchEntity", "Login Profile for User crew cannot be found.")
		w.refused(operation+" of oneself", call(w.admin, nil), "NoSuchEntity", "Login Profile for User admin cannot be found.")
		w.refused(operation+" of nobody", call(w.admin, aws.String("ghost")), "NoSuchEntity", "The user with name ghost cannot be found.")
		if got := code(call(stranger, aws.String("crew"))); got != "AccessDenied" {
			t.Errorf("%s of a stranger: %q", operation, got)
		}
	}
}
