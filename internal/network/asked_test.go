package network_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyward/internal/operation"
	"keyward/internal/wire/awsquery"
)

// TestWhatPermissionIsAskedFor: every resource that a request names or makes, with the tags that it has and is given.
func TestWhatPermissionIsAskedFor(t *testing.T) {
	s := newSite(t)
	made := func(name, form, element string) string {
		t.Helper()
		text, err := s.ask(name, form)
		s.must(err)
		_, rest, _ := strings.Cut(text, "<"+element+">")
		id, _, found := strings.Cut(rest, "<")
		if !found {
			t.Fatalf("%s has no %s: %s", name, element, text)
		}
		return id
	}
	vpc := made("CreateVpc", "CidrBlock=10.9.0.0/16", "vpcId")
	group := made("CreateSecurityGroup", "GroupName=mine&GroupDescription=d&TagSpecification.1.ResourceType=security-group&"+
		"TagSpecification.1.Tag.1.Key=Team&TagSpecification.1.Tag.1.Value=red", "groupId")
	acl := made("CreateNetworkAcl", "VpcId="+vpc, "networkAclId")
	subnet := made("CreateSubnet", "VpcId="+vpc+"&CidrBlock=10.9.1.0/24", "subnetId")
	eni := made("CreateNetworkInterface", "SubnetId="+subnet, "networkInterfaceId")
	tie := made("DescribeNetworkAcls", "Filter.1.Name=association.subnet-id&Filter.1.Value.1="+subnet, "networkAclAssociationId")
	is := func(resource string) string {
		return "arn:aws:ec2:" + scope.Region + ":" + scope.Account + ":" + resource
	}
	for request, want := range map[string][]string{
		"CreateVpc CidrBlock=10.8.0.0/16":                                                           {is("vpc/*")},
		"DeleteVpc VpcId=" + vpc:                                                                    {is("vpc/" + vpc)},
		"ModifyVpcAttribute VpcId=" + vpc:                                                           {is("vpc/" + vpc)},
		"CreateSubnet VpcId=" + vpc:                                                                 {is("subnet/*"), is("vpc/" + vpc)},
		"DeleteSubnet SubnetId=" + subnet:                                                           {is("subnet/" + subnet)},
		"CreateSecurityGroup GroupName=mine&VpcId=" + vpc:                                           {is("security-group/*"), is("vpc/" + vpc)},
		"DeleteSecurityGroup GroupId=" + group:                                                      {is("security-group/" + group)},
		"DeleteSecurityGroup GroupName=mine":                                                        {is("security-group/" + group)},
		"AuthorizeSecurityGroupIngress GroupName=mine":                                              {is("security-group/" + group)},
		"AuthorizeSecurityGroupEgress GroupId=" + group:                                             {is("security-group/" + group)},
		"RevokeSecurityGroupIngress GroupId=" + group + "&GroupName=default":                        {is("security-group/" + group)},
		"RevokeSecurityGroupEgress GroupName=nobodys":                                               {"*"},
		"CreateNetworkInterface SubnetId=" + subnet + "&SecurityGroupId.1=" + group:                 {is("network-interface/*"), is("subnet/" + subnet), is("security-group/" + group)},
		"ModifyNetworkInterfaceAttribute NetworkInterfaceId=" + eni + "&SecurityGroupId.1=" + group: {is("security-group/" + group), is("network-interface/" + eni)},
		"DeleteNetworkInterface NetworkInterfaceId=" + eni:                                          {is("network-interface/" + eni)},
		"CreateNetworkAcl VpcId=" + vpc:                                                             {is("network-acl/*"), is("vpc/" + vpc)},
		"CreateNetworkAclEntry NetworkAclId=" + acl:                                                 {is("network-acl/" + acl)},
		"ReplaceNetworkAclAssociation NetworkAclId=" + acl + "&AssociationId=" + tie:                {is("network-acl/" + acl), is("subnet/" + subnet)},
		"CreateTags ResourceId.1=" + vpc + "&ResourceId.2=" + group:                                 {is("vpc/" + vpc), is("security-group/" + group)},
		"DeleteTags ResourceId.1=" + eni:                                                            {is("network-interface/" + eni)},
		"DeleteVpc":                                                                                 {"*"},
	} {
		var got []string
		for _, r := range s.asked(request) {
			got = append(got, r.ARN)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
	has := operation.Keys{"aws:resourcetag/team": {"red"}, "ec2:resourcetag/team": {"red"}}
	for request, more := range map[string]operation.Keys{
		"DeleteSecurityGroup GroupId=" + group:                               {},
		"CreateTags ResourceId.1=" + group + "&Tag.1.Key=Desk&Tag.1.Value=4": {"aws:requesttag/desk": {"4"}, "aws:tagkeys": {"Desk"}},
		"DeleteTags ResourceId.1=" + group + "&Tag.1.Key=Team":               {"aws:tagkeys": {"Team"}},
		"CreateVpc CidrBlock=10.8.0.0/16&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=Team&TagSpecification.1.Tag.1.Value=blue": {
			"aws:requesttag/team": {"blue"}, "aws:tagkeys": {"Team"}},
	} {
		if !strings.HasPrefix(request, "CreateVpc") {
			for name, values := range has {
				more[name] = values
			}
		}
		if diff := cmp.Diff(more, s.asked(request)[0].Keys); diff != "" {
			t.Errorf("%s: %s", request, diff)
		}
	}
	for request, want := range map[string][]operation.Resource{
		"CreateVpc CidrBlock=10.8.0.0/16": nil,
		"CreateVpc TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=Team&TagSpecification.1.Tag.1.Value=blue": {{
			Action: "ec2:CreateTags", ARN: is("vpc/*"), Keys: operation.Keys{"aws:requesttag/team": {"blue"}, "aws:tagkeys": {"Team"}, "ec2:createaction": {"CreateVpc"}}}},
		"AuthorizeSecurityGroupEgress GroupId=" + group + "&TagSpecification.1.ResourceType=security-group-rule&TagSpecification.1.Tag.1.Key=Team": {{
			Action: "ec2:CreateTags", ARN: is("security-group-rule/*"),
			Keys: operation.Keys{"aws:requesttag/team": {""}, "aws:tagkeys": {"Team"}, "ec2:createaction": {"AuthorizeSecurityGroupEgress"}}}},
	} {
		if diff := cmp.Diff(want, s.asked(request)[1:]); len(want)+len(s.asked(request)[1:]) > 0 && diff != "" {
			t.Errorf("%s: %s", request, diff)
		}
	}
	if s.rows["DescribeVpcs"].Resources != nil {
		t.Error("reading is about one thing")
	}
}

// asked is what a request, "Operation form", asks for permission on.
func (s *site) asked(request string) []operation.Resource {
	s.Helper()
	name, form, _ := strings.Cut(request, " ")
	values, err := url.ParseQuery(form)
	s.must(err)
	in := s.rows[name].NewInput()
	s.must(awsquery.Decode(values, in))
	all, err := s.rows[name].Resources(s.Context(), &operation.Call{Scope: scope}, in)
	s.must(err)
	return all
}
