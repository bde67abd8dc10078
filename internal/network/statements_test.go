package network_test

import (
	"strings"
	"testing"
	"time"

	"keyward/internal/fault"
	"keyward/internal/network"
)

// The tests of this file, of gate_test.go, of network_test.go and of e2e/network_test.go name the statements of the
// network's specification (its section 6) that they hold; those that need a cluster are in e2e.

// vpc makes a VPC of 10.1.0.0/16 and returns its id.
func (s *site) vpc() string {
	return s.made("CreateVpc", "CidrBlock=10.1.0.0/16", "vpcId")
}

func (s *site) subnet(vpc, cidr, zone string) string {
	return s.made("CreateSubnet", "VpcId="+vpc+"&CidrBlock="+cidr+"&AvailabilityZone="+zone, "subnetId")
}

func TestStatements1To4(t *testing.T) {
	s := newSite(t)
	vpc := s.vpc()
	large, small := s.subnet(vpc, "10.1.1.0/24", "us-east-1a"), s.subnet(vpc, "10.1.2.0/28", "us-east-1b")
	s.holds("DescribeSubnets", "SubnetId.1="+large, "<availableIpAddressCount>251</availableIpAddressCount>")
	s.holds("DescribeSubnets", "SubnetId.1="+small, "<availableIpAddressCount>11</availableIpAddressCount>")
	for _, reserved := range []string{"10.1.1.0", "10.1.1.1", "10.1.1.2", "10.1.1.3", "10.1.1.255", "10.1.2.4"} {
		s.refused("InvalidParameterValue", reserved, "CreateNetworkInterface", "SubnetId="+large+"&PrivateIpAddress="+reserved)
	}
	for cidr, code := range map[string]string{
		"10.2.0.0/24": "InvalidSubnet.Range", "10.0.0.0/16": "InvalidSubnet.Range", "10.1.1.128/25": "InvalidSubnet.Conflict",
		"10.1.0.0/16": "InvalidSubnet.Conflict", "10.1.3.0/29": "InvalidSubnet.Range", "10.1.3.0": "InvalidParameterValue", "fd00::/64": "InvalidParameterValue",
	} {
		s.refused(code, cidr, "CreateSubnet", "VpcId="+vpc+"&CidrBlock="+cidr)
	}
	s.refused("InvalidVpc.Range", "10.0.0.0/29", "CreateVpc", "CidrBlock=10.0.0.0/29")
	s.refused("InvalidVpc.Range", "10.0.0.0/15", "CreateVpc", "CidrBlock=10.0.0.0/15")
	s.refused("MissingParameter", "cidrBlock", "CreateVpc", "")
	s.refused("InvalidVpcID.NotFound", "vpc-0", "CreateSubnet", "VpcId=vpc-0&CidrBlock=10.1.9.0/24")
	s.refused("InvalidParameterValue", "us-east-1q", "CreateSubnet", "VpcId="+vpc+"&CidrBlock=10.1.9.0/24&AvailabilityZone=us-east-1q")
	s.holds("DescribeSubnets", "SubnetId.1="+s.made("CreateSubnet", "VpcId="+vpc+"&CidrBlock=10.1.9.7/24&AvailabilityZoneId=use1-az3", "subnetId"),
		"<cidrBlock>10.1.9.0/24</cidrBlock>", "<availabilityZone>us-east-1c</availabilityZone>")
}

// Statement 10, as far as it is the network's: users' interfaces exhaust a subnet.
func TestInterfacesFillASubnet(t *testing.T) {
	s := newSite(t)
	vpc := s.vpc()
	subnet := s.subnet(vpc, "10.1.2.0/28", "us-east-1a")
	var last string
	for range 11 {
		last = s.made("CreateNetworkInterface", "SubnetId="+subnet+"&Description=mine", "networkInterfaceId")
	}
	s.refused("InsufficientFreeAddressesInSubnet", "", "CreateNetworkInterface", "SubnetId="+subnet)
	s.holds("DescribeNetworkInterfaces", "NetworkInterfaceId.1="+last, "<status>available</status>", "<requesterManaged>false</requesterManaged>",
		"<groupName>default</groupName>", "<description>mine</description>", "<macAddress>02:")
	s.refused("DependencyViolation", subnet, "DeleteSubnet", "SubnetId="+subnet)
	s.holds("DeleteNetworkInterface", "NetworkInterfaceId="+last, "<return>true</return>")
	s.refused("InvalidNetworkInterfaceID.NotFound", last, "DeleteNetworkInterface", "NetworkInterfaceId="+last)
	s.holds("DescribeSubnets", "SubnetId.1="+subnet, "<availableIpAddressCount>1</availableIpAddressCount>")
	s.made("CreateNetworkInterface", "SubnetId="+subnet, "networkInterfaceId")
}

// A client that asks again with the same token gets the same interface.
func TestInterfaceTokens(t *testing.T) {
	s := newSite(t)
	form := "ClientToken=once&SubnetId=" + s.subnets[0]
	first := s.made("CreateNetworkInterface", form, "networkInterfaceId")
	if again := s.made("CreateNetworkInterface", form, "networkInterfaceId"); again != first {
		t.Errorf("%s and %s", first, again)
	}
	s.refused("IdempotentParameterMismatch", "", "CreateNetworkInterface", "ClientToken=once&SubnetId="+s.subnets[1])
}

func TestStatement20(t *testing.T) {
	s := newSite(t)
	id, _, err := s.allocate(s.subnets[0], "")
	s.must(err)
	s.refused("OperationNotPermitted", id, "DeleteNetworkInterface", "NetworkInterfaceId="+id)
	s.refused("OperationNotPermitted", id, "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId="+id+"&Description.Value=x")
}

func TestStatements21And22(t *testing.T) {
	s := newSite(t)
	one := s.made("CreateSecurityGroup", "GroupName=one&GroupDescription=d", "groupId")
	two := s.made("CreateSecurityGroup", "GroupName=two&GroupDescription=d", "groupId")
	rule := "GroupId=" + two + "&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22&IpPermissions.1.Groups.1.GroupId=" + one
	s.holds("AuthorizeSecurityGroupIngress", rule+"&IpPermissions.1.Groups.1.Description=why",
		"<return>true</return>", "<referencedGroupInfo><groupId>"+one+"</groupId><userId>111122223333</userId>", "<description>why</description>")
	s.refused("InvalidPermission.Duplicate", "peer: "+one+", TCP, from port: 22, to port: 22, ALLOW", "AuthorizeSecurityGroupIngress", rule)
	s.refused("DependencyViolation", one, "DeleteSecurityGroup", "GroupId="+one)
	s.refused("InvalidGroup.Duplicate", "one", "CreateSecurityGroup", "GroupName=one&GroupDescription=d")
	s.holds("RevokeSecurityGroupIngress", rule, "<return>true</return>", "<referencedGroupId>"+one)
	s.holds("RevokeSecurityGroupIngress", rule, "<unknownIpPermissionSet><item><ipProtocol>tcp") // the default VPC only says so
	s.holds("DeleteSecurityGroup", "GroupName=one", "<groupId>"+one)
	s.refused("CannotDelete", "default", "DeleteSecurityGroup", "GroupName=default")

	vpc := s.vpc()
	three := s.made("CreateSecurityGroup", "GroupName=two&GroupDescription=d&VpcId="+vpc, "groupId")
	s.refused("InvalidPermission.NotFound", "", "RevokeSecurityGroupIngress", "GroupId="+three+"&IpProtocol=tcp&FromPort=1&ToPort=2&CidrIp=0.0.0.0/0")
	s.refused("InvalidGroup.NotFound", "different networks", "AuthorizeSecurityGroupIngress", "GroupId="+three+"&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId="+two)
}

func TestRulesByID(t *testing.T) {
	s := newSite(t)
	g := s.made("CreateSecurityGroup", "GroupName=one&GroupDescription=d", "groupId")
	id := s.made("AuthorizeSecurityGroupIngress", "GroupId="+g+"&IpProtocol=06&FromPort=1&ToPort=2&CidrIp=10.0.0.9/8&TagSpecification.1.ResourceType=security-group-rule&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v", "securityGroupRuleId")
	s.holds("DescribeSecurityGroupRules", "SecurityGroupRuleId.1="+id, "<ipProtocol>tcp</ipProtocol><fromPort>1</fromPort><toPort>2</toPort><cidrIpv4>10.0.0.0/8</cidrIpv4>", "<key>k</key>")
	s.holds("DescribeSecurityGroupRules", "Filter.1.Name=group-id&Filter.1.Value.1="+g, id, "<ipProtocol>-1</ipProtocol><fromPort>-1</fromPort>")
	s.holds("DescribeSecurityGroups", "Filter.1.Name=ip-permission.cidr&Filter.1.Value.1=10.0.0.0/8", g)
	s.refused("InvalidSecurityGroupRuleId.NotFound", id, "RevokeSecurityGroupEgress", "GroupId="+g+"&SecurityGroupRuleId.1="+id)
	s.holds("RevokeSecurityGroupIngress", "GroupId="+g+"&SecurityGroupRuleId.1="+id, "<securityGroupRuleId>"+id)
	for form, code := range map[string]string{
		"IpProtocol=tcp&CidrIp=10.0.0.0/8":                       "InvalidParameterValue",
		"IpProtocol=tcp&FromPort=5&ToPort=4&CidrIp=10.0.0.0/8":   "InvalidPermission.Malformed",
		"IpProtocol=tcp&FromPort=5&ToPort=5&CidrIp=10.0.0.0":     "InvalidParameterValue",
		"IpProtocol=tcpp&FromPort=5&ToPort=5&CidrIp=10.0.0.0/8":  "InvalidParameterValue",
		"IpPermissions.1.IpProtocol=-1":                          "InvalidPermission.Malformed",
		"":                                                       "MissingParameter",
		"IpProtocol=icmp&FromPort=256&ToPort=5&CidrIp=0.0.0.0/0": "InvalidPermission.Malformed",
	} {
		s.refused(code, "", "AuthorizeSecurityGroupIngress", "GroupId="+g+"&"+form)
	}
}

func TestStatement25(t *testing.T) {
	s := newSite(t)
	vpc := s.vpc()
	s.refused("DryRunOperation", "would have succeeded", "CreateSubnet", "DryRun=true&CidrBlock=10.1.0.0/24&VpcId="+vpc)
	_, err := s.ask("CreateSubnet", "DryRun=true&CidrBlock=10.1.0.0/24&VpcId="+vpc)
	if f, ok := fault.As(err); !ok || f.HTTPStatus() != 412 {
		t.Errorf("status of %v", err)
	}
	s.holds("DescribeSubnets", "Filter.1.Name=vpc-id&Filter.1.Value.1="+vpc, "<subnetSet></subnetSet>")
	s.refused("InvalidSubnet.Range", "", "CreateSubnet", "DryRun=true&CidrBlock=10.2.0.0/24&VpcId="+vpc)
}

func TestStatement26(t *testing.T) {
	s := newSite(t)
	g := s.made("CreateSecurityGroup", "GroupName=new&GroupDescription=d&VpcId="+s.vpc(), "groupId")
	s.holds("DescribeSecurityGroups", "GroupId.1="+g, "<ipPermissions></ipPermissions>",
		"<ipPermissionsEgress><item><ipProtocol>-1</ipProtocol><groups></groups><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges>")
}

// Statement 27; that an associated one cuts the subnet off is in gate_test.go.
func TestNetworkACLs(t *testing.T) {
	s := newSite(t)
	vpc := s.vpc()
	subnet := s.subnet(vpc, "10.1.1.0/24", "us-east-1a")
	const denied = "<ruleNumber>32767</ruleNumber><protocol>-1</protocol><ruleAction>deny</ruleAction>"
	acl := s.made("CreateNetworkAcl", "VpcId="+vpc, "networkAclId")
	s.holds("DescribeNetworkAcls", "NetworkAclId.1="+acl, "<entrySet><item>"+denied+"<egress>true</egress><cidrBlock>0.0.0.0/0</cidrBlock></item><item>"+
		denied+"<egress>false</egress><cidrBlock>0.0.0.0/0</cidrBlock></item></entrySet><associationSet></associationSet>")

	bySubnet := "Filter.1.Name=association.subnet-id&Filter.1.Value.1=" + subnet
	association := s.made("DescribeNetworkAcls", bySubnet, "networkAclAssociationId")
	original := s.made("DescribeNetworkAcls", bySubnet, "networkAclId")
	s.refused("CannotDelete", original, "DeleteNetworkAcl", "NetworkAclId="+original)
	next := s.made("ReplaceNetworkAclAssociation", "AssociationId="+association+"&NetworkAclId="+acl, "newAssociationId")
	s.refused("InvalidAssociationID.NotFound", association, "ReplaceNetworkAclAssociation", "AssociationId="+association+"&NetworkAclId="+acl)
	s.refused("DependencyViolation", acl, "DeleteNetworkAcl", "NetworkAclId="+acl)

	entry := "&RuleNumber=5&Egress=false&Protocol=6&RuleAction=allow&CidrBlock=0.0.0.0/0&PortRange.From=1&PortRange.To=2"
	s.holds("CreateNetworkAclEntry", "NetworkAclId="+acl+entry, "<return>true</return>")
	s.refused("NetworkAclEntryAlreadyExists", "5", "CreateNetworkAclEntry", "NetworkAclId="+acl+entry)
	s.holds("ReplaceNetworkAclEntry", "NetworkAclId="+acl+strings.NewReplacer("To=2", "To=3", "Protocol=6", "Protocol=%2B06").Replace(entry), "<return>true</return>")
	s.holds("DescribeNetworkAcls", "NetworkAclId.1="+acl, "<protocol>6</protocol>", "<portRange><from>1</from><to>3</to></portRange>")
	s.holds("DeleteNetworkAclEntry", "NetworkAclId="+acl+"&RuleNumber=5&Egress=false", "<return>true</return>")
	s.refused("InvalidNetworkAclEntry.NotFound", "5", "DeleteNetworkAclEntry", "NetworkAclId="+acl+"&RuleNumber=5&Egress=false")
	s.refused("InvalidNetworkAclEntry.NotFound", "5", "ReplaceNetworkAclEntry", "NetworkAclId="+acl+entry)
	for _, wrong := range []string{"RuleNumber=32767&", "RuleNumber=0&"} {
		s.refused("InvalidParameterValue", "", "CreateNetworkAclEntry", "NetworkAclId="+acl+strings.Replace(entry, "RuleNumber=5&", wrong, 1))
	}
	s.refused("InvalidParameterValue", "tcp", "CreateNetworkAclEntry", "NetworkAclId="+acl+strings.Replace(entry, "Protocol=6", "Protocol=tcp", 1))
	s.refused("MissingParameter", "portRange", "CreateNetworkAclEntry", "NetworkAclId="+acl+strings.Replace(entry, "&PortRange.From=1&PortRange.To=2", "", 1))

	s.refused("DependencyViolation", vpc, "DeleteVpc", "VpcId="+vpc)
	s.holds("ReplaceNetworkAclAssociation", "AssociationId="+next+"&NetworkAclId="+original)
	s.holds("DeleteNetworkAcl", "NetworkAclId="+acl)
	s.holds("DeleteSubnet", "SubnetId="+subnet)
	s.holds("DeleteVpc", "VpcId="+vpc)
	s.refused("InvalidVpcID.NotFound", vpc, "DescribeVpcs", "VpcId.1="+vpc)
	s.refused("InvalidNetworkAclID.NotFound", original, "DescribeNetworkAcls", "NetworkAclId.1="+original)
}

func TestStatement28(t *testing.T) {
	s := newSite(t)
	vpc := s.vpc()
	tags := func(kind string) string {
		return "&TagSpecification.1.ResourceType=" + kind + "&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=x"
	}
	const search = "Filter.1.Name=tag:Name&Filter.1.Value.1=x"
	subnet := s.made("CreateSubnet", "CidrBlock=10.1.1.0/24&VpcId="+vpc+tags("subnet"), "subnetId")
	s.made("CreateVpc", "CidrBlock=10.3.0.0/16"+tags("vpc"), "vpcId")
	s.made("CreateSecurityGroup", "GroupName=g&GroupDescription=d"+tags("security-group"), "groupId")
	s.made("CreateNetworkInterface", "SubnetId="+subnet+tags("network-interface"), "networkInterfaceId")
	s.made("CreateNetworkAcl", "VpcId="+vpc+tags("network-acl"), "networkAclId")
	for _, describe := range []string{"DescribeSubnets", "DescribeVpcs", "DescribeSecurityGroups", "DescribeNetworkInterfaces", "DescribeNetworkAcls"} {
		s.holds(describe, search, "<tagSet><item><key>Name</key><value>x</value></item></tagSet>")
	}
	s.refused("InvalidParameterValue", "subnet", "CreateVpc", "CidrBlock=10.3.0.0/16"+tags("subnet"))

	s.holds("CreateTags", "ResourceId.1="+subnet+"&ResourceId.2="+vpc+"&Tag.1.Key=Env&Tag.1.Value=test&Tag.2.Key=Name&Tag.2.Value=y")
	s.holds("DescribeTags", "Filter.1.Name=resource-id&Filter.1.Value.1="+subnet,
		"<tagSet><item><resourceId>"+subnet+"</resourceId><resourceType>subnet</resourceType><key>Env</key><value>test</value></item><item>", "<value>y</value>")
	s.holds("DeleteTags", "ResourceId.1="+subnet+"&Tag.1.Key=Env&Tag.1.Value=other&Tag.2.Key=Name")
	s.holds("DescribeSubnets", "SubnetId.1="+subnet, "<tagSet><item><key>Env</key><value>test</value></item></tagSet>")
	s.holds("DeleteTags", "ResourceId.1="+subnet)
	s.holds("DescribeSubnets", "SubnetId.1="+subnet, "<tagSet></tagSet>")
	s.refused("InvalidID", "key-1", "CreateTags", "ResourceId.1=key-1&Tag.1.Key=a")
	s.refused("InvalidParameterValue", "aws:", "CreateTags", "ResourceId.1="+vpc+"&Tag.1.Key=aws:a")
	s.refused("InvalidSubnetID.NotFound", "", "CreateTags", "ResourceId.1="+vpc+"&ResourceId.2=subnet-0&Tag.1.Key=half")
	s.holds("DescribeTags", "Filter.1.Name=key&Filter.1.Value.1=half", "<tagSet></tagSet>") // all or none
}

// Terraform's calls for aws_vpc, aws_subnet, aws_security_group and its rules, aws_network_interface and the data
// sources beside them: create, read until equal, change, delete, read until gone.
func TestTerraformLifeCycle(t *testing.T) {
	s := newSite(t)
	by := func(name, value string) string { return "Filter.1.Name=" + name + "&Filter.1.Value.1=" + value }
	and := func(name, value string) string { return "&Filter.2.Name=" + name + "&Filter.2.Value.1=" + value }

	vpc := s.made("CreateVpc", "CidrBlock=10.8.0.0/16&InstanceTenancy=default&AmazonProvidedIpv6CidrBlock=false", "vpcId")
	s.holds("DescribeVpcs", "VpcId.1="+vpc, "<state>available</state>", "<instanceTenancy>default</instanceTenancy>")
	s.holds("ModifyVpcAttribute", "VpcId="+vpc+"&EnableDnsHostnames.Value=true", "<return>true</return>")
	for attribute, value := range map[string]string{"enableDnsHostnames": "true", "enableDnsSupport": "true", "enableNetworkAddressUsageMetrics": "false"} {
		s.holds("DescribeVpcAttribute", "VpcId="+vpc+"&Attribute="+attribute, "<"+attribute+"><value>"+value+"</value></"+attribute+">")
	}
	s.holds("DescribeNetworkAcls", by("default", "true")+and("vpc-id", vpc), "<default>true</default>")
	s.holds("DescribeRouteTables", by("association.main", "true")+and("vpc-id", vpc), "<main>true</main>", "<gatewayId>local</gatewayId>")
	s.holds("DescribeSecurityGroups", by("group-name", "default")+and("vpc-id", vpc), "<groupName>default</groupName>")
	s.holds("DescribeAvailabilityZones", by("state", "available")+and("opt-in-status", "opt-in-not-required"), "us-east-1c")

	subnet := s.subnet(vpc, "10.8.1.0/24", "us-east-1b")
	s.holds("DescribeSubnets", "SubnetId.1="+subnet, "<state>available</state>", "<mapPublicIpOnLaunch>false</mapPublicIpOnLaunch>")
	s.holds("ModifySubnetAttribute", "SubnetId="+subnet+"&MapPublicIpOnLaunch.Value=true")
	s.holds("ModifySubnetAttribute", "SubnetId="+subnet+"&PrivateDnsHostnameTypeOnLaunch=resource-name")
	s.holds("ModifySubnetAttribute", "SubnetId="+subnet+"&AssignIpv6AddressOnCreation.Value=false")
	s.refused("InvalidParameterValue", "", "ModifySubnetAttribute", "SubnetId="+subnet+"&AssignIpv6AddressOnCreation.Value=true")
	s.holds("DescribeSubnets", by("vpc-id", vpc), "<mapPublicIpOnLaunch>true</mapPublicIpOnLaunch>", "<hostnameType>resource-name</hostnameType>")

	g := s.made("CreateSecurityGroup", "GroupName=tf&GroupDescription=Managed by Terraform&VpcId="+vpc, "groupId")
	s.holds("RevokeSecurityGroupEgress", "GroupId="+g+"&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0", "<revokedSecurityGroupRuleSet><item>")
	s.refused("InvalidPermission.NotFound", "", "RevokeSecurityGroupEgress", "GroupId="+g+"&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0")
	s.holds("AuthorizeSecurityGroupIngress", "GroupId="+g+"&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=2223&IpPermissions.1.ToPort=2225&IpPermissions.1.Groups.1.GroupId="+g)
	rule := s.made("AuthorizeSecurityGroupEgress", "GroupId="+g+"&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0", "securityGroupRuleId")
	s.holds("DescribeSecurityGroupRules", "SecurityGroupRuleId.1="+rule, "<cidrIpv6>::/0</cidrIpv6>", "<isEgress>true</isEgress>")
	s.holds("DescribeSecurityGroups", "GroupId.1="+g, "<ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges>", "<fromPort>2223</fromPort>")

	eni := s.made("CreateNetworkInterface", "SubnetId="+subnet+"&PrivateIpAddresses.1.PrivateIpAddress=10.8.1.50&PrivateIpAddresses.1.Primary=true&SecurityGroupId.1="+g+"&ClientToken=t", "networkInterfaceId")
	s.holds("DescribeNetworkInterfaces", "NetworkInterfaceId.1="+eni, "<privateIpAddress>10.8.1.50</privateIpAddress><primary>true</primary>", "<privateDnsName>ip-10-8-1-50.ec2.internal</privateDnsName>", "<groupId>"+g)
	s.holds("ModifyNetworkInterfaceAttribute", "NetworkInterfaceId="+eni+"&SourceDestCheck.Value=false")
	s.holds("ModifyNetworkInterfaceAttribute", "NetworkInterfaceId="+eni+"&Description.Value=changed")
	s.holds("DescribeNetworkInterfaces", by("subnet-id", subnet), "<sourceDestCheck>false</sourceDestCheck>", "<description>changed</description>")
	s.refused("InvalidIPAddress.InUse", "10.8.1.50", "CreateNetworkInterface", "SubnetId="+subnet+"&PrivateIpAddress=10.8.1.50")

	s.refused("DependencyViolation", g, "DeleteSecurityGroup", "GroupId="+g)
	s.holds("DeleteNetworkInterface", "NetworkInterfaceId="+eni)
	s.holds("DescribeNetworkInterfaces", by("attachment.instance-owner-id", "amazon-aws")+and("subnet-id", subnet), "<networkInterfaceSet></networkInterfaceSet>")
	s.holds("DeleteSecurityGroup", "GroupId="+g)
	s.refused("InvalidGroup.NotFound", g, "DescribeSecurityGroups", "GroupId.1="+g)
	s.holds("DescribeVpcEndpoints", by("vpc-id", vpc), "<vpcEndpointSet></vpcEndpointSet>")
	s.holds("DescribeInternetGateways", by("attachment.vpc-id", vpc), "<internetGatewaySet></internetGatewaySet>")
	s.refused("DependencyViolation", vpc, "DeleteVpc", "VpcId="+vpc)
	s.holds("DeleteSubnet", "SubnetId="+subnet)
	s.holds("DeleteVpc", "VpcId="+vpc)
	s.refused("InvalidVpcID.NotFound", vpc, "DescribeVpcs", "VpcId.1="+vpc)
}

// Loopback addresses exist once on a machine, others can be in as many VPCs as one likes.
func TestLoopbackVPCs(t *testing.T) {
	s := newSite(t)
	block, err := network.FreeLoopbackBlock()
	s.must(err)
	cidr := block.String()
	s.service = network.New(network.Config{Store: s.store, Now: time.Now, Claim: network.ClaimBlock})
	t.Cleanup(func() { s.must(s.service.Close()) })
	for _, row := range s.service.API().Rows {
		s.rows[row.Name] = row
	}
	vpc := s.made("CreateVpc", "CidrBlock="+cidr, "vpcId")
	if _, err := network.ClaimBlock(block); err == nil {
		t.Error("the block is not claimed")
	}
	s.refused("InvalidVpc.Range", vpc, "CreateVpc", "CidrBlock="+strings.Replace(cidr, "/16", "/24", 1))
	s.holds("DeleteVpc", "VpcId="+vpc)
	claim, err := network.ClaimBlock(block)
	s.must(err)
	s.refused("InvalidVpc.Range", "another installation", "CreateVpc", "CidrBlock="+cidr)
	s.must(claim.Close())
	s.made("CreateVpc", "CidrBlock=10.0.0.0/16", "vpcId")

	subnet := s.subnet(s.made("CreateVpc", "CidrBlock="+cidr, "vpcId"), strings.Replace(cidr, "/16", "/24", 1), "us-east-1a")
	if err := s.service.Hostable(t.Context(), scope, subnet); err != nil {
		t.Error(err)
	}
	if err := s.service.Hostable(t.Context(), scope, s.subnets[0]); err == nil || !strings.Contains(err.Error(), "10.0.0.0/20") {
		t.Errorf("10.0.0.0/20 can have HSMs: %v", err)
	}
	s.must(s.service.Close())
	s.must(s.service.ClaimAll(t.Context()))
	if _, err := network.ClaimBlock(block); err == nil {
		t.Error("the block is not claimed again")
	}
}
