package network

import (
	"context"

	"keyward/internal/fault"
	"keyward/internal/operation"
)

// API lists the operations of the EC2 subset (API version 2016-11-15).
func (s *Service) API() operation.Service {
	var rows []operation.Row
	for _, part := range [][]operation.Row{
		s.vpcRows(), s.subnetRows(), s.groupRows(), s.interfaceRows(), s.aclRows(), s.tagRows(), s.routeRows(),
	} {
		rows = append(rows, part...)
	}
	return operation.Service{SigningName: "ec2", EventSource: "ec2.amazonaws.com", Rows: s.asking(rows)}
}

func (s *Service) vpcRows() []operation.Row {
	return []operation.Row{
		operation.Read("DescribeAvailabilityZones", s.describeZones, "ZoneName", "ZoneId"),
		operation.Write("CreateVpc", s.createVpc, "CidrBlock", "InstanceTenancy"),
		operation.Read("DescribeVpcs", s.describeVpcs, "VpcId"),
		operation.Write("DeleteVpc", s.deleteVpc, "VpcId"),
		operation.Read("DescribeVpcAttribute", s.describeVpcAttribute, "VpcId", "Attribute"),
		operation.Write("ModifyVpcAttribute", s.modifyVpcAttribute, "VpcId"),
	}
}

func (s *Service) subnetRows() []operation.Row {
	return []operation.Row{
		operation.Write("CreateSubnet", s.createSubnet, "VpcId", "CidrBlock", "AvailabilityZone", "AvailabilityZoneId"),
		operation.Read("DescribeSubnets", s.describeSubnets, "SubnetId"),
		operation.Write("ModifySubnetAttribute", s.modifySubnetAttribute, "SubnetId"),
		operation.Write("DeleteSubnet", s.deleteSubnet, "SubnetId"),
	}
}

func (s *Service) groupRows() []operation.Row {
	return []operation.Row{
		operation.Write("CreateSecurityGroup", s.createGroup, "GroupName", "GroupDescription", "VpcId"),
		operation.Read("DescribeSecurityGroups", s.describeGroups, "GroupId", "GroupName"),
		operation.Write("DeleteSecurityGroup", s.deleteGroup, "GroupId", "GroupName"),
		operation.Read("DescribeSecurityGroupRules", s.describeRules, "SecurityGroupRuleId"),
		operation.Write("AuthorizeSecurityGroupIngress", s.authorizeIngress, "GroupId", "GroupName"),
		operation.Write("AuthorizeSecurityGroupEgress", s.authorizeEgress, "GroupId"),
		operation.Write("RevokeSecurityGroupIngress", s.revokeIngress, "GroupId", "GroupName", "SecurityGroupRuleId"),
		operation.Write("RevokeSecurityGroupEgress", s.revokeEgress, "GroupId", "SecurityGroupRuleId"),
	}
}

func (s *Service) interfaceRows() []operation.Row {
	return []operation.Row{
		operation.Write("CreateNetworkInterface", s.createInterface, "SubnetId", "PrivateIpAddress", "Description", "SecurityGroupId"),
		operation.Read("DescribeNetworkInterfaces", s.describeInterfaces, "NetworkInterfaceId"),
		operation.Write("ModifyNetworkInterfaceAttribute", s.modifyInterface, "NetworkInterfaceId", "SecurityGroupId"),
		operation.Write("DeleteNetworkInterface", s.deleteInterface, "NetworkInterfaceId"),
	}
}

func (s *Service) aclRows() []operation.Row {
	return []operation.Row{
		operation.Read("DescribeNetworkAcls", s.describeACLs, "NetworkAclId"),
		operation.Write("CreateNetworkAcl", s.createACL, "VpcId"),
		operation.Write("DeleteNetworkAcl", s.deleteACL, "NetworkAclId"),
		operation.Write("CreateNetworkAclEntry", s.createEntry, loggedEntry...),
		operation.Write("ReplaceNetworkAclEntry", s.replaceEntry, loggedEntry...),
		operation.Write("DeleteNetworkAclEntry", s.deleteEntry, "NetworkAclId", "RuleNumber", "Egress"),
		operation.Write("ReplaceNetworkAclAssociation", s.replaceAssociation, "AssociationId", "NetworkAclId"),
	}
}

var loggedEntry = []string{"NetworkAclId", "RuleNumber", "Protocol", "RuleAction", "Egress", "CidrBlock", "Ipv6CidrBlock"}

func (s *Service) tagRows() []operation.Row {
	return []operation.Row{
		operation.Write("CreateTags", s.createTags, "ResourceId"),
		operation.Write("DeleteTags", s.deleteTags, "ResourceId"),
		operation.Read("DescribeTags", s.describeTags),
	}
}

func (s *Service) routeRows() []operation.Row {
	return []operation.Row{
		operation.Read("DescribeRouteTables", s.describeRouteTables, "RouteTableId"),
		operation.Read("DescribeVpcEndpoints", s.describeEndpoints, "VpcEndpointId"),
		operation.Read("DescribeInternetGateways", s.describeGateways, "InternetGatewayId"),
	}
}

// dryRun is the answer to a permitted call that is only to be tried.
func dryRun(asked bool) error {
	if !asked {
		return nil
	}
	f := fault.New("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	f.Status = 412
	return f
}

// write runs the change of an API call. One that is only to be tried is undone when everything has been checked.
func (s *Service) write(ctx context.Context, call *operation.Call, try bool, fn func(Tx) error) error {
	err := s.change(ctx, call.Scope, call.Event, func(tx Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return dryRun(try)
	})
	if err != nil {
		call.Event.Response = nil // what was promised inside the transaction
	}
	return err
}

// named is a parameter that a request must have.
type named struct{ name, value string }

// required is MissingParameter for the first that is empty.
func required(parameters ...named) error {
	for _, p := range parameters {
		if p.value == "" {
			return missing(p.name)
		}
	}
	return nil
}

func missing(parameter string) error {
	return fault.New("MissingParameter", "The request must contain the parameter %s", parameter)
}

func invalidValue(value any, parameter, why string) error {
	return fault.New("InvalidParameterValue", "Value (%v) for parameter %s is invalid. %s", value, parameter, why)
}

// dependency is DependencyViolation as most resources word it.
func dependency(kind, id string) error {
	return fault.New("DependencyViolation", "The %s '%s' has dependencies and cannot be deleted.", kind, id)
}

// overLimit is a quota's refusal; what is "VPCs", for example.
func overLimit(code, what string) error {
	return fault.New(code, "The maximum number of %s has been reached.", what)
}

// Quotas. They are the defaults of AWS, or what AWS raises them to on demand where a default would be in the way.
const (
	maxVPCs            = 100  // in a scope
	maxSubnets         = 200  // in a VPC
	maxGroups          = 2500 // in a scope
	maxRules           = 60   // of one direction of a group
	maxInterfaces      = 5000 // in a scope
	maxInterfaceGroups = 5
	maxACLs            = 200 // in a VPC
	maxEntries         = 40  // of one direction of an ACL
	maxTags            = 50
)

// flag is a Boolean attribute in the form {Value: …} that the Modify operations have.
type flag struct{ Value bool }

// optional is nil for an empty text, which EC2 leaves out.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// list is never nil: EC2 sends empty lists as empty elements.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// found turns the store's word for an absent record into the answer of its kind.
func (k kind[T]) found(one T, err error, id string) (T, error) {
	if isMissing(err) {
		err = k.missing(id)
	}
	return one, err
}
