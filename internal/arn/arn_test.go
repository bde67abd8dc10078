package arn

import "testing"

func TestParseRoundTrip(t *testing.T) {
	s := Scope{"111122223333", "us-east-1"}
	for _, name := range []string{
		s.Key("1234abcd-12ab-34cd-56ef-1234567890ab"), s.Alias("alias/a:b"), s.Cluster("cluster-abc"),
		s.Backup("backup-abc"), s.Subnet("subnet-1"), User("111122223333", "admin"), Root("111122223333"),
	} {
		a, err := Parse(name)
		if err != nil || a.String() != name {
			t.Errorf("Parse(%q) = %q, %v", name, a, err)
		}
	}
	if a, _ := Parse(s.Key("k")); a.Scope() != s || a.Resource != "key/k" {
		t.Errorf("parts of %q: %+v", s.Key("k"), a)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, bad := range []string{"", "arn", "arn:aws:kms:us-east-1:111122223333", "urn:aws:kms:a:b:c", "arn::kms:a:b:c", "arn:aws::a:b:c", "arn:aws:kms:a:b:"} {
		if a, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) = %v", bad, a)
		}
	}
}
