package network

import (
	"context"
	"net/netip"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
)

// Records read from a Store are the reader's own. Version counts a record's changes; Update… compares and swaps on it.
// The JSON names are the stored form.

// Tag of a resource.
type Tag struct {
	Key   string `json:"key" xml:"key"`
	Value string `json:"value" xml:"value"`
}

// VPC is a virtual network.
type VPC struct {
	Scope   arn.Scope
	ID      string // "vpc-…"
	Version int64
	CIDR    netip.Prefix
	Default bool
	DNS     DNS
	Tags    []Tag
}

// DNS are a VPC's attributes. Nothing here resolves names: they are kept for those who set them.
type DNS struct {
	Support   bool `json:"support,omitempty"`
	Hostnames bool `json:"hostnames,omitempty"`
	// UsageMetrics is enableNetworkAddressUsageMetrics.
	UsageMetrics bool `json:"usageMetrics,omitempty"`
}

// Subnet is a part of a VPC's addresses in one Availability Zone.
type Subnet struct {
	Scope   arn.Scope
	ID      string // "subnet-…"
	Version int64
	VpcID   string
	Zone    string // for example "us-east-1a"
	CIDR    netip.Prefix
	Default bool // the zone's subnet in the default VPC
	Options SubnetOptions
	// ACL is the id of the subnet's network ACL, and Association that of the tie between the two ("aclassoc-…").
	ACL, Association string
	Tags             []Tag
}

// SubnetOptions are attributes that nothing here acts on: they are kept for those who set them.
type SubnetOptions struct {
	MapPublicIP  bool   `json:"mapPublicIp,omitempty"`
	HostnameType string `json:"hostnameType"` // "ip-name" or "resource-name"
	HostnameA    bool   `json:"hostnameA,omitempty"`
}

// Group is a security group with its rules.
type Group struct {
	Scope       arn.Scope
	ID          string // "sg-…"
	Version     int64
	VpcID       string
	Name        string // unique in the VPC
	Description string
	// Requester is the service that made it for itself; empty for users' and clusters' groups.
	Requester string
	// Retired is set when its owner has done with it while something still uses it: it goes with its last user.
	Retired bool
	Rules   []Rule
	Tags    []Tag
}

// Rule allows traffic. Exactly one of Group, CIDR and PrefixList is set: who is on the other side.
type Rule struct {
	ID       string `json:"id"` // "sgr-…"
	Egress   bool   `json:"egress,omitempty"`
	Protocol string `json:"protocol"` // "tcp", "udp", "icmp", "icmpv6", a number, or "-1" for all
	// FromPort and ToPort mean nothing with "-1". For ICMP they are type and code, -1 standing for all.
	FromPort    int          `json:"fromPort,omitempty"`
	ToPort      int          `json:"toPort,omitempty"`
	Group       string       `json:"group,omitempty"`
	CIDR        netip.Prefix `json:"cidr,omitzero"` // IPv4 or IPv6
	PrefixList  string       `json:"prefixList,omitempty"`
	Description string       `json:"description,omitempty"`
	Tags        []Tag        `json:"tags,omitempty"`
}

// ACL is a network ACL: numbered rules at the border of the subnets that are associated with it.
type ACL struct {
	Scope   arn.Scope
	ID      string // "acl-…"
	Version int64
	VpcID   string
	Default bool
	Entries []Entry // the final deny, 32767, is not among them
	Tags    []Tag
}

// Entry of a network ACL. Its number is unique in its direction.
type Entry struct {
	Egress   bool         `json:"egress,omitempty"`
	Number   int          `json:"number"`   // 1 to 32766
	Protocol string       `json:"protocol"` // a number, "6" for TCP, or "-1" for all
	Deny     bool         `json:"deny,omitempty"`
	CIDR     netip.Prefix `json:"cidr"` // IPv4 or IPv6
	FromPort int          `json:"fromPort,omitempty"`
	ToPort   int          `json:"toPort,omitempty"`
	ICMPType int          `json:"icmpType,omitempty"`
	ICMPCode int          `json:"icmpCode,omitempty"`
}

// Interface is a network interface. It holds its address for as long as it exists.
type Interface struct {
	Scope       arn.Scope
	ID          string // "eni-…"
	Version     int64
	VpcID       string
	SubnetID    string
	Zone        string
	Address     netip.Addr // unique in the subnet
	MAC         string
	Groups      []string // ids of security groups
	Description string
	// Requester is the service that made it for itself, and alone may change and delete it.
	Requester string
	// SourceDestCheck is kept for those who set it.
	SourceDestCheck bool
	// ClientToken makes creating it idempotent; unique in the scope unless empty.
	ClientToken string
	Created     time.Time
	Tags        []Tag
}

// Store keeps networks. Reads see everything that was acknowledged before. Absent records are fault.ErrNotFound. Lists
// are in the order of ids, interfaces in that of their creation.
type Store interface {
	Reader
	// ManagedInterfaces lists the interfaces of a requester in all scopes.
	ManagedInterfaces(ctx context.Context, requester string) ([]*Interface, error)
	// Change runs fn in one transaction together with the call's event (nil for the work of services): all or nothing
	// is durable when it returns.
	Change(ctx context.Context, event *audit.Event, fn func(Tx) error) error
}

// Reader reads one scope's records.
type Reader interface {
	VPC(ctx context.Context, scope arn.Scope, id string) (*VPC, error)
	VPCs(ctx context.Context, scope arn.Scope) ([]*VPC, error)
	// AllVPCs lists those of all scopes.
	AllVPCs(ctx context.Context) ([]*VPC, error)
	Subnet(ctx context.Context, scope arn.Scope, id string) (*Subnet, error)
	Subnets(ctx context.Context, scope arn.Scope) ([]*Subnet, error)
	Group(ctx context.Context, scope arn.Scope, id string) (*Group, error)
	Groups(ctx context.Context, scope arn.Scope) ([]*Group, error)
	ACL(ctx context.Context, scope arn.Scope, id string) (*ACL, error)
	ACLs(ctx context.Context, scope arn.Scope) ([]*ACL, error)
	Interface(ctx context.Context, scope arn.Scope, id string) (*Interface, error)
	// InterfaceAt finds the interface that has an address of a VPC.
	InterfaceAt(ctx context.Context, scope arn.Scope, vpcID string, address netip.Addr) (*Interface, error)
	// Interfaces lists those of one subnet, or of all when subnetID is empty.
	Interfaces(ctx context.Context, scope arn.Scope, subnetID string) ([]*Interface, error)
}

// Tx is the inside of a Change; its reads see its writes.
type Tx interface {
	Reader
	// Insert… add a record: fault.ErrExists if its id, or what else must be unique of it, is taken.
	InsertVPC(*VPC) error
	InsertSubnet(*Subnet) error
	InsertGroup(*Group) error
	InsertACL(*ACL) error
	InsertInterface(*Interface) error
	// Update… replace the record whose Version is the one given and count it up in the argument, or fail with
	// fault.ErrConflict. What a record is (scope, VPC, subnet, zone, addresses, name) never changes.
	UpdateVPC(*VPC) error
	UpdateSubnet(*Subnet) error
	UpdateGroup(*Group) error
	UpdateACL(*ACL) error
	UpdateInterface(*Interface) error
	// Delete… remove a record; fault.ErrNotFound if it is not there.
	DeleteVPC(scope arn.Scope, id string) error
	DeleteSubnet(scope arn.Scope, id string) error
	DeleteGroup(scope arn.Scope, id string) error
	DeleteACL(scope arn.Scope, id string) error
	DeleteInterface(scope arn.Scope, id string) error
}
