package cloudhsm

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"

	"keyward/internal/operation"
)

// Quotas of an account in a Region. Zero means AWS's default.
type Quotas struct {
	Clusters int // 4
	Hsms     int // 6
}

// maxHsmsPerCluster is fixed by AWS.
const maxHsmsPerCluster = 28

// Timing of the keepers. Zero means the default.
type Timing struct {
	// Fence is how long an HSM may be silent before the others carry on without it: 3 s.
	Fence time.Duration
	// Grace is how long after Run began no HSM is fenced for silence, since all may be starting: 10 s.
	Grace time.Duration
	// Tick is how often a keeper looks even when nothing woke it: 250 ms.
	Tick time.Duration
}

// Config of a Service. Every field without a default must be set.
type Config struct {
	Store     Store
	Network   Network
	Fleet     Fleet
	Authority *Authority
	Quotas    Quotas
	Timing    Timing
	// Hsm1 admits new clusters of type hsm1.medium, which AWS has closed.
	Hsm1 bool
	// Now is the service's clock. Due times follow it; the health of HSMs is judged by real time.
	Now func() time.Time
	Log *slog.Logger
}

// Service is the CloudHSM v2 API of an installation.
type Service struct {
	store     Store
	network   Network
	fleet     Fleet
	authority *Authority
	quotas    Quotas
	timing    Timing
	hsm1      bool
	now       func() time.Time
	log       *slog.Logger
	archive   chan struct{} // capacity 1: look at the backups now

	// allocation is held, shared, from the allocation of a network interface until its HSM is recorded.
	allocation sync.RWMutex

	mu      sync.Mutex         // guards what follows
	run     context.Context    // of Run; nil while it does not run
	keepers map[string]*keeper // by cluster id
	group   sync.WaitGroup     // the keepers' goroutines
	started time.Time          // when Run began
}

// New makes the service. Nothing happens in the background until Run.
func New(c Config) *Service {
	return &Service{
		store: c.Store, network: c.Network, fleet: c.Fleet, authority: c.Authority,
		quotas: Quotas{Clusters: or(c.Quotas.Clusters, 4), Hsms: or(c.Quotas.Hsms, 6)},
		timing: Timing{
			Fence: or(c.Timing.Fence, 3*time.Second),
			Grace: or(c.Timing.Grace, 10*time.Second),
			Tick:  or(c.Timing.Tick, 250*time.Millisecond),
		},
		hsm1: c.Hsm1, now: c.Now, log: c.Log,
		archive: make(chan struct{}, 1), keepers: make(map[string]*keeper),
	}
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// API lists the operations. Those of resource policies are not served yet.
func (s *Service) API() operation.Service {
	return operation.Service{
		SigningName: "cloudhsm",
		Target:      "BaldrApiService",
		EventSource: "cloudhsm.amazonaws.com",
		Rows: []operation.Row{
			on(s, operation.Write("CreateCluster", s.createCluster, "HsmType", "SubnetIds", "SourceBackupId", "Mode", "NetworkType", "BackupRetentionPolicy"), func(in *cloudhsmv2.CreateClusterInput) *string { return in.SourceBackupId }),
			operation.Read("DescribeClusters", s.describeClusters, "Filters", "MaxResults"),
			on(s, operation.Write("CreateHsm", s.createHsm, "ClusterId", "AvailabilityZone", "IpAddress"), func(in *cloudhsmv2.CreateHsmInput) *string { return in.ClusterId }),
			on(s, operation.Write("InitializeCluster", s.initializeCluster, "ClusterId"), func(in *cloudhsmv2.InitializeClusterInput) *string { return in.ClusterId }),
			on(s, operation.Write("DeleteHsm", s.deleteHsm, "ClusterId", "HsmId", "EniId", "EniIp"), func(in *cloudhsmv2.DeleteHsmInput) *string { return in.ClusterId }),
			on(s, operation.Write("DeleteCluster", s.deleteCluster, "ClusterId"), func(in *cloudhsmv2.DeleteClusterInput) *string { return in.ClusterId }),
			on(s, operation.Write("ModifyCluster", s.modifyCluster, "ClusterId", "HsmType", "BackupRetentionPolicy"), func(in *cloudhsmv2.ModifyClusterInput) *string { return in.ClusterId }),
			operation.Read("DescribeBackups", s.describeBackups, "Filters", "MaxResults", "Shared", "SortAscending"),
			on(s, operation.Write("DeleteBackup", s.deleteBackup, "BackupId"), func(in *cloudhsmv2.DeleteBackupInput) *string { return in.BackupId }),
			on(s, operation.Write("RestoreBackup", s.restoreBackup, "BackupId"), func(in *cloudhsmv2.RestoreBackupInput) *string { return in.BackupId }),
			on(s, operation.Write("ModifyBackupAttributes", s.modifyBackupAttributes, "BackupId", "NeverExpires"), func(in *cloudhsmv2.ModifyBackupAttributesInput) *string { return in.BackupId }),
			on(s, operation.Write("CopyBackupToRegion", s.copyBackupToRegion, "BackupId", "DestinationRegion"), func(in *cloudhsmv2.CopyBackupToRegionInput) *string { return in.BackupId }),
			on(s, operation.Write("TagResource", s.tagResource, "ResourceId"), func(in *cloudhsmv2.TagResourceInput) *string { return in.ResourceId }),
			on(s, operation.Write("UntagResource", s.untagResource, "ResourceId", "TagKeyList"), func(in *cloudhsmv2.UntagResourceInput) *string { return in.ResourceId }),
			on(s, operation.Read("ListTags", s.listTags, "ResourceId", "MaxResults"), func(in *cloudhsmv2.ListTagsInput) *string { return in.ResourceId }),
		},
	}
}
