package identity

import "time"

// AdministratorAccess is the policy that allows everything.
const AdministratorAccess = "arn:aws:iam::aws:policy/AdministratorAccess"

// awsPolicies are AWS's own managed policies by ARN, as far as they are about services that are here. They say what
// AWS's say about these services.
var awsPolicies = map[string]*ManagedPolicy{}

func init() {
	for _, p := range []struct{ name, id, description, document string }{
		{"AdministratorAccess", "ANPAIWMBCKSKIEE64ZLYK", "Provides full access to AWS services and resources.", `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "*",
            "Resource": "*"
        }
    ]
}`},
		{"PowerUserAccess", "ANPAJYRXTHIB4FOVS3ZXS", "Provides full access to AWS services and resources, but does not allow management of Users and groups.", `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "NotAction": [
                "iam:*",
                "organizations:*",
                "account:*"
            ],
            "Resource": "*"
        },
        {
            "Effect": "Allow",
            "Action": [
                "iam:CreateServiceLinkedRole",
                "iam:DeleteServiceLinkedRole",
                "iam:ListRoles",
                "organizations:DescribeOrganization",
                "account:ListRegions",
                "account:GetAccountInformation"
            ],
            "Resource": "*"
        }
    ]
}`},
		{"ReadOnlyAccess", "ANPAILL3HVNFSB6DCOWYQ", "Provides read-only access to AWS services and resources.", `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "cloudhsm:Describe*",
                "cloudhsm:List*",
                "cloudtrail:Describe*",
                "cloudtrail:Get*",
                "cloudtrail:List*",
                "cloudtrail:LookupEvents",
                "ec2:Describe*",
                "ec2:Get*",
                "iam:Get*",
                "iam:List*",
                "kms:Describe*",
                "kms:Get*",
                "kms:List*",
                "sts:GetAccessKeyInfo",
                "sts:GetCallerIdentity",
                "sts:GetSessionToken"
            ],
            "Resource": "*"
        }
    ]
}`},
		{"AWSKeyManagementServicePowerUser", "ANPAJNPP7PPPPMJRV2SA4", "Provides access to AWS Key Management Service (KMS).", `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "kms:CreateAlias",
                "kms:CreateKey",
                "kms:DeleteAlias",
                "kms:Describe*",
                "kms:GenerateRandom",
                "kms:Get*",
                "kms:List*",
                "kms:TagResource",
                "kms:UntagResource",
                "iam:ListGroups",
                "iam:ListRoles",
                "iam:ListUsers"
            ],
            "Resource": "*"
        }
    ]
}`},
		{"AWSCloudHSMFullAccess", "ANPAIMBQYQZM7F63DA2UU", "Provides full access to all CloudHSM resources.", `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "cloudhsm:*",
            "Resource": "*"
        }
    ]
}`},
		{"AWSCloudHSMReadOnlyAccess", "ANPAISVCBSY7YDBOT67KE", "Provides read only access to all CloudHSM resources.", `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "cloudhsm:Get*",
                "cloudhsm:List*",
                "cloudhsm:Describe*"
            ],
            "Resource": "*"
        }
    ]
}`},
		{"IAMFullAccess", "ANPAI7XKCFMBPM3QQRRVQ", "Provides full access to IAM via the AWS Management Console.", `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "iam:*",
                "organizations:DescribeAccount",
                "organizations:DescribeOrganization",
                "organizations:ListPolicies"
            ],
            "Resource": "*"
        }
    ]
}`},
	} {
		m := &ManagedPolicy{
			Name: p.name, ID: p.id, Path: "/", Description: p.description, Created: awsEpoch, Updated: awsEpoch, Default: "v1",
			Versions: []PolicyVersion{{"v1", p.document, awsEpoch}}, Next: 2,
		}
		awsPolicies[m.ARN()] = m
	}
}

// awsEpoch is when AWS published the first of its managed policies.
var awsEpoch = time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC)
