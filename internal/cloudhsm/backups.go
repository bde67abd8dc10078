package cloudhsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// pendingDeletion is how long a backup can still be restored after it was deleted (API reference, DeleteBackup).
const pendingDeletion = 7 * 24 * time.Hour

// backupTransitions of a backup, like transitions of a cluster.
var backupTransitions = map[types.BackupState][]types.BackupState{
	types.BackupStateCreateInProgress: {types.BackupStateReady, types.BackupStateDeleted},
	types.BackupStateReady:            {types.BackupStatePendingDeletion},
	types.BackupStatePendingDeletion:  {types.BackupStateReady, types.BackupStateDeleted},
	types.BackupStateDeleted:          {},
}

// enter moves the backup to a state; removal is when that state ends by itself, zero where it does not.
func (b *Backup) enter(to types.BackupState, removal time.Time) error {
	if !slices.Contains(backupTransitions[b.State], to) {
		return fmt.Errorf("cloudhsm: backup %s cannot go from %s to %s", b.ID, b.State, to)
	}
	b.State, b.Removal = to, removal
	return nil
}

// require refuses an operation on a backup in another state.
func (b *Backup) require(operation string, state types.BackupState) error {
	if b.State == state {
		return nil
	}
	return invalid("Backup %s is in state %s. %s requires state %s.", b.ID, b.State, operation, state)
}

func backupNotFound(id string) *fault.Error {
	return fault.New(codeNotFound, "Backup %s was not found.", id)
}

// existing finds the backup an operation is about; a DELETED one is gone for everything but DescribeBackups.
func existing(read func(arn.Scope, string) (*Backup, error), scope arn.Scope, id string) (*Backup, error) {
	b, err := read(scope, id)
	if errors.Is(err, fault.ErrNotFound) || (err == nil && b.State == types.BackupStateDeleted) {
		return nil, backupNotFound(id)
	}
	return b, err
}

// sourceBackup finds the READY and undamaged backup that CreateCluster names by id or ARN.
func (s *Service) sourceBackup(ctx context.Context, scope arn.Scope, name string) (*Backup, error) {
	id := name
	if arn.Is(name) {
		var ours bool
		if id, ours = strings.CutPrefix(name, scope.Backup("")); !ours { // those of others would have to be shared
			return nil, backupNotFound(name)
		}
	}
	read := func(scope arn.Scope, id string) (*Backup, error) { return s.store.Backup(ctx, scope, id) }
	b, err := existing(read, scope, id)
	if err != nil {
		return nil, err
	}
	if err := b.require("CreateCluster", types.BackupStateReady); err != nil {
		return nil, err
	}
	return b, s.checkBackup(b)
}

// checkBackup refuses a backup whose file is not what HSMs made.
func (s *Service) checkBackup(b *Backup) error {
	err := s.fleet.CheckBackup(b.ID, b.Content)
	if bad, ok := errors.AsType[*BadBackup](err); ok {
		return invalid("Backup %s cannot be restored: %s", b.ID, bad.Reason).Because(err)
	}
	return err
}

// latest is the backup that the cluster's first HSM is restored from: its own newest one, or else the one that the
// cluster was created from; nil if there is neither.
func (c *Cluster) latest(all []*Backup) *Backup {
	var own, source *Backup
	for _, b := range all { // oldest first
		switch {
		case b.State != types.BackupStateReady:
		case b.ClusterID == c.ID:
			own = b
		case b.ID == c.SourceBackupID:
			source = b
		}
	}
	return cmp.Or(own, source)
}

// backupFilters of DescribeBackups: what each compares with.
var backupFilters = map[string]func(*Backup) string{
	"backupIds":       func(b *Backup) string { return b.ID },
	"sourceBackupIds": func(b *Backup) string { return b.SourceBackup },
	"clusterIds":      func(b *Backup) string { return b.ClusterID },
	"states":          func(b *Backup) string { return string(b.State) },
	"neverExpires":    func(b *Backup) string { return strconv.FormatBool(b.NeverExpires) },
}

func (s *Service) describeBackups(ctx context.Context, call *operation.Call, in *api.DescribeBackupsInput) (*api.DescribeBackupsOutput, error) {
	for name := range in.Filters {
		if backupFilters[name] == nil {
			return nil, invalid("Filter %s is not supported. Use backupIds, sourceBackupIds, clusterIds, states or neverExpires.", name)
		}
	}
	all, err := s.store.Backups(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(b *Backup) bool {
		if aws.ToBool(in.Shared) { // with the caller by others, which resource policies would allow
			return true
		}
		for name, values := range in.Filters {
			if !slices.Contains(values, backupFilters[name](b)) {
				return true
			}
		}
		return false
	})
	key, order := newestFirst, "newest first"
	if aws.ToBool(in.SortAscending) {
		key, order = oldestFirst, "oldest first"
	}
	slices.SortFunc(all, func(a, b *Backup) int { return strings.Compare(key(a), key(b)) })
	page, token, err := paginate(s.authority, pageOf{
		operation: "DescribeBackups", scope: call.Scope, about: order, size: 50,
		max: in.MaxResults, token: aws.ToString(in.NextToken),
	}, all, key)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeBackupsOutput{Backups: make([]types.Backup, 0, len(page)), NextToken: token}
	for _, b := range page {
		out.Backups = append(out.Backups, b.wire())
	}
	return out, nil
}

// oldestFirst and newestFirst are the orders of a listing, as sort keys.
func oldestFirst(b *Backup) string { return fmt.Sprintf("%016x %s", b.Created.UnixMilli(), b.ID) }
func newestFirst(b *Backup) string {
	return fmt.Sprintf("%016x %s", ^uint64(b.Created.UnixMilli()), b.ID)
}

// changeBackup applies fn to a backup in the transaction of the call's event and returns what became of it.
func (s *Service) changeBackup(ctx context.Context, call *operation.Call, id string, fn func(*Backup) error) (*types.Backup, error) {
	var changed types.Backup
	err := s.store.Change(ctx, call.Event, func(tx Tx) error {
		b, err := existing(tx.Backup, call.Scope, id)
		if err != nil {
			return err
		}
		call.About(backupResource, b.ARN())
		if err := fn(b); err != nil {
			return err
		}
		call.Event.Response.Add("backup", backupEvent(b))
		changed = b.wire()
		return tx.UpdateBackup(b)
	})
	if err != nil {
		return nil, err
	}
	return &changed, nil
}

func (s *Service) deleteBackup(ctx context.Context, call *operation.Call, in *api.DeleteBackupInput) (*api.DeleteBackupOutput, error) {
	b, err := s.changeBackup(ctx, call, aws.ToString(in.BackupId), func(b *Backup) error {
		if err := b.require("DeleteBackup", types.BackupStateReady); err != nil {
			return err
		}
		return b.enter(types.BackupStatePendingDeletion, call.Time.Truncate(time.Millisecond).UTC().Add(pendingDeletion))
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteBackupOutput{Backup: b}, nil
}

// restoreBackup takes a deletion back. It loads nothing anywhere.
func (s *Service) restoreBackup(ctx context.Context, call *operation.Call, in *api.RestoreBackupInput) (*api.RestoreBackupOutput, error) {
	b, err := s.changeBackup(ctx, call, aws.ToString(in.BackupId), func(b *Backup) error {
		if err := b.require("RestoreBackup", types.BackupStatePendingDeletion); err != nil {
			return err
		}
		return b.enter(types.BackupStateReady, time.Time{})
	})
	if err != nil {
		return nil, err
	}
	return &api.RestoreBackupOutput{Backup: b}, nil
}

func (s *Service) modifyBackupAttributes(ctx context.Context, call *operation.Call, in *api.ModifyBackupAttributesInput) (*api.ModifyBackupAttributesOutput, error) {
	b, err := s.changeBackup(ctx, call, aws.ToString(in.BackupId), func(b *Backup) error {
		if err := b.require("ModifyBackupAttributes", types.BackupStateReady); err != nil {
			return err
		}
		b.NeverExpires = aws.ToBool(in.NeverExpires)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyBackupAttributesOutput{Backup: b}, nil
}

// copyBackupToRegion records the copy; the archivist makes it. The answer does not name it: customers find it by its
// source (user guide, "Copying backups across AWS Regions").
func (s *Service) copyBackupToRegion(ctx context.Context, call *operation.Call, in *api.CopyBackupToRegionInput) (*api.CopyBackupToRegionOutput, error) {
	to := arn.Scope{Account: call.Scope.Account, Region: aws.ToString(in.DestinationRegion)}
	if to.Region == call.Scope.Region {
		return nil, invalid("Backup %s is in Region %s already.", aws.ToString(in.BackupId), to.Region)
	}
	if strings.HasPrefix(to.Region, "us-gov-") != strings.HasPrefix(call.Scope.Region, "us-gov-") {
		return nil, invalid("A backup cannot be copied from Region %s to Region %s: they are of different partitions.", call.Scope.Region, to.Region)
	}
	var c *Backup
	err := s.store.Change(ctx, call.Event, func(tx Tx) error {
		b, err := existing(tx.Backup, call.Scope, aws.ToString(in.BackupId))
		if err != nil {
			return err
		}
		call.About(backupResource, b.ARN())
		if err := b.require("CopyBackupToRegion", types.BackupStateReady); err != nil {
			return err
		}
		if c, err = b.copyTo(to, in.TagList, call.Time); err != nil {
			return err
		}
		call.Event.Response.Add("destinationBackup", destinationEvent(c))
		return tx.InsertBackup(c)
	})
	if err != nil {
		return nil, err
	}
	s.pokeArchivist()
	return &api.CopyBackupToRegionOutput{DestinationBackup: &types.DestinationBackup{
		CreateTimestamp: &c.Created, SourceBackup: &c.SourceBackup, SourceCluster: text(c.SourceCluster), SourceRegion: &c.SourceRegion,
	}}, nil
}

// copyTo is the record of a copy that is to be made. Tags that are given replace those of the source.
func (b *Backup) copyTo(to arn.Scope, tags []types.Tag, now time.Time) (*Backup, error) {
	c := *b
	c.Scope, c.ID, c.Version = to, newID("backup-"), 0
	c.State, c.ClusterID, c.NeverExpires = types.BackupStateCreateInProgress, "", false
	c.Copied = now.Truncate(time.Millisecond).UTC()
	c.SourceRegion, c.SourceBackup, c.SourceCluster = b.Scope.Region, b.ID, cmp.Or(b.ClusterID, b.SourceCluster)
	if tags == nil {
		return &c, nil
	}
	var err error
	c.Tags, err = mergeTags(nil, tags)
	return &c, err
}

// modifyCluster changes the retention policy, at once. Migrating a cluster to another HSM type is not offered: there
// is one type in use.
func (s *Service) modifyCluster(ctx context.Context, call *operation.Call, in *api.ModifyClusterInput) (*api.ModifyClusterOutput, error) {
	if in.HsmType == nil && in.BackupRetentionPolicy == nil {
		return nil, invalid("Specify HsmType or BackupRetentionPolicy.")
	}
	c, err := s.change(ctx, call, aws.ToString(in.ClusterId), func(_ Tx, c *Cluster) (err error) {
		if t := aws.ToString(in.HsmType); in.HsmType != nil && t != c.HsmType {
			return invalid("Cluster %s has HSM type %s. Changing it to %s is not supported: create a cluster from a backup instead.", c.ID, c.HsmType, t)
		}
		if c.State == types.ClusterStateDeleteInProgress {
			return invalid("Cluster %s is in state %s.", c.ID, c.State)
		}
		if in.BackupRetentionPolicy != nil {
			c.RetentionDays, err = retention(in.BackupRetentionPolicy)
		}
		call.Event.Response.Add("cluster", clusterEvent(c))
		return err
	})
	if err != nil {
		return nil, err
	}
	s.pokeArchivist()
	out := c.wire()
	return &api.ModifyClusterOutput{Cluster: &out}, nil
}
