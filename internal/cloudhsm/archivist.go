package cloudhsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/fault"
)

// archiveTick is how often the archivist looks even when nothing woke it.
const archiveTick = 30 * time.Second

// pokeArchivist makes the archivist look at once.
func (s *Service) pokeArchivist() {
	select {
	case s.archive <- struct{}{}:
	default:
	}
}

// archivist looks after backups that exist: it purges by the retention policies, removes what was deleted long enough
// ago and makes copies. Making backups of clusters is the keepers' work.
func (s *Service) archivist(ctx context.Context) {
	ticker := time.NewTicker(archiveTick)
	defer ticker.Stop()
	for {
		if err := s.tidyArchive(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("looking after the backups", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.archive:
		case <-ticker.C:
		}
	}
}

// dropOrphans removes contents without a record: of a backup that was given up between the two.
func (s *Service) dropOrphans(ctx context.Context) error {
	kept, err := s.fleet.KeptBackups() // before the records: a record is there before its contents
	if err != nil {
		return fmt.Errorf("listing the kept backups: %w", err)
	}
	all, err := s.store.AllBackups(ctx)
	if err != nil {
		return fmt.Errorf("reading the backups: %w", err)
	}
	for _, id := range kept {
		if slices.ContainsFunc(all, func(b *Backup) bool { return b.ID == id }) {
			continue
		}
		s.log.Warn("removing the contents of no backup", "backup", id)
		if err := s.fleet.DropBackup(id); err != nil {
			return err
		}
	}
	return nil
}

// tidyArchive goes over all backups once. One that cannot be dealt with does not stand in the way of others.
func (s *Service) tidyArchive(ctx context.Context) error {
	backups, err := s.store.AllBackups(ctx)
	if err != nil {
		return err
	}
	clusters, err := s.store.AllClusters(ctx)
	if err != nil {
		return err
	}
	now := s.now()
	var failed error
	for _, b := range expired(backups, clusters, now) {
		failed = errors.Join(failed, s.amendBackup(ctx, b, func(b *Backup) error {
			return b.enter(types.BackupStatePendingDeletion, now.Truncate(time.Millisecond).UTC().Add(pendingDeletion))
		}))
	}
	for _, b := range backups {
		failed = errors.Join(failed, s.tidy(ctx, b, now))
	}
	return failed
}

// expired lists the READY backups that are older than their cluster's retention period, save the newest of each
// cluster and those that never expire. A backup whose cluster is gone, and a copy, has no policy.
func expired(backups []*Backup, clusters []*Cluster, now time.Time) []*Backup {
	days := make(map[string]int)
	for _, c := range clusters {
		if c.State != types.ClusterStateDeleted {
			days[c.ID], _ = strconv.Atoi(c.RetentionDays) // checked when it was set
		}
	}
	newest := make(map[string]*Backup)
	for _, b := range backups { // oldest first
		if b.State == types.BackupStateReady {
			newest[b.ClusterID] = b
		}
	}
	var old []*Backup
	for _, b := range backups {
		if b.State == types.BackupStateReady && !b.NeverExpires && days[b.ClusterID] > 0 && newest[b.ClusterID] != b &&
			now.After(b.Created.AddDate(0, 0, days[b.ClusterID])) {
			old = append(old, b)
		}
	}
	return old
}

// amendBackup changes a backup's record, unless that changed since it was read: then the next look decides.
func (s *Service) amendBackup(ctx context.Context, b *Backup, fn func(*Backup) error) error {
	next := *b
	if err := fn(&next); err != nil {
		return err
	}
	err := s.store.Change(ctx, nil, func(tx Tx) error { return tx.UpdateBackup(&next) })
	if errors.Is(err, fault.ErrConflict) {
		return nil
	}
	if err == nil {
		s.log.Info("backup", "backup", b.ID, "state", next.State)
	}
	return err
}

// tidy does what is due on one backup. Contents go after the record says DELETED, as often as the record is found.
func (s *Service) tidy(ctx context.Context, b *Backup, now time.Time) error {
	due := !b.Removal.IsZero() && now.After(b.Removal)
	switch {
	case b.State == types.BackupStateCreateInProgress && b.SourceBackup != "":
		return s.copyContent(ctx, b, now)
	case b.State == types.BackupStatePendingDeletion && due:
		err := s.amendBackup(ctx, b, func(b *Backup) error { return b.enter(types.BackupStateDeleted, now.Add(keepDeleted)) })
		s.pokeArchivist()
		return err
	case b.State == types.BackupStateDeleted:
		if err := s.fleet.DropBackup(b.ID); err != nil || !due {
			return err
		}
		return s.store.Change(ctx, nil, func(tx Tx) error { return tx.DeleteBackup(b) })
	}
	return nil
}

// copyContent completes a copy. One whose source is gone or damaged fails for good.
func (s *Service) copyContent(ctx context.Context, b *Backup, now time.Time) error {
	err := s.fleet.CopyBackup(b.SourceBackup, b.ID, b.Content)
	if errors.As(err, new(*BadBackup)) {
		s.log.Warn("a backup cannot be copied", "backup", b.SourceBackup, "error", err)
		return s.amendBackup(ctx, b, func(b *Backup) error { return b.enter(types.BackupStateDeleted, now.Add(keepDeleted)) })
	}
	if err != nil {
		return fmt.Errorf("copying backup %s: %w", b.SourceBackup, err)
	}
	return s.amendBackup(ctx, b, func(b *Backup) error { return b.enter(types.BackupStateReady, time.Time{}) })
}
