package network

import (
	"context"
	"net/netip"
	"time"

	"keyward/internal/arn"
	"keyward/internal/audit"
)

// Tag of a resource.
type Tag struct {
	Key   string `json:"key" xml:"key"`
	Value string `json:"value" xml:"value"`
}

// VPC is a virtual network.
type VPC struct {
	Scope   arn.Scope
	ID      string // "vpc-…"
	CIDR    netip.Prefix
	Default bool
	Tags    []Tag
}

// Subnet is a part of a VPC's addresses in one Availability Zone.
type Subnet struct {
	Scope   arn.Scope
	ID      string // "subnet-…"
	VpcID   string
	Zone    string // for example "us-east-1a"
	CIDR    netip.Prefix
	Default bool // the zone's subnet in the default VPC
	Tags    []Tag
}

// Group is a security group with its rules.
type Group struct {
	Scope arn.Scope
	ID    string // "sg-…"
	// Version counts changes; UpdateGroup compares and swaps on it.
	Version     int64
	VpcID       string
	Name        string // unique in the VPC
	Description string
	Rules       []Rule
	Tags        []Tag
}

// Rule allows traffic. Exactly one of Group and CIDR is set: who is on the other side.
type Rule struct {
	Egress   bool         `json:"egress,omitempty"`
	Protocol string       `json:"protocol"`           // "tcp", "udp", "icmp" or "-1" for all
	FromPort int          `json:"fromPort,omitempty"` // with "-1" neither port means anything
	ToPort   int          `json:"toPort,omitempty"`
	Group    string       `json:"group,omitempty"`
	CIDR     netip.Prefix `json:"cidr,omitzero"`
}

// Interface is a network interface. It holds its address for as long as it exists.
type Interface struct {
	Scope       arn.Scope
	ID          string // "eni-…"
	VpcID       string
	SubnetID    string
	Zone        string
	Address     netip.Addr // unique in the subnet
	MAC         string
	Groups      []string // ids of security groups
	Description string
	// Requester is the service that made it for itself, and alone may delete it.
	Requester string
	Created   time.Time
	Tags      []Tag
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
	Subnet(ctx context.Context, scope arn.Scope, id string) (*Subnet, error)
	Subnets(ctx context.Context, scope arn.Scope) ([]*Subnet, error)
	Group(ctx context.Context, scope arn.Scope, id string) (*Group, error)
	Groups(ctx context.Context, scope arn.Scope) ([]*Group, error)
	Interface(ctx context.Context, scope arn.Scope, id string) (*Interface, error)
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
	InsertInterface(*Interface) error
	// UpdateGroup replaces the group whose Version is the one given and counts it up in g, or fails with
	// fault.ErrConflict.
	UpdateGroup(g *Group) error
	// Delete… remove a record; fault.ErrNotFound if it is not there.
	DeleteGroup(scope arn.Scope, id string) error
	DeleteInterface(scope arn.Scope, id string) error
}
