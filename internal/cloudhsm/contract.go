package cloudhsm

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/hsmproto"
)

// Cluster is a cluster as it is kept, with its HSMs. Values read from a Store or the Service are the reader's own.
// The JSON names are the stored form.
type Cluster struct {
	Scope arn.Scope `json:"-"`
	ID    string    `json:"-"` // "cluster-…"
	// Version counts changes; Update compares and swaps on it.
	Version int64     `json:"-"`
	Created time.Time `json:"-"`

	State        types.ClusterState `json:"state"`
	StateMessage string             `json:"stateMessage,omitempty"`
	// Expires is when the record of a DELETED cluster goes.
	Expires time.Time `json:"expires,omitzero"`

	HsmType       string            `json:"hsmType"`
	Mode          types.ClusterMode `json:"mode"`
	RetentionDays string            `json:"retentionDays"` // AWS writes this number as a string
	VpcID         string            `json:"vpcId"`
	// SubnetMapping goes from zone to subnet. It is frozen: subnets may have been deleted since.
	SubnetMapping map[string]string `json:"subnetMapping"`
	SecurityGroup string            `json:"securityGroup"`
	Tags          []types.Tag       `json:"tags,omitempty"`

	// PEM texts. The first four are there while the cluster is UNINITIALIZED and has an HSM.
	ClusterCSR           string `json:"clusterCsr,omitempty"`
	HsmCertificate       string `json:"hsmCertificate,omitempty"`
	ProviderHardware     string `json:"providerHardware,omitempty"`
	ManufacturerHardware string `json:"manufacturerHardware,omitempty"`
	// ClusterCertificate is set from INITIALIZE_IN_PROGRESS on. Clusters that share a history have the same one and
	// others never do: comparing it tells lineages apart.
	ClusterCertificate string `json:"clusterCertificate,omitempty"`
	// TrustAnchor is the customer CA as it was given. No API returns it.
	TrustAnchor string `json:"trustAnchor,omitempty"`

	// Epoch numbers memberships; the members are the HSMs with Member set.
	Epoch uint64 `json:"epoch"`
	// TakeOver is the Node that carries on alone in this Epoch, because the one before lost its majority. Empty when
	// there is no need.
	TakeOver string `json:"takeOver,omitempty"`

	// SourceBackupID is the backup that the cluster was created from; empty for others.
	SourceBackupID string `json:"sourceBackupId,omitempty"`
	// BackupDue is true when something happened that the next backup must hold, however recent the last one is.
	BackupDue bool `json:"backupDue,omitempty"`
	// Backup is the id of the backup that is being made; empty when none is.
	Backup string `json:"backup,omitempty"`
	// LastBackup is when the newest backup was begun.
	LastBackup time.Time `json:"lastBackup,omitzero"`

	Hsms []Hsm `json:"hsms,omitempty"`
}

// ARN of the cluster.
func (c *Cluster) ARN() string { return c.Scope.Cluster(c.ID) }

// Serving reports whether the cluster is activated and neither being deleted nor gone: what AWS documents as ACTIVE,
// and the two states an active cluster passes through while HSMs are added, removed or all unwell.
func (c *Cluster) Serving() bool {
	switch c.State {
	case types.ClusterStateActive, types.ClusterStateUpdateInProgress, types.ClusterStateDegraded:
		return true
	default:
		return false
	}
}

// ActiveHsms lists the HSMs in state ACTIVE.
func (c *Cluster) ActiveHsms() []Hsm {
	var active []Hsm
	for _, h := range c.Hsms {
		if h.State == types.HsmStateActive {
			active = append(active, h)
		}
	}
	return active
}

// Backup is a backup as it is kept. Its contents are sealed by HSMs and kept by the Fleet under the same id.
type Backup struct {
	Scope arn.Scope `json:"-"`
	ID    string    `json:"-"` // "backup-…"
	// Version counts changes; Update compares and swaps on it.
	Version int64 `json:"-"`
	// Created is when it was made of the cluster; a copy has its source's.
	Created time.Time `json:"-"`

	State types.BackupState `json:"state"`
	// ClusterID is the cluster it was made of; empty for a copy from another Region, which belongs to none.
	ClusterID string            `json:"clusterId,omitempty"`
	HsmType   string            `json:"hsmType"`
	Mode      types.ClusterMode `json:"mode"`
	// ClusterCertificate and TrustAnchor are the cluster's, in PEM: a cluster made from the backup has them too.
	ClusterCertificate string `json:"clusterCertificate"`
	TrustAnchor        string `json:"trustAnchor"`
	// NeverExpires exempts it from the retention policy.
	NeverExpires bool `json:"neverExpires,omitempty"`
	// Removal is when a PENDING_DELETION backup goes for good, and when the record of a DELETED one does.
	Removal time.Time   `json:"removal,omitzero"`
	Tags    []types.Tag `json:"tags,omitempty"`
	// Content is set once the backup is READY.
	Content Content `json:"content,omitzero"`

	// Copied, SourceRegion, SourceBackup and SourceCluster are set in copies.
	Copied        time.Time `json:"copied,omitzero"`
	SourceRegion  string    `json:"sourceRegion,omitempty"`
	SourceBackup  string    `json:"sourceBackup,omitempty"`
	SourceCluster string    `json:"sourceCluster,omitempty"`
}

// ARN of the backup.
func (b *Backup) ARN() string { return b.Scope.Backup(b.ID) }

// Content describes a backup's sealed file.
type Content struct {
	Size   int64  `json:"size"`
	SHA256 []byte `json:"sha256"`
}

// Hsm is one HSM of a cluster.
type Hsm struct {
	ID           string         `json:"id"` // "hsm-…"
	Zone         string         `json:"zone"`
	SubnetID     string         `json:"subnetId"`
	EniID        string         `json:"eniId"`
	EniIP        string         `json:"eniIp"`
	State        types.HsmState `json:"state"`
	StateMessage string         `json:"stateMessage,omitempty"`

	// Incarnation is what the HSM is now; its Node is empty until the HSM has been made.
	Incarnation
	// Member is true while the HSM belongs to the recorded membership.
	Member bool `json:"member,omitempty"`
	// InStep is true from when the HSM had joined: since then no write was acknowledged that it lacks. Only such an
	// HSM may carry a cluster on.
	InStep bool `json:"inStep,omitempty"`
}

// Incarnation identifies the contents of an HSM's folder.
type Incarnation struct {
	// Node is the HSM's name among its peers, never used twice.
	Node string `json:"node,omitempty"`
	// Hardware is the DER hardware certificate under the provider root.
	Hardware []byte `json:"hardware,omitempty"`
}

// Store keeps clusters. Reads see everything that was acknowledged before. Absent records are fault.ErrNotFound.
type Store interface {
	Cluster(ctx context.Context, scope arn.Scope, id string) (*Cluster, error)
	// Clusters of a scope, oldest first.
	Clusters(ctx context.Context, scope arn.Scope) ([]*Cluster, error)
	// AllClusters of all scopes, for background work.
	AllClusters(ctx context.Context) ([]*Cluster, error)
	Backup(ctx context.Context, scope arn.Scope, id string) (*Backup, error)
	// Backups of a scope, oldest first.
	Backups(ctx context.Context, scope arn.Scope) ([]*Backup, error)
	// AllBackups of all scopes, for background work.
	AllBackups(ctx context.Context) ([]*Backup, error)
	// Change runs fn in one transaction together with the call's event (nil for background work): all or nothing is
	// durable when it returns.
	Change(ctx context.Context, event *audit.Event, fn func(Tx) error) error
}

// Tx is the inside of a Change; its reads see its writes.
type Tx interface {
	Cluster(scope arn.Scope, id string) (*Cluster, error)
	Clusters(scope arn.Scope) ([]*Cluster, error)
	// Insert adds a cluster: fault.ErrExists if the id is taken.
	Insert(*Cluster) error
	// Update replaces the cluster whose Version is the one given and counts it up in c, or fails with
	// fault.ErrConflict.
	Update(c *Cluster) error
	// Delete removes a cluster of this Version, or fails with fault.ErrConflict.
	Delete(*Cluster) error

	// The same for backups.
	Backup(scope arn.Scope, id string) (*Backup, error)
	Backups(scope arn.Scope) ([]*Backup, error)
	InsertBackup(*Backup) error
	UpdateBackup(*Backup) error
	DeleteBackup(*Backup) error
}

// Network is what clusters need of VPCs. Things that do not exist are fault.ErrNotFound; other refusals are faults
// whose message may be shown.
type Network interface {
	// Subnet says in which VPC and Availability Zone a subnet lies.
	Subnet(ctx context.Context, scope arn.Scope, id string) (vpcID, zone string, err error)
	// FreeAddresses of a subnet.
	FreeAddresses(ctx context.Context, scope arn.Scope, subnetID string) (int, error)
	// CreateClusterGroup makes the security group with exactly the rules "TCP 2223–2225 from and to itself". A group
	// that is there under this id is left alone.
	CreateClusterGroup(ctx context.Context, scope arn.Scope, vpcID, groupID, name, description string) error
	// DeleteGroup removes a security group, together with the last thing that uses it where something still does; one
	// that is gone already is no error.
	DeleteGroup(ctx context.Context, scope arn.Scope, groupID string) error
	// ClusterGroupIntact reports whether both rules are still there.
	ClusterGroupIntact(ctx context.Context, scope arn.Scope, groupID string) (bool, error)
	// AllocateInterface makes a requester-managed network interface. An empty address lets the network choose.
	AllocateInterface(ctx context.Context, scope arn.Scope, subnetID, groupID, address, requester, description string) (eniID, ip string, err error)
	// ReleaseInterface removes one; one that is gone already is no error.
	ReleaseInterface(ctx context.Context, scope arn.Scope, eniID string) error
	// ManagedInterfaces lists the interfaces of a requester, in all scopes.
	ManagedInterfaces(ctx context.Context, requester string) (map[string]arn.Scope, error)
}

// Machine says what a Fleet needs to run an HSM.
type Machine struct {
	HsmID     string
	ClusterID string
	Node      string
	Address   string // IP
	HsmType   string
	Mode      string
	// Backup is the id of the backup from which the HSM is made, where it is made from one.
	Backup string
}

// Hardware are the DER certificates of a new HSM's hardware key.
type Hardware struct {
	Provider, Manufacturer []byte
}

// Health is what a Fleet knows of an HSM.
type Health struct {
	// Live is true while the HSM answers.
	Live bool
	// Since is when Live became what it is; real time, not the service's clock.
	Since time.Time
	// Lost is true when the HSM's folder is gone: it will never answer again.
	Lost bool
	// Problem says why it is not live, for people.
	Problem string
	// Status is the newest answer; only meaningful while Live.
	Status hsmproto.StatusReply
}

// Fleet runs HSMs and carries the control plane's words to them. All methods may be called again after a crash with
// the same arguments. Calls to HSMs that do not answer end with the context or after a few seconds.
type Fleet interface {
	// Make starts a new HSM in an empty folder; anything an earlier incarnation left there is wiped first. It returns
	// once the HSM serves its ports; from then on it is supervised as by Run. *BadBackup means that the backup it was
	// to be made from is at fault.
	Make(ctx context.Context, m Machine, create hsmproto.Create) (Hardware, error)
	// Run supervises an HSM that was made before: it is started now and again whenever it ends. An HSM whose folder is
	// gone is not started.
	Run(m Machine)
	// Halt ends an HSM and its supervision if it still is the incarnation node. When it returns nil no process of
	// that incarnation lives. The folder stays.
	Halt(ctx context.Context, hsmID, node string) error
	// Discard halts the HSM and removes its folder.
	Discard(ctx context.Context, hsmID string) error
	// HasFolder reports whether the HSM's folder is there.
	HasFolder(hsmID string) bool

	Health(hsmID string) Health
	// Changed receives a value after the health of any HSM changed in a way worth looking at.
	Changed() <-chan struct{}

	Certificates(ctx context.Context, hsmID string) (hsmproto.CertificatesReply, error)
	Initialize(ctx context.Context, hsmID string, r hsmproto.InitializeRequest) error
	SetMembers(ctx context.Context, hsmID string, r hsmproto.SetMembersRequest) error
	TakeOver(ctx context.Context, hsmID string, r hsmproto.TakeOverRequest) error

	// Backup has an HSM make a backup of its cluster and keeps it under an id, replacing what is there.
	Backup(ctx context.Context, hsmID, backupID string) (Content, error)
	// CheckBackup makes sure that a kept backup is what it was: *BadBackup if it is not.
	CheckBackup(backupID string, c Content) error
	// CopyBackup keeps a kept backup under another id too.
	CopyBackup(from, to string, c Content) error
	// DropBackup removes a kept backup; one that is gone already is no error.
	DropBackup(backupID string) error
	// KeptBackups lists the ids of kept backups.
	KeptBackups() ([]string, error)
}

// BadBackup says why a backup cannot be restored, neither now nor later.
type BadBackup struct{ Reason string }

func (e *BadBackup) Error() string { return e.Reason }
