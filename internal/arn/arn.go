// Package arn builds and takes apart Amazon Resource Names and says where a resource lives. It checks form only; that
// the thing named exists is for the services to say.
package arn

import (
	"fmt"
	"strings"
)

// Partition is the only one served.
const Partition = "aws"

// Scope is where resources live: nothing of one account and Region is visible in another.
type Scope struct {
	Account string // 12 digits
	Region  string // for example "us-east-1"
}

// ARN is a name in its six parts, without the leading "arn".
type ARN struct {
	Partition, Service, Region, Account, Resource string
}

// Parse takes "arn:partition:service:region:account:resource" apart; the resource keeps its own colons.
func Parse(s string) (ARN, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[2] == "" || parts[5] == "" {
		return ARN{}, fmt.Errorf("arn: %q is not arn:partition:service:region:account:resource", s)
	}
	return ARN{parts[1], parts[2], parts[3], parts[4], parts[5]}, nil
}

// Is reports whether s looks like an ARN at all.
func Is(s string) bool { return strings.HasPrefix(s, "arn:") }

func (a ARN) String() string {
	return strings.Join([]string{"arn", a.Partition, a.Service, a.Region, a.Account, a.Resource}, ":")
}

// Scope is the account and Region of the name.
func (a ARN) Scope() Scope { return Scope{a.Account, a.Region} }

func (s Scope) name(service, resource string) string {
	return ARN{Partition, service, s.Region, s.Account, resource}.String()
}

// Key is the ARN of a KMS key.
func (s Scope) Key(id string) string { return s.name("kms", "key/"+id) }

// Alias is the ARN of a KMS alias; name starts with "alias/".
func (s Scope) Alias(name string) string { return s.name("kms", name) }

// Cluster is the ARN of a CloudHSM cluster.
func (s Scope) Cluster(id string) string { return s.name("cloudhsm", "cluster/"+id) }

// Backup is the ARN of a CloudHSM backup.
func (s Scope) Backup(id string) string { return s.name("cloudhsm", "backup/"+id) }

// Subnet is the ARN of an EC2 subnet.
func (s Scope) Subnet(id string) string { return s.name("ec2", "subnet/"+id) }

// IAM is the ARN of what IAM keeps, which belongs to no Region; resource is "role/path/name", for example.
func IAM(account, resource string) string {
	return ARN{Partition, "iam", "", account, resource}.String()
}

// STS is the ARN of a session; resource is "assumed-role/role/session", for example.
func STS(account, resource string) string {
	return ARN{Partition, "sts", "", account, resource}.String()
}

// User is the ARN of an IAM user without a path.
func User(account, name string) string { return IAM(account, "user/"+name) }

// Root is the ARN of an account's root user, which in policies stands for the account.
func Root(account string) string { return IAM(account, "root") }
